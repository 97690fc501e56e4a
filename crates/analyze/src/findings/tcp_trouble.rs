//! Connections that were reset, not answered, or sent again.

use coldcase_model::Finding;
use coldcase_model::analysis::Edge;

use super::Seen;
use crate::wording::count as counted;

/// Most pairs of services that are told, for each kind of trouble.
const MOST: usize = 3;
/// Rows that are cited.
const CITED: usize = 5;

/// Findings for the services with most resets, unanswered SYNs and retransmissions.
pub(super) fn find(seen: &Seen<'_>) -> Vec<Finding> {
    let kinds: [(&str, fn(&Edge) -> u64); 3] = [
        ("resets", |e| e.resets),
        ("SYNs without an answer", |e| e.unanswered_syns),
        ("segments sent again", |e| e.retransmissions),
    ];
    let mut out = Vec::new();
    for (what, count) in kinds {
        let mut edges: Vec<&Edge> = seen.flow.edges.iter().filter(|e| count(e) > 0).collect();
        edges.sort_by(|x, y| count(y).cmp(&count(x)).then_with(|| (&x.from, &x.to).cmp(&(&y.from, &y.to))));
        out.extend(edges.into_iter().take(MOST).map(|edge| {
            Finding {
                detector: "tcp_trouble".to_owned(),
                claim: format!(
                    "{} → {}: {} {what} in {} connections",
                    edge.from,
                    edge.to,
                    count(edge),
                    edge.connections
                ),
                size: count(edge) as f64,
                unit: "count".to_owned(),
                confidence: 1.0,
                evidence: seen
                    .flow
                    .connections
                    .iter()
                    .filter(|c| c.evidence.len() > 1 && crate::flow::joins(c, edge))
                    .flat_map(|c| c.evidence.iter().skip(1))
                    .take(CITED)
                    .cloned()
                    .collect(),
            }
        }));
    }
    out
}
