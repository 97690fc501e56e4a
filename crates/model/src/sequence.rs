//! The segments of one TCP connection over time: what a time-sequence graph draws, after tcptrace.

use serde::{Deserialize, Serialize};

/// One connection, segment by segment. Times are nanoseconds from its first packet, sequence numbers count from the
/// first of their direction (a SYN is 0, the first byte 1) and go on past 2³².
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Sequence {
    /// Its connection: index into the connections of the flow.
    pub connection: usize,
    /// Its first packet, UTC nanoseconds: time 0.
    pub start: i64,
    /// From the first packet to the last, nanoseconds.
    pub length: u64,
    /// From side a to side b, and back.
    pub ways: [SequenceWay; 2],
}

/// One direction of a connection: what one side sent, and what the other allowed and acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SequenceWay {
    /// Segments with bytes, SYN, FIN or RST, in the order of the capture; the bare acknowledgments of this side are the
    /// `acked` of the other direction.
    pub segments: Vec<SentSegment>,
    /// When the other side acknowledged up to which number: the steps of the ACK line.
    pub acked: Vec<(i64, i64)>,
    /// When the other side allowed up to which number, the end of its receive window: the steps of the window line.
    /// Empty where the scale of its window is not known, because the handshake was not captured.
    pub allowed: Vec<(i64, i64)>,
    /// When the other side's window was closed: its segments with window 0.
    pub closed: Vec<i64>,
    /// Blocks that the other side acknowledged selectively: time, first number, number after the last.
    pub sacked: Vec<(i64, i64, i64)>,
    /// Segments, steps and blocks of this direction that are not listed: of many, each second is left out, then each
    /// second of the rest.
    pub left_out: u64,
}

/// A segment that occupies sequence numbers, or resets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SentSegment {
    /// When, nanoseconds from the first packet of the connection.
    pub time: i64,
    /// Number of its frame, from 1.
    pub frame: u64,
    /// Its first sequence number.
    pub seq: i64,
    /// Bytes of payload.
    pub bytes: u32,
    /// Whether any of it was sent before, in truth (`sent_again`) or by Wireshark's rules.
    pub again: bool,
    /// SYN.
    pub syn: bool,
    /// FIN.
    pub fin: bool,
    /// RST.
    pub reset: bool,
}

impl SentSegment {
    /// The number after its last: SYN and FIN take one each.
    pub fn end(&self) -> i64 {
        let control = i64::from(self.syn) + i64::from(self.fin);
        self.seq.saturating_add(i64::from(self.bytes)).saturating_add(control)
    }

    /// Whether it stands out: sent again, or one of those that open, close or reset.
    pub fn is_marked(&self) -> bool {
        self.again || self.syn || self.fin || self.reset
    }
}

impl SequenceWay {
    /// Whether there is nothing to draw.
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty() && self.acked.is_empty()
    }
}
