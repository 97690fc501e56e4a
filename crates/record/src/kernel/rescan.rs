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
                    look(&dials, &stop);
                    next = Instant::now() + EACH.max(began.elapsed() * SHARE);
                }
            }
        }
    })?;
    Ok(Some(thread))
}

/// Waits for the thread, which is to stop, no longer than this: it may be in the middle of a look, and what it finds
/// then is attached to nothing.
const PATIENCE: Duration = Duration::from_secs(2);

/// Waits until the thread has ended, for a while.
pub(super) fn wait(thread: JoinHandle<()>) {
    let began = Instant::now();
    thread.thread().unpark();
    while !thread.is_finished() && began.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(5));
    }
    if thread.is_finished() {
        // One that panicked found no new files.
        let _ = thread.join();
    }
}

fn look(dials: &Dials, stop: &AtomicBool) {
    let targets: Vec<_> = dials.lock().loaded.iter().filter_map(|l| l.target()).collect();
    for target in targets {
        if stop.load(Ordering::Acquire) {
            return;
        }
        // Not under the lock: it takes long where there are many processes.
        let found = target.files();
        let mut gone = Vec::new();
        for loaded in dials.lock().loaded.iter_mut().filter(|l| l.target() == Some(target) && l.is_attached()) {
            let (new, failed) = loaded.attach_files(&found);
            if new > 0 {
                tracing::info!("kernel.{}: {new} more files", target.name());
            }
            for skip in failed {
                tracing::warn!("kernel.{}: a new file is left out: {}", target.name(), skip.reason);
            }
            gone.extend(loaded.forget_files(&found));
        }
        // As well.
        drop(gone);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_that_takes_long_does_not_hold_up_the_end() {
        let (done, at_last) = std::sync::mpsc::channel::<()>();
        let slow = std::thread::spawn(move || _ = at_last.recv());
        let began = Instant::now();
        wait(slow);
        assert!((PATIENCE..PATIENCE * 10).contains(&began.elapsed()));
        drop(done);
        wait(std::thread::spawn(std::thread::park));
    }
}
