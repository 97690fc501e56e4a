//! Which part of a bundle is analysed.

use coldcase_timeline::{DebugFiles, Scope, When};

use crate::flow::Sequences;
use crate::trace::TraceViews;

/// A part of an analysis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Flame graphs.
    Flame,
    /// Latencies of spans, devices, waits.
    Latency,
    /// Connections.
    Flow,
    /// Traces by operation, and those that [`Options::trace_views`] names span by span.
    Trace,
    /// Metrics, the worst moment, what changed.
    Rest,
}

impl Part {
    /// All parts.
    pub const ALL: [Part; 5] = [Part::Flame, Part::Latency, Part::Flow, Part::Trace, Part::Rest];
}

/// What the first frames of a flame graph's stacks say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GroupBy {
    /// The process.
    #[default]
    Process,
    /// The process, then the thread.
    Thread,
    /// The container, then the process.
    Container,
}

impl GroupBy {
    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            GroupBy::Process => "process",
            GroupBy::Thread => "thread",
            GroupBy::Container => "container",
        }
    }
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
    /// Only these processes, services, traces.
    pub scope: Scope,
    /// Only these parts; empty for all.
    pub parts: Vec<Part>,
    /// Binaries and debug files, to name frames that the bundle has no names for.
    pub debug_files: DebugFiles,
    /// What the stacks of flame graphs begin with.
    pub by: GroupBy,
    /// Whether flame graphs tell how the window differs from the rest of the recording. Of the other parts nothing is
    /// left out then: meant for [`Part::Flame`] alone.
    pub diff: bool,
    /// Which connections are told segment by segment; their packets are read a second time.
    pub sequences: Sequences,
    /// Which traces are told span by span.
    pub trace_views: TraceViews,
    /// Whether their times are corrected by what causality tells of their senders' clocks.
    pub deskew: bool,
}
