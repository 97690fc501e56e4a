//! Traces: what the spans of one trace, and of all traces of an operation, say together.

use serde::{Deserialize, Serialize};

use crate::finding::Evidence;

/// The traces of a bundle.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Traces {
    /// How many traces there are.
    pub count: u64,
    /// Spans without a trace id: in none of them.
    pub spans_without_trace: u64,
    /// By the operation of their root, the one that took longest in sum first.
    pub operations: Vec<TraceOperation>,
    /// What causality tells of the senders' clocks.
    pub clocks: Vec<ClockPair>,
    /// Traces that are told span by span.
    pub views: Vec<TraceView>,
}

/// The traces of one operation: those whose root has this name and service.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TraceOperation {
    /// Name of the root.
    pub name: String,
    /// Its service; empty when it was not told.
    pub service: String,
    /// Whether these are the traces whose root is not in the bundle.
    pub root_missing: bool,
    /// How many.
    pub traces: u64,
    /// Those whose root failed.
    pub failed: u64,
    /// Those of which parts are missing or contradict themselves.
    pub flawed: u64,
    /// Median of the roots' durations, nanoseconds.
    pub p50: u64,
    /// 90th percentile.
    pub p90: u64,
    /// 99th percentile.
    pub p99: u64,
    /// 99.9th percentile.
    pub p999: u64,
    /// Maximum.
    pub max: u64,
    /// Sum.
    pub total: u64,
    /// The slowest.
    pub slowest: Vec<SomeTrace>,
    /// Those whose root failed, the slowest first.
    pub failures: Vec<SomeTrace>,
    /// How many structures there are: multisets of the operations below the root.
    pub shapes: u64,
    /// How many traces have the most frequent of them.
    pub usual: u64,
    /// How many whole traces have another, where that one is usual: of at least five traces, and of more than half.
    pub odd_count: u64,
    /// How many more differ from it, from times of which not all of its services sent their spans: not judged.
    pub at_edge: u64,
    /// Some of the odd ones, the rarest structure first.
    pub odd: Vec<OddTrace>,
}

/// A trace that is named.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SomeTrace {
    /// Its id in hex.
    pub id: String,
    /// When its root began, UTC.
    pub start: i64,
    /// How long its root took.
    pub duration: u64,
    /// Spans in it that failed.
    pub errors: u64,
    /// Spans in it.
    pub spans: u64,
}

/// A trace whose structure is not the usual one of its operation.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct OddTrace {
    /// The trace.
    #[serde(flatten)]
    pub trace: SomeTrace,
    /// How it differs from the usual, in words.
    pub differs: Vec<String>,
    /// How many traces have the same structure, itself among them.
    pub same: u64,
}

/// How far one clock is ahead of another, by the spans that call each other across them. Nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ClockPair {
    /// A clock: `host NAME` where senders tell their host, else `service NAME`.
    pub a: String,
    /// Another.
    pub b: String,
    /// How far `b` is taken to be ahead of `a`: 0 where they may be equal, else the middle of the bounds, or the only one.
    pub offset: i64,
    /// It is at least so far ahead; `None` where nothing tells.
    pub least: Option<i64>,
    /// It is at most so far ahead.
    pub most: Option<i64>,
    /// Pairs of spans that this is of.
    pub pairs: u64,
    /// Whether answers (servers that ended after their clients) contradicted the beginnings and were left out.
    pub answers_dropped: bool,
    /// Whether the beginnings contradict each other: a clock that was set meanwhile. Nothing is corrected then.
    pub contradictory: bool,
}

/// How far a clock is ahead of the one that a trace is shown by. Nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ClockOffset {
    /// The clock.
    pub clock: String,
    /// How far it is ahead; 0 where they may be equal.
    pub offset: i64,
    /// At least.
    pub least: Option<i64>,
    /// At most.
    pub most: Option<i64>,
    /// Pairs of spans that this is of.
    pub pairs: u64,
    /// Over how many pairs of clocks it was reached.
    pub hops: u32,
}

/// A trace, span by span. Times are UTC nanoseconds, by the senders' clocks unless `deskewed`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TraceView {
    /// Its id in hex.
    pub id: String,
    /// Why it is shown: `slowest of GET /buy (gateway)`; empty where it was asked for.
    pub why: String,
    /// Start of the root.
    pub start: i64,
    /// How long the root took: what the critical path sums to.
    pub duration: u64,
    /// The earliest start and the latest end of its spans.
    pub from: i64,
    /// The latest end.
    pub to: i64,
    /// Spans of the trace, without duplicates and those that are missing.
    pub count: u64,
    /// Its spans, each below its parent.
    pub spans: Vec<TraceSpan>,
    /// Spans that are not among these: a view has a limit.
    pub left_out: u64,
    /// The critical path in the order of time.
    pub path: Vec<PathPart>,
    /// What is wrong with the spans.
    pub flaws: TraceFlaws,
    /// The clock that times are by when they are corrected.
    pub reference: String,
    /// How far the trace's other clocks are ahead of it.
    pub clocks: Vec<ClockOffset>,
    /// Whether times were corrected by that.
    pub deskewed: bool,
    /// Log lines and records of it, in the order of time.
    pub logs: Vec<TraceLog>,
    /// Log lines that are not among these.
    pub logs_left_out: u64,
}

/// What is wrong with the spans of a trace, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TraceFlaws {
    /// Spans that came again with the same content: left out.
    pub duplicates: u64,
    /// Spans with the id of another and other content: shown beside it.
    pub conflicts: u64,
    /// Parents that are named and are not in the bundle: shown in their place.
    pub missing: u64,
    /// Circles of parents, each cut at its earliest span.
    pub cycles: u64,
    /// Spans without an id.
    pub without_id: u64,
    /// Spans without a start, or with an end before it: on no path.
    pub untimed: u64,
    /// Spans that arrived in a later message than the root.
    pub late: u64,
    /// Parts that hang together with nothing else: 1 for a whole trace.
    pub roots: u64,
}

/// A span of a trace.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TraceSpan {
    /// Its id in hex; `None` where it has none.
    pub span: Option<String>,
    /// Number in the list of its parent; `None` for a root, and where the parent is left out.
    pub parent: Option<u64>,
    /// How deep it is below its root.
    pub depth: u32,
    /// `missing` (it is not in the bundle, others name it), `conflict`, `shared`, `cycle`; `None` where all is well.
    pub place: Option<String>,
    /// Name; empty where it is missing.
    pub name: String,
    /// Service.
    pub service: String,
    /// Kind: `client`, `server`…
    pub kind: String,
    /// `unset`, `ok` or `error`.
    pub status: String,
    /// What the sender said of the status.
    pub message: String,
    /// Start.
    pub start: i64,
    /// End.
    pub end: i64,
    /// Whether both are known.
    pub timed: bool,
    /// By how much its times were corrected: nanoseconds that were taken off.
    pub corrected: i64,
    /// Time in which none of its children ran.
    pub own: u64,
    /// Time of the critical path that was spent in it.
    pub on_path: u64,
    /// The most of its children that ran at once.
    pub concurrent: u32,
    /// Its process on the recorded host; `None` where that is not known.
    pub pid: Option<u32>,
    /// Its thread.
    pub tid: Option<u32>,
    /// How process and thread were found; `unknown`.
    pub tier: String,
    /// Spans that it is linked with.
    pub links: Vec<TraceLink>,
    /// What happened in it.
    pub events: Vec<TraceEvent>,
    /// Its row.
    pub evidence: Option<Evidence>,
}

/// A link to another span.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TraceLink {
    /// Trace of the other.
    pub trace: String,
    /// Its span id.
    pub span: String,
    /// Its name, where it is in the bundle.
    pub name: Option<String>,
}

/// Something that happened in a span.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TraceEvent {
    /// When.
    pub time: i64,
    /// What.
    pub name: String,
    /// Its attributes as `key=value`.
    pub attributes: String,
}

/// A stretch of the critical path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PathPart {
    /// Number of the span in the list; the list holds all that are on the path.
    pub span: u64,
    /// From when.
    pub from: i64,
    /// Until when.
    pub to: i64,
}

/// A log line of a trace.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TraceLog {
    /// When.
    pub time: i64,
    /// Where it came from.
    pub origin: String,
    /// Its severity, where it tells one.
    pub severity: Option<String>,
    /// The line.
    pub line: String,
    /// The span that it names.
    pub span: Option<String>,
    /// How it was joined: `trace id`, `process and time`, `file and time (inferred)`.
    pub how: String,
    /// Its row.
    pub evidence: Option<Evidence>,
}
