//! Flow: connections and services, from packets, sockets and the kernel's TCP events.

pub mod capture;
pub mod display_filter;
mod listener;
mod packets;
pub(crate) mod recorded;
mod shard;
mod socket;
pub mod stored;
mod talk;
mod tap;
mod tracked;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

use coldcase_model::Evidence;
use coldcase_model::analysis::{Connection, Edge, Flow};
use coldcase_model::entity::Protocol;

pub use packets::Packet;
pub use shard::ends;
pub use socket::KernelSockets;
pub use tap::Tap;
pub use tracked::Connected;

use crate::quantile::quantile;
pub use crate::requests::service;
use crate::requests::{Found, kinds, repeated, rows, uses};

/// Segments that the kernel said it sent again, by local and remote address, with the times.
#[derive(Debug, Default)]
pub struct KernelRetransmits(HashMap<(SocketAddr, SocketAddr), Vec<(i64, u64)>>);

impl KernelRetransmits {
    /// `segments` were sent again from `local` to `remote`.
    pub fn add(&mut self, local: SocketAddr, remote: SocketAddr, time: i64, segments: u64) {
        self.0.entry((local, remote)).or_default().push((time, segments));
    }

    /// How many while the connection lived, from both its ends. A retransmission is told a moment before its packet.
    fn of(&self, c: &Connected) -> u64 {
        const SLACK: i64 = 100_000_000;
        let [a, b] = c.ends;
        let lived = c.first.saturating_sub(SLACK)..=c.last.saturating_add(SLACK);
        [(a, b), (b, a)]
            .iter()
            .filter_map(|k| self.0.get(k))
            .flatten()
            .filter(|(time, _)| lived.contains(time))
            .map(|&(_, segments)| segments)
            .sum()
    }
}

/// What the flow is made of.
pub struct Parts<'a> {
    /// Id of the bundle, for evidence.
    pub bundle: &'a str,
    /// The packets.
    pub tap: &'a Tap,
    /// The kernel's retransmissions; `None` when they were not recorded.
    pub kernel: Option<&'a KernelRetransmits>,
    /// What the kernel told of each socket; `None` when it was not recorded.
    pub sockets: Option<&'a KernelSockets>,
    /// Whose socket it is: transport, local end, remote end, and when.
    pub owner: &'a dyn Fn(Protocol, SocketAddr, SocketAddr, i64) -> Option<Holder>,
    /// Whether only connections of processes in scope are wanted, at either end.
    pub narrow: bool,
}

/// The process that holds a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its service or name: processes of one name are one service.
    pub service: String,
    /// Its pid.
    pub pid: u32,
    /// How it was found, as in [`Connection::found_a`].
    pub found: &'static str,
    /// Whether it is one of the processes that are looked at.
    pub in_scope: bool,
}

impl Parts<'_> {
    fn evidence(&self, row: u64) -> Evidence {
        Evidence { bundle: self.bundle.to_owned(), stream: "packets".to_owned(), row }
    }

    /// Connections in the order in which they were first seen, and edges by bytes.
    pub fn finish(&self) -> Flow {
        let mut edges = BTreeMap::<(String, String), (Edge, Vec<u64>)>::new();
        let mut connections = Vec::new();
        let mut found = Vec::new();
        let (mut packets, mut bytes) = (0, 0);
        for connected in self.tap.finish() {
            let [a, b] = connected.ends;
            let holders = [(a, b), (b, a)].map(|(l, r)| (self.owner)(connected.proto, l, r, connected.first));
            if self.narrow && !holders.iter().flatten().any(|h| h.in_scope) {
                continue;
            }
            packets += connected.packets.iter().sum::<u64>();
            bytes += connected.bytes.iter().sum::<u64>();
            let mut tcp = connected.tcp.clone();
            if let (Some(tcp), Some(kernel)) = (&mut tcp, self.kernel) {
                tcp.kernel_retransmissions = Some(kernel.of(&connected));
            }
            let facts = |l, r| self.sockets.and_then(|s| s.of(l, r, connected.first, connected.last));
            let (socket_a, socket_b) = match connected.proto {
                Protocol::Tcp => (facts(a, b), facts(b, a)),
                Protocol::Udp => (None, None),
            };
            let from = holders[0].as_ref().map_or_else(|| a.ip().to_string(), |h| h.service.clone());
            let to = match &holders[1] {
                Some(h) => format!("{}:{}", h.service, b.port()),
                None => b.to_string(),
            };
            let (edge, rtts) = edges
                .entry((from.clone(), to.clone()))
                .or_insert_with(|| (Edge { from, to, ..Edge::default() }, Vec::new()));
            edge.connections += 1;
            edge.packets += connected.packets.iter().sum::<u64>();
            edge.bytes += connected.bytes.iter().sum::<u64>();
            if let Some(tcp) = &tcp {
                edge.retransmissions += tcp.sent_again();
                edge.resets += tcp.resets;
                edge.unanswered_syns += tcp.unanswered_syns;
                rtts.extend(tcp.rtt);
            }
            let [found_a, found_b] = [0, 1].map(|i| holders[i].as_ref().map(|h| h.found.to_owned()));
            let [process_a, process_b] = holders.map(|h| h.map(|h| format!("{}[{}]", h.service, h.pid)));
            let connection = connections.len();
            found.extend(connected.requests.iter().map(|r| Found { connection, request: r.clone() }));
            connections.push(Connection {
                a: a.to_string(),
                b: b.to_string(),
                proto: match connected.proto {
                    Protocol::Tcp => "tcp".to_owned(),
                    Protocol::Udp => "udp".to_owned(),
                },
                process_a,
                process_b,
                found_a,
                found_b,
                stream: connected.stream,
                frames: connected.frames,
                display_filter: display_filter::connection(
                    connected.proto,
                    connected.stream,
                    connected.ends,
                    connected.frames,
                ),
                first: connected.first,
                last: connected.last,
                packets_ab: connected.packets[0],
                packets_ba: connected.packets[1],
                bytes_ab: connected.bytes[0],
                bytes_ba: connected.bytes[1],
                tcp,
                socket_a,
                socket_b,
                protocol: connected.protocol.map(|p| p.name().to_owned()),
                requests: connected.requests.len() as u64,
                unread: connected.unread,
                evidence: connected.rows.iter().map(|&row| self.evidence(row)).collect(),
            });
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
        let (packets, bytes, malformed) = match self.narrow {
            // Packets that are no connection's, and those that cannot be decoded, are no process's.
            true => (packets, bytes, 0),
            false => (self.tap.packets, self.tap.bytes, self.tap.malformed),
        };
        let tap = self.tap;
        let in_bundle = !self.bundle.is_empty();
        let mut requests = rows(found, |packet| in_bundle.then(|| self.evidence(tap.row_of(packet + 1))));
        for request in &mut requests {
            let filter = connections.get(request.connection).map_or("", |c| c.display_filter.as_str());
            request.display_filter = display_filter::request(filter, request.frames);
        }
        let request_kinds = kinds(&requests, &connections);
        let (databases, repeated) = (uses(&requests, &connections), repeated(&requests, &connections));
        Flow {
            packets,
            bytes,
            malformed,
            malformed_frames: if self.narrow { Vec::new() } else { tap.malformed_frames.clone() },
            cut: if self.narrow { 0 } else { tap.cut },
            incomplete_datagrams: if self.narrow { 0 } else { tap.incomplete_datagrams() },
            folded: tap.folded(),
            connections,
            edges,
            requests,
            request_kinds,
            databases,
            repeated,
            ..Flow::default()
        }
    }
}

/// Whether a connection is one of an edge's.
pub(crate) fn joins(c: &Connection, edge: &Edge) -> bool {
    let host = |end: &str| end.rsplit_once(':').map_or("", |e| e.0).trim_matches(['[', ']']).to_owned();
    let service = |p: &str| p.rsplit_once('[').map_or("", |s| s.0).to_owned();
    let from = c.process_a.as_deref().map_or_else(|| host(&c.a), service);
    let port = c.b.rsplit_once(':').map_or("", |e| e.1);
    let to = c.process_b.as_deref().map_or_else(|| c.b.clone(), |p| format!("{}:{port}", service(p)));
    from == edge.from && to == edge.to
}

#[cfg(test)]
mod tests {
    use super::*;
    use coldcase_decode::packet::{Decoded, Headers, TCP, Tcp};

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap_or_else(|_| SocketAddr::from(([0; 4], 0)))
    }

    fn syn(tap: &mut Tap, from: SocketAddr, to: SocketAddr) {
        let headers = Headers {
            src: from.ip().into(),
            dst: to.ip().into(),
            protocol: TCP,
            src_port: from.port(),
            dst_port: to.port(),
            tcp: Some(Tcp { flags: Tcp::SYN, ..Tcp::default() }),
            ..Headers::default()
        };
        tap.take(vec![Packet {
            row: 0,
            frame: tap.packets + 1,
            time: 1_000,
            original: 60,
            decoded: Decoded::Ip(headers),
            data: std::borrow::Cow::Borrowed(&[]),
            fragment: None,
        }]);
    }

    #[test]
    fn connections_of_one_service_to_another_are_one_edge() {
        let mut tap = Tap::default();
        let server = addr("10.0.0.2:80");
        for port in [4000, 4001] {
            syn(&mut tap, addr(&format!("10.0.0.1:{port}")), server);
        }
        syn(&mut tap, addr("10.0.0.9:5000"), server);
        let owner = |_, local: SocketAddr, _, _| match local.port() {
            80 => Some(Holder { service: "nginx".to_owned(), pid: 10, found: "inferred", in_scope: true }),
            4000 | 4001 => Some(Holder { service: "orders".to_owned(), pid: 20, found: "acted", in_scope: false }),
            _ => None,
        };
        let mut kernel = KernelRetransmits::default();
        kernel.add(addr("10.0.0.1:4000"), server, 1_500, 3);
        kernel.add(addr("10.0.0.1:4000"), server, 900_000_000_000, 5);
        let kernel = Some(&kernel);
        let flow = Parts { bundle: "id", tap: &tap, kernel, sockets: None, owner: &owner, narrow: false }.finish();
        let edges: Vec<_> = flow.edges.iter().map(|e| (e.from.as_str(), e.to.as_str(), e.connections)).collect();
        assert_eq!(edges, [("orders", "nginx:80", 2), ("10.0.0.9", "nginx:80", 1)]);
        assert_eq!(flow.edges[0].unanswered_syns, 2);
        assert_eq!(flow.edges[0].retransmissions, 3, "those after the connection's end are not its own");
        let c = &flow.connections[0];
        assert_eq!((c.process_a.as_deref(), c.process_b.as_deref()), (Some("orders[20]"), Some("nginx[10]")));
    }
}
