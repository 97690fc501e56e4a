//! Files that come later: a container that starts while the recording runs may bring a library that no process had before.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::dials::Dials;

/// Time between two looks. One reads the mappings of every process.
const EACH: Duration = Duration::from_secs(10);
/// What a look takes is at most this part of the time.
const SHARE: u32 = 200;

/// Looks for new files until `stop` is set; its thread is to be unparked then. `None` when nothing is attached to files.
pub(super) fn start(dials: &Dials, stop: &Arc<AtomicBool>) -> std::io::Result<Option<JoinHandle<()>>> {
    if dials.lock().loaded.iter().all(|l| l.target().is_none()) {
        return Ok(None);
    }
    let (dials, stop) = (dials.clone(), stop.clone());
    let thread = std::thread::Builder::new().name("cc-kernel-files".to_owned()).spawn(move || {
        let mut next = Instant::now() + EACH;
        while !stop.load(Ordering::Acquire) {
            match next.checked_duration_since(Instant::now()) {
                Some(left) if !left.is_zero() => std::thread::park_timeout(left),
                _ => {
                    let began = Instant::now();
                    look(&dials);
                    next = Instant::now() + EACH.max(began.elapsed() * SHARE);
                }
            }
        }
    })?;
    Ok(Some(thread))
}

fn look(dials: &Dials) {
    let targets: Vec<_> = dials.lock().loaded.iter().filter_map(|l| l.target()).collect();
    for target in targets {
        // Not under the lock: it takes long where there are many processes.
        let found = target.files();
        for loaded in dials.lock().loaded.iter_mut().filter(|l| l.target() == Some(target) && l.is_attached()) {
            match loaded.attach_files(&found, &[]) {
                Ok(0) => {}
                Ok(n) => tracing::info!("kernel.{}: {n} more files", target.name()),
                Err(skip) => tracing::warn!("kernel.{}: a new file is left out: {}", target.name(), skip.reason),
            }
        }
    }
}
