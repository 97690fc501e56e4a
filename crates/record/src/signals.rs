//! Signals: the first asks the recording to end, a second one ends the program at once.

use std::thread::JoinHandle;

use crossbeam_channel::Sender;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::iterator::{Handle, SignalsInfo};

use crate::flight::Asked;
use crate::session::Wake;

/// The signals that end a recording. A hang-up only where it is not ignored already: `nohup` means it.
fn ending() -> Vec<i32> {
    let mut signals = vec![SIGINT, SIGTERM];
    signals.extend((!is_ignored(SIGHUP)).then_some(SIGHUP));
    signals
}

/// Whether this process was started with a signal ignored.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("SigIgn:"));
    line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).is_some_and(|bits| bits & (1 << (signal - 1)) != 0)
}

/// From now on this process does not end by what ends a recording: it is told, and waits for the recordings that it runs, which got the signal
/// themselves.
///
/// # Errors
/// When a handler cannot be installed.
pub fn interrupts() -> std::io::Result<std::sync::Arc<std::sync::atomic::AtomicBool>> {
    let flag = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    for signal in ending() {
        signal_hook::flag::register(signal, std::sync::Arc::clone(&flag))?;
    }
    Ok(flag)
}

/// Watches for signals until dropped.
pub(crate) struct SignalWatch {
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

impl SignalWatch {
    /// Installs the handlers. Each first signal of a kind becomes a [`Wake::Signal`]; the second of any kind exits
    /// with 128 + n: the bundle is then unsealed, and readable up to its last chunk.
    ///
    /// With `dumps`, SIGUSR1 asks for a dump, any number of times.
    pub(crate) fn start(wake: Sender<Wake>, dumps: bool) -> std::io::Result<SignalWatch> {
        let watched = ending().into_iter().chain(dumps.then_some(SIGUSR1));
        let mut signals = SignalsInfo::<WithOrigin>::new(watched)?;
        let handle = signals.handle();
        let thread = std::thread::Builder::new().name("signals".into()).spawn(move || {
            let mut seen = 0;
            for origin in signals.forever() {
                if origin.signal == SIGUSR1 {
                    let _ = wake.send(Wake::Asked(Asked::Signal));
                    continue;
                }
                seen += 1;
                if seen > 1 {
                    std::process::exit(128 + origin.signal);
                }
                // The session's end of the channel is gone only when it is ending anyway.
                let _ = wake.send(Wake::Signal { number: origin.signal, sent: origin.process.is_some() });
            }
        })?;
        Ok(SignalWatch { handle, thread: Some(thread) })
    }
}

impl Drop for SignalWatch {
    fn drop(&mut self) {
        self.handle.close();
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported by the panic hook already.
            let _ = thread.join();
        }
    }
}
