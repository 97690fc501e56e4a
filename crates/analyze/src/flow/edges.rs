//! Who talks to whom: connections, and the requests on them, added up by client and server.

use std::collections::{BTreeMap, HashSet};

use coldcase_model::analysis::{Connection, Edge, SeenRequest, end_name};

use crate::quantile::quantile;
use crate::requests::service;

/// An edge while it is added up.
#[derive(Default)]
struct Sum {
    edge: Edge,
    handshakes: Vec<u64>,
    durations: Vec<u64>,
}

/// The edges, most bytes first.
pub(super) fn edges(connections: &[Connection], requests: &[SeenRequest]) -> Vec<Edge> {
    let mut sums: Vec<Sum> = Vec::new();
    let mut places = BTreeMap::<(String, String), usize>::new();
    let mut edge_of = Vec::with_capacity(connections.len());
    // What is seen on both sides of a translation is one connection: the side before it counts.
    let before: HashSet<(&str, &str)> = connections
        .iter()
        .filter(|c| c.translated.as_ref().is_some_and(|t| t.behind))
        .map(|c| (&*c.a, &*c.b))
        .collect();
    for c in connections {
        let other = c.translated.as_ref().filter(|t| !t.behind);
        if other.is_some_and(|t| before.contains(&(t.a.as_str(), t.b.as_str()))) {
            edge_of.push(None);
            continue;
        }
        let place = *places.entry(ends(c)).or_insert_with_key(|(from, to)| {
            let edge = Edge { from: from.clone(), to: to.clone(), ..Edge::default() };
            sums.push(Sum { edge, ..Sum::default() });
            sums.len() - 1
        });
        edge_of.push(Some(place));
        sums[place].connection(c);
    }
    for r in requests {
        if let Some(&Some(place)) = edge_of.get(r.connection) {
            sums[place].request(r);
        }
    }
    let (first, last) = (connections.iter().map(|c| c.first).min(), connections.iter().map(|c| c.last).max());
    let seconds = last.unwrap_or(0).saturating_sub(first.unwrap_or(0)) as f64 / 1e9;
    let mut edges: Vec<Edge> = sums.into_iter().map(|s| s.finish(seconds)).collect();
    edges.sort_by(|x, y| y.bytes.cmp(&x.bytes).then_with(|| (&x.from, &x.to).cmp(&(&y.from, &y.to))));
    edges
}

/// Client and server of a connection, as an edge names them: processes without their pids, or addresses; the server
/// with its port.
fn ends(c: &Connection) -> (String, String) {
    (end_name(&c.a, c.process_a.as_deref()).to_owned(), service(c))
}

/// Whether a connection is one of an edge's.
pub(crate) fn joins(c: &Connection, edge: &Edge) -> bool {
    let (from, to) = ends(c);
    from == edge.from && to == edge.to
}

impl Sum {
    fn connection(&mut self, c: &Connection) {
        let edge = &mut self.edge;
        edge.connections += 1;
        edge.packets += c.packets_ab + c.packets_ba;
        edge.bytes += c.bytes_ab + c.bytes_ba;
        if let Some(tcp) = &c.tcp {
            edge.retransmissions += tcp.sent_again();
            edge.resets += tcp.resets;
            edge.unanswered_syns += tcp.unanswered_syns;
            self.handshakes.extend(tcp.rtt);
        }
    }

    fn request(&mut self, r: &SeenRequest) {
        let edge = &mut self.edge;
        edge.requests += 1;
        match r.outcome.as_str() {
            "ok" => {}
            "error" => edge.request_errors += 1,
            _ => edge.unanswered_requests += 1,
        }
        // The end of an answer that broke off says nothing of how long it takes.
        if r.is_answered() {
            self.durations.extend(r.duration);
        }
    }

    /// `seconds`: how long packets were captured.
    fn finish(mut self, seconds: f64) -> Edge {
        self.handshakes.sort_unstable();
        self.durations.sort_unstable();
        let of = |sorted: &[u64], percent| (!sorted.is_empty()).then(|| quantile(sorted, percent));
        let mut edge = self.edge;
        edge.rtt = of(&self.handshakes, 50);
        edge.request_p50 = of(&self.durations, 50);
        edge.request_p99 = of(&self.durations, 99);
        if seconds > 0.0 {
            edge.request_rate = edge.requests as f64 / seconds;
        }
        if edge.packets > 0 {
            // The kernel may have sent again what the tap never saw.
            edge.retransmit_share = (edge.retransmissions as f64 / edge.packets as f64).min(1.0);
        }
        edge
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(a: &str, process_b: Option<&str>) -> Connection {
        Connection {
            a: a.to_owned(),
            b: "10.0.0.2:5432".to_owned(),
            process_b: process_b.map(str::to_owned),
            first: 0,
            last: 2_000_000_000,
            packets_ab: 3,
            packets_ba: 5,
            ..Connection::default()
        }
    }

    #[test]
    fn requests_of_all_connections_of_an_edge_are_added_up_and_only_answers_have_a_duration() {
        let connections =
            [connection("[::1]:4000", Some("postgres[7]")), connection("[::1]:4001", Some("postgres[8]"))];
        let request = |connection, outcome: &str, duration| SeenRequest {
            connection,
            outcome: outcome.to_owned(),
            duration,
            ..SeenRequest::default()
        };
        let requests = [
            request(0, "ok", Some(10)),
            request(1, "error", Some(30)),
            request(1, "reset", Some(900)),
            request(0, "unfinished", None),
            request(7, "ok", Some(5)),
        ];
        let edges = edges(&connections, &requests);
        assert_eq!(edges.len(), 1);
        let e = &edges[0];
        assert_eq!((e.from.as_str(), e.to.as_str(), e.packets), ("::1", "postgres:5432", 16));
        assert_eq!((e.requests, e.request_errors, e.unanswered_requests), (4, 1, 2));
        assert_eq!((e.request_p50, e.request_p99), (Some(10), Some(30)));
        assert!((e.request_rate - 2.0).abs() < 1e-9);
        assert!(connections.iter().all(|c| joins(c, e)));
    }

    #[test]
    fn an_edge_without_requests_and_a_capture_of_one_packet_have_no_rates() {
        let lone = Connection { last: 0, packets_ba: 0, packets_ab: 1, ..connection("10.0.0.1:4000", None) };
        let edges = edges(&[lone], &[]);
        assert_eq!((edges[0].request_p50, edges[0].request_rate), (None, 0.0));
        assert_eq!(edges[0].to, "10.0.0.2:5432");
    }
}
