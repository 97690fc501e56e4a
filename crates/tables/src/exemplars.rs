//! The table of exemplars: one row each, joined to the span of the recording that it names.

use std::collections::HashMap;

use coldcase_timeline::decode::otlp::{SpanId, TraceId};
use coldcase_timeline::{SpanRow, Timeline};
use polars::prelude::*;

use crate::frame::Frame;

/// How an exemplar is joined: by both ids, by its trace alone (then the span is the root of what was recorded of it), or
/// not at all.
fn join<'a>(
    spans: &'a HashMap<TraceId, Vec<&'a SpanRow>>,
    trace: Option<TraceId>,
    span: Option<SpanId>,
) -> (Option<&'a SpanRow>, &'static str) {
    let Some(trace) = trace else { return (None, "none: no trace id") };
    let Some(of_trace) = spans.get(&trace) else { return (None, "none: not recorded") };
    let named = span.and_then(|id| of_trace.iter().find(|s| s.span.id == Some(id)));
    match (named, span) {
        (Some(s), _) => (Some(s), "span"),
        (None, Some(_)) => (None, "none: span not recorded"),
        (None, None) => (of_trace.first().copied(), "trace"),
    }
}

pub(crate) fn frame(t: &Timeline, mut out: Frame<'_>) -> PolarsResult<DataFrame> {
    let mut spans = HashMap::<TraceId, Vec<&SpanRow>>::new();
    for s in t.spans() {
        if let Some(trace) = s.span.trace {
            spans.entry(trace).or_default().push(s);
        }
    }
    for of_trace in spans.values_mut() {
        of_trace.sort_by_key(|s| (s.span.parent.is_some(), s.span.start, s.stream, s.row, s.span.index));
    }
    let mut all: Vec<_> = t.exemplars().iter().map(|e| (e, join(&spans, e.trace, e.span))).collect();
    all.sort_by_key(|(e, _)| (e.utc, e.stream, e.row, e.index));
    let e = &all;
    let text = |labels: &[(String, String)]| coldcase_timeline::decode::prometheus::label_text(labels);
    out.put("row", || e.iter().map(|(e, _)| e.row).collect::<Vec<_>>());
    out.put("utc", || e.iter().map(|(e, _)| e.utc.0).collect::<Vec<_>>());
    out.put("stream", || e.iter().map(|(e, _)| e.stream.to_owned()).collect::<Vec<_>>());
    out.put("index", || e.iter().map(|(e, _)| e.index).collect::<Vec<_>>());
    out.put("origin", || e.iter().map(|(e, _)| e.target.to_string()).collect::<Vec<_>>());
    out.put("name", || e.iter().map(|(e, _)| e.name.to_string()).collect::<Vec<_>>());
    out.put("labels", || e.iter().map(|(e, _)| text(&e.labels)).collect::<Vec<_>>());
    out.put("value", || e.iter().map(|(e, _)| e.exemplar.value).collect::<Vec<_>>());
    out.put("exemplar_labels", || e.iter().map(|(e, _)| text(&e.exemplar.labels)).collect::<Vec<_>>());
    out.put("trace", || e.iter().map(|(e, _)| e.trace.map(|t| t.to_string())).collect::<Vec<_>>());
    out.put("span", || e.iter().map(|(e, _)| e.span.map(|s| s.to_string())).collect::<Vec<_>>());
    out.put("joined", || e.iter().map(|(_, (_, how))| (*how).to_owned()).collect::<Vec<_>>());
    out.put("span_row", || e.iter().map(|(_, (s, _))| s.map(|s| s.row)).collect::<Vec<_>>());
    out.put("span_index", || e.iter().map(|(_, (s, _))| s.map(|s| s.span.index)).collect::<Vec<_>>());
    out.put("service", || e.iter().map(|(_, (s, _))| s.map(|s| s.span.service().to_owned())).collect::<Vec<_>>());
    out.put("span_name", || e.iter().map(|(_, (s, _))| s.map(|s| s.span.name.clone())).collect::<Vec<_>>());
    out.put("span_duration", || e.iter().map(|(_, (s, _))| s.map(|s| s.span.duration())).collect::<Vec<_>>());
    out.finish()
}
