//! Flow: connections and services, from packets, sockets and the kernel's TCP events.

pub mod capture;
mod copies;
pub mod display_filter;
mod edges;
pub mod filter;
mod listener;
mod narrow;
mod packets;
pub(crate) mod recorded;
pub(crate) mod sequence;
mod shard;
mod socket;
pub mod stored;
mod talk;
mod tap;
mod tracked;

use std::collections::HashMap;
use std::net::SocketAddr;

use coldcase_model::Evidence;
use coldcase_model::analysis::{Connection, Flow, TcpFacts, Translation};
use coldcase_model::entity::Protocol;

pub(crate) use edges::joins;
pub use packets::{Frame, Packet, Sink};
pub use sequence::Sequences;
pub use shard::ends;
pub use socket::KernelSockets;
pub use tap::Tap;
pub use tracked::Connected;

pub use crate::requests::service;
use crate::requests::{Found, kinds, repeated, retried, rows, uses, vanished};

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
    pub tap: &'a mut Tap,
    /// The kernel's retransmissions; `None` when they were not recorded.
    pub kernel: Option<&'a KernelRetransmits>,
    /// What the kernel told of each socket; `None` when it was not recorded.
    pub sockets: Option<&'a KernelSockets>,
    /// Whose socket it is: transport, local end, remote end, and when.
    pub owner: &'a dyn Fn(Protocol, SocketAddr, SocketAddr, i64) -> Option<Holder>,
    /// The other side of an address translation.
    pub translated: &'a dyn Fn(Protocol, SocketAddr, SocketAddr) -> Option<Translation>,
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
    pub fn finish(self) -> Flow {
        let (mut connections, mut found) = (Vec::new(), Vec::new());
        for mut connected in self.tap.finish() {
            let [a, b] = connected.ends;
            let holders = [(a, b), (b, a)].map(|(l, r)| (self.owner)(connected.proto, l, r, connected.first));
            if self.narrow && !holders.iter().flatten().any(|h| h.in_scope) {
                continue;
            }
            let connection = connections.len();
            let requests = std::mem::take(&mut connected.requests);
            let seen = self.connection(connected, requests.len() as u64, holders);
            connections.push(Connection { number: connection as u64, ..seen });
            found.extend(requests.into_iter().map(|request| Found { connection, request }));
        }
        let tap = &*self.tap;
        let in_bundle = !self.bundle.is_empty();
        let mut requests = rows(found, |packet| in_bundle.then(|| self.evidence(tap.row_of(packet + 1))));
        for request in &mut requests {
            let filter = connections.get(request.connection).map_or("", |c| c.display_filter.as_str());
            request.display_filter = display_filter::request(filter, request.frames);
        }
        let flow = Flow {
            copies: connections.iter().map(|c: &Connection| c.copies).sum(),
            edges: edges::edges(&connections, &requests),
            request_kinds: kinds(&requests, &connections),
            databases: uses(&requests, &connections),
            repeated: repeated(&requests, &connections),
            vanished: vanished(&requests, &connections),
            retried: retried(&requests, &connections),
            folded: tap.folded(),
            requests,
            connections,
            ..Flow::default()
        };
        if self.narrow {
            // Packets that are no connection's, and those that cannot be decoded, are no process's.
            let sum = |of: fn(&Connection) -> u64| flow.connections.iter().map(of).sum::<u64>();
            let packets = sum(|c| c.packets_ab + c.packets_ba);
            let bytes = sum(|c| c.bytes_ab + c.bytes_ba);
            return Flow { packets, bytes, ..flow };
        }
        Flow {
            packets: tap.packets,
            bytes: tap.bytes,
            malformed: tap.malformed,
            malformed_frames: tap.malformed_frames.clone(),
            cut: tap.cut,
            incomplete_datagrams: tap.incomplete_datagrams(),
            ..flow
        }
    }

    /// One connection with what the kernel told of it. `holders`: of its opener and of the other side.
    fn connection(&self, connected: Connected, requests: u64, holders: [Option<Holder>; 2]) -> Connection {
        let [a, b] = connected.ends;
        let kernel_retransmissions = self.kernel.map(|kernel| kernel.of(&connected));
        let is_tcp = connected.proto == Protocol::Tcp;
        let facts = |l, r| self.sockets.filter(|_| is_tcp)?.of(l, r, connected.first, connected.last);
        let [found_a, found_b] = [0, 1].map(|i| holders[i].as_ref().map(|h| h.found.to_owned()));
        let [process_a, process_b] = holders.map(|h| h.map(|h| format!("{}[{}]", h.service, h.pid)));
        Connection {
            a: a.to_string(),
            b: b.to_string(),
            proto: if is_tcp { "tcp" } else { "udp" }.to_owned(),
            process_a,
            process_b,
            found_a,
            found_b,
            number: 0,
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
            copies: connected.copies,
            translated: (self.translated)(connected.proto, a, b),
            socket_a: facts(a, b),
            socket_b: facts(b, a),
            protocol: connected.protocol.map(|p| p.name().to_owned()),
            requests,
            unread: connected.unread,
            evidence: connected.rows.iter().map(|&row| self.evidence(row)).collect(),
            tcp: connected.tcp.map(|tcp| match kernel_retransmissions {
                None => tcp,
                told => TcpFacts { kernel_retransmissions: told, ..tcp },
            }),
        }
    }
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
            interface: 0,
            place: 0,
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
        let flow = Parts {
            bundle: "id",
            tap: &mut tap,
            kernel,
            sockets: None,
            owner: &owner,
            translated: &|_, _, _| None,
            narrow: false,
        };
        let flow = flow.finish();
        let edges: Vec<_> = flow.edges.iter().map(|e| (e.from.as_str(), e.to.as_str(), e.connections)).collect();
        assert_eq!(edges, [("orders", "nginx:80", 2), ("10.0.0.9", "nginx:80", 1)]);
        assert_eq!(flow.edges[0].unanswered_syns, 2);
        assert_eq!(flow.edges[0].retransmissions, 3, "those after the connection's end are not its own");
        let c = &flow.connections[0];
        assert_eq!((c.process_a.as_deref(), c.process_b.as_deref()), (Some("orders[20]"), Some("nginx[10]")));
    }
}
