//! What the recorder costs its host, read each second.

use coldcase_model::events::Cost;

use crate::clock;

/// Reads the costs of this process since its last reading.
pub(crate) struct CostMeter {
    last: Reading,
}

/// Sums since the start of the process or of the recording.
#[derive(Debug, Clone, Copy, Default)]
struct Reading {
    time: u64,
    user: u64,
    system: u64,
    written: u64,
    events: u64,
    bpf: u64,
}

impl CostMeter {
    /// From now on.
    pub(crate) fn start() -> CostMeter {
        CostMeter { last: reading(0, 0, 0) }
    }

    /// The cost since the last call. `written`, `events` and `bpf` are sums since the start of the recording.
    pub(crate) fn read(&mut self, written: u64, events: u64, bpf: u64) -> Cost {
        let now = reading(written, events, bpf);
        let last = std::mem::replace(&mut self.last, now);
        Cost {
            time: now.time,
            interval: now.time.saturating_sub(last.time),
            user: now.user.saturating_sub(last.user),
            system: now.system.saturating_sub(last.system),
            rss: resident(),
            written: now.written.saturating_sub(last.written),
            events: now.events.saturating_sub(last.events),
            bpf: now.bpf.saturating_sub(last.bpf),
        }
    }
}

fn reading(written: u64, events: u64, bpf: u64) -> Reading {
    // SAFETY: rusage is plain integers, for which all zero is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a live rusage of ours. RUSAGE_SELF cannot fail; zeroes stay if it did.
    unsafe { libc::getrusage(libc::RUSAGE_SELF, &mut usage) };
    let nanos = |t: libc::timeval| (t.tv_sec as u64) * 1_000_000_000 + (t.tv_usec as u64) * 1_000;
    Reading {
        time: clock::boottime().0,
        user: nanos(usage.ru_utime),
        system: nanos(usage.ru_stime),
        written,
        events,
        bpf,
    }
}

/// Resident memory of this process in bytes; 0 when `/proc` does not say.
pub(crate) fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split_whitespace().nth(1).and_then(|p| p.parse().ok()).unwrap_or(0);
    pages * rustix::param::page_size() as u64
}

/// Gives memory that was freed back to the system, where the allocator keeps it.
pub(crate) fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim(3) takes an integer and may be called at any time from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_costs_time_and_sums_become_differences() {
        let mut meter = CostMeter::start();
        let until = std::time::Instant::now() + std::time::Duration::from_millis(40);
        while std::time::Instant::now() < until {}
        let first = meter.read(100, 10, 1);
        assert!(first.user + first.system > 5_000_000, "{first:?}");
        assert!(first.interval >= 40_000_000);
        assert!(first.rss > 1 << 19);
        let second = meter.read(150, 10, 3);
        assert_eq!((second.written, second.events, second.bpf), (50, 0, 2));
    }
}
