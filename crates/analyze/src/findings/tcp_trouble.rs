//! Connections that were reset, not answered, sent again, or turned away by a listener whose queue was full.

use coldcase_model::analysis::{Edge, TcpFacts};
use coldcase_model::quantity::format_count;
use coldcase_model::{Evidence, Finding};

use super::Seen;
use crate::wording::count as counted;

/// Most pairs of services that are told, for each kind of trouble.
const MOST: usize = 3;
/// Rows that are cited.
const CITED: usize = 5;

/// A kind of trouble: what it is called, and how much of it an edge or a connection has.
struct Kind {
    what: &'static str,
    edge: fn(&Edge) -> u64,
    connection: fn(&TcpFacts) -> u64,
}

const KINDS: [Kind; 3] = [
    Kind { what: "resets", edge: |e| e.resets, connection: |t| t.resets },
    Kind { what: "SYNs without an answer", edge: |e| e.unanswered_syns, connection: |t| t.unanswered_syns },
    Kind { what: "segments sent again", edge: |e| e.retransmissions, connection: TcpFacts::sent_again },
];

/// Findings for the services with most resets, unanswered SYNs and retransmissions.
pub(super) fn find(seen: &Seen<'_>) -> Vec<Finding> {
    let mut out = Vec::new();
    for kind in &KINDS {
        let count = |e: &Edge| (kind.edge)(e);
        let mut edges: Vec<&Edge> = seen.flow.edges.iter().filter(|e| count(e) > 0).collect();
        edges.sort_by(|x, y| count(y).cmp(&count(x)).then_with(|| (&x.from, &x.to).cmp(&(&y.from, &y.to))));
        out.extend(edges.into_iter().take(MOST).map(|edge| Finding {
            detector: "tcp_trouble".to_owned(),
            claim: format!(
                "{} → {}: {} {} in {}",
                edge.from,
                edge.to,
                format_count(count(edge)),
                kind.what,
                counted(edge.connections, "connection")
            ),
            size: count(edge) as f64,
            unit: "count".to_owned(),
            confidence: 1.0,
            evidence: evidence(seen, kind, edge),
        }));
    }
    out.extend(turned_away(seen));
    out
}

/// Listeners that turned connections away. That the queue was full is claimed where a row saw it full.
fn turned_away<'a>(seen: &Seen<'a>) -> impl Iterator<Item = Finding> + use<'a> {
    seen.flow.full_listeners.iter().take(MOST).map(|l| Finding {
        detector: "tcp_trouble".to_owned(),
        claim: format!(
            "{} of {} turned connections away {}{}",
            l.listener,
            l.process,
            counted(l.turned_away, "time"),
            if l.queue_max > l.limit {
                format!(
                    ": its accept queue was full, {} waited where {} may",
                    format_count(l.queue_max.into()),
                    l.limit
                )
            } else {
                String::new()
            }
        ),
        size: l.turned_away as f64,
        unit: "count".to_owned(),
        confidence: 1.0,
        evidence: l.evidence.clone(),
    })
}

/// The packets of the troubled connections: of the trouble where it has packets of its own, else the first ones.
fn evidence(seen: &Seen<'_>, kind: &Kind, edge: &Edge) -> Vec<Evidence> {
    let troubled = seen.flow.connections.iter().filter(|c| c.tcp.as_ref().is_some_and(|t| (kind.connection)(t) > 0));
    troubled
        .filter(|c| crate::flow::joins(c, edge))
        .flat_map(|c| c.evidence.iter().skip(usize::from(c.evidence.len() > 1)))
        .take(CITED)
        .cloned()
        .collect()
}
