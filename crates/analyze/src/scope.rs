//! Which part of a bundle is analysed.

use std::path::PathBuf;

use coldcase_decode::otlp::Span;
use coldcase_timeline::When;

/// A part of an analysis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Flame graphs.
    Flame,
    /// Latencies of spans, devices, waits.
    Latency,
    /// Connections.
    Flow,
    /// Metrics, the worst moment, what changed.
    Rest,
}

impl Part {
    /// All parts.
    pub const ALL: [Part; 4] = [Part::Flame, Part::Latency, Part::Flow, Part::Rest];
}

/// What to analyse, and how.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Threads to work with; `None` for one per CPU. The result does not depend on it.
    pub threads: Option<usize>,
    /// From this time on.
    pub from: Option<When>,
    /// Up to this time.
    pub to: Option<When>,
    /// Only these processes; empty for all.
    pub pids: Vec<u32>,
    /// Only processes of these names; empty for all.
    pub comms: Vec<String>,
    /// Only spans of these services; empty for all.
    pub services: Vec<String>,
    /// Only spans of these traces (hex ids); empty for all.
    pub traces: Vec<String>,
    /// Only these parts; empty for all.
    pub parts: Vec<Part>,
    /// A folder of binaries or debug files, to name frames that the bundle has no names for.
    pub debug_dir: Option<PathBuf>,
}

impl Options {
    /// Whether the scope is narrower than the bundle in anything but time.
    pub(crate) fn narrows_processes(&self) -> bool {
        !self.pids.is_empty() || !self.comms.is_empty()
    }

    /// Whether a process is in scope.
    pub(crate) fn has_process(&self, pid: u32, comm: impl FnOnce() -> Option<String>) -> bool {
        (self.pids.is_empty() || self.pids.contains(&pid))
            && (self.comms.is_empty() || comm().is_some_and(|c| self.comms.contains(&c)))
    }

    /// Whether a span is in scope.
    pub(crate) fn has_span(&self, span: &Span) -> bool {
        (self.services.is_empty() || self.services.iter().any(|s| s == span.service()))
            && (self.traces.is_empty()
                || span
                    .trace
                    .is_some_and(|t| self.traces.iter().any(|wanted| wanted.eq_ignore_ascii_case(&t.to_string()))))
    }
}
