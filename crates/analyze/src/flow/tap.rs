//! Packets to connections: who exchanged how much with whom.

use coldcase_decode::packet::{Decoded, Reassembler, Trouble};
use coldcase_model::analysis::Folded;
use coldcase_model::entity::Protocol;
use rayon::prelude::*;

use super::copies::Places;
use super::packets::{Packet, Sink};
use super::shard::{Member, SHARDS, Shard, shard_of};
use super::tracked::{Connected, Tracked};

/// How many malformed frames are told by number.
const TOLD: usize = 100;

/// The connections of a run of packets. Feed it in capture order; batches may be of any size.
#[derive(Debug)]
pub struct Tap {
    /// Packets taken in.
    pub packets: u64,
    /// Their bytes on the wire.
    pub bytes: u64,
    /// Packets with a header that is wrong.
    pub malformed: u64,
    /// Numbers of the first of them.
    pub malformed_frames: Vec<u64>,
    /// Packets captured too short to tell what they are.
    pub cut: u64,
    /// The earliest and the latest time that a capture file tells, connection or not.
    times: Option<(i64, i64)>,
    /// The first frame of each message of the stream, with the message.
    rows: Vec<(u64, u64)>,
    interfaces: Places,
    shards: Vec<Shard>,
    fragments: Reassembler,
    /// Whether packets of the capture were left out.
    partial: bool,
}

impl Default for Tap {
    fn default() -> Self {
        Tap {
            packets: 0,
            bytes: 0,
            malformed: 0,
            malformed_frames: Vec::new(),
            cut: 0,
            times: None,
            rows: Vec::new(),
            interfaces: Places::default(),
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            fragments: Reassembler::default(),
            partial: false,
        }
    }
}

impl Tap {
    /// Takes in packets, in capture order.
    pub fn take(&mut self, mut packets: Vec<Packet<'_>>) {
        let mut members: Vec<Vec<Member>> = vec![Vec::new(); SHARDS];
        for (place, packet) in packets.iter_mut().enumerate() {
            self.count(packet);
            let Decoded::Ip(h) = &packet.decoded else { continue };
            let mut join = |tunnel: bool| members[shard_of(h, tunnel)].push((place as u32, tunnel));
            if h.tunnel.is_some_and(|t| t.ports != [0; 2]) {
                join(true);
            }
            if h.tcp.is_some() || h.udp {
                join(false);
            }
        }
        let several = self.interfaces.are_several();
        let shards = self.shards.par_iter_mut().zip(members.par_iter());
        shards.for_each(|(shard, members)| shard.take(&packets, members, several));
    }

    /// The earliest and the latest packet of a capture file, UTC nanoseconds.
    pub fn times(&self) -> Option<(i64, i64)> {
        self.times
    }

    /// Counts a packet, and puts it in the place of the fragments that it completes.
    fn count(&mut self, packet: &mut Packet<'_>) {
        if self.rows.last().is_none_or(|&(_, row)| row != packet.row) {
            self.rows.push((packet.frame, packet.row));
        }
        packet.place = self.interfaces.of(packet.interface);
        self.packets += 1;
        self.bytes += u64::from(packet.original);
        packet.complete(&mut self.fragments);
        let malformed = match &packet.decoded {
            Decoded::Ip(h) => {
                self.cut += u64::from(h.trouble == Some(Trouble::Cut));
                h.trouble == Some(Trouble::Malformed)
            }
            Decoded::Cut => {
                self.cut += 1;
                false
            }
            decoded => *decoded == Decoded::Malformed,
        };
        if malformed {
            self.malformed += 1;
            if self.malformed_frames.len() < TOLD {
                self.malformed_frames.push(packet.frame);
            }
        }
    }

    /// The message that holds a frame.
    pub(super) fn row_of(&self, frame: u64) -> u64 {
        let at = self.rows.partition_point(|&(first, _)| first <= frame);
        at.checked_sub(1).and_then(|at| self.rows.get(at)).map_or(0, |&(_, row)| row)
    }

    /// Datagrams of which fragments are missing.
    pub fn incomplete_datagrams(&self) -> u64 {
        self.fragments.incomplete()
    }

    /// Connections that were too many to keep.
    pub fn folded(&self) -> Folded {
        let mut all = Folded::default();
        for f in self.shards.iter().map(|s| &s.folded) {
            all.connections += f.connections;
            all.packets += f.packets;
            all.bytes += f.bytes;
            all.unanswered_syns += f.unanswered_syns;
            all.requests += f.requests;
        }
        all
    }

    /// No more packets: what waited for some is given up.
    pub fn end(&mut self) {
        self.shards.par_iter_mut().for_each(|s| s.connections.iter_mut().for_each(|c| c.talk.end()));
    }

    /// Hands out the connections, in the order in which they were first seen.
    pub fn finish(&mut self) -> impl Iterator<Item = Connected> + use<> {
        let numbered = self.folded().connections == 0 && !self.partial;
        let mut all: Vec<Tracked> = self.shards.iter_mut().flat_map(|s| std::mem::take(&mut s.connections)).collect();
        all.sort_by_key(|c| c.since);
        let (mut tcp, mut udp) = (0, 0);
        // One at a time: what they came to takes more room than what is left of most of them.
        all.into_iter().map(move |c| {
            let mut c = c.finish();
            let next = if c.proto == Protocol::Tcp { &mut tcp } else { &mut udp };
            c.stream = numbered.then_some(*next);
            *next += 1;
            c
        })
    }
}

impl Sink for Tap {
    fn spans(&mut self, first: i64, last: i64) {
        let (earliest, latest) = self.times.unwrap_or((first, last));
        self.times = Some((earliest.min(first), latest.max(last)));
    }

    fn leave_out(&mut self) {
        self.partial = true;
    }

    fn take(&mut self, packets: Vec<Packet<'_>>) {
        Tap::take(self, packets);
    }

    fn end(&mut self) {
        Tap::end(self);
    }
}

#[cfg(test)]
mod tests;
