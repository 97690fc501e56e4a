//! Packets to connections: who exchanged how much with whom.

use std::collections::HashMap;
use std::net::SocketAddr;

use coldcase_decode::packet::{Decoded, Headers, TCP, UDP};
use coldcase_model::analysis::TcpFacts;
use coldcase_model::entity::Protocol;

use super::tcp::{Segment, Tracker};

/// How many messages a connection cites.
const CITED: usize = 4;

/// The connections of a run of packets. Feed it in capture order.
#[derive(Debug, Default)]
pub struct Tap {
    /// Packets taken in.
    pub packets: u64,
    /// Their bytes on the wire.
    pub bytes: u64,
    /// Packets whose headers are wrong or cut.
    pub malformed: u64,
    connections: Vec<Tracked>,
    open: HashMap<Key, usize>,
}

/// Both ends in order, so that both directions find the same entry.
type Key = (Protocol, SocketAddr, SocketAddr);

#[derive(Debug)]
struct Tracked {
    proto: Protocol,
    /// Sender of the first packet, and its peer.
    ends: [SocketAddr; 2],
    first: i64,
    last: i64,
    packets: [u64; 2],
    bytes: [u64; 2],
    tcp: Option<Tracker>,
    /// Message of the first packet, then of those with the first trouble.
    rows: Vec<u64>,
}

/// A connection with its ends typed. `ends[0]` opened it (or, when that was not seen, has the higher port).
#[derive(Debug, Clone, PartialEq)]
pub struct Connected {
    /// Transport.
    pub proto: Protocol,
    /// Opener and peer.
    pub ends: [SocketAddr; 2],
    /// First packet, UTC nanoseconds.
    pub first: i64,
    /// Last packet.
    pub last: i64,
    /// Packets sent by each end.
    pub packets: [u64; 2],
    /// Bytes on the wire sent by each end.
    pub bytes: [u64; 2],
    /// TCP facts.
    pub tcp: Option<TcpFacts>,
    /// Messages that show it: of its first packet, then of the first resets and retransmissions.
    pub rows: Vec<u64>,
}

impl Tap {
    /// Takes in one packet, `original` bytes long on the wire, from message `row` of its stream.
    pub fn push(&mut self, row: u64, time: i64, original: u32, decoded: &Decoded) {
        self.packets += 1;
        self.bytes += u64::from(original);
        match decoded {
            Decoded::Ip(headers) => self.headers(row, time, original, headers),
            Decoded::Malformed => self.malformed += 1,
            Decoded::Other | Decoded::UnknownLink => {}
        }
    }

    fn headers(&mut self, row: u64, time: i64, original: u32, h: &Headers) {
        let proto = match h.protocol {
            TCP if h.tcp.is_some() => Protocol::Tcp,
            UDP if !h.fragment => Protocol::Udp,
            _ => return,
        };
        let src = SocketAddr::new(h.src.addr(), h.src_port);
        let dst = SocketAddr::new(h.dst.addr(), h.dst_port);
        let key = (proto, src.min(dst), src.max(dst));
        let known = self.open.get(&key).copied().filter(|&at| {
            let c = &self.connections[at];
            let from = usize::from(c.ends[0] != src);
            !c.tcp.as_ref().zip(h.tcp.as_ref()).is_some_and(|(t, tcp)| t.is_reopened_by(from, tcp))
        });
        let at = known.unwrap_or_else(|| {
            self.connections.push(Tracked {
                proto,
                ends: [src, dst],
                first: time,
                last: time,
                packets: [0; 2],
                bytes: [0; 2],
                tcp: h.tcp.map(|_| Tracker::default()),
                rows: vec![row],
            });
            self.open.insert(key, self.connections.len() - 1);
            self.connections.len() - 1
        });
        let c = &mut self.connections[at];
        let from = usize::from(c.ends[0] != src);
        c.first = c.first.min(time);
        c.last = c.last.max(time);
        c.packets[from] += 1;
        c.bytes[from] += u64::from(original);
        if let (Some(tracker), Some(tcp)) = (&mut c.tcp, h.tcp) {
            let trouble = tracker.push(from, Segment { time, tcp, payload: h.payload });
            if trouble && c.rows.len() < CITED && c.rows[1..].last() != Some(&row) {
                c.rows.push(row);
            }
        }
    }

    /// The connections in the order in which they were first seen.
    pub fn finish(&self) -> Vec<Connected> {
        self.connections.iter().map(Tracked::finish).collect()
    }
}

impl Tracked {
    fn finish(&self) -> Connected {
        let opener = self.tcp.as_ref().and_then(Tracker::opener);
        let a = opener.unwrap_or_else(|| usize::from(self.ends[1].port() > self.ends[0].port()));
        let pick = |both: [u64; 2]| [both[a], both[1 - a]];
        Connected {
            proto: self.proto,
            ends: [self.ends[a], self.ends[1 - a]],
            first: self.first,
            last: self.last,
            packets: pick(self.packets),
            bytes: pick(self.bytes),
            tcp: self.tcp.as_ref().map(|t| t.finish(self.packets)),
            rows: self.rows.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use coldcase_decode::packet::Tcp;
    use std::net::IpAddr;

    fn packet(from: (&str, u16), to: (&str, u16), flags: u8, seq: u32) -> Decoded {
        let ip = |s: &str| s.parse::<IpAddr>().map(Into::into).unwrap_or_default();
        Decoded::Ip(Headers {
            src: ip(from.0),
            dst: ip(to.0),
            protocol: TCP,
            src_port: from.1,
            dst_port: to.1,
            tcp: Some(Tcp { flags, seq, window: 1, ..Tcp::default() }),
            ..Headers::default()
        })
    }

    const A: (&str, u16) = ("10.0.0.1", 40_000);
    const B: (&str, u16) = ("10.0.0.2", 80);

    #[test]
    fn both_directions_are_one_connection_and_the_syn_tells_the_opener() {
        let mut tap = Tap::default();
        tap.push(0, 5, 60, &packet(B, A, Tcp::SYN, 7));
        tap.push(0, 6, 70, &packet(A, B, Tcp::SYN | Tcp::ACK, 9));
        let connections = tap.finish();
        assert_eq!(connections.len(), 1);
        let c = &connections[0];
        assert_eq!(c.ends.map(|e| e.port()), [80, 40_000], "it was opened from the lower port");
        assert_eq!((c.packets, c.bytes, c.first, c.last), ([1, 1], [60, 70], 5, 6));
    }

    #[test]
    fn an_unseen_opener_is_taken_to_be_the_side_with_the_higher_port() {
        let mut tap = Tap::default();
        tap.push(0, 5, 60, &packet(B, A, Tcp::ACK, 7));
        assert_eq!(tap.finish()[0].ends[0].port(), 40_000);
        assert_eq!(tap.finish()[0].packets, [0, 1]);
    }

    #[test]
    fn ports_used_again_are_another_connection() {
        let mut tap = Tap::default();
        for seq in [1, 50_000] {
            tap.push(0, 5, 60, &packet(A, B, Tcp::SYN, seq));
            tap.push(0, 6, 60, &packet(B, A, Tcp::SYN | Tcp::ACK, seq));
        }
        let connections = tap.finish();
        assert_eq!(connections.len(), 2);
        assert!(connections.iter().all(|c| c.packets == [1, 1]));
    }

    #[test]
    fn each_packet_is_counted_once_whatever_it_is() {
        let mut tap = Tap::default();
        tap.push(0, 1, 60, &packet(A, B, Tcp::SYN, 1));
        tap.push(0, 2, 42, &Decoded::Other);
        tap.push(0, 3, 42, &Decoded::Malformed);
        tap.push(0, 4, 42, &Decoded::UnknownLink);
        assert_eq!((tap.packets, tap.bytes, tap.malformed, tap.finish().len()), (4, 186, 1, 1));
    }
}
