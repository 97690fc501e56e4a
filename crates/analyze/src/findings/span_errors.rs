//! Spans that failed.

use coldcase_decode::otlp::SpanStatus;
use coldcase_model::Finding;

use super::Seen;

/// Most names that are told.
const MOST: usize = 5;
/// Rows that are cited.
const CITED: usize = 5;

/// One finding for each span name with failures, most failures first.
pub(super) fn find(seen: &Seen<'_>) -> Vec<Finding> {
    let mut failed: Vec<_> =
        seen.spans.iter().filter_map(|s| s.latency.errors.filter(|&n| n > 0).map(|n| (n, &s.latency))).collect();
    failed.sort_by(|x, y| y.0.cmp(&x.0).then_with(|| x.1.name.cmp(&y.1.name)));
    failed
        .into_iter()
        .take(MOST)
        .map(|(errors, latency)| Finding {
            detector: "span_errors".to_owned(),
            claim: format!("{errors} of {} spans {} failed", latency.count, latency.name),
            size: errors as f64,
            unit: "count".to_owned(),
            confidence: 1.0,
            evidence: seen
                .timeline
                .spans()
                .iter()
                .filter(|r| r.span.status == SpanStatus::Error && crate::latency::span::name(&r.span) == latency.name)
                .take(CITED)
                .map(|r| seen.timeline.evidence(r.stream, r.row))
                .collect(),
        })
        .collect()
}
