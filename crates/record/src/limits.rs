//! The limits that the user sets to what recording may cost its host.

use std::fmt;
use std::str::FromStr;

use coldcase_model::quantity::{format_size, parse_size};
use serde::{Deserialize, Deserializer};

/// What the recorder may cost. `None`: no limit. A limit is met by taking in less, within seconds of being exceeded; it
/// is no hard wall.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// CPU time per second of wall time, in nanoseconds: the recorder's threads, and its programs in the kernel.
    pub cpu: Option<u64>,
    /// Resident memory of the recorder's process, in bytes.
    pub memory: Option<u64>,
    /// What is taken in.
    pub rate: Option<Rate>,
}

/// A limit of what is taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rate {
    /// Events per second, of all sources together, as they arrive at the recorder.
    Events(u64),
    /// Bytes per second appended to the bundle, after compression.
    Bytes(u64),
}

impl FromStr for Rate {
    type Err = String;

    /// A plain number is events per second, a size bytes per second: `20000`, `5MiB`; `/s` may follow.
    fn from_str(text: &str) -> Result<Rate, String> {
        let fail = || format!("'{text}' is not a rate: write 20000 (events per second) or 5MiB (bytes per second)");
        let number = text.trim().trim_end_matches("/s").trim_end();
        let rate = match number.parse::<u64>() {
            Ok(events) => Rate::Events(events),
            Err(_) => Rate::Bytes(parse_size(number).map_err(|_| fail())?),
        };
        match rate {
            Rate::Events(0) | Rate::Bytes(0) => Err(fail()),
            rate => Ok(rate),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rate::Events(n) => write!(f, "{n} events/s"),
            Rate::Bytes(n) => write!(f, "{}/s", format_size(*n)),
        }
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Rate, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// CPU time as people write it: percent of one CPU, `20` or `20%` or `0.5%`. In nanoseconds per second.
pub fn parse_cpu(text: &str) -> Result<u64, String> {
    let percent = text.trim().trim_end_matches('%').trim_end().parse::<f64>();
    match percent {
        Ok(p) if p.is_finite() && p > 0.0 && p <= 1e6 => Ok((p * 1e7).round().max(1.0) as u64),
        _ => Err(format!("'{text}' is not a share of a CPU: write 20 or 20% (of one CPU)")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_events_and_a_size_is_bytes() {
        assert_eq!("20000".parse(), Ok(Rate::Events(20_000)));
        assert_eq!("20000/s".parse(), Ok(Rate::Events(20_000)));
        assert_eq!("5MiB".parse(), Ok(Rate::Bytes(5 << 20)));
        assert_eq!("1.5MB/s".parse(), Ok(Rate::Bytes(1_500_000)));
        for bad in ["", "0", "fast", "-1", "5MiB/h"] {
            assert!(bad.parse::<Rate>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_share_of_a_cpu_is_nanoseconds_a_second() {
        assert_eq!(parse_cpu("20"), Ok(200_000_000));
        assert_eq!(parse_cpu("0.5%"), Ok(5_000_000));
        assert_eq!(parse_cpu("150%"), Ok(1_500_000_000));
        for bad in ["", "0", "-3", "NaN", "much"] {
            assert!(parse_cpu(bad).is_err(), "{bad}");
        }
    }
}
