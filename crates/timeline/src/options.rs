//! What to load: streams, a window of time, how many threads.

use coldcase_model::Utc;

use crate::debug_files::DebugFiles;

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
    /// Binaries and debug files, to name frames that the bundle has no names for.
    pub debug_files: DebugFiles,
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
    /// Those that have one of these names.
    Exact(Vec<String>),
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
            StreamSet::Exact(names) => names.iter().any(|n| n == stream),
            StreamSet::Named(patterns) => patterns.iter().any(|p| StreamSet::pattern_has(p, stream)),
        }
    }

    /// Whether one pattern means a stream.
    pub fn pattern_has(pattern: &str, stream: &str) -> bool {
        stream == pattern || (stream.starts_with(pattern) && !stream.ends_with(".receipts"))
    }
}

/// A moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// UTC.
    At(Utc),
    /// Nanoseconds after the start of the bundle; negative before it.
    After(i64),
}

impl When {
    /// The moment, for a bundle that starts at `start`.
    pub fn utc(self, start: Utc) -> Utc {
        match self {
            When::At(utc) => utc,
            When::After(ns) => Utc(start.0.saturating_add(ns)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_means_its_streams_and_receipts_only_in_full() {
        let set = StreamSet::named(["kernel", "otlp.traces"]);
        assert!(set.has("kernel.offcpu") && set.has("otlp.traces") && !set.has("otlp.logs"));
        assert!(!set.has("otlp.traces.receipts"));
        assert!(StreamSet::named(["otlp.traces.receipts"]).has("otlp.traces.receipts"));
    }
}
