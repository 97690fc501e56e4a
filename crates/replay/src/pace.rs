//! Pace: when an event is due on the clock of this host, the wait for it, and how far off it was.

use std::str::FromStr;
use std::time::{Duration, Instant};

use coldcase_model::Utc;
use crossbeam_channel::Receiver;
use hdrhistogram::Histogram;

/// How fast a replay goes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Speed {
    /// So many seconds of the recording in one second.
    Times(f64),
    /// Without waiting.
    Max,
    /// One event each time it is asked for.
    Step,
}

/// Slowest and fastest pace.
pub const SPEEDS: (f64, f64) = (0.1, 100.0);

/// A text that is no speed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a speed: write a number from 0.1 to 100, max or step")]
pub struct SpeedError(String);

impl Speed {
    /// A factor, if replays can go at it.
    pub fn times(factor: f64) -> Option<Speed> {
        (SPEEDS.0..=SPEEDS.1).contains(&factor).then_some(Speed::Times(factor))
    }

    /// The factor, where there is one.
    pub fn factor(self) -> Option<f64> {
        match self {
            Speed::Times(factor) => Some(factor),
            Speed::Max | Speed::Step => None,
        }
    }
}

impl FromStr for Speed {
    type Err = SpeedError;

    fn from_str(text: &str) -> Result<Speed, SpeedError> {
        match text {
            "max" => Ok(Speed::Max),
            "step" => Ok(Speed::Step),
            _ => {
                let factor = text.strip_suffix('x').unwrap_or(text).parse().ok();
                factor.and_then(Speed::times).ok_or_else(|| SpeedError(text.to_owned()))
            }
        }
    }
}

impl std::fmt::Display for Speed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Speed::Times(factor) => write!(f, "{factor}"),
            Speed::Max => f.write_str("max"),
            Speed::Step => f.write_str("step"),
        }
    }
}

/// Tells when what happened at a time of the recording is due.
#[derive(Debug, Clone, Copy)]
pub struct Pacer {
    /// This time of the recording…
    at: Utc,
    /// …was or is due at this moment.
    due: Instant,
    factor: f64,
}

impl Pacer {
    /// `at` is due at `due`, and what comes after it as fast as `factor` says.
    pub fn new(at: Utc, due: Instant, factor: f64) -> Pacer {
        Pacer { at, due, factor }
    }

    /// When `at` is due; `None` before the time it counts from, or later than the clock can tell.
    pub fn due(&self, at: Utc) -> Option<Instant> {
        let after = u64::try_from(at.0.checked_sub(self.at.0)?).ok()?;
        let wait = Duration::try_from_secs_f64(Duration::from_nanos(after).as_secs_f64() / self.factor).ok()?;
        self.due.checked_add(wait)
    }

    /// The time of the recording that is due at `now`.
    pub fn at(&self, now: Instant) -> Utc {
        let gone = now.saturating_duration_since(self.due).as_secs_f64() * self.factor;
        Utc(self.at.0.saturating_add(Duration::try_from_secs_f64(gone).map_or(i64::MAX, nanos)))
    }
}

fn nanos(d: Duration) -> i64 {
    i64::try_from(d.as_nanos()).unwrap_or(i64::MAX)
}

/// The scheduler wakes a sleeper this much late, give or take: the rest is spun.
const SPIN: Duration = Duration::from_micros(120);

/// A word is heard after this time at the latest.
const HEARING: Duration = Duration::from_millis(20);

/// Waits until `due`, or for a message on `control`, which ends the wait. A sleep that ends a little early, then a short spin.
/// `None`: it is due.
///
/// It sleeps instead of waiting on the channel: channels yield before they sleep, and a thread that yielded is woken later on a busy machine.
pub fn wait<T>(due: Instant, control: &Receiver<T>) -> Option<T> {
    loop {
        if let Ok(said) = control.try_recv() {
            return Some(said);
        }
        let left = due.saturating_duration_since(Instant::now());
        if left <= SPIN {
            break;
        }
        std::thread::sleep((left - SPIN).min(HEARING));
    }
    while Instant::now() < due {
        std::hint::spin_loop();
    }
    None
}

/// How late events were handed out, at the pace that was asked for.
#[derive(Debug, Clone)]
pub struct Timing {
    late: Histogram<u64>,
}

/// The longest lateness that is told apart, in nanoseconds.
const LATEST: u64 = 3_600_000_000_000;

impl Default for Timing {
    fn default() -> Timing {
        // Two digits: 1% of the value. The bounds are fixed and valid; without them it grows as needed.
        let late = Histogram::new_with_bounds(1, LATEST, 2).or_else(|_| Histogram::new(2));
        Timing { late: late.unwrap_or_else(|_| unreachable!("two significant digits are allowed")) }
    }
}

impl Timing {
    /// An event that was due at `due` is handed out now.
    pub fn note(&mut self, due: Instant) {
        let late = Instant::now().saturating_duration_since(due).as_nanos();
        self.late.saturating_record(u64::try_from(late).unwrap_or(LATEST).clamp(1, LATEST));
    }

    /// Events that were waited for.
    pub fn events(&self) -> u64 {
        self.late.len()
    }

    /// Lateness that this share of the events did not exceed, in nanoseconds; 0 without events.
    pub fn quantile(&self, share: f64) -> u64 {
        if self.late.is_empty() { 0 } else { self.late.value_at_quantile(share) }
    }

    /// The largest lateness, in nanoseconds.
    pub fn max(&self) -> u64 {
        self.late.max()
    }

    /// Events by lateness: each bucket's upper end, in nanoseconds, and how many events were in it. Buckets double from 1 µs.
    pub fn buckets(&self) -> Vec<(u64, u64)> {
        let all = self.late.iter_log(1_000, 2.0).map(|b| (b.value_iterated_to(), b.count_since_last_iteration()));
        all.filter(|b| b.1 > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_speed_is_a_factor_or_a_word() {
        assert_eq!("1".parse(), Ok(Speed::Times(1.0)));
        assert_eq!("0.1".parse(), Ok(Speed::Times(0.1)));
        assert_eq!("10x".parse(), Ok(Speed::Times(10.0)));
        assert_eq!("max".parse(), Ok(Speed::Max));
        assert_eq!("step".parse(), Ok(Speed::Step));
        for bad in ["0", "0.09", "100.5", "-1", "NaN", "inf", "fast", ""] {
            assert!(bad.parse::<Speed>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_due_follows_from_the_speed_both_ways() {
        let now = Instant::now();
        let pacer = Pacer::new(Utc(1_000), now, 10.0);
        assert_eq!(pacer.due(Utc(1_000)), Some(now));
        assert_eq!(pacer.due(Utc(10_000_001_000)), Some(now + Duration::from_secs(1)));
        assert_eq!(pacer.due(Utc(999)), None, "before it began");
        assert_eq!(pacer.due(Utc(i64::MAX)).map(|d| d > now), Some(true));
        assert_eq!(pacer.at(now + Duration::from_secs(1)), Utc(10_000_001_000));
        assert_eq!(pacer.at(now - Duration::from_secs(1)), Utc(1_000));
    }

    #[test]
    fn a_wait_ends_when_it_is_due_and_not_before() {
        let (_open, nothing) = crossbeam_channel::bounded::<()>(1);
        let mut timing = Timing::default();
        for _ in 0..20 {
            let due = Instant::now() + Duration::from_millis(3);
            assert_eq!(wait(due, &nothing), None);
            assert!(Instant::now() >= due);
            timing.note(due);
        }
        assert_eq!(timing.events(), 20);
        // Half of them: another program may take the CPU for some.
        assert!(timing.quantile(0.5) < 5_000_000, "{} ns", timing.quantile(0.5));
        assert!(timing.max() >= timing.quantile(0.99));
        assert_eq!(timing.buckets().iter().map(|b| b.1).sum::<u64>(), 20);
    }

    #[test]
    fn a_word_on_the_channel_ends_a_wait() {
        let (say, said) = crossbeam_channel::bounded(1);
        say.send(7).unwrap();
        let due = Instant::now() + Duration::from_secs(60);
        assert_eq!(wait(due, &said), Some(7));
        assert!(Instant::now() < due);
    }
}
