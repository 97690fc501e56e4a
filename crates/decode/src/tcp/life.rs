//! The life of a connection: how it was opened, how it was reset, and when it stood still.

use super::Segment;
use super::flags::Flags;
use super::side::Side;
use crate::packet::Tcp;

/// A wait shorter than this is none: a delayed acknowledgment may take it. Nanoseconds.
const SHORTEST: i64 = 200_000_000;

/// Resets, by when they came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Resets {
    /// In answer to a SYN, from a side that sent nothing else.
    pub refused: u64,
    /// While neither side had sent a FIN: what was under way is lost.
    pub mid_stream: u64,
    /// After a FIN or another reset of either side.
    pub after_close: u64,
}

/// Why nothing went on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StallCause {
    /// A SYN waited for its answer.
    Handshake,
    /// The receiver's window was closed.
    ZeroWindow,
    /// What was lost had to be sent again.
    Retransmission,
    /// What was sent was not acknowledged, though nothing was sent again.
    Unacknowledged,
}

impl StallCause {
    /// As it is written in reports.
    pub fn name(self) -> &'static str {
        match self {
            StallCause::Handshake => "handshake",
            StallCause::ZeroWindow => "zero_window",
            StallCause::Retransmission => "retransmission",
            StallCause::Unacknowledged => "unacknowledged",
        }
    }
}

/// A time in which a connection wanted to go on and did not: neither new bytes nor an acknowledgment of some came, for
/// 200 ms and two round trips at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stall {
    /// When the last thing went on, nanoseconds.
    pub start: i64,
    /// How long until the next, nanoseconds.
    pub length: i64,
    /// Why.
    pub cause: StallCause,
    /// The side that waited: 0 or 1.
    pub waiting: usize,
}

impl Stall {
    /// Most stalls kept of a connection, the longest.
    pub const KEPT: usize = 16;
}

/// What happened so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Life {
    pub(super) segments: [u64; 2],
    pub(super) syns: [u64; 2],
    pub(super) syn_acks: u64,
    pub(super) fins: u64,
    pub(super) resets: Resets,
    pub(super) payload: [u64; 2],
    pub(super) handshake: bool,
    pub(super) rtt: Option<u64>,
    /// The side that sent the first SYN, or did not send the first SYN-ACK.
    pub(super) opener: Option<usize>,
    syn_time: [Option<i64>; 2],
    /// Sides that sent a FIN.
    ended: [bool; 2],
    /// Sides that sent something other than a reset.
    spoke: [bool; 2],
    /// First and last segment with payload of each side.
    sending: [Option<(i64, i64)>; 2],
    /// Newest acknowledgment that went beyond those before.
    acked: [Option<u32>; 2],
    waiting: Option<Waiting>,
    last: i64,
    stalls: Vec<Stall>,
    count: u64,
    stalled: i64,
}

/// What the connection waits for since something last went on.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    since: i64,
    /// The side that wants to go on, and why it might not; `None` while nobody wants anything.
    why: Option<(usize, StallCause)>,
}

impl Life {
    /// Counts what a header alone tells.
    pub(super) fn header(&mut self, from: usize, tcp: &Tcp) {
        self.segments[from] += 1;
        match (tcp.has(Tcp::SYN), tcp.has(Tcp::ACK)) {
            (true, false) => {
                self.syns[from] += 1;
                self.opener.get_or_insert(from);
            }
            (true, true) => {
                self.syn_acks += 1;
                self.opener.get_or_insert(1 - from);
            }
            _ => {}
        }
        if tcp.has(Tcp::RST) {
            let resets = &mut self.resets;
            if self.syns[1 - from] > 0 && !self.spoke[from] {
                resets.refused += 1;
            } else if self.fins > 0 || *resets != Resets::default() {
                resets.after_close += 1;
            } else {
                resets.mid_stream += 1;
            }
        } else {
            self.spoke[from] = true;
        }
        self.fins += u64::from(tcp.has(Tcp::FIN));
        self.ended[from] |= tcp.has(Tcp::FIN);
    }

    /// Whether both sides said that they send no more, or one reset it.
    pub(super) fn is_closed(&self) -> bool {
        self.ended == [true; 2] || self.resets != Resets::default()
    }

    /// Takes in a segment after its `sides` were brought up to date: whether its bytes were sent before, and its marks.
    pub(super) fn push(
        &mut self,
        from: usize,
        segment: &Segment,
        len: u32,
        (again, flags): (bool, Flags),
        sides: &[Side; 2],
        rtt: i64,
    ) {
        let tcp = &segment.tcp;
        self.open(from, segment);
        if len > 0 {
            self.payload[from] += u64::from(len);
            let (_, last) = self.sending[from].get_or_insert((segment.time, segment.time));
            *last = segment.time;
        }
        let probe = flags.has(Flags::KEEP_ALIVE) || flags.has(Flags::ZERO_WINDOW_PROBE);
        let new = (len > 0 || tcp.flags & (Tcp::SYN | Tcp::FIN) != 0) && !again && !probe;
        let onward = new || self.acknowledges_more(from, tcp) || tcp.has(Tcp::RST);
        self.last = segment.time;
        if onward {
            self.end_wait(segment.time, rtt);
            let why = wants(sides, self.syns, self.syn_acks);
            self.waiting = Some(Waiting { since: segment.time, why });
        } else if let Some(waiting) = &mut self.waiting {
            let why = if again {
                Some((from, StallCause::Retransmission))
            } else if tcp.window == 0 || flags.has(Flags::ZERO_WINDOW_PROBE) {
                let closed = if tcp.window == 0 { from } else { 1 - from };
                Some((1 - closed, StallCause::ZeroWindow))
            } else {
                None
            };
            let settled = matches!(waiting.why, Some((_, StallCause::Handshake | StallCause::ZeroWindow)));
            if why.is_some() && !settled {
                waiting.why = why;
            }
        }
    }

    fn open(&mut self, from: usize, segment: &Segment) {
        let tcp = &segment.tcp;
        match (tcp.has(Tcp::SYN), tcp.has(Tcp::ACK)) {
            (true, false) => self.syn_time[from] = Some(segment.time),
            (false, true) if self.syn_acks > 0 && !self.handshake && !tcp.has(Tcp::RST) => {
                if let Some(syn) = self.syn_time[from] {
                    self.handshake = true;
                    self.rtt = Some(segment.time.saturating_sub(syn).max(0) as u64);
                }
            }
            _ => {}
        }
    }

    fn acknowledges_more(&mut self, from: usize, tcp: &Tcp) -> bool {
        if !tcp.has(Tcp::ACK) {
            return false;
        }
        let more = self.acked[from].is_none_or(|acked| super::seq::after(tcp.ack, acked));
        if more {
            self.acked[from] = Some(tcp.ack);
        }
        more
    }

    fn end_wait(&mut self, time: i64, rtt: i64) {
        if let Some(stall) = self.waiting.and_then(|w| stall(w, time, rtt)) {
            self.count += 1;
            self.stalled = self.stalled.saturating_add(stall.length);
            keep(&mut self.stalls, stall);
        }
    }

    /// The longest stalls in order of time, how many there were, and how long they were together. A wait that lasts
    /// to the end counts if something was tried in it.
    pub(super) fn stalls(&self, sides: &[Side; 2]) -> (Vec<Stall>, u64, u64) {
        let (mut stalls, mut count, mut stalled) = (self.stalls.clone(), self.count, self.stalled);
        let open = self.waiting.filter(|_| sides.iter().any(|s| !s.unacked.is_empty()) || self.syn_acks == 0);
        if let Some(stall) = open.and_then(|w| stall(w, self.last, 0)) {
            count += 1;
            stalled = stalled.saturating_add(stall.length);
            keep(&mut stalls, stall);
        }
        stalls.sort_by_key(|s| s.start);
        (stalls, count, stalled.max(0) as u64)
    }

    /// Bytes of side `from` that were sent once, per second between its first and last payload.
    pub(super) fn goodput(&self, from: usize, again: u64) -> u64 {
        let Some((first, last)) = self.sending[from] else { return 0 };
        let lasted = u128::from(last.saturating_sub(first).max(0) as u64);
        let bytes = u128::from(self.payload[from].saturating_sub(again));
        (bytes * 1_000_000_000).checked_div(lasted).map_or(0, |rate| u64::try_from(rate).unwrap_or(u64::MAX))
    }
}

/// Who wants to go on, and what holds it.
fn wants(sides: &[Side; 2], syns: [u64; 2], syn_acks: u64) -> Option<(usize, StallCause)> {
    for s in 0..2 {
        if syns[s] > 0 && syn_acks == 0 {
            return Some((s, StallCause::Handshake));
        }
        // A window that closed holds whoever sends to it.
        if sides[1 - s].window == 0 && sides[1 - s].last.has(Flags::ZERO_WINDOW) {
            return Some((s, StallCause::ZeroWindow));
        }
    }
    // Where the other side is not in the capture, nothing is ever acknowledged.
    let heard = |s: usize| sides[1 - s].ack_time != 0;
    (0..2).find(|&s| !sides[s].unacked.is_empty() && heard(s)).map(|s| (s, StallCause::Unacknowledged))
}

fn stall(waiting: Waiting, until: i64, rtt: i64) -> Option<Stall> {
    let (side, cause) = waiting.why?;
    let length = until.saturating_sub(waiting.since);
    let long = length >= SHORTEST.max(rtt.saturating_mul(2));
    long.then_some(Stall { start: waiting.since, length, cause, waiting: side })
}

/// Keeps the longest.
fn keep(stalls: &mut Vec<Stall>, stall: Stall) {
    stalls.push(stall);
    if stalls.len() > Stall::KEPT
        && let Some(shortest) = (0..stalls.len()).min_by_key(|&i| stalls[i].length)
    {
        stalls.remove(shortest);
    }
}
