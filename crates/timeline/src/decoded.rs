//! Rows decoded from raw streams, each with the number of its message: `stream#row` is its evidence.

use std::collections::BTreeMap;
use std::sync::Arc;

use coldcase_decode::log::LogFields;
use coldcase_decode::otlp::{LogRecord, MetricPoint, Span, SpanId, TraceId};
use coldcase_decode::packet;
use coldcase_decode::pcapng::PacketRow;
use coldcase_decode::prometheus::{Exemplar, Sample};
use coldcase_model::{Boottime, Utc};

/// A span, from `otlp.traces` or `otlp.traces.json`.
#[derive(Debug, Clone, PartialEq)]
pub struct SpanRow {
    /// The stream of its request.
    pub stream: &'static str,
    /// Number of its request in that; [`Span::index`] is its place in it.
    pub row: u64,
    /// When the request was received, UTC.
    pub received: Utc,
    /// The span.
    pub span: Span,
}

/// A log record, from `otlp.logs` or `otlp.logs.json`.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordRow {
    /// The stream of its request.
    pub stream: &'static str,
    /// Number of its request in that.
    pub row: u64,
    /// When: its own time, else when it was observed, else when the request was received.
    pub utc: Utc,
    /// The record.
    pub record: LogRecord,
}

/// A metric point, from `otlp.metrics` or `otlp.metrics.json`.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricRow {
    /// The stream of its request.
    pub stream: &'static str,
    /// Number of its request in that.
    pub row: u64,
    /// When: its own time, else when the request was received.
    pub utc: Utc,
    /// The point.
    pub point: MetricPoint,
}

/// A sample of a scraped page, from `metrics.pages`, or of a Remote-Write request.
#[derive(Debug, Clone, PartialEq)]
pub struct SampleRow {
    /// The stream of its page or request.
    pub stream: &'static str,
    /// Number of its page or request in that; [`Sample::line`] is its place in it.
    pub row: u64,
    /// When: the time on the page, else when the page was received.
    pub utc: Utc,
    /// The target's URL; [`REMOTE_WRITE`] for what was pushed.
    pub target: Arc<str>,
    /// The sample.
    pub sample: Sample,
}

/// The origin of samples that were pushed: their own labels tell `job` and `instance`.
pub const REMOTE_WRITE: &str = "remote-write";

/// An exemplar: one of the events that a sample counts, with the trace that it belongs to.
#[derive(Debug, Clone, PartialEq)]
pub struct ExemplarRow {
    /// The stream of its page or request.
    pub stream: &'static str,
    /// Number of its page or request in that.
    pub row: u64,
    /// Its number among the exemplars of that, from 0.
    pub index: u32,
    /// When: its own time, else that of its sample.
    pub utc: Utc,
    /// The target's URL; [`REMOTE_WRITE`] for what was pushed.
    pub target: Arc<str>,
    /// Name of the sample.
    pub name: Arc<str>,
    /// Labels of the sample.
    pub labels: Vec<(String, String)>,
    /// The trace, from the label `trace_id` (or `traceID`, `traceid`).
    pub trace: Option<TraceId>,
    /// The span, likewise.
    pub span: Option<SpanId>,
    /// The exemplar.
    pub exemplar: Exemplar,
}

impl ExemplarRow {
    /// The trace and the span that an exemplar names.
    pub(crate) fn ids(exemplar: &Exemplar) -> (Option<TraceId>, Option<SpanId>) {
        let label = |names: [&str; 3]| names.into_iter().find_map(|n| exemplar.label(n));
        (
            label(["trace_id", "traceID", "traceid"]).and_then(TraceId::from_hex),
            label(["span_id", "spanID", "spanid"]).and_then(SpanId::from_hex),
        )
    }
}

/// A packet, from `packets`.
#[derive(Debug, Clone, PartialEq)]
pub struct Packet {
    /// Number of its section in `packets`.
    pub row: u64,
    /// When: the kernel's stamp, CLOCK_REALTIME of the host; when its section was received, where it has none.
    pub utc: Utc,
    /// Name of its interface.
    pub interface: Arc<str>,
    /// The packet; [`PacketRow::index`] is its place in the section.
    pub packet: PacketRow,
}

impl Packet {
    /// Its headers, if it is an IP packet.
    pub fn headers(&self) -> Option<&packet::Headers> {
        self.packet.decoded.headers()
    }
}

/// A log line, from `log.lines`.
#[derive(Debug, Clone, PartialEq)]
pub struct LogRow {
    /// Its row in `log.lines`.
    pub row: u64,
    /// When: the line's own time where it names its zone and is credible (at most ten minutes before it was read,
    /// and not after), else when it was read.
    pub utc: Utc,
    /// Whether `utc` is the line's own.
    pub own_time: bool,
    /// When it was read, BOOTTIME.
    pub read: Boottime,
    /// Path of its file.
    pub path: Arc<str>,
    /// The line as it is shown: any bytes, hostile. Of an entry of systemd's journal who said what; UTF-16 and Latin-1 as
    /// UTF-8. As it was stored it stands in its row.
    pub line: Box<[u8]>,
    /// What it tells of itself.
    pub fields: LogFields,
}

impl LogRow {
    /// The line as text, invalid UTF-8 replaced. Hostile: escape before showing.
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.line)
    }
}

/// Everything decoded from raw streams, each list ordered by row and place in it.
#[derive(Debug, Default)]
pub struct Decoded {
    /// Spans.
    pub spans: Vec<SpanRow>,
    /// Log records.
    pub records: Vec<RecordRow>,
    /// Metric points.
    pub metrics: Vec<MetricRow>,
    /// Samples of scraped pages and Remote-Write requests.
    pub samples: Vec<SampleRow>,
    /// Their exemplars.
    pub exemplars: Vec<ExemplarRow>,
    /// Types of pushed families by name, from whatever request told them.
    pub kinds: BTreeMap<Arc<str>, &'static str>,
    /// Scraped pages that were refused as a whole: target, number of the page, and why.
    pub refused: Vec<(Arc<str>, u64, String)>,
    /// Packets.
    pub packets: Vec<Packet>,
    /// Log lines.
    pub lines: Vec<LogRow>,
    /// OTLP requests that were received again, byte for byte: what is in them stands here once, as it was received first.
    pub repeated: u64,
    /// What could not be decoded, in one line each.
    pub problems: Vec<String>,
}

/// The time of a log line: its own, if credible.
pub(crate) fn line_time(fields: &LogFields, read: Utc) -> (Utc, bool) {
    /// Lines are read within seconds; a day-old time means a wrong zone or an old file.
    const OLDEST: i64 = 600_000_000_000;
    /// Clocks of one host do not differ; the slack covers rounding to the next millisecond.
    const AHEAD: i64 = 1_000_000;
    match fields.time {
        Some(t) if fields.zoned && t >= read.0.saturating_sub(OLDEST) && t <= read.0.saturating_add(AHEAD) => {
            (Utc(t), true)
        }
        _ => (read, false),
    }
}
