//! Spans of one name became slower from one moment on.

use coldcase_model::{Finding, Nanos};

use super::Seen;
use crate::wording::since;

/// Most spans that are told.
const MOST: usize = 5;

/// One finding for each span whose median or 99th percentile at least doubled, slowest first.
pub(super) fn find(seen: &Seen<'_>) -> Vec<Finding> {
    let slow = seen.spans.iter().filter_map(|s| {
        let change = s.change?;
        let median = change.p50.1 as f64 / change.p50.0.max(1) as f64;
        let factor = change.growth().max(median);
        (factor >= 2.0).then_some((s, change, factor))
    });
    slow.take(MOST)
        .map(|(s, change, factor)| Finding {
            detector: "span_slowdown".to_owned(),
            claim: format!(
                "{} became slower {}: p50 {} → {}, p99 {} → {}",
                s.latency.name,
                since(seen.timeline, change.time),
                Nanos(change.p50.0),
                Nanos(change.p50.1),
                Nanos(change.p99.0),
                Nanos(change.p99.1)
            ),
            size: change.p99.1.saturating_sub(change.p99.0) as f64,
            unit: "ns".to_owned(),
            // The tail of few spans says less than a median that moved.
            confidence: if factor >= 4.0 && s.latency.count >= 200 { 0.95 } else { 0.7 },
            evidence: s.latency.exemplars.iter().map(|e| e.evidence.clone()).collect(),
        })
        .collect()
}
