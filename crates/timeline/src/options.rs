//! What to load: streams, a window of time, how many threads.

use std::path::PathBuf;
use std::str::FromStr;

use coldcase_model::{Nanos, Utc};

/// What to load, and how.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Threads to decode with; `None` for one per CPU. The result does not depend on it.
    pub threads: Option<usize>,
    /// Rows that end before it are left out.
    pub from: Option<When>,
    /// Rows that begin at or after it are left out.
    pub to: Option<When>,
    /// Streams to hold in memory. Entities and symbols are resolved whatever is named here.
    pub streams: StreamSet,
    /// A folder of binaries or debug files, to name frames that the bundle has no names for. Files are matched by
    /// build-id.
    pub debug_dir: Option<PathBuf>,
}

/// Which streams.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum StreamSet {
    /// All of them.
    #[default]
    All,
    /// None of them.
    None,
    /// Those whose name is one of these, or begins with it: `kernel` and `kernel.tcp` are both fine. Receipts
    /// (`….receipts`) are only meant when they are named in full.
    Named(Vec<String>),
}

impl StreamSet {
    /// The set of these names or prefixes.
    pub fn named<S: AsRef<str>>(patterns: impl IntoIterator<Item = S>) -> StreamSet {
        StreamSet::Named(patterns.into_iter().map(|s| s.as_ref().to_owned()).collect())
    }

    /// Whether a stream is in it.
    pub fn has(&self, stream: &str) -> bool {
        match self {
            StreamSet::All => true,
            StreamSet::None => false,
            StreamSet::Named(patterns) => patterns.iter().any(|p| StreamSet::pattern_has(p, stream)),
        }
    }

    /// Whether one pattern means a stream.
    pub fn pattern_has(pattern: &str, stream: &str) -> bool {
        stream == pattern || (stream.starts_with(pattern) && !stream.ends_with(".receipts"))
    }
}

/// A moment as people write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// RFC 3339.
    At(Utc),
    /// `+2s`: after the start of the bundle.
    After(Nanos),
}

impl When {
    /// The moment, for a bundle that starts at `start`.
    pub fn utc(self, start: Utc) -> Utc {
        match self {
            When::At(utc) => utc,
            When::After(n) => Utc(start.0.saturating_add(i64::try_from(n.0).unwrap_or(i64::MAX))),
        }
    }
}

/// A moment that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a time: {0} (write +2s, +1m30s, +500ms, or RFC 3339 such as 2026-11-22T12:00:00Z)")]
pub struct WhenError(pub String);

impl FromStr for When {
    type Err = WhenError;

    fn from_str(s: &str) -> Result<When, WhenError> {
        if let Some(after) = s.strip_prefix('+') {
            return duration(after).map(When::After).ok_or_else(|| WhenError(s.into()));
        }
        let at: jiff::Timestamp = s.parse().map_err(|_| WhenError(s.into()))?;
        i64::try_from(at.as_nanosecond()).map(|n| When::At(Utc(n))).map_err(|_| WhenError(s.into()))
    }
}

/// `1m30s`, `2.5s`, `500ms`, or bare seconds.
fn duration(text: &str) -> Option<Nanos> {
    let (mut rest, mut total) = (text, 0f64);
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number: f64 = rest[..end].parse().ok()?;
        rest = &rest[end..];
        let unit_end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        total += number
            * match &rest[..unit_end] {
                "" | "s" => 1e9,
                "ns" => 1.0,
                "us" | "µs" => 1e3,
                "ms" => 1e6,
                "m" | "min" => 60e9,
                "h" => 3600e9,
                _ => return None,
            };
        rest = &rest[unit_end..];
    }
    (total < 9.2e18).then_some(Nanos(total.round() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_relative_and_absolute() {
        for (text, nanos) in
            [("+2s", 2_000_000_000), ("+1m30s", 90_000_000_000), ("+1.5", 1_500_000_000), ("+500ms", 500_000_000)]
        {
            assert_eq!(text.parse(), Ok(When::After(Nanos(nanos))), "{text}");
        }
        assert_eq!("1970-01-01T00:00:01.5Z".parse(), Ok(When::At(Utc(1_500_000_000))));
        for bad in ["", "+", "+2x", "2s", "yesterday", "+1..2s"] {
            assert!(bad.parse::<When>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_prefix_means_its_streams_and_receipts_only_in_full() {
        let set = StreamSet::named(["kernel", "otlp.traces"]);
        assert!(set.has("kernel.offcpu") && set.has("otlp.traces") && !set.has("otlp.logs"));
        assert!(!set.has("otlp.traces.receipts"));
        assert!(StreamSet::named(["otlp.traces.receipts"]).has("otlp.traces.receipts"));
    }
}
