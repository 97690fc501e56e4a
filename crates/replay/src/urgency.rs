//! Threads that keep times go before others.

/// Lets the calling thread run before those of ordinary priority, where the process may do that (CAP_SYS_NICE): on a busy
/// machine a thread that wakes up waits for others otherwise. Where it may not, it is later, which is measured and told.
pub(crate) fn raise() {
    /// Halfway to the highest (setpriority(2)).
    const NICE: i32 = -10;
    // Of no process means of the calling thread on Linux.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::setpriority_process(None, NICE);
    #[cfg(not(target_os = "linux"))]
    let _ = NICE;
}
