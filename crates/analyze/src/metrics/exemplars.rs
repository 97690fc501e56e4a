//! Exemplars and the spans that they name.

use std::collections::HashMap;

use coldcase_decode::otlp::TraceId;
use coldcase_decode::prometheus::label_text;
use coldcase_model::analysis::MetricExemplar;
use coldcase_timeline::{Scope, SpanRow, Timeline};

/// Exemplars that are told: the largest values.
const MOST: usize = 200;

/// The exemplars that name a trace, each once: a target shows the same one on page after page. Those whose span was
/// recorded come first, the slowest first.
pub(crate) fn joined(t: &Timeline, scope: &Scope) -> Vec<MetricExemplar> {
    let mut spans = HashMap::<TraceId, Vec<&SpanRow>>::new();
    for s in t.spans() {
        if let Some(trace) = s.span.trace {
            spans.entry(trace).or_default().push(s);
        }
    }
    for of_trace in spans.values_mut() {
        of_trace.sort_by_key(|s| (s.span.parent.is_some(), s.span.start, s.stream, s.row, s.span.index));
    }
    let mut seen = std::collections::HashSet::new();
    let mut out = Vec::new();
    for e in t.exemplars() {
        let Some(trace) = e.trace else { continue };
        let name = match e.labels.is_empty() {
            true => e.name.to_string(),
            false => format!("{}{{{}}}", e.name, label_text(&e.labels)),
        };
        if !seen.insert((e.target.clone(), name.clone(), trace, e.span, e.exemplar.value.to_bits(), e.exemplar.time)) {
            continue;
        }
        let hex = trace.to_string();
        if !scope.traces.is_empty() && !scope.traces.iter().any(|t| t.eq_ignore_ascii_case(&hex)) {
            continue;
        }
        let of_trace = spans.get(&trace).map_or(&[][..], Vec::as_slice);
        let (span, joined) = match e.span {
            Some(id) => match of_trace.iter().find(|s| s.span.id == Some(id)) {
                Some(s) => (Some(*s), "span"),
                None => (None, "none"),
            },
            None => of_trace.first().map_or((None, "none"), |s| (Some(*s), "trace")),
        };
        let mut evidence = vec![t.evidence(e.stream, e.row)];
        evidence.extend(span.map(|s| t.evidence(s.stream, s.row)));
        out.push(MetricExemplar {
            time: e.utc.0,
            origin: e.target.to_string(),
            name,
            value: e.exemplar.value,
            trace: hex,
            span: e.span.map(|s| s.to_string()),
            joined: joined.to_owned(),
            service: span.map_or(String::new(), |s| s.span.service().to_owned()),
            span_name: span.map_or(String::new(), |s| s.span.name.clone()),
            duration: span.map(|s| s.span.duration()),
            evidence,
        });
    }
    out.sort_by(|a, b| {
        let joined = |e: &MetricExemplar| e.joined == "none";
        joined(a)
            .cmp(&joined(b))
            .then(b.duration.cmp(&a.duration))
            .then(b.value.total_cmp(&a.value))
            .then_with(|| (a.time, &a.name, &a.trace).cmp(&(b.time, &b.name, &b.trace)))
    });
    out.truncate(MOST);
    out
}
