//! Shift: the one offset that all times of a replay are moved by.

use coldcase_model::Utc;

use crate::pace::Speed;

/// To which time a replay is moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Shift {
    /// As late as possible without anything lying in the future when it goes out: at up to normal speed the start is now; faster, the end
    /// is when the replay will end.
    #[default]
    Now,
    /// Times stay as they were.
    Keep,
    /// The start is then.
    To(Utc),
}

/// An offset, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
#[serde(transparent)]
pub struct Offset(pub i64);

impl Offset {
    /// A UTC time in nanoseconds, moved; what would not fit stays at the end of the range.
    pub fn utc(self, utc: Utc) -> Utc {
        Utc(utc.0.saturating_add(self.0))
    }

    /// Nanoseconds since 1970 as OTLP has them, moved. 0 says "unknown" there and stays.
    pub fn unix_nanos(self, nanos: u64) -> u64 {
        match nanos {
            0 => 0,
            n => n.saturating_add_signed(self.0).max(1),
        }
    }

    /// Milliseconds since 1970, moved; to the millisecond, so that equal steps stay equal.
    pub fn millis(self, ms: i64) -> i64 {
        ms.saturating_add(self.0.div_euclid(1_000_000))
    }
}

impl Shift {
    /// The offset of a round, from 0, that plays what is between `start` and `end` from `now` on.
    ///
    /// The next round follows on the one before: what is moved to a fixed time is moved on by the length each time.
    pub fn offset(self, start: Utc, end: Utc, speed: Speed, now: Utc, round: u32) -> Offset {
        let length = i128::from(end.0) - i128::from(start.0);
        let begin = match self {
            Shift::Keep => return Offset(0),
            Shift::To(utc) => i128::from(utc.0) + length * i128::from(round),
            Shift::Now => {
                let wait = match speed {
                    Speed::Times(factor) => (length as f64 / factor.max(1.0)) as i128,
                    Speed::Max | Speed::Step => 0,
                };
                i128::from(now.0) + wait - length
            }
        };
        let begin = match (self, speed) {
            (Shift::Now, Speed::Times(factor)) if factor <= 1.0 => i128::from(now.0),
            _ => begin,
        };
        // Whole milliseconds: what counts in those is moved by the same. Never before a start that was named, never after now.
        let up = if matches!(self, Shift::To(_)) { 999_999 } else { 0 };
        let offset = (begin - i128::from(start.0) + up).div_euclid(1_000_000) * 1_000_000;
        Offset(offset.clamp(i64::MIN.into(), i64::MAX.into()) as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000_000;

    #[test]
    fn nothing_lies_in_the_future_when_it_goes_out() {
        let (start, end, now) = (Utc(100 * S), Utc(160 * S), Utc(5_000 * S));
        for factor in [0.1, 0.5, 1.0, 2.0, 10.0, 100.0] {
            let offset = Shift::Now.offset(start, end, Speed::Times(factor), now, 0);
            let mut latest = i64::MIN;
            for second in 0..=60 {
                let sent = now.0 + (second as f64 / factor * 1e9) as i64;
                let ahead = offset.utc(Utc(start.0 + second * S)).0 - sent;
                assert!(ahead <= 0, "{factor}: {ahead} at {second}");
                latest = latest.max(ahead);
            }
            assert!(latest > -2_000_000, "{factor}: not later than needed, {latest}");
        }
        assert_eq!(Shift::Now.offset(start, end, Speed::Max, now, 0).utc(end), now);
    }

    #[test]
    fn times_are_kept_or_begin_where_they_are_told_to() {
        let (start, end) = (Utc(100 * S), Utc(160 * S));
        assert_eq!(Shift::Keep.offset(start, end, Speed::Max, Utc(0), 3), Offset(0));
        let to = Shift::To(Utc(1_000 * S));
        assert_eq!(to.offset(start, end, Speed::Max, Utc(0), 0).utc(start), Utc(1_000 * S));
        assert_eq!(to.offset(start, end, Speed::Max, Utc(0), 2).utc(start), Utc(1_120 * S));
    }

    #[test]
    fn nanoseconds_and_milliseconds_are_moved_by_the_same() {
        let offset = Shift::To(Utc(7_123_456_789)).offset(Utc(1_000_000_111), Utc(2 * S), Speed::Max, Utc(0), 0);
        assert_eq!(offset.0 % 1_000_000, 0);
        assert_eq!(offset.utc(Utc(1_000_000_111)), Utc(7_124_000_111), "the next millisecond, not the one before");
        assert_eq!(offset.millis(1_000) * 1_000_000, offset.utc(Utc(S)).0);
        assert_eq!(Offset(-5_000_001).millis(10), 4);
        assert_eq!((Offset(5).unix_nanos(0), Offset(5).unix_nanos(2), Offset(-9).unix_nanos(2)), (0, 7, 1));
        assert_eq!(Offset(i64::MAX).utc(Utc(5)), Utc(i64::MAX));
    }
}
