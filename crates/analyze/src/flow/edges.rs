//! Who talks to whom: the connections of one service to another, added up.

use std::collections::{BTreeMap, HashSet};

use coldcase_model::analysis::{Connection, Edge};

use crate::quantile::quantile;

/// The edges, most bytes first.
pub(crate) fn edges(connections: &[Connection]) -> Vec<Edge> {
    let mut edges = BTreeMap::<(String, String), (Edge, Vec<u64>)>::new();
    // What is seen on both sides of a translation is one connection: the side before it counts.
    let before: HashSet<(&str, &str)> =
        connections.iter().filter(|c| c.translated.as_ref().is_some_and(|t| t.behind)).map(|c| (&*c.a, &*c.b)).collect();
    let again = |c: &&Connection| {
        let other = c.translated.as_ref().filter(|t| !t.behind);
        other.is_some_and(|t| before.contains(&(t.a.as_str(), t.b.as_str())))
    };
    for c in connections.iter().filter(|c| !again(c)) {
        let (from, to) = ends(c);
        let (edge, rtts) =
            edges.entry((from.clone(), to.clone())).or_insert_with(|| (Edge { from, to, ..Edge::default() }, Vec::new()));
        edge.connections += 1;
        edge.packets += c.packets_ab + c.packets_ba;
        edge.bytes += c.bytes_ab + c.bytes_ba;
        if let Some(tcp) = &c.tcp {
            edge.retransmissions += tcp.sent_again();
            edge.resets += tcp.resets;
            edge.unanswered_syns += tcp.unanswered_syns;
            rtts.extend(tcp.rtt);
        }
    }
    let mut edges: Vec<Edge> = edges
        .into_values()
        .map(|(mut edge, mut rtts)| {
            rtts.sort_unstable();
            edge.rtt = (!rtts.is_empty()).then(|| quantile(&rtts, 50));
            edge
        })
        .collect();
    edges.sort_by(|x, y| y.bytes.cmp(&x.bytes).then_with(|| (&x.from, &x.to).cmp(&(&y.from, &y.to))));
    edges
}

/// Whether a connection is one of an edge's.
pub(crate) fn joins(c: &Connection, edge: &Edge) -> bool {
    let (from, to) = ends(c);
    from == edge.from && to == edge.to
}

/// The services at both ends: processes without their pids, or addresses; that of the server with its port.
fn ends(c: &Connection) -> (String, String) {
    let host = |end: &str| end.rsplit_once(':').map_or("", |e| e.0).trim_matches(['[', ']']).to_owned();
    let service = |p: &str| p.rsplit_once('[').map_or("", |s| s.0).to_owned();
    let from = c.process_a.as_deref().map_or_else(|| host(&c.a), service);
    let port = c.b.rsplit_once(':').map_or("", |e| e.1);
    let to = c.process_b.as_deref().map_or_else(|| c.b.clone(), |p| format!("{}:{port}", service(p)));
    (from, to)
}
