//! A second look at few connections: each of their segments, for time-sequence graphs.
//!
//! The first look keeps sums only. What is kept here is bounded for each connection: where there is more, the longest
//! list loses every second of its members, and so on, so that what is left is spread over the whole connection.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::ops::RangeInclusive;

use coldcase_decode::packet::{Reassembler, Sack, Tcp};
use coldcase_decode::tcp::{Connection as State, Flags, Segment};
use coldcase_model::analysis::{Connection, SentSegment, Sequence, SequenceWay};

use super::copies::{Copies, Places, signature};
use super::packets::{Packet, Sink};
use super::shard::{Key, ends};

/// Which connections are told segment by segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sequences {
    /// None.
    #[default]
    None,
    /// The three TCP connections with most trouble, those that stood still longest first; none where nothing is wrong.
    Sickest,
    /// This one, by its index in the flow. Of another transport than TCP, or where there is none, nothing is told.
    One(usize),
}

impl Sequences {
    /// Connections told of [`Sequences::Sickest`].
    pub const SICKEST: usize = 3;
    /// Members of all lists of a connection together, most that are kept of one that was asked for.
    pub const MOST: usize = 20_000;
    /// The same of each of the sickest, whose pictures stand on a page with others.
    const MOST_OF_EACH: usize = 6_000;

    fn chosen(self, connections: &[Connection]) -> Vec<usize> {
        let is_tcp = |at: &usize| connections.get(*at).is_some_and(|c| c.tcp.is_some());
        match self {
            Sequences::None => Vec::new(),
            Sequences::One(at) => Some(at).filter(is_tcp).into_iter().collect(),
            Sequences::Sickest => {
                let trouble = |at: usize| connections[at].tcp.as_ref().map_or((0, 0), |t| t.trouble());
                let mut sick: Vec<usize> = (0..connections.len()).filter(|&at| trouble(at) != (0, 0)).collect();
                // Where one side was never heard there is nothing to see but its SYNs.
                sick.retain(|&at| connections[at].packets_ab > 0 && connections[at].packets_ba > 0);
                sick.sort_by_key(|&at| std::cmp::Reverse(trouble(at)));
                sick.truncate(Sequences::SICKEST);
                sick
            }
        }
    }
}

/// Takes the segments of the wanted connections out of all packets.
#[derive(Debug)]
pub(crate) struct Picker {
    wanted: Vec<Wanted>,
    /// Those on the same ports, in order.
    by_ends: HashMap<Key, Vec<usize>>,
    fragments: Reassembler,
    interfaces: Places,
}

impl Picker {
    /// For connections as the first look listed them; `None` where there is nothing to look for.
    pub(crate) fn new(connections: &[Connection], sequences: Sequences) -> Option<Picker> {
        let most = match sequences {
            Sequences::One(_) => Sequences::MOST,
            _ => Sequences::MOST_OF_EACH,
        };
        let chosen = sequences.chosen(connections);
        let wanted: Vec<Wanted> =
            chosen.into_iter().filter_map(|at| Wanted::new(at, connections.get(at)?, most)).collect();
        let mut by_ends = HashMap::<Key, Vec<usize>>::new();
        for (place, w) in wanted.iter().enumerate() {
            by_ends.entry(w.key()).or_default().push(place);
        }
        (!wanted.is_empty()).then(|| Picker {
            wanted,
            by_ends,
            fragments: Reassembler::default(),
            interfaces: Places::default(),
        })
    }

    /// What was found, in the order in which connections were chosen.
    pub(crate) fn finish(self) -> Vec<Sequence> {
        self.wanted.into_iter().map(Wanted::finish).collect()
    }

    fn packet(&mut self, packet: &Packet<'_>) {
        let Some(h) = packet.decoded.headers() else { return };
        let Some((tcp, (proto, [src, dst]))) = h.tcp.zip(ends(h, false)) else { return };
        let Some(places) = self.by_ends.get(&(proto, src.min(dst), src.max(dst))) else { return };
        let wanted = &mut self.wanted;
        if let Some(&place) = places.iter().find(|&&place| wanted[place].frames.contains(&packet.frame)) {
            if self.interfaces.are_several()
                && let Some(signature) = signature(h, &packet.data)
                && wanted[place].is_copy(src, signature, packet)
            {
                return;
            }
            let payload = h.length_known.then_some(h.payload);
            let segment = Segment { frame: packet.frame, time: packet.time, ip_id: h.ip_id, tcp, payload };
            wanted[place].segment(src, &segment);
        }
    }
}

impl Sink for Picker {
    fn take(&mut self, packets: Vec<Packet<'_>>) {
        for mut packet in packets {
            packet.complete(&mut self.fragments);
            packet.place = self.interfaces.of(packet.interface);
            self.packet(&packet);
        }
    }
}

/// A connection that is looked at again.
#[derive(Debug)]
struct Wanted {
    connection: usize,
    /// Side a and side b.
    ends: [SocketAddr; 2],
    frames: RangeInclusive<u64>,
    start: i64,
    length: u64,
    state: State,
    ways: [Way; 2],
    copies: [Copies; 2],
    most: usize,
}

impl Wanted {
    fn new(at: usize, c: &Connection, most: usize) -> Option<Wanted> {
        Some(Wanted {
            connection: at,
            ends: [c.a.parse().ok()?, c.b.parse().ok()?],
            frames: c.frames[0]..=c.frames[1],
            start: c.first,
            length: u64::try_from(c.last.saturating_sub(c.first)).unwrap_or(0),
            state: State::default(),
            ways: Default::default(),
            copies: Default::default(),
            most,
        })
    }

    fn key(&self) -> Key {
        let [a, b] = self.ends;
        (coldcase_model::entity::Protocol::Tcp, a.min(b), a.max(b))
    }

    /// Whether another interface saw the packet before.
    fn is_copy(&mut self, src: SocketAddr, signature: u64, packet: &Packet<'_>) -> bool {
        let from = usize::from(self.ends[0] != src);
        self.copies[from].is_copy(signature, packet.time, packet.place)
    }

    fn segment(&mut self, src: SocketAddr, s: &Segment) {
        let from = usize::from(self.ends[0] != src);
        let marks = self.state.push(from, s);
        let time = s.time.saturating_sub(self.start);
        let tcp = &s.tcp;
        let before_first = u32::from(!tcp.has(Tcp::SYN));
        let again = marks.retransmitted > 0 || marks.flags.has(Flags::RETRANSMISSION);
        self.ways[from].sent(time, s, tcp.seq.wrapping_sub(before_first), again);
        // What a reset acknowledges and allows means nothing to a sender.
        if tcp.has(Tcp::ACK) && !tcp.has(Tcp::RST) {
            let end = self.state.window_end(from);
            let other = &mut self.ways[1 - from];
            other.answered(time, tcp, end);
            if marks.flags.has(Flags::ZERO_WINDOW) {
                other.closed.push(time);
            }
        }
        while self.ways.iter().map(Way::kept).sum::<usize>() > self.most {
            let [a, b] = &mut self.ways;
            if a.longest() >= b.longest() { a.thin() } else { b.thin() }
        }
    }

    fn finish(self) -> Sequence {
        Sequence {
            connection: self.connection,
            start: self.start,
            length: self.length,
            ways: self.ways.map(Way::finish),
        }
    }
}

/// One direction.
#[derive(Debug, Default)]
struct Way {
    /// The number that counts as 0.
    base: Option<u32>,
    /// The highest number sent, unwrapped.
    newest: i64,
    plain: Thinned<SentSegment>,
    marked: Thinned<SentSegment>,
    acked: Thinned<(i64, i64)>,
    allowed: Thinned<(i64, i64)>,
    closed: Thinned<i64>,
    sacked: Thinned<(i64, i64, i64)>,
    /// The blocks of the acknowledgment before: they are repeated.
    blocks: Sack,
}

impl Way {
    /// A number of 32 bits as one that goes on: the one nearest to the highest that was sent.
    fn place(&self, number: u32) -> i64 {
        let newest = self.base.unwrap_or(0).wrapping_add(self.newest as u32);
        self.newest.saturating_add(i64::from(number.wrapping_sub(newest) as i32))
    }

    /// A segment of this direction.
    fn sent(&mut self, time: i64, s: &Segment, base: u32, again: bool) {
        self.base.get_or_insert(base);
        let has = |flag| s.tcp.has(flag);
        let segment = SentSegment {
            time,
            frame: s.frame,
            seq: self.place(s.tcp.seq),
            bytes: s.payload.unwrap_or(0),
            again,
            syn: has(Tcp::SYN),
            fin: has(Tcp::FIN),
            reset: has(Tcp::RST),
        };
        // The number of a reset may be made up.
        if !segment.reset {
            self.newest = self.newest.max(segment.end());
        }
        if segment.is_marked() {
            self.marked.push(segment);
        } else if segment.bytes > 0 {
            self.plain.push(segment);
        }
    }

    /// An acknowledgment from the other side, which allows up to `end`.
    fn answered(&mut self, time: i64, tcp: &Tcp, end: Option<u32>) {
        self.base.get_or_insert(tcp.ack.wrapping_sub(1));
        let acked = self.place(tcp.ack);
        if self.acked.last.is_none_or(|(_, last)| last != acked) {
            self.acked.push((time, acked));
        }
        if let Some(end) = end {
            // A window is less than 2³⁰ (RFC 7323), so its end is told from the acknowledgment, not from what was sent.
            let allowed = acked.saturating_add(i64::from(end.wrapping_sub(tcp.ack)));
            if self.allowed.last.is_none_or(|(_, last)| last != allowed) {
                self.allowed.push((time, allowed));
            }
        }
        for block in tcp.sack.blocks() {
            if !self.blocks.blocks().any(|known| known == block) {
                let (left, right) = (self.place(block.0), self.place(block.1));
                self.sacked.push((time, left, right));
            }
        }
        self.blocks = tcp.sack;
    }

    fn lengths(&self) -> [usize; 6] {
        [
            self.plain.kept.len(),
            self.marked.kept.len(),
            self.acked.kept.len(),
            self.allowed.kept.len(),
            self.closed.kept.len(),
            self.sacked.kept.len(),
        ]
    }

    fn kept(&self) -> usize {
        self.lengths().iter().sum()
    }

    fn longest(&self) -> usize {
        self.lengths().into_iter().max().unwrap_or(0)
    }

    /// Halves the longest list.
    fn thin(&mut self) {
        let lengths = self.lengths();
        let longest = self.longest();
        match lengths.iter().position(|&n| n == longest) {
            Some(0) => self.plain.halve(),
            Some(1) => self.marked.halve(),
            Some(2) => self.acked.halve(),
            Some(3) => self.allowed.halve(),
            Some(4) => self.closed.halve(),
            _ => self.sacked.halve(),
        }
    }

    fn finish(self) -> SequenceWay {
        let mut left_out = 0;
        let mut segments = self.plain.finish(&mut left_out);
        segments.extend(self.marked.finish(&mut left_out));
        segments.sort_by_key(|s| s.frame);
        SequenceWay {
            segments,
            acked: self.acked.finish(&mut left_out),
            allowed: self.allowed.finish(&mut left_out),
            closed: self.closed.finish(&mut left_out),
            sacked: self.sacked.finish(&mut left_out),
            left_out,
        }
    }
}

/// A list that keeps every member, or every second, fourth… of them.
#[derive(Debug)]
struct Thinned<T> {
    kept: Vec<T>,
    stride: u64,
    seen: u64,
    /// The newest, kept or not: it ends the list.
    last: Option<T>,
    last_is_kept: bool,
}

impl<T> Default for Thinned<T> {
    fn default() -> Self {
        Thinned { kept: Vec::new(), stride: 1, seen: 0, last: None, last_is_kept: false }
    }
}

impl<T: Copy> Thinned<T> {
    fn push(&mut self, member: T) {
        self.last_is_kept = self.seen.is_multiple_of(self.stride);
        if self.last_is_kept {
            self.kept.push(member);
        }
        self.seen += 1;
        self.last = Some(member);
    }

    fn halve(&mut self) {
        let many = self.kept.len();
        let mut place = 0;
        self.kept.retain(|_| {
            place += 1;
            place % 2 == 1
        });
        // The last stays where there were an odd number of them.
        self.last_is_kept &= many % 2 == 1;
        self.stride = self.stride.saturating_mul(2);
    }

    fn finish(mut self, left_out: &mut u64) -> Vec<T> {
        if let Some(last) = self.last.filter(|_| !self.last_is_kept) {
            self.kept.push(last);
        }
        *left_out += self.seen - self.kept.len() as u64;
        self.kept
    }
}

#[cfg(test)]
mod tests;
