//! Time: newtypes that keep clocks apart. A raw timestamp is never rewritten; UTC is derived through the anchors.

use serde::{Deserialize, Serialize};

/// CLOCK_BOOTTIME of the recorded host, nanoseconds since its boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Boottime(pub u64);

/// UTC nanoseconds since 1970-01-01, without leap seconds: timeline time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Utc(pub i64);

/// A duration in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Nanos(pub u64);

impl Nanos {
    /// One second.
    pub const SECOND: Nanos = Nanos(1_000_000_000);
    /// One millisecond.
    pub const MILLI: Nanos = Nanos(1_000_000);
}

impl std::fmt::Display for Nanos {
    /// Three significant digits and the unit that suits: `999ns`, `1.23µs`, `45.6ms`, `7.89s`, `2m03s`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let n = self.0;
        if n < 1_000 {
            return write!(f, "{n}ns");
        }
        if n >= 99_950_000_000 {
            let s = n.saturating_add(500_000_000) / 1_000_000_000;
            return if s >= 3600 {
                write!(f, "{}h{:02}m{:02}s", s / 3600, s % 3600 / 60, s % 60)
            } else {
                write!(f, "{}m{:02}s", s / 60, s % 60)
            };
        }
        let mut value = n as f64;
        for unit in ["ns", "µs", "ms", "s"] {
            if value < 999.5 || unit == "s" {
                let places = if value < 9.995 {
                    2
                } else if value < 99.95 {
                    1
                } else {
                    0
                };
                return write!(f, "{value:.places$}{unit}");
            }
            value /= 1000.0;
        }
        Ok(())
    }
}

/// A reading of all clocks at one moment. `width` bounds how far apart the readings can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnchorPoint {
    /// CLOCK_BOOTTIME.
    pub boot: Boottime,
    /// CLOCK_REALTIME.
    pub real: Utc,
    /// Uncertainty of the pair.
    pub width: Nanos,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_shown_with_three_digits() {
        for (n, text) in [
            (0, "0ns"),
            (999, "999ns"),
            (1_234, "1.23µs"),
            (45_600_000, "45.6ms"),
            (999_999, "1.00ms"),
            (7_890_000_000, "7.89s"),
            (123_000_000_000, "2m03s"),
            (3_723_000_000_000, "1h02m03s"),
        ] {
            assert_eq!(Nanos(n).to_string(), text);
        }
    }
}
