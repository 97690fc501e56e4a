//! What the segments of a TCP connection tell, as a pure state machine: headers in, marks and sums out.
//!
//! Two readings stand side by side. [`Marks::flags`] are the marks that Wireshark 4.0 gives each segment
//! (`tcp.analysis.*`), peculiarities included, so that both can be compared frame by frame. [`Marks::retransmitted`]
//! and the sums of [`Retransmitted`] are what was sent more than once in truth, as far as packets tell: they look at
//! which bytes were seen before, and read SACK and DSACK blocks, which Wireshark's rules do not.
//!
//! `formats/flow.md` defines each figure.

mod connection;
mod flags;
mod life;
mod rtt;
mod seq;
mod side;
mod totals;
mod truth;
mod unacked;

pub use connection::Connection;
pub use flags::Flags;
pub use life::{Resets, Stall, StallCause};
pub use rtt::RoundTrips;
pub use totals::Totals;
pub use truth::Retransmitted;

use crate::packet::Tcp;

/// A segment as it is taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Number of its frame in the capture, from 1.
    pub frame: u64,
    /// When: nanoseconds.
    pub time: i64,
    /// Identification of its IP header; 0 where there is none.
    pub ip_id: u16,
    /// Its header.
    pub tcp: Tcp,
    /// Bytes of payload on the wire; `None` where they cannot be told: then only its header counts.
    pub payload: Option<u32>,
}

/// What one segment turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Marks {
    /// Wireshark's marks.
    pub flags: Flags,
    /// Of a duplicate acknowledgment, its place among those alike: `tcp.analysis.duplicate_ack_num`; otherwise 0.
    pub duplicate_ack: u32,
    /// Of a duplicate acknowledgment, the frame that it repeats: `tcp.analysis.duplicate_ack_frame`.
    pub duplicate_of: Option<u64>,
    /// Frame of the segment whose end it acknowledges: `tcp.analysis.acks_frame`.
    pub acks_frame: Option<u64>,
    /// Time since that, nanoseconds: `tcp.analysis.ack_rtt`.
    pub ack_rtt: Option<i64>,
    /// Bytes without acknowledgment after it: `tcp.analysis.bytes_in_flight`; 0 where they cannot be told.
    pub bytes_in_flight: u32,
    /// Segments' worth of what it carries that was sent before.
    pub retransmitted: u32,
}

#[cfg(test)]
mod tests;
