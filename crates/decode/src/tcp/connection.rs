//! One connection, segment by segment, by the rules of Wireshark 4.0 (`tcp_analyze_sequence_number` in
//! `epan/dissectors/packet-tcp.c`), so that each mark can be held against the field `tcp.analysis.*` of that name.
//!
//! The rules are Wireshark's, peculiar ones too: what people read there they find here. What they get wrong (they know
//! nothing of SACK) is told beside them, by [`truth`](super::truth).

use super::flags::Flags;
use super::life::Life;
use super::rtt::RoundTrips;
use super::seq::{after, before};
use super::side::{Side, agree_on_scale};
use super::totals::Totals;
use super::truth::Truth;
use super::{Marks, Segment};
use crate::packet::Tcp;

/// What comes this soon after the newest segment came late, where the round trip is not known. Nanoseconds.
const LATE: i64 = 3_000_000;
/// A retransmission this soon after duplicate acknowledgments is a fast one. Nanoseconds.
const FAST: i64 = 20_000_000;
/// Bytes in flight beyond this are a miscount.
const ABSURD: u32 = 2_000_000_000;

/// The state of one connection. Sides are told by number, 0 and 1; the caller chooses which is which.
#[derive(Debug, Clone, Default)]
pub struct Connection {
    pub(super) sides: [Side; 2],
    /// When the newest SYN came; 0 when none did.
    syn_time: i64,
    /// From that to the first ACK after it; 0 when not both were seen.
    first_rtt: i64,
    /// Whether a segment that tshark analyzes came since, which is where it shows it.
    first_rtt_shown: bool,
    /// Whether the next segment opens a connection on ports that were in use.
    reopens: bool,
    /// MPTCP options seen, as in [`Tcp::mptcp`].
    mptcp: u8,
    pub(super) flags: [u64; Flags::ALL.len()],
    pub(super) in_flight_max: u32,
    pub(super) round_trips: RoundTrips,
    pub(super) life: Life,
    pub(super) truth: Truth,
}

/// A segment while it is looked at.
struct Look {
    /// Marks so far.
    flags: Flags,
    /// Its place among duplicate acknowledgments.
    duplicate: u32,
    /// Whether tshark says anything of it.
    analyzed: bool,
}

impl Connection {
    /// A connection on the ports of one that was there before.
    pub fn reopened() -> Connection {
        Connection { reopens: true, ..Connection::default() }
    }

    /// Whether a segment of side `from` opens another connection on the same ports: a SYN without ACK, and with
    /// another first sequence number. It belongs to a new [`Connection::reopened`], as in tshark's `tcp.stream`.
    pub fn is_reopened_by(&self, from: usize, tcp: &Tcp) -> bool {
        let base = self.sides[from & 1].base;
        tcp.has(Tcp::SYN) && !tcp.has(Tcp::ACK) && base.is_some_and(|base| base != tcp.seq)
    }

    /// Takes in a segment of side `from` (0 or 1), in the order of the capture.
    pub fn push(&mut self, from: usize, segment: &Segment) -> Marks {
        let from = from & 1;
        let mut look = Look { flags: Flags::default(), duplicate: 0, analyzed: false };
        self.life.header(from, &segment.tcp);
        self.open(from, &segment.tcp, &mut look);
        let mut marks = Marks::default();
        if let Some(len) = segment.payload {
            self.base(from, &segment.tcp);
            let acked = self.analyze(from, segment, len, &mut look);
            if let Some((frame, rtt)) = acked {
                marks.acks_frame = Some(frame);
                // tshark shows no round trip of nothing.
                marks.ack_rtt = (rtt != 0).then_some(rtt);
                look.analyzed = true;
            }
            marks.bytes_in_flight = self.in_flight(from, segment, len, &mut look);
            marks.retransmitted = self.truth.push(from, segment, len, self.first_rtt, &self.sides);
            let what = (marks.retransmitted > 0, look.flags);
            self.life.push(from, segment, len, what, &self.sides, self.first_rtt);
        }
        self.after(from, segment);
        self.first_rtt_shown |= look.analyzed && self.first_rtt != 0;
        marks.flags = look.flags;
        marks.duplicate_ack = look.duplicate;
        if look.duplicate > 0 {
            marks.duplicate_of = Some(self.sides[from].ack_frame);
        }
        self.count(&marks);
        marks
    }

    /// Whether both sides said that they send no more, or one reset it.
    pub fn is_closed(&self) -> bool {
        self.life.is_closed()
    }

    /// What was found so far.
    pub fn totals(&self) -> Totals {
        Totals::of(self)
    }

    /// SYN to the first ACK after it, as tshark's `tcp.analysis.initial_rtt`, nanoseconds.
    pub fn initial_rtt(&self) -> Option<i64> {
        self.first_rtt_shown.then_some(self.first_rtt)
    }

    /// The side that opened it, by its SYN or the other's SYN-ACK.
    pub fn opener(&self) -> Option<usize> {
        self.life.opener
    }

    /// The number up to which side `of` allows the other to send, by its newest acknowledgment and window: the end of
    /// its receive window. `None` where the scale of its window is not known, or no segment of it was seen.
    pub fn window_end(&self, of: usize) -> Option<u32> {
        let side = &self.sides[of & 1];
        side.edge().filter(|_| side.ack_time != 0)
    }

    /// What a SYN says before it is analyzed.
    fn open(&mut self, from: usize, tcp: &Tcp, look: &mut Look) {
        if std::mem::take(&mut self.reopens) {
            look.flags.insert(Flags::REUSED_PORTS);
            look.analyzed = true;
        }
        let me = &mut self.sides[from];
        match (tcp.has(Tcp::SYN), tcp.has(Tcp::ACK), me.base) {
            (true, false, Some(base)) if base == tcp.seq => {
                // The same SYN again. A reset may have moved the sequence away from it.
                me.next = me.whole;
                look.analyzed = true;
            }
            (true, true, Some(base)) if base != tcp.seq => {
                me.base = Some(tcp.seq);
                look.flags.insert(Flags::REUSED_PORTS);
                look.analyzed = true;
            }
            _ => {}
        }
    }

    /// Notes where the numbers of both sides begin.
    fn base(&mut self, from: usize, tcp: &Tcp) {
        let before_first = u32::from(!tcp.has(Tcp::SYN));
        self.sides[from].base.get_or_insert(tcp.seq.wrapping_sub(before_first));
        if tcp.has(Tcp::ACK) {
            self.sides[1 - from].base.get_or_insert(tcp.ack.wrapping_sub(1));
        }
    }

    /// The marks, in the order in which they depend on each other. Gives frame and round trip of the segment whose
    /// end is acknowledged.
    fn analyze(&mut self, from: usize, segment: &Segment, len: u32, look: &mut Look) -> Option<(u64, i64)> {
        let tcp = &segment.tcp;
        if tcp.has(Tcp::ACK) {
            self.sides[1 - from].in_flight_known = true;
        }
        self.windows_and_acks(from, tcp, len, look);
        self.acked_unseen(from, segment, look);
        if len > 0 || tcp.flags & (Tcp::SYN | Tcp::FIN) != 0 {
            let kind = self.sent_before(from, segment, len, look.flags);
            look.flags.insert(kind);
        }
        look.analyzed |= !look.flags.is_empty();
        self.remember(from, segment, len, look.flags);
        let acked = self.sides[1 - from].unacked.acknowledge(tcp.ack)?;
        Some((acked.frame, segment.time.saturating_sub(acked.time)))
    }

    /// Probes, windows, keep-alives, holes and duplicate acknowledgments.
    fn windows_and_acks(&mut self, from: usize, tcp: &Tcp, len: u32, look: &mut Look) {
        let (me, peer) = pair(&mut self.sides, from);
        let window = u32::from(tcp.window);
        let next = tcp.seq == me.next;
        if len == 1 && next && peer.window == 0 {
            look.flags.insert(Flags::ZERO_WINDOW_PROBE);
            return;
        }
        let control = tcp.flags & (Tcp::SYN | Tcp::FIN | Tcp::RST) != 0;
        if window == 0 && !control {
            look.flags.insert(Flags::ZERO_WINDOW);
        }
        if me.next != 0 && after(tcp.seq, me.next) && !tcp.has(Tcp::RST) {
            look.flags.insert(Flags::LOST_SEGMENT);
            me.in_flight_known = false;
        }
        if control {
            return;
        }
        if len <= 1 && tcp.seq == me.next.wrapping_sub(1) {
            look.flags.insert(Flags::KEEP_ALIVE);
        }
        let same_place = len == 0 && next && tcp.ack == me.ack;
        if same_place && window != 0 && window != me.window {
            look.flags.insert(Flags::WINDOW_UPDATE);
        }
        if len > 0 && peer.edge() == Some(tcp.seq.wrapping_add(len)) {
            look.flags.insert(Flags::WINDOW_FULL);
        }
        if !same_place || window != me.window {
            return;
        }
        if window != 0 && peer.last.has(Flags::KEEP_ALIVE) {
            look.flags.insert(Flags::KEEP_ALIVE_ACK);
        } else if window == 0 && peer.last.has(Flags::ZERO_WINDOW_PROBE) {
            look.flags.insert(Flags::ZERO_WINDOW_PROBE_ACK);
        } else if window != 0 && (self.mptcp == 0 || self.mptcp == me.mptcp) {
            // RFC 8684, section 4: an acknowledgment that carries other MPTCP options than before repeats nothing.
            me.duplicates = if me.duplicates == Side::AFTER_LOSS { 1 } else { me.duplicates.saturating_add(1) };
            look.flags.insert(Flags::DUPLICATE_ACK);
            look.duplicate = me.duplicates;
        }
    }

    /// Whether bytes are acknowledged that were not captured. One hole is told once.
    fn acked_unseen(&mut self, from: usize, segment: &Segment, look: &mut Look) {
        let (me, peer) = pair(&mut self.sides, from);
        let tcp = &segment.tcp;
        if tcp.ack != me.ack {
            me.ack_frame = segment.frame;
            me.duplicates = 0;
        }
        if peer.whole == 0 || !after(tcp.ack, peer.whole) || !tcp.has(Tcp::ACK) {
            return;
        }
        look.analyzed = true;
        if before(peer.whole, peer.next) {
            peer.whole = peer.next;
            look.flags.insert(Flags::ACK_LOST_SEGMENT);
            return;
        }
        if peer.duplicates == 0 {
            look.flags.insert(Flags::ACK_LOST_SEGMENT);
        }
        peer.duplicates = Side::AFTER_LOSS;
    }

    /// What a segment with bytes (or SYN, or FIN) is that does not advance the sequence.
    fn sent_before(&self, from: usize, segment: &Segment, len: u32, flags: Flags) -> Flags {
        let (me, peer) = (&self.sides[from], &self.sides[1 - from]);
        let tcp = &segment.tcp;
        let mut kind = Flags::default();
        if flags.has(Flags::KEEP_ALIVE) {
            return kind;
        }
        let end = tcp.seq.wrapping_add(len);
        if len > 0 && peer.has_acknowledged(end) {
            kind.insert(Flags::RETRANSMISSION);
            kind.insert(Flags::SPURIOUS_RETRANSMISSION);
            return kind;
        }
        // One byte back with more behind it follows a zero window probe: it adds new bytes.
        let after_probe = len > 1 && tcp.seq == me.next.wrapping_sub(1);
        if me.next == 0 || !before(tcp.seq, me.next) || after_probe {
            return kind;
        }
        let asked = peer.duplicates >= 2 && peer.ack == tcp.seq;
        if asked && within(segment.time, peer.ack_time, FAST) {
            kind.insert(Flags::RETRANSMISSION);
            kind.insert(Flags::FAST_RETRANSMISSION);
            return kind;
        }
        let late = if self.first_rtt == 0 { LATE } else { self.first_rtt };
        let control = u32::from(tcp.flags & (Tcp::SYN | Tcp::FIN) != 0);
        if within(segment.time, me.next_time, late) && me.next != end.wrapping_add(control) {
            kind.insert(Flags::OUT_OF_ORDER);
        } else {
            kind.insert(Flags::RETRANSMISSION);
        }
        kind
    }

    /// Moves the side on.
    fn remember(&mut self, from: usize, segment: &Segment, len: u32, flags: Flags) {
        let tcp = &segment.tcp;
        let me = &mut self.sides[from];
        let mut next = tcp.seq.wrapping_add(len);
        let control = tcp.flags & (Tcp::SYN | Tcp::FIN) != 0;
        if (len > 0 || control) && me.unacked.has_room() {
            next = next.wrapping_add(u32::from(control));
            me.unacked.push(tcp.seq, next, segment.frame, segment.time);
        }
        // A probe does not move the sequence on.
        let probe = flags.has(Flags::ZERO_WINDOW_PROBE);
        if (after(next, me.next) || me.next == 0) && !probe {
            me.next = next;
            me.next_time = segment.time;
        }
        if (tcp.seq == me.whole || me.whole == 0) && !probe {
            me.whole = me.next;
        }
        me.window = u32::from(tcp.window);
        me.ack = tcp.ack;
        me.ack_time = segment.time;
        me.last = flags;
        if self.mptcp != 0 {
            me.mptcp = self.mptcp;
        }
    }

    /// Bytes in flight after a segment with bytes; 0 where they cannot be told.
    fn in_flight(&self, from: usize, segment: &Segment, len: u32, look: &mut Look) -> u32 {
        let (me, peer) = (&self.sides[from], &self.sides[1 - from]);
        if len == 0 || !me.in_flight_known {
            return 0;
        }
        let Some(span) = me.unacked.span(me.base.unwrap_or(0)) else { return 0 };
        look.analyzed = true;
        let bytes = span.wrapping_sub(peer.sacked());
        if bytes == 0 || bytes >= ABSURD {
            return 0;
        }
        // SYN and FIN take a number, not a byte.
        bytes - u32::from(segment.tcp.flags & (Tcp::SYN | Tcp::FIN) != 0)
    }

    /// What a segment leaves behind once it was analyzed: times, scales, blocks.
    fn after(&mut self, from: usize, segment: &Segment) {
        let tcp = &segment.tcp;
        let (syn, ack) = (tcp.has(Tcp::SYN), tcp.has(Tcp::ACK));
        if syn {
            if !ack {
                self.syn_time = segment.time;
            }
            self.sides[from].window_of_syn = true;
        } else if ack {
            if self.syn_time != 0 && self.first_rtt == 0 {
                self.first_rtt = segment.time.saturating_sub(self.syn_time);
            }
            self.sides[from].window_of_syn = false;
        }
        self.mptcp |= tcp.mptcp;
        let (me, peer) = pair(&mut self.sides, from);
        me.sack = tcp.sack;
        agree_on_scale(me, peer, tcp);
    }

    fn count(&mut self, marks: &Marks) {
        for place in marks.flags.places() {
            self.flags[place] += 1;
        }
        self.in_flight_max = self.in_flight_max.max(marks.bytes_in_flight);
        if let Some(rtt) = marks.ack_rtt {
            self.round_trips.add(rtt);
        }
    }
}

/// Both sides, that which sent first.
fn pair(sides: &mut [Side; 2], from: usize) -> (&mut Side, &mut Side) {
    let [a, b] = sides;
    if from == 0 { (a, b) } else { (b, a) }
}

/// Whether `time` is less than `limit` after `since`, and not before it.
fn within(time: i64, since: i64, limit: i64) -> bool {
    // As unsigned numbers, like Wireshark: what lies before is far away.
    (time.wrapping_sub(since) as u64) < limit as u64
}
