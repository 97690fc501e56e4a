//! Notices steps of the real-time clock: at once through the kernel, and by comparing clocks where it cannot be asked.

use crossbeam_channel::Sender;
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};

use crate::session::Wake;
use crate::source::StopToken;

/// Reports each setting of CLOCK_REALTIME as a [`Wake::ClockSet`] until the stop, on a thread of its own. Settings
/// are rare; slewing by NTP is none.
pub(crate) fn start(wake: Sender<Wake>, stop: StopToken) -> std::io::Result<()> {
    let timer = rustix::time::timerfd_create(TimerfdClockId::Realtime, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
    std::thread::Builder::new().name("clock-watch".into()).spawn(move || {
        // A timer that never fires of itself, but is cancelled (readable, ECANCELED) when the clock is set.
        let never = Timespec { tv_sec: i64::MAX / 2_000_000_000, tv_nsec: 0 };
        let spec = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: never };
        let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
        while !stop.is_stopped() {
            if let Err(e) = rustix::time::timerfd_settime(&timer, flags, &spec) {
                // ECANCELED here: set between two arms, which is a setting too.
                if e != rustix::io::Errno::CANCELED {
                    tracing::debug!("clock watch: {e}");
                    return;
                }
            }
            let mut fds = [
                rustix::event::PollFd::new(&timer, rustix::event::PollFlags::IN),
                rustix::event::PollFd::new(&stop, rustix::event::PollFlags::IN),
            ];
            if rustix::event::poll(&mut fds, None).is_err() || stop.is_stopped() {
                continue;
            }
            let mut expirations = [0u8; 8];
            if rustix::io::read(&timer, &mut expirations) == Err(rustix::io::Errno::CANCELED)
                && wake.send(Wake::ClockSet).is_err()
            {
                return;
            }
        }
    })?;
    Ok(())
}
