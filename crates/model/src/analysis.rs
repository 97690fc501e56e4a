//! What `analyze` found, in plain types: the one thing that reports render.

use serde::{Deserialize, Serialize};

pub use crate::tcp_facts::{AckRtt, MarkedFrames, SentAgain, TcpDetail, TcpFacts, TcpStall};

use crate::event::Event;
use crate::events::Step;
use crate::finding::Finding;
use crate::loss::LossTotal;
use crate::manifest::SourceEntry;
use crate::quantity::against;
use crate::table::Table;
use crate::time::Nanos;

pub use crate::flame::{Flame, FlameDiff, FunctionChange, StackChange};
pub use crate::flow::{
    Connection, Drops, Edge, FailedConnects, Flow, Folded, FullListener, SocketFacts, Translation, end_name,
    process_name,
};
pub use crate::request::{
    DatabaseUse, RepeatedRequest, RequestKind, RetriedRequests, SeenRequest, SpanOf, VanishedRequests,
};
pub use crate::sequence::{SentSegment, Sequence, SequenceWay};
pub use crate::trace::{
    ClockOffset, ClockPair, OddTrace, PathPart, SomeTrace, TraceEvent, TraceFlaws, TraceLink, TraceLog, TraceOperation,
    TraceSpan, TraceView, Traces,
};

/// The whole result of analysing one bundle. Times are UTC nanoseconds, durations nanoseconds.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Analysis {
    /// The bundle.
    pub bundle: BundleSummary,
    /// What was recorded, skipped, lost.
    pub quality: Quality,
    /// Flame graphs: folded stacks.
    pub flames: Vec<Flame>,
    /// How each changed in a window, when that was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flame_diffs: Vec<FlameDiff>,
    /// Latency: one series per span name, block device, run queue.
    pub latencies: Vec<Latency>,
    /// What threads waited for off the CPU, largest total first.
    pub waits: Vec<Wait>,
    /// Cgroups of the CPU controller, most throttled first.
    #[serde(default)]
    pub cpu_cgroups: Vec<CpuCgroup>,
    /// Connections and services.
    pub flow: Flow,
    /// Traces by operation, what they tell of the senders' clocks, and some of them span by span.
    #[serde(default)]
    pub traces: Traces,
    /// Metrics on the common time axis.
    pub metrics: Vec<MetricSeries>,
    /// Kinds of log lines, those of most lines first.
    #[serde(default)]
    pub log_kinds: Vec<LogKind>,
    /// Metrics that changed at the same time, the strongest changes first.
    #[serde(default)]
    pub metric_moves: Vec<MetricMove>,
    /// Where metrics were scraped, and who answers there.
    #[serde(default)]
    pub metric_targets: Vec<MetricTarget>,
    /// Exemplars of metrics, with the spans that they name.
    #[serde(default)]
    pub exemplars: Vec<MetricExemplar>,
    /// The worst moment, and the log lines around it.
    pub worst: Option<WorstMoment>,
    /// Sentences that are true of this bundle, most important first.
    pub summary: Vec<String>,
    /// Findings with evidence.
    pub findings: Vec<Finding>,
    /// Further tables.
    pub tables: Vec<Table>,
}

/// Which bundle it is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct BundleSummary {
    /// Its id.
    pub id: String,
    /// The file's name, without its folder.
    pub file: String,
    /// Host name.
    pub host: String,
    /// Kernel.
    pub kernel: String,
    /// Program that recorded it.
    pub tool: String,
    /// Whether it was sealed.
    pub complete: bool,
    /// First moment.
    pub first: i64,
    /// Last moment.
    pub last: i64,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// CPUs online.
    pub cpus: u32,
    /// The recorder's command line, masked.
    pub command: String,
    /// Why the capture ended: `time limit`, `interrupted`…; empty when it is not known.
    pub ended: String,
    /// Policies applied to what was captured: `argv-mask/1`…
    pub policies: Vec<String>,
    /// Marks on the timeline.
    pub marks: Vec<MarkPoint>,
}

/// A mark.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct MarkPoint {
    /// When.
    pub time: i64,
    /// The note.
    pub text: String,
}

/// What the data is worth.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Quality {
    /// Sources and their state.
    pub sources: Vec<SourceEntry>,
    /// Events per stream.
    pub streams: Vec<(String, u64)>,
    /// Losses.
    pub losses: Vec<LossTotal>,
    /// Bound on the error of derived UTC, nanoseconds; `None` when there are no anchors.
    pub clock_uncertainty: Option<u64>,
    /// NTP state in words.
    pub clock: String,
    /// Clock steps during the capture: when, and by how many nanoseconds.
    pub clock_steps: Vec<(i64, i64)>,
    /// Where the recorder took in less than was asked for, or did not run, in order.
    pub reductions: Vec<Reduction>,
    /// What could not be read or decoded, in one line each.
    pub problems: Vec<String>,
    /// Scraped pages that break the rules of their format and are not read; they are stored.
    #[serde(default)]
    pub pages_unread: u64,
    /// Spans in scope that are in no figure: without a start, or with an end before it.
    #[serde(default)]
    pub spans_left_out: u64,
    /// OTLP requests that were received again, byte for byte: sent once more by a sender that saw no answer, and counted once.
    #[serde(default)]
    pub requests_repeated: u64,
    /// Share of stack frames that have a name, 0 to 1; `None` without stacks.
    pub frames_named: Option<f64>,
    /// Addresses in stacks that lie outside of every executable mapping: no frames (a function without frame pointer left
    /// something else in their place), left out.
    #[serde(default)]
    pub frames_bogus: u64,
    /// Modules whose debug file was asked of debuginfod servers in vain, with what they said, in one line each.
    #[serde(default)]
    pub not_fetched: Vec<String>,
    /// The recorder's own cost: CPU seconds, peak RSS in bytes, nanoseconds inside BPF programs.
    pub recorder_cpu: f64,
    /// Peak RSS in bytes.
    pub recorder_rss: u64,
    /// Nanoseconds inside our BPF programs, estimated.
    pub recorder_bpf: u64,
}

/// A row of the stream `recorder.step`, with its time on the timeline.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Reduction {
    /// When, UTC nanoseconds; for a pause its start.
    pub time: i64,
    /// Length of a pause or stall in nanoseconds; 0 for a step of the ladder, which lasts until its `up`.
    pub duration: u64,
    /// `down`, `up`, `pause` or `detach`.
    pub direction: String,
    /// What is reduced, with its source.
    pub step: String,
    /// Why.
    pub why: String,
    /// What was measured.
    pub value: u64,
    /// The limit that it was held against.
    pub limit: u64,
    /// Unit of both.
    pub unit: String,
}

impl Reduction {
    /// From a row, at this UTC.
    pub fn new(row: Step, time: i64) -> Reduction {
        Reduction {
            time,
            duration: row.duration,
            direction: row.direction,
            step: row.step,
            why: row.why,
            value: row.value,
            limit: row.limit,
            unit: row.unit,
        }
    }

    /// From row `i` of the stream's columns, at this UTC.
    pub fn of(c: &<Step as Event>::Cols<'_>, i: usize, time: i64) -> Reduction {
        let text = |t: &crate::column::TextColumn| t.text(i).into_owned();
        Reduction {
            time,
            duration: c.duration[i],
            direction: text(c.direction),
            step: text(c.step),
            why: text(c.why),
            value: c.value[i],
            limit: c.limit[i],
            unit: text(c.unit),
        }
    }

    /// In one line, without its time.
    pub fn words(&self) -> String {
        let measure = || against(self.value, self.limit, &self.unit);
        match self.direction.as_str() {
            "down" => format!("down, {} ({})", self.step, measure()),
            "up" => format!("up again, no longer {} ({})", self.step, measure()),
            "pause" => format!("the recorder did not run for {} ({})", Nanos(self.duration), self.why),
            _ => format!("detached by the watchdog: {} ({} for {})", self.step, self.why, Nanos(self.duration)),
        }
    }
}

/// Latency of one thing.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Latency {
    /// `span`, `block`, `connect`, `file`, `fault`, `run_queue`, `off_cpu`, `lock`, `kernel_lock`, `syscall`.
    pub group: String,
    /// Span name with its service, device, or process.
    pub name: String,
    /// How many.
    pub count: u64,
    /// How many failed, where that is known.
    pub errors: Option<u64>,
    /// Median.
    pub p50: u64,
    /// 90th percentile.
    pub p90: u64,
    /// 99th percentile.
    pub p99: u64,
    /// 99.9th percentile.
    #[serde(default)]
    pub p999: u64,
    /// Maximum.
    pub max: u64,
    /// Sum.
    pub total: u64,
    /// The moment that best divides it into before and after, where it is much slower after than before.
    #[serde(default)]
    pub change: Option<Change>,
    /// Counts over time and duration.
    pub heat: Heat,
    /// Rows that show it: the slowest first, as evidence.
    pub exemplars: Vec<Exemplar>,
}

/// A latency that became slower.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Change {
    /// When the after begins.
    pub time: i64,
    /// Medians before and after.
    pub p50: (u64, u64),
    /// 99th percentiles before and after.
    pub p99: (u64, u64),
}

/// What the threads of a process waited for, added up.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Wait {
    /// The process.
    pub process: String,
    /// In words: the system call (`futex`, `fsync`…), `page fault`, `run queue`, `throttled (inferred)`.
    pub reason: String,
    /// Intervals.
    pub count: u64,
    /// Sum in nanoseconds.
    pub total: u64,
    /// The longest, nanoseconds.
    pub max: u64,
    /// Whether it is a thread with nothing to do (waits for work in epoll, accept, a timer): shown apart.
    pub idle: bool,
    /// Whether the process sends spans: one of the services that the capture is about.
    #[serde(default)]
    pub service: bool,
    /// The longest intervals.
    pub evidence: Vec<crate::finding::Evidence>,
}

/// How the threads of a cgroup got along with the CPUs. Durations are sums over its threads.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct CpuCgroup {
    /// Its path below the hierarchy with the CPU controller.
    pub path: String,
    /// CPU time that it may use in each period; 0 for no limit.
    pub quota: u64,
    /// The period; 0 when it is not known.
    pub period: u64,
    /// Its weight against its siblings; 0 when it is not known.
    pub weight: u32,
    /// Threads that were off a CPU at least once.
    pub threads: u64,
    /// Time on a CPU, of it and the cgroups below it; only where there is a quota.
    pub on_cpu: Option<u64>,
    /// Time in which threads could have run and did not: queueing and throttling.
    pub run_queue: u64,
    /// Of it and the cgroups below it, the part of that in which the quota was used up. Inferred from switches, quota and
    /// period.
    pub throttled: u64,
    /// The same as the kernel counts it: for each CPU once, however many threads waited there.
    pub throttled_cpu: u64,
    /// What the kernel counted meanwhile (`cpu.stat`, read each second); `None` where it was not read. Not an input of
    /// the inference.
    pub counted: Option<u64>,
    /// How often threads came back on another CPU than they had left.
    pub migrations: u64,
    /// The longest throttled intervals.
    pub evidence: Vec<crate::finding::Evidence>,
}

/// One instance of a latency, cited.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Exemplar {
    /// When it began.
    pub time: i64,
    /// How long it took.
    pub duration: u64,
    /// Its row.
    pub evidence: crate::finding::Evidence,
    /// Trace id in hex, where it has one.
    pub trace: Option<String>,
}

/// A heat map: columns of equal time, rows of logarithmic duration.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Heat {
    /// Start of the first column.
    pub start: i64,
    /// Width of a column.
    pub step: u64,
    /// Lower bounds of the duration rows, ascending, nanoseconds; each row reaches to the next.
    pub bounds: Vec<u64>,
    /// Counts, `columns[x][y]`.
    pub columns: Vec<Vec<u64>>,
}

/// A metric over time.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct MetricSeries {
    /// Name with labels.
    pub name: String,
    /// Unit in words, for the axis.
    pub unit: String,
    /// Where it comes from: `host`, a scrape target, a service.
    pub origin: String,
    /// Time and value, in order.
    pub points: Vec<(i64, f64)>,
    /// Where nothing is known of it: from the last point before a missed scrape, a page without it or its end, to the
    /// next one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<(i64, i64)>,
    /// When a counter began anew: at the first reading that was less than the one before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resets: Vec<i64>,
}

/// Metrics that changed at the same time.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct MetricMove {
    /// When the first of them changed.
    pub time: i64,
    /// When the last of them did.
    pub until: i64,
    /// Whether that is when the spans became slow, or in the worst moment.
    pub incident: bool,
    /// They, the strongest change first.
    pub members: Vec<MovedMetric>,
    /// How many more there were.
    pub left_out: u64,
}

/// A metric that changed its level.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct MovedMetric {
    /// Name with labels.
    pub name: String,
    /// Where it comes from.
    pub origin: String,
    /// Unit in words.
    pub unit: String,
    /// The first reading at the new level.
    pub time: i64,
    /// Median before, back to the change before this one.
    pub before: f64,
    /// Median after, up to the next change.
    pub after: f64,
    /// The difference against what both sides scatter.
    pub strength: f64,
}

/// A target that was scraped.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct MetricTarget {
    /// Its URL.
    pub target: String,
    /// What discovery says of it.
    pub labels: String,
    /// Scrapes that were tried.
    pub scrapes: u64,
    /// Those without a page.
    pub missed: u64,
    /// Pages that were refused as a whole.
    pub unread: u64,
    /// Samples on its last page.
    pub samples: u64,
    /// Median and longest time of a scrape, nanoseconds.
    pub p50: u64,
    /// The longest.
    pub max: u64,
    /// Who was asked, `address:port`.
    pub peer: String,
    /// The process that listens there; empty where it is not known.
    pub process: String,
    /// How that was found: `socket` (it held the socket at that time) or `unknown`.
    pub how: String,
}

/// An exemplar: one of the events that a metric counts.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct MetricExemplar {
    /// When: its own time, else that of its sample.
    pub time: i64,
    /// Where the metric comes from.
    pub origin: String,
    /// The metric, with labels.
    pub name: String,
    /// The value of the event.
    pub value: f64,
    /// Trace id in hex.
    pub trace: String,
    /// Span id in hex, where it tells one.
    pub span: Option<String>,
    /// How it was joined: `span` (both ids), `trace` (the trace's first span that was recorded), `none`.
    pub joined: String,
    /// Service of the span.
    pub service: String,
    /// Name of the span.
    pub span_name: String,
    /// How long the span took, nanoseconds.
    pub duration: Option<u64>,
    /// The page or request that it stands in.
    pub evidence: Vec<crate::finding::Evidence>,
}

/// A kind of log line: lines that have a template in common.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct LogKind {
    /// What its lines have in common; what differs stands in angle brackets.
    pub template: String,
    /// Lines.
    pub count: u64,
    /// When the first was logged.
    pub first: i64,
    /// When the last was.
    pub last: i64,
    /// The highest severity of its lines: `trace`, `debug`, `info`, `warn`, `error`, `fatal`; none where none tells one.
    pub severity: Option<String>,
    /// Lines of the severities error and fatal.
    pub errors: u64,
    /// Lines in each column of the time axis that all kinds share, which spans the recording.
    pub columns: Vec<u64>,
    /// How it changed with the trouble, where there was some.
    pub change: Option<LogChange>,
    /// The file or service that the first line is from.
    pub origin: String,
    /// The first line.
    pub example: String,
    /// The first rows, at most five.
    pub evidence: Vec<crate::finding::Evidence>,
}

/// How often lines of a kind came before and after a moment.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct LogChange {
    /// The moment.
    pub time: i64,
    /// Lines before.
    pub before: u64,
    /// Lines after.
    pub after: u64,
    /// Lines a second before.
    pub rate_before: f64,
    /// Lines a second after.
    pub rate_after: f64,
    /// What became of it: `new`, `more`, `fewer`, `gone`, or `same`.
    pub how: LogHow,
}

/// What became of a kind of log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogHow {
    /// No line came before.
    New,
    /// At least three times as many a second.
    More,
    /// At most a third.
    Fewer,
    /// No line came after.
    Gone,
    /// None of these, or too few lines to tell.
    #[default]
    Same,
}

/// The moment that was worst, and what was logged around it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct WorstMoment {
    /// Start of the window.
    pub from: i64,
    /// End of the window.
    pub to: i64,
    /// Why this one, in a sentence.
    pub why: String,
    /// Log lines in it.
    pub logs: Vec<LogEntry>,
}

/// A log line.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct LogEntry {
    /// When it was read.
    pub time: i64,
    /// Where it came from.
    pub origin: String,
    /// The line.
    pub line: String,
    /// Its row.
    pub row: u64,
}
