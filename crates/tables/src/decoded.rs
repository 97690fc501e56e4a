//! The tables of what is decoded from raw streams: spans, span events and links, logs, metrics, packets.

use std::cell::LazyCell;

use coldcase_model::catalogue::SPAN_STREAMS;
use coldcase_timeline::decode::log::Severity;
use coldcase_timeline::decode::otlp::{LogRecord, MetricPoint, PointValue};
use coldcase_timeline::{Binder, Bound, LogTemplate, Packet, Timeline};
use polars::prelude::*;

use crate::exemplars;
use crate::frame::{Ask, Frame};

/// The decoded tables: name, and the streams that they come from.
pub(crate) const TABLES: [(&str, &[&str]); 8] = [
    ("spans", &SPAN_STREAMS),
    ("span_events", &SPAN_STREAMS),
    ("span_links", &SPAN_STREAMS),
    ("logs", &["log.lines", "otlp.logs", "otlp.logs.json"]),
    ("log_templates", &["log.lines", "otlp.logs", "otlp.logs.json"]),
    (
        "metrics",
        &[
            "otlp.metrics",
            "otlp.metrics.json",
            "metrics.pages",
            "prometheus.remote_write",
            "prometheus.remote_write.v2",
        ],
    ),
    (
        "exemplars",
        &[
            "metrics.pages",
            "prometheus.remote_write",
            "prometheus.remote_write.v2",
            "otlp.traces",
            "otlp.traces.json",
            "jaeger.traces",
            "zipkin.spans",
        ],
    ),
    ("packets", &["packets"]),
];

/// The frame of a decoded table; `None` when there is no such table.
pub(crate) fn frame(t: &Timeline, name: &str, ask: Ask<'_>) -> Option<PolarsResult<DataFrame>> {
    let out = Frame::new(ask);
    Some(match name {
        "spans" => spans(t, out),
        "span_events" => span_events(t, out),
        "span_links" => span_links(t, out),
        "logs" => logs(t, out),
        "log_templates" => log_templates(t, out),
        "metrics" => metrics(t, out),
        "exemplars" => exemplars::frame(t, out),
        "packets" => packets(t, out),
        _ => return None,
    })
}

fn spans(t: &Timeline, mut out: Frame<'_>) -> PolarsResult<DataFrame> {
    let s = t.spans();
    let hex = |id: Option<&dyn std::fmt::Display>| id.map(|i| i.to_string());
    out.put("row", || s.iter().map(|s| s.row).collect::<Vec<_>>());
    out.put("utc", || s.iter().map(|s| s.span.start).collect::<Vec<_>>());
    out.put("stream", || s.iter().map(|s| s.stream.to_owned()).collect::<Vec<_>>());
    out.put("index", || s.iter().map(|s| s.span.index).collect::<Vec<_>>());
    out.put("end", || s.iter().map(|s| s.span.end).collect::<Vec<_>>());
    out.put("duration", || s.iter().map(|s| s.span.duration()).collect::<Vec<_>>());
    out.put("service", || s.iter().map(|s| s.span.service().to_owned()).collect::<Vec<_>>());
    out.put("name", || s.iter().map(|s| s.span.name.clone()).collect::<Vec<_>>());
    out.put("kind", || s.iter().map(|s| s.span.kind.name().to_owned()).collect::<Vec<_>>());
    out.put("status", || s.iter().map(|s| s.span.status.name().to_owned()).collect::<Vec<_>>());
    out.put("message", || s.iter().map(|s| s.span.message.clone()).collect::<Vec<_>>());
    out.put("trace", || s.iter().map(|s| hex(s.span.trace.as_ref().map(|i| i as _))).collect::<Vec<_>>());
    out.put("span", || s.iter().map(|s| hex(s.span.id.as_ref().map(|i| i as _))).collect::<Vec<_>>());
    out.put("parent", || s.iter().map(|s| hex(s.span.parent.as_ref().map(|i| i as _))).collect::<Vec<_>>());
    out.put("told_pid", || s.iter().map(|s| s.span.resource.pid).collect::<Vec<_>>());
    out.put("told_tid", || s.iter().map(|s| s.span.thread).collect::<Vec<_>>());
    // Made once, and only for the columns that need it.
    let bound = std::cell::OnceCell::new();
    let bound = || {
        bound.get_or_init(|| {
            let binder = Binder::new(t);
            s.iter().map(|s| binder.bind(&s.span)).collect::<Vec<Bound>>()
        })
    };
    out.put("pid", || bound().iter().map(Bound::pid).collect::<Vec<_>>());
    out.put("tid", || bound().iter().map(Bound::tid).collect::<Vec<_>>());
    out.put("tier", || bound().iter().map(Bound::tier).collect::<Vec<_>>());
    out.put("scope", || s.iter().map(|s| s.span.scope.to_string()).collect::<Vec<_>>());
    out.put("attributes", || s.iter().map(|s| s.span.attributes.to_string()).collect::<Vec<_>>());
    out.put("received", || s.iter().map(|s| s.received.0).collect::<Vec<_>>());
    out.finish()
}

fn span_events(t: &Timeline, mut out: Frame<'_>) -> PolarsResult<DataFrame> {
    let events: Vec<_> = t.spans().iter().flat_map(|s| s.span.events.iter().map(move |e| (s, e))).collect();
    let e = &events;
    out.put("row", || e.iter().map(|(s, _)| s.row).collect::<Vec<_>>());
    out.put("utc", || e.iter().map(|(s, e)| e.time.unwrap_or(s.span.start)).collect::<Vec<_>>());
    out.put("stream", || e.iter().map(|(s, _)| s.stream.to_owned()).collect::<Vec<_>>());
    out.put("index", || e.iter().map(|(s, _)| s.span.index).collect::<Vec<_>>());
    out.put("trace", || e.iter().map(|(s, _)| s.span.trace.map(|t| t.to_string())).collect::<Vec<_>>());
    out.put("span", || e.iter().map(|(s, _)| s.span.id.map(|i| i.to_string())).collect::<Vec<_>>());
    out.put("name", || e.iter().map(|(_, e)| e.name.clone()).collect::<Vec<_>>());
    out.put("attributes", || e.iter().map(|(_, e)| e.attributes.to_string()).collect::<Vec<_>>());
    out.finish()
}

fn span_links(t: &Timeline, mut out: Frame<'_>) -> PolarsResult<DataFrame> {
    let links: Vec<_> = t.spans().iter().flat_map(|s| s.span.links.iter().map(move |l| (s, l))).collect();
    let l = &links;
    out.put("row", || l.iter().map(|(s, _)| s.row).collect::<Vec<_>>());
    out.put("utc", || l.iter().map(|(s, _)| s.span.start).collect::<Vec<_>>());
    out.put("stream", || l.iter().map(|(s, _)| s.stream.to_owned()).collect::<Vec<_>>());
    out.put("index", || l.iter().map(|(s, _)| s.span.index).collect::<Vec<_>>());
    out.put("trace", || l.iter().map(|(s, _)| s.span.trace.map(|t| t.to_string())).collect::<Vec<_>>());
    out.put("span", || l.iter().map(|(s, _)| s.span.id.map(|i| i.to_string())).collect::<Vec<_>>());
    out.put("linked_trace", || l.iter().map(|(_, l)| l.0.to_string()).collect::<Vec<_>>());
    out.put("linked_span", || l.iter().map(|(_, l)| l.1.to_string()).collect::<Vec<_>>());
    out.finish()
}

/// One row of the table `logs`.
struct Log<'a> {
    stream: &'static str,
    row: u64,
    index: u32,
    utc: i64,
    origin: &'a str,
    severity: Option<&'static str>,
    /// What only a record has.
    record: Option<&'a LogRecord>,
    body: std::borrow::Cow<'a, str>,
    trace: Option<String>,
    span: Option<String>,
}

fn logs(t: &Timeline, mut out: Frame<'_>) -> PolarsResult<DataFrame> {
    let lines = t.lines().iter().map(|l| Log {
        stream: "log.lines",
        row: l.row,
        index: 0,
        utc: l.utc.0,
        origin: &l.path,
        severity: l.fields.severity.map(|s| s.name()),
        record: None,
        body: l.text(),
        trace: l.fields.trace.map(|t| t.to_string()),
        span: l.fields.span.map(|s| s.to_string()),
    });
    let records = t.records().iter().map(|r| Log {
        stream: r.stream,
        row: r.row,
        index: r.record.index,
        utc: r.utc.0,
        origin: &r.record.resource.service,
        severity: r.record.severity.map(|s| s.name()),
        record: Some(&r.record),
        body: r.record.body.as_str().into(),
        trace: r.record.trace.map(|t| t.to_string()),
        span: r.record.span.map(|s| s.to_string()),
    });
    let mut all: Vec<Log<'_>> = lines.chain(records).collect();
    all.sort_by_key(|l| (l.utc, l.stream, l.row, l.index));
    let l = &all;
    out.put("row", || l.iter().map(|l| l.row).collect::<Vec<_>>());
    out.put("utc", || l.iter().map(|l| l.utc).collect::<Vec<_>>());
    out.put("stream", || l.iter().map(|l| l.stream.to_owned()).collect::<Vec<_>>());
    out.put("index", || l.iter().map(|l| l.index).collect::<Vec<_>>());
    out.put("origin", || l.iter().map(|l| l.origin.to_owned()).collect::<Vec<_>>());
    out.put("severity", || l.iter().map(|l| l.severity.map(str::to_owned)).collect::<Vec<_>>());
    out.put("body", || l.iter().map(|l| l.body.clone().into_owned()).collect::<Vec<_>>());
    out.put("trace", || l.iter().map(|l| l.trace.clone()).collect::<Vec<_>>());
    out.put("span", || l.iter().map(|l| l.span.clone()).collect::<Vec<_>>());
    let of_record = |told: fn(&LogRecord) -> String| l.iter().map(|l| l.record.map(told)).collect::<Vec<_>>();
    out.put("severity_text", || of_record(|r| r.severity_text.clone()));
    out.put("event", || of_record(|r| r.event.clone()));
    out.put("attributes", || of_record(|r| r.attributes.to_string()));
    out.finish()
}

/// One row a kind of line, those of most lines first; `row` is that of the first of its lines, in the stream `stream`.
fn log_templates(t: &Timeline, mut out: Frame<'_>) -> PolarsResult<DataFrame> {
    // Only a query for rows mines them.
    let found = LazyCell::new(|| t.log_templates());
    let kinds = || found.templates.iter();
    let example = |of: &LogTemplate| &found.logged[of.example];
    out.put("row", || kinds().map(|k| example(k).row).collect::<Vec<_>>());
    out.put("utc", || kinds().map(|k| k.first.0).collect::<Vec<_>>());
    out.put("stream", || kinds().map(|k| example(k).stream.to_owned()).collect::<Vec<_>>());
    out.put("template", || kinds().map(|k| k.pattern.clone()).collect::<Vec<_>>());
    out.put("count", || kinds().map(|k| k.count).collect::<Vec<_>>());
    out.put("first", || kinds().map(|k| k.first.0).collect::<Vec<_>>());
    out.put("last", || kinds().map(|k| k.last.0).collect::<Vec<_>>());
    for severity in Severity::ALL {
        out.put(severity.name(), || kinds().map(|k| k.of(severity)).collect::<Vec<_>>());
    }
    out.put("no_severity", || kinds().map(|k| k.untold()).collect::<Vec<_>>());
    out.put("origin", || kinds().map(|k| example(k).origin.to_owned()).collect::<Vec<_>>());
    out.put("example", || kinds().map(|k| example(k).text().into_owned()).collect::<Vec<_>>());
    out.finish()
}

/// One row of the table `metrics`.
struct Metric<'a> {
    stream: &'static str,
    row: u64,
    index: u32,
    utc: i64,
    origin: &'a str,
    name: &'a str,
    unit: &'a str,
    kind: &'a str,
    labels: String,
    value: Option<f64>,
    count: Option<u64>,
    stale: bool,
}

/// A number, or the sum of a distribution; and how many values it is of.
fn number(p: &MetricPoint) -> (Option<f64>, Option<u64>) {
    match &p.value {
        None => (None, None),
        Some(PointValue::Number(x)) => (Some(*x), None),
        Some(PointValue::Histogram { count, sum, .. }) => (*sum, Some(*count)),
        Some(PointValue::Summary { count, sum, .. }) => (Some(*sum), Some(*count)),
    }
}

fn metrics(t: &Timeline, mut out: Frame<'_>) -> PolarsResult<DataFrame> {
    let points = t.metrics().iter().map(|m| {
        let (value, count) = number(&m.point);
        Metric {
            stream: m.stream,
            row: m.row,
            index: m.point.index,
            utc: m.utc.0,
            origin: &m.point.resource.service,
            name: &m.point.name,
            unit: &m.point.unit,
            kind: m.point.kind.name(),
            labels: m.point.attributes.to_string(),
            value,
            count,
            stale: false,
        }
    });
    let samples = t.samples().iter().map(|s| Metric {
        stream: s.stream,
        row: s.row,
        index: s.sample.line,
        utc: s.utc.0,
        origin: &s.target,
        name: &s.sample.name,
        unit: "",
        kind: &s.sample.kind,
        labels: s.sample.label_text(),
        value: Some(s.sample.value),
        // A distribution may be of so many values that no integer holds them exactly; the cast saturates.
        count: s.sample.histogram.as_ref().map(|h| h.count as u64),
        stale: s.sample.is_stale(),
    });
    let mut all: Vec<Metric<'_>> = points.chain(samples).collect();
    all.sort_by_key(|m| (m.utc, m.stream, m.row, m.index));
    let m = &all;
    out.put("row", || m.iter().map(|m| m.row).collect::<Vec<_>>());
    out.put("utc", || m.iter().map(|m| m.utc).collect::<Vec<_>>());
    out.put("stream", || m.iter().map(|m| m.stream.to_owned()).collect::<Vec<_>>());
    out.put("index", || m.iter().map(|m| m.index).collect::<Vec<_>>());
    out.put("origin", || m.iter().map(|m| m.origin.to_owned()).collect::<Vec<_>>());
    out.put("name", || m.iter().map(|m| m.name.to_owned()).collect::<Vec<_>>());
    out.put("unit", || m.iter().map(|m| m.unit.to_owned()).collect::<Vec<_>>());
    out.put("kind", || m.iter().map(|m| m.kind.to_owned()).collect::<Vec<_>>());
    out.put("labels", || m.iter().map(|m| m.labels.clone()).collect::<Vec<_>>());
    out.put("value", || m.iter().map(|m| m.value).collect::<Vec<_>>());
    out.put("count", || m.iter().map(|m| m.count).collect::<Vec<_>>());
    // Its series ended there: the value is a NaN that means so.
    out.put("stale", || m.iter().map(|m| m.stale).collect::<Vec<_>>());
    out.finish()
}

fn packets(t: &Timeline, mut out: Frame<'_>) -> PolarsResult<DataFrame> {
    let p = t.packets();
    let end = |p: &Packet, dst: bool| p.headers().map(|h| if dst { h.dst } else { h.src }.addr().to_string());
    let tcp = |p: &Packet| p.headers().and_then(|h| h.tcp);
    out.put("row", || p.iter().map(|p| p.row).collect::<Vec<_>>());
    out.put("utc", || p.iter().map(|p| p.utc.0).collect::<Vec<_>>());
    out.put("index", || p.iter().map(|p| p.packet.index).collect::<Vec<_>>());
    out.put("interface", || p.iter().map(|p| p.interface.to_string()).collect::<Vec<_>>());
    out.put("direction", || p.iter().map(|p| u32::from(p.packet.direction)).collect::<Vec<_>>());
    out.put("original", || p.iter().map(|p| p.packet.original).collect::<Vec<_>>());
    out.put("captured", || p.iter().map(|p| p.packet.captured).collect::<Vec<_>>());
    out.put("src", || p.iter().map(|p| end(p, false)).collect::<Vec<_>>());
    out.put("dst", || p.iter().map(|p| end(p, true)).collect::<Vec<_>>());
    out.put("protocol", || p.iter().map(|p| p.headers().map(|h| u32::from(h.protocol))).collect::<Vec<_>>());
    out.put("src_port", || p.iter().map(|p| p.headers().map(|h| u32::from(h.src_port))).collect::<Vec<_>>());
    out.put("dst_port", || p.iter().map(|p| p.headers().map(|h| u32::from(h.dst_port))).collect::<Vec<_>>());
    out.put("payload", || p.iter().map(|p| p.headers().map(|h| h.payload)).collect::<Vec<_>>());
    out.put("tcp_flags", || p.iter().map(|p| tcp(p).map(|t| u32::from(t.flags))).collect::<Vec<_>>());
    out.put("tcp_seq", || p.iter().map(|p| tcp(p).map(|t| t.seq)).collect::<Vec<_>>());
    out.put("tcp_ack", || p.iter().map(|p| tcp(p).map(|t| t.ack)).collect::<Vec<_>>());
    out.put("tcp_window", || p.iter().map(|p| tcp(p).map(|t| u32::from(t.window))).collect::<Vec<_>>());
    out.finish()
}
