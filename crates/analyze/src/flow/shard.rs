//! A share of the connections: those whose ends hash to it. Shards never touch each other's connections, so they can
//! be followed in parallel, each in file order.

use std::collections::VecDeque;
use std::net::SocketAddr;

use coldcase_decode::packet::{Headers, TCP, UDP};
use coldcase_model::analysis::Folded;
use coldcase_model::entity::Protocol;
use hashbrown::HashMap;

use super::copies::signature;
use super::packets::Packet;
use super::tracked::{At, Tracked};

/// How many shards there are, whatever the number of threads: so that the same connections share one on any machine.
pub(super) const SHARDS: usize = 64;
/// Connections of a shard of which only the opener was heard, most that are kept.
const HALF_OPEN: usize = (1 << 16) / SHARDS;
/// Connections of a shard, most that are kept.
const KEPT: usize = (1 << 20) / SHARDS;
/// Closed connections of a shard whose every byte is still followed; of older ones, packets that come late are counted.
const LINGERING: usize = (1 << 12) / SHARDS;

/// Both ends in order, so that both directions find the same entry.
pub(super) type Key = (Protocol, SocketAddr, SocketAddr);

/// A packet of a flow: the packet's place in its batch, and whether the flow is that of the tunnel around it.
pub(super) type Member = (u32, bool);

/// One share.
#[derive(Debug, Default)]
pub(super) struct Shard {
    pub(super) connections: Vec<Tracked>,
    /// The hasher of this map is quick, and has a seed of its own in each process: keys come from strangers' captures.
    open: HashMap<Key, usize>,
    half_open: usize,
    /// Places of closed connections, the one closed first in front.
    closed: VecDeque<usize>,
    pub(super) folded: Folded,
}

/// The flow that a packet belongs to: its ends and transport. `tunnel`: that of the datagrams that carried it.
pub fn ends(h: &Headers, tunnel: bool) -> Option<(Protocol, [SocketAddr; 2])> {
    if tunnel {
        let t = h.tunnel.filter(|t| t.ports != [0; 2])?;
        return Some((Protocol::Udp, [0, 1].map(|i| SocketAddr::new(t.ends[i].addr(), t.ports[i]))));
    }
    let proto = match h.protocol {
        TCP if h.tcp.is_some() => Protocol::Tcp,
        UDP if h.udp => Protocol::Udp,
        _ => return None,
    };
    Some((proto, [SocketAddr::new(h.src.addr(), h.src_port), SocketAddr::new(h.dst.addr(), h.dst_port)]))
}

/// The shard of a flow, the same for both directions, without looking at more than addresses and ports.
pub(super) fn shard_of(h: &Headers, tunnel: bool) -> usize {
    let ([a, b], [p, q]) = match h.tunnel {
        Some(t) if tunnel => (t.ends, t.ports),
        _ => ([h.src, h.dst], [h.src_port, h.dst_port]),
    };
    let end = |ip: coldcase_model::Ip, port: u16| {
        let number = u128::from_be_bytes(ip.0);
        ((number >> 64) as u64 ^ number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(port) << 17
    };
    // Addition does not know directions.
    let mixed = end(a, p).wrapping_add(end(b, q)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    (mixed >> 48) as usize % SHARDS
}

impl Shard {
    /// Takes in its packets of a batch, in order. `several`: they came by more interfaces than one.
    pub(super) fn take(&mut self, packets: &[Packet<'_>], members: &[Member], several: bool) {
        for &(place, tunnel) in members {
            let Some(packet) = packets.get(place as usize) else { continue };
            if let Some(h) = packet.decoded.headers() {
                self.packet(packet, h, tunnel, several);
            }
        }
    }

    fn packet(&mut self, packet: &Packet<'_>, h: &Headers, tunnel: bool, several: bool) {
        let Some((proto, [src, dst])) = ends(h, tunnel) else { return };
        let at = At { row: packet.row, frame: packet.frame, time: packet.time, original: packet.original };
        let tcp = h.tcp.filter(|_| proto == Protocol::Tcp);
        let key = (proto, src.min(dst), src.max(dst));
        let known = self.open.get(&key).copied();
        let reopened = known
            .and_then(|place| self.connections.get(place))
            .zip(tcp.as_ref())
            .is_some_and(|(c, tcp)| c.is_reopened_by(src, tcp));
        let place = match known {
            Some(place) if !reopened => place,
            _ => self.begin(key, Tracked::new(proto, [src, dst], at, h.tunnel.is_some() && !tunnel)),
        };
        let Some(c) = self.connections.get_mut(place) else { return };
        let copy = several && signature(h, &packet.data).is_some_and(|s| c.is_copy(src, s, packet.time, packet.place));
        if copy {
            return;
        }
        let (was_half_open, was_closed) = (c.is_half_open(), c.is_closed());
        c.push(src, at, tcp.map(|tcp| (h, tcp)), reopened);
        if !tunnel {
            c.talk.packet(usize::from(c.ends[0] != src), at, h, &packet.data);
        }
        match (was_half_open, c.is_half_open()) {
            (false, true) => self.half_open += 1,
            (true, false) => self.half_open = self.half_open.saturating_sub(1),
            _ => {}
        }
        if c.is_closed() && !was_closed {
            self.closed.push_back(place);
            self.sum_up();
        }
    }

    /// Keeps no more than the sums of connections that closed long ago.
    fn sum_up(&mut self) {
        while self.closed.len() > LINGERING {
            let oldest = self.closed.pop_front().and_then(|place| self.connections.get_mut(place));
            if let Some(c) = oldest {
                c.sum_up();
            }
        }
    }

    fn begin(&mut self, key: Key, connection: Tracked) -> usize {
        if self.half_open >= HALF_OPEN {
            self.fold(HALF_OPEN / 2, Tracked::is_half_open);
        } else if self.connections.len() >= KEPT {
            self.fold(KEPT / 4, |_| true);
        }
        self.connections.push(connection);
        self.open.insert(key, self.connections.len() - 1);
        self.connections.len() - 1
    }

    /// Takes out the `count` of some kind that were quiet longest; they are counted, and not listed.
    fn fold(&mut self, count: usize, kind: impl Fn(&Tracked) -> bool) {
        let mut quiet: Vec<(u64, usize)> =
            self.connections.iter().enumerate().filter(|(_, c)| kind(c)).map(|(i, c)| (c.newest, i)).collect();
        quiet.sort_unstable();
        quiet.truncate(count);
        let mut out = vec![false; self.connections.len()];
        for (_, place) in quiet {
            out[place] = true;
        }
        let (folded, half_open) = (&mut self.folded, &mut self.half_open);
        let mut gone = out.into_iter();
        self.connections.retain(|c| {
            let gone = gone.next().unwrap_or(false);
            if gone {
                folded.connections += 1;
                folded.packets += c.packets.iter().sum::<u64>();
                folded.bytes += c.bytes.iter().sum::<u64>();
                folded.unanswered_syns += c.unanswered();
                folded.requests += c.talk.found.len() as u64;
                *half_open = half_open.saturating_sub(usize::from(c.is_half_open()));
            }
            !gone
        });
        self.open.clear();
        self.closed.clear();
        // Of several on the same ports the newest is open: it stands last.
        for (place, c) in self.connections.iter().enumerate() {
            let [a, b] = c.ends;
            self.open.insert((c.proto, a.min(b), a.max(b)), place);
            if c.is_closed() {
                self.closed.push_back(place);
            }
        }
        self.sum_up();
    }
}
