//! Spans by name and service.

use std::collections::BTreeMap;

use coldcase_decode::otlp::{Span, SpanStatus};
use coldcase_model::analysis::Latency;
use coldcase_timeline::{Scope, Timeline};

use crate::axis::Axis;
use crate::change::{self, Change};
use crate::series::Series;

/// All spans of one name and service.
#[derive(Debug, Clone)]
pub(crate) struct Spans {
    /// The latency; its name is `name (service)`.
    pub(crate) latency: Latency,
    /// Where it changed most, if there are enough to say.
    pub(crate) change: Option<Change>,
}

/// How spans of one kind are called: `name (service)`.
pub(crate) fn name(span: &Span) -> String {
    called(&span.name, span.service())
}

fn called(name: &str, service: &str) -> String {
    if service.is_empty() { name.to_owned() } else { format!("{name} ({service})") }
}

/// A span without a start has no place in time; one that ends before it starts, or never, has no duration.
fn has_duration(span: &Span) -> bool {
    span.start > 0 && span.end >= span.start
}

/// How many spans in scope are in no group for want of a duration.
pub(crate) fn left_out(t: &Timeline, scope: &Scope) -> u64 {
    let flawed = t.spans().iter().map(|s| &s.span).filter(|s| !has_duration(s));
    flawed.filter(|s| scope.has_span(t, s)).count() as u64
}

/// Groups spans, largest 99th percentile first.
pub(crate) fn group(t: &Timeline, axis: &Axis, scope: &Scope, bundle: &str) -> Vec<Spans> {
    let mut groups = BTreeMap::<(&str, &str), (Series, Vec<(i64, u64)>)>::new();
    for row in t.spans() {
        let span = &row.span;
        if !has_duration(span) || !scope.has_span(t, span) {
            continue;
        }
        let (series, points) = groups.entry((&span.name, span.service())).or_default();
        series.push_of(row.stream, axis, span.start, span.duration(), row.row, span.trace.map(|t| t.0));
        series.outcome(span.status == SpanStatus::Error);
        points.push((span.start, span.duration()));
    }
    let mut out: Vec<Spans> = groups
        .into_iter()
        .map(|((name, service), (series, points))| {
            let change = change::best(axis, &points);
            let mut latency = series.finish(axis, "span", called(name, service), bundle, "otlp.traces");
            latency.change = change.filter(|c| c.slower()).map(|c| coldcase_model::analysis::Change {
                time: c.time,
                p50: c.p50,
                p99: c.p99,
            });
            Spans { latency, change }
        })
        .collect();
    out.sort_by(|x, y| y.latency.p99.cmp(&x.latency.p99).then_with(|| x.latency.name.cmp(&y.latency.name)));
    out
}
