//! What was sent more than once, whatever it looks like: which numbers were seen before, and what the receiver says of
//! it in SACK (RFC 2018) and DSACK (RFC 2883) blocks.
//!
//! The figure to compare it with is the sender's own `TcpRetransSegs`. At the sender every copy is seen. At the
//! receiver what was lost on the way is not: there a hole is filled by a retransmission, or by a segment that others
//! overtook. Which, is told by what the sender counts: the segment was sent after the one behind the hole if its
//! timestamp (RFC 7323) is later, or its IP identification, where those of the sender go up one by one (as Linux and
//! Windows have it). Where neither tells, half a round trip does: what fills a hole later was sent again.

use super::Segment;
use super::seq::{after, before, not_after};
use super::side::Side;
use crate::packet::Tcp;

/// Most holes followed in one direction; the oldest is forgotten first.
const HOLES: usize = 64;
/// How late an overtaken segment may come where no round trip is known, nanoseconds.
const OVERTAKEN: i64 = 3_000_000;
/// Payload of a segment where the handshake does not tell: Ethernet with timestamps.
const USUAL: u32 = 1448;
/// What the timestamp option takes of each segment.
const TIMESTAMPS: u32 = 12;

/// What one side sent more than once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retransmitted {
    /// Segments: of a frame that offload joined, as many as its repeated bytes fill. SYN and FIN count.
    pub segments: u64,
    /// Bytes of payload.
    pub bytes: u64,
    /// Of `bytes`, those that the other side had acknowledged, also selectively, before they were sent again.
    pub needless_bytes: u64,
    /// Duplicates that the other side reported: DSACK blocks.
    pub reported: u64,
}

/// Numbers that were skipped.
#[derive(Debug, Clone, Copy)]
struct Hole {
    start: u32,
    end: u32,
    /// The segment behind it.
    behind: Sending,
}

/// What a segment tells of when it was sent.
#[derive(Debug, Clone, Copy, Default)]
struct Sending {
    time: i64,
    ip_id: u16,
    timestamp: Option<u32>,
}

/// Whether IP identifications go up with each packet.
#[derive(Debug, Clone, Copy, Default)]
struct Counting {
    newest: u16,
    steps: u32,
    leaps: u32,
}

impl Counting {
    /// Largest step: a frame that offload joined takes as many as it has segments.
    const STEP: u16 = 64;

    /// Notes the identification of a segment that moves the sequence on.
    fn add(&mut self, id: u16) {
        let step = id.wrapping_sub(self.newest);
        self.newest = id;
        let counted = if (1..=Self::STEP).contains(&step) { &mut self.steps } else { &mut self.leaps };
        *counted = counted.saturating_add(1);
    }

    fn can_tell(&self) -> bool {
        self.steps >= 8 && self.leaps <= self.steps / 8
    }
}

/// What one side sent.
#[derive(Debug, Clone, Default)]
struct Sent {
    /// The number after the highest; `None` before anything was sent.
    next: Option<u32>,
    holes: Vec<Hole>,
    counting: Counting,
    mss: Option<u32>,
    timestamps: bool,
    sums: Retransmitted,
}

/// Both sides.
#[derive(Debug, Clone, Default)]
pub(super) struct Truth {
    sent: [Sent; 2],
}

impl Truth {
    /// Takes in a segment after its `sides` were brought up to date. Gives how many segments' worth of it were sent
    /// before.
    pub(super) fn push(&mut self, from: usize, segment: &Segment, len: u32, rtt: i64, sides: &[Side; 2]) -> u32 {
        let tcp = &segment.tcp;
        self.options(from, tcp);
        if is_duplicate_report(tcp) {
            let reported = &mut self.sent[1 - from].sums.reported;
            *reported = reported.saturating_add(1);
        }
        let numbers = len.wrapping_add(u32::from(tcp.has(Tcp::SYN))).wrapping_add(u32::from(tcp.has(Tcp::FIN)));
        if numbers == 0 || tcp.has(Tcp::RST) {
            return 0;
        }
        let size = self.segment_size();
        let (me, peer) = (&mut self.sent[from], &sides[1 - from]);
        let end = tcp.seq.wrapping_add(numbers);
        let probe = len <= 1 && numbers == len && (peer.window == 0 || me.next == Some(end));
        if probe {
            // A keep-alive, or a byte beyond a closed window.
            return 0;
        }
        me.holes.retain(|hole| !peer.has_acknowledged(hole.end));
        let limit = if rtt > 0 { rtt / 2 } else { OVERTAKEN };
        let sending =
            Sending { time: segment.time, ip_id: segment.ip_id, timestamp: tcp.timestamps.map(|(value, _)| value) };
        let again = me.take(tcp.seq, end, sending, limit);
        if again == 0 {
            return 0;
        }
        let bytes = again.min(len);
        let count = bytes.div_ceil(size).max(1);
        me.sums.segments = me.sums.segments.saturating_add(u64::from(count));
        me.sums.bytes = me.sums.bytes.saturating_add(u64::from(bytes));
        let had = |(left, right)| not_after(left, tcp.seq) && not_after(end, right);
        if peer.has_acknowledged(end) || peer.sack.blocks().any(had) {
            me.sums.needless_bytes = me.sums.needless_bytes.saturating_add(u64::from(bytes));
        }
        count
    }

    /// What a side sent more than once.
    pub(super) fn sums(&self) -> [Retransmitted; 2] {
        [self.sent[0].sums, self.sent[1].sums]
    }

    fn options(&mut self, from: usize, tcp: &Tcp) {
        let me = &mut self.sent[from];
        if tcp.has(Tcp::SYN) {
            me.mss = tcp.mss.map(u32::from).or(me.mss);
        }
        me.timestamps |= tcp.timestamps.is_some();
    }

    /// Payload of a full segment.
    fn segment_size(&self) -> u32 {
        let mss = self.sent.iter().filter_map(|s| s.mss).min();
        let options = if self.sent.iter().any(|s| s.timestamps) { TIMESTAMPS } else { 0 };
        mss.map_or(USUAL, |mss| mss.saturating_sub(options)).max(1)
    }
}

impl Sent {
    /// Notes that the numbers from `seq` to `end` were sent. Gives how many of them were sent before.
    fn take(&mut self, seq: u32, end: u32, sending: Sending, limit: i64) -> u32 {
        let Some(next) = self.next else {
            self.next = Some(end);
            self.counting.newest = sending.ip_id;
            return 0;
        };
        if after(seq, next) {
            if self.holes.len() == HOLES {
                self.holes.remove(0);
            }
            self.holes.push(Hole { start: next, end: seq, behind: sending });
        }
        if after(end, next) {
            self.next = Some(end);
        }
        if !before(seq, next) {
            self.counting.add(sending.ip_id);
            return 0;
        }
        let below = if before(end, next) { end } else { next };
        let late = self.fill(seq, below, sending, limit);
        below.wrapping_sub(seq).saturating_sub(late)
    }

    /// Takes the numbers from `seq` to `end` out of the holes. Gives how many of them come for the first time, late.
    fn fill(&mut self, seq: u32, end: u32, sending: Sending, limit: i64) -> u32 {
        let mut late = 0u32;
        let mut left = Vec::with_capacity(self.holes.len());
        for hole in std::mem::take(&mut self.holes) {
            let start = if before(hole.start, seq) { seq } else { hole.start };
            let stop = if before(end, hole.end) { end } else { hole.end };
            if !before(start, stop) {
                left.push(hole);
                continue;
            }
            if !self.was_sent_after(sending, hole.behind, limit) {
                late = late.saturating_add(stop.wrapping_sub(start));
            }
            left.extend(
                [Hole { end: start, ..hole }, Hole { start: stop, ..hole }].iter().filter(|h| h.start != h.end),
            );
        }
        left.truncate(HOLES);
        self.holes = left;
        late
    }

    /// Whether a segment that fills a hole was sent after the one behind the hole.
    fn was_sent_after(&self, filler: Sending, behind: Sending, limit: i64) -> bool {
        if let (Some(a), Some(b)) = (filler.timestamp, behind.timestamp)
            && a != b
        {
            return after(a, b);
        }
        if self.counting.can_tell() && filler.ip_id != behind.ip_id {
            return (filler.ip_id.wrapping_sub(behind.ip_id) as i16) > 0;
        }
        filler.time.saturating_sub(behind.time) >= limit
    }
}

/// Whether the first block tells of a duplicate: it lies below the acknowledgment, or inside the second block
/// (RFC 2883, section 4).
fn is_duplicate_report(tcp: &Tcp) -> bool {
    let mut blocks = tcp.sack.blocks();
    let Some((left, right)) = blocks.next() else { return false };
    let inside = blocks.next().is_some_and(|(l, r)| not_after(l, left) && not_after(right, r));
    tcp.has(Tcp::ACK) && (not_after(right, tcp.ack) || inside)
}
