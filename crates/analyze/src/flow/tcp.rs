//! What the headers of one TCP connection tell: handshake, retransmissions, resets, windows.
//!
//! The rules are those by which people already read captures (Wireshark's sequence analysis), so that the figures can
//! be compared: a segment that does not advance the sequence is a retransmission, unless it comes so soon that it
//! only arrived late. Like there, SACK blocks are not read.

use coldcase_decode::packet::Tcp;
use coldcase_model::analysis::TcpFacts;

/// A segment that does not advance the sequence within this time (or the handshake's round trip, where known) after
/// the newest one arrived late rather than again.
const LATE: i64 = 3_000_000;
/// A segment sent within this time after duplicate acknowledgments asked for it is a fast retransmission.
const FAST: i64 = 20_000_000;

/// One segment as the tracker sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Segment {
    /// When, nanoseconds.
    pub(super) time: i64,
    /// Its header.
    pub(super) tcp: Tcp,
    /// Bytes of payload on the wire.
    pub(super) payload: u32,
}

/// What one side of a connection has sent.
#[derive(Debug, Clone, Copy, Default)]
struct Side {
    base: Option<u32>,
    next: Option<u32>,
    next_time: i64,
    /// End of what was seen without a hole: acknowledgments beyond it are of segments that were not captured.
    whole: Option<u32>,
    ack: Option<u32>,
    ack_time: i64,
    window: Option<u16>,
    duplicate_acks: u32,
    last: Last,
    syn: Option<i64>,
    syns: u64,
}

/// What the newest segment of a side was, where later ones depend on it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Last {
    #[default]
    Plain,
    KeepAlive,
    ZeroWindowProbe,
}

/// The state of one TCP connection.
#[derive(Debug, Clone, Default)]
pub(super) struct Tracker {
    sides: [Side; 2],
    facts: TcpFacts,
    syn_ack: bool,
    closed: bool,
}

fn before(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}

impl Tracker {
    /// Whether a segment of side `from` opens another connection on the same ports: a SYN with another first sequence
    /// number, or after the end of this one.
    pub(super) fn is_reopened_by(&self, from: usize, tcp: &Tcp) -> bool {
        tcp.has(Tcp::SYN)
            && !tcp.has(Tcp::ACK)
            && self.sides[from].base.is_some_and(|base| base != tcp.seq || self.closed)
    }

    /// Which side sent the first SYN without ACK, if one was seen.
    pub(super) fn opener(&self) -> Option<usize> {
        match (self.sides[0].syn, self.sides[1].syn) {
            (None, None) => None,
            (Some(_), None) => Some(0),
            (None, Some(_)) => Some(1),
            (Some(a), Some(b)) => Some(usize::from(b < a)),
        }
    }

    /// Takes in a segment of side `from`. Tells whether it is a reset or sent again.
    pub(super) fn push(&mut self, from: usize, segment: Segment) -> bool {
        let sent_again = self.facts.retransmissions;
        let Segment { time, tcp, payload } = segment;
        self.handshake(from, time, &tcp);
        self.facts.resets += u64::from(tcp.has(Tcp::RST));
        self.closed |= tcp.flags & (Tcp::RST | Tcp::FIN) != 0;
        let kind = self.classify_ack(from, &segment);
        if kind != Last::KeepAlive {
            self.classify_sequence(from, &segment);
        }
        let side = &mut self.sides[from];
        let synfin = tcp.flags & (Tcp::SYN | Tcp::FIN) != 0;
        let next = tcp.seq.wrapping_add(payload).wrapping_add(u32::from(synfin));
        if kind != Last::ZeroWindowProbe {
            if side.next.is_none_or(|n| before(n, next)) {
                side.next = Some(next);
                side.next_time = time;
            }
            if side.whole.is_none_or(|w| w == tcp.seq) {
                side.whole = Some(next);
            }
        }
        if tcp.has(Tcp::ACK) {
            side.ack = Some(tcp.ack);
            side.ack_time = time;
        }
        side.window = Some(tcp.window);
        side.last = kind;
        tcp.has(Tcp::RST) || self.facts.retransmissions > sent_again
    }

    fn handshake(&mut self, from: usize, time: i64, tcp: &Tcp) {
        if self.sides[from].base.is_none() {
            let syn = u32::from(!tcp.has(Tcp::SYN));
            self.sides[from].base = Some(tcp.seq.wrapping_sub(syn));
            if tcp.has(Tcp::ACK) && self.sides[1 - from].base.is_none() {
                self.sides[1 - from].base = Some(tcp.ack.wrapping_sub(1));
            }
        }
        match (tcp.has(Tcp::SYN), tcp.has(Tcp::ACK)) {
            (true, false) => {
                self.sides[from].syn = Some(time);
                self.sides[from].syns += 1;
            }
            (true, true) => self.syn_ack = true,
            (false, true) if self.syn_ack && !self.facts.handshake && !tcp.has(Tcp::RST) => {
                if let Some(syn) = self.sides[from].syn {
                    self.facts.handshake = true;
                    self.facts.rtt = Some(time.saturating_sub(syn).max(0) as u64);
                }
            }
            _ => {}
        }
    }

    /// What the segment says about the other direction and about windows.
    fn classify_ack(&mut self, from: usize, segment: &Segment) -> Last {
        let Segment { tcp, payload, .. } = *segment;
        let (me, peer) = (self.sides[from], self.sides[1 - from]);
        let control = tcp.flags & (Tcp::SYN | Tcp::FIN | Tcp::RST) != 0;
        if payload == 1 && me.next == Some(tcp.seq) && peer.window == Some(0) {
            return Last::ZeroWindowProbe;
        }
        self.facts.zero_windows += u64::from(tcp.window == 0 && !control);
        if !tcp.has(Tcp::RST) && me.next.is_some_and(|next| before(next, tcp.seq)) {
            self.facts.lost_segments += 1;
        }
        let same_place = payload == 0 && !control && me.next == Some(tcp.seq);
        let repeats = same_place && tcp.window != 0 && me.window == Some(tcp.window) && me.ack == Some(tcp.ack);
        let kind = match me.next {
            Some(next) if payload <= 1 && tcp.seq == next.wrapping_sub(1) && !control => Last::KeepAlive,
            _ => Last::Plain,
        };
        if repeats && peer.last != Last::KeepAlive {
            self.facts.duplicate_acks += 1;
            self.sides[from].duplicate_acks += 1;
        }
        if tcp.has(Tcp::ACK) && me.ack != Some(tcp.ack) {
            self.sides[from].duplicate_acks = 0;
        }
        kind
    }

    /// Whether the segment was sent before, came late, or is new.
    fn classify_sequence(&mut self, from: usize, segment: &Segment) {
        let Segment { time, tcp, payload } = *segment;
        let (me, peer) = (self.sides[from], self.sides[1 - from]);
        let control = tcp.flags & (Tcp::SYN | Tcp::FIN) != 0;
        if payload == 0 && !control {
            return;
        }
        let Some(next) = me.next else { return };
        let end = tcp.seq.wrapping_add(payload);
        if payload > 0 && peer.ack.is_some_and(|acked| !before(acked, end)) {
            self.facts.retransmissions += 1;
            self.facts.spurious_retransmissions += 1;
            return;
        }
        // One byte back with more behind it follows a zero window probe or a keep-alive: it adds new bytes.
        let probed = payload > 1 && tcp.seq == next.wrapping_sub(1);
        if !before(tcp.seq, next) || probed {
            return;
        }
        let asked = peer.duplicate_acks >= 2 && peer.ack == Some(tcp.seq);
        let late = self.facts.rtt.map_or(LATE, |rtt| rtt as i64);
        if asked && time.saturating_sub(peer.ack_time) < FAST {
            self.facts.retransmissions += 1;
            self.facts.fast_retransmissions += 1;
        } else if time.saturating_sub(me.next_time) < late && next != end.wrapping_add(u32::from(control)) {
            self.facts.out_of_order += 1;
        } else {
            self.facts.retransmissions += 1;
        }
    }

    /// The facts, given how many packets each side sent.
    pub(super) fn finish(&self, packets: [u64; 2]) -> TcpFacts {
        let mut facts = self.facts.clone();
        facts.unanswered_syns = (0..2).filter(|&s| packets[1 - s] == 0).map(|s| self.sides[s].syns).sum();
        facts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seg(time_ms: i64, flags: u8, seq: u32, ack: u32, payload: u32) -> Segment {
        let tcp = Tcp { flags, seq, ack, window: 500, ..Tcp::default() };
        Segment { time: time_ms * 1_000_000, tcp, payload }
    }

    fn open() -> Tracker {
        let mut t = Tracker::default();
        t.push(0, seg(0, Tcp::SYN, 99, 0, 0));
        t.push(1, seg(10, Tcp::SYN | Tcp::ACK, 499, 100, 0));
        t.push(0, seg(20, Tcp::ACK, 100, 500, 0));
        t
    }

    #[test]
    fn the_handshake_gives_the_round_trip_from_syn_to_ack() {
        let facts = open().finish([2, 1]);
        assert_eq!((facts.handshake, facts.rtt, facts.unanswered_syns), (true, Some(20_000_000), 0));
    }

    #[test]
    fn a_segment_sent_again_after_a_timeout_is_a_retransmission() {
        let mut t = open();
        t.push(0, seg(30, Tcp::ACK, 100, 500, 10));
        t.push(0, seg(300, Tcp::ACK, 100, 500, 10));
        t.push(1, seg(310, Tcp::ACK, 500, 110, 0));
        assert_eq!(t.finish([4, 2]).retransmissions, 1);
        t.push(0, seg(600, Tcp::ACK, 100, 500, 10));
        let facts = t.finish([5, 2]);
        assert_eq!((facts.retransmissions, facts.spurious_retransmissions), (2, 1), "its bytes were acknowledged");
    }

    #[test]
    fn two_segments_swapped_on_the_way_are_out_of_order_and_not_retransmitted() {
        let mut t = open();
        t.push(0, seg(30, Tcp::ACK, 110, 500, 10));
        t.push(0, seg(31, Tcp::ACK, 100, 500, 10));
        let facts = t.finish([4, 1]);
        assert_eq!((facts.retransmissions, facts.out_of_order, facts.lost_segments), (0, 1, 1));
    }

    #[test]
    fn duplicate_acks_make_the_next_retransmission_a_fast_one() {
        let mut t = open();
        t.push(0, seg(30, Tcp::ACK, 100, 500, 10));
        t.push(0, seg(30, Tcp::ACK, 110, 500, 10));
        t.push(0, seg(30, Tcp::ACK, 120, 500, 10));
        for _ in 0..4 {
            t.push(1, seg(35, Tcp::ACK, 500, 100, 0));
        }
        t.push(0, seg(36, Tcp::ACK, 100, 500, 10));
        let facts = t.finish([6, 5]);
        assert_eq!((facts.retransmissions, facts.fast_retransmissions, facts.duplicate_acks), (1, 1, 4));
    }

    #[test]
    fn a_keep_alive_is_neither_a_retransmission_nor_a_duplicate_ack() {
        let mut t = open();
        t.push(0, seg(30, Tcp::ACK, 100, 500, 10));
        t.push(1, seg(31, Tcp::ACK, 500, 110, 0));
        t.push(0, seg(9_000, Tcp::ACK, 109, 500, 0));
        t.push(1, seg(9_001, Tcp::ACK, 500, 110, 0));
        let facts = t.finish([4, 3]);
        assert_eq!((facts.retransmissions, facts.duplicate_acks), (0, 0));
    }

    #[test]
    fn syns_without_any_answer_are_counted_each_and_a_refusal_is_an_answer() {
        let mut t = Tracker::default();
        for ms in [0, 1_000, 3_000] {
            t.push(0, seg(ms, Tcp::SYN, 99, 0, 0));
        }
        let facts = t.finish([3, 0]);
        assert_eq!((facts.unanswered_syns, facts.retransmissions, facts.handshake), (3, 2, false));
        t.push(1, seg(3_001, Tcp::RST | Tcp::ACK, 0, 100, 0));
        let facts = t.finish([3, 1]);
        assert_eq!((facts.unanswered_syns, facts.resets), (0, 1));
    }

    #[test]
    fn sequence_numbers_wrap() {
        let mut t = Tracker::default();
        t.push(0, seg(0, Tcp::ACK, u32::MAX - 4, 1, 10));
        t.push(0, seg(1, Tcp::ACK, 5, 1, 10));
        t.push(0, seg(400, Tcp::ACK, 5, 1, 10));
        let facts = t.finish([3, 0]);
        assert_eq!((facts.retransmissions, facts.lost_segments, facts.unanswered_syns), (1, 0, 0));
    }

    #[test]
    fn a_syn_with_another_sequence_number_opens_another_connection() {
        let t = open();
        assert!(!t.is_reopened_by(0, &seg(0, Tcp::SYN, 99, 0, 0).tcp), "the same SYN again");
        assert!(t.is_reopened_by(0, &seg(0, Tcp::SYN, 12_345, 0, 0).tcp));
    }
}
