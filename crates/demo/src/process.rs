//! What each process of the shop does about signals, its parent and its name.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Result, bail};
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use signal_hook::consts::{SIGINT, SIGTERM};

/// A flag that SIGINT and SIGTERM set.
pub(crate) fn stop_flag() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}

/// Names the process (as `ps` and the kernel show it), and asks to be stopped when `parent` ends however it ends.
pub(crate) fn settle(name: &str, parent: Option<u32>) -> Result<()> {
    if let Ok(name) = std::ffi::CString::new(name) {
        rustix::thread::set_name(&name)?;
    }
    let Some(parent) = parent else { return Ok(()) };
    set_parent_process_death_signal(Some(Signal::TERM))?;
    // The parent may have ended before the line above; then nobody would send the signal.
    if getppid().map(Pid::as_raw_pid) != i32::try_from(parent).ok() {
        bail!("the process that started this one is gone");
    }
    Ok(())
}
