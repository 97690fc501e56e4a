//! Reads the host's clocks.

use coldcase_model::events::Anchor;
use coldcase_model::time::{Boottime, Utc};
use rustix::time::{ClockId, Timespec, clock_gettime};

/// CLOCK_BOOTTIME now.
pub fn boottime() -> Boottime {
    Boottime(nanos(clock_gettime(ClockId::Boottime)) as u64)
}

/// CLOCK_REALTIME now.
pub fn realtime() -> Utc {
    Utc(nanos(clock_gettime(ClockId::Realtime)))
}

/// Both, read one after the other: what every receipt carries.
pub fn now() -> (Boottime, Utc) {
    (boottime(), realtime())
}

/// How often the bracketed reading is tried; the narrowest wins.
const TRIES: usize = 5;

/// Reads all clocks between two readings of CLOCK_BOOTTIME, a few times, and keeps the narrowest bracket.
pub fn anchor(reason: &str) -> Anchor {
    let mut best = bracket();
    for _ in 1..TRIES {
        let next = bracket();
        if next.width < best.width {
            best = next;
        }
    }
    let (state, error) = ntp();
    Anchor { ntp_state: state, ntp_error: error, reason: reason.to_owned(), ..best }
}

fn bracket() -> Anchor {
    let before = boottime().0;
    let monotonic = nanos(clock_gettime(ClockId::Monotonic)) as u64;
    let realtime = realtime().0;
    let tai = nanos(clock_gettime(ClockId::Tai));
    let after = boottime().0;
    Anchor {
        time: before + (after - before) / 2,
        width: after - before,
        monotonic,
        realtime,
        tai,
        ntp_state: -1,
        ntp_error: 0,
        reason: String::new(),
    }
}

fn nanos(t: Timespec) -> i64 {
    t.tv_sec * 1_000_000_000 + t.tv_nsec
}

/// State and estimated error (ns) of the kernel's clock discipline; -1 when it cannot be read.
fn ntp() -> (i32, u64) {
    // SAFETY: timex is plain integers, for which all zero is a value; modes 0 makes adjtimex(2) a pure read.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a live timex of ours.
    let state = unsafe { libc::adjtimex(&mut timex) };
    if state < 0 { (-1, 0) } else { (state, (timex.esterror.max(0) as u64) * 1000) }
}

/// The state of an anchor in words, as the manifest says it.
pub fn ntp_words(state: i32) -> &'static str {
    match state {
        0..=4 => "synchronised",
        5 => "not synchronised",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_anchor_brackets_its_readings() {
        let before = boottime().0;
        let a = anchor("start");
        let after = boottime().0;
        assert!(before <= a.time && a.time <= after);
        assert!(a.width < 1_000_000, "five tries and none under a millisecond: {} ns", a.width);
        assert!((a.realtime - realtime().0).abs() < 1_000_000_000);
        assert!(a.ntp_state >= -1 && a.ntp_state <= 5);
    }
}
