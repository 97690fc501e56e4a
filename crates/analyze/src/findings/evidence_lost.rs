//! Evidence that was lost: what else is claimed is less sure by that.

use coldcase_model::Finding;
use coldcase_model::events::Loss;

use super::Seen;

/// Rows that are cited.
const CITED: usize = 5;

/// One finding for each source and reason with losses.
pub(super) fn find(seen: &Seen<'_>) -> Vec<Finding> {
    let lost = seen.quality.losses.iter().filter(|l| l.count > 0 || l.bytes > 0);
    lost.map(|l| Finding {
        detector: "evidence_lost".to_owned(),
        claim: format!("{} lost {} events of class {}: {}", l.source, l.count, l.class, l.reason),
        size: l.count as f64,
        unit: "count".to_owned(),
        confidence: 1.0,
        evidence: seen
            .timeline
            .rows::<Loss>()
            .flat_map(|part| {
                let mine = |i: usize| {
                    let c = &part.cols;
                    (c.count[i] > 0 || c.bytes[i] > 0)
                        && c.source.text(i) == l.source
                        && c.class.text(i) == l.class
                        && c.reason.text(i) == l.reason
                };
                (0..part.len()).filter(|&i| mine(i)).map(|i| part.row(i)).collect::<Vec<_>>()
            })
            .take(CITED)
            .map(|row| seen.timeline.evidence("recorder.loss", row))
            .collect(),
    })
    .collect()
}
