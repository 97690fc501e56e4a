//! The sums of a connection.

use super::connection::Connection;
use super::flags::Flags;
use super::life::{Resets, Stall};
use super::rtt::RoundTrips;
use super::truth::Retransmitted;

/// What a connection came to. Pairs are of side 0 and side 1.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Totals {
    /// Segments with each mark, in the order of [`Flags::ALL`].
    pub flags: [u64; Flags::ALL.len()],
    /// Newest SYN to the first ACK after it: `tcp.analysis.initial_rtt`.
    pub initial_rtt: Option<i64>,
    /// The side that opened the connection, by its SYN or the other's SYN-ACK.
    pub opener: Option<usize>,
    /// Whether SYN, SYN-ACK and the ACK of both were seen.
    pub handshake: bool,
    /// From the SYN to the ACK that ends the handshake, of whole handshakes only. Nanoseconds.
    pub rtt: Option<u64>,
    /// Round trips from segments to their acknowledgments.
    pub ack_rtt: RoundTrips,
    /// Most bytes in flight at once: the largest `tcp.analysis.bytes_in_flight`.
    pub in_flight_max: u32,
    /// SYNs without ACK, sent by each side.
    pub syns: [u64; 2],
    /// SYN-ACKs, both sides.
    pub syn_acks: u64,
    /// Segments with FIN, both sides.
    pub fins: u64,
    /// SYNs of a side whose peer never sent anything.
    pub unanswered_syns: u64,
    /// Resets, by when they came.
    pub resets: Resets,
    /// Bytes of payload on the wire, those sent again included.
    pub payload: [u64; 2],
    /// Bytes of payload that were not sent before, per second from the first payload to the last; 0 where it all
    /// came at once.
    pub goodput: [u64; 2],
    /// What each side sent more than once.
    pub retransmitted: [Retransmitted; 2],
    /// The longest waits, by start; at most [`Stall::KEPT`].
    pub stalls: Vec<Stall>,
    /// How many there were.
    pub stall_count: u64,
    /// How long they were together, nanoseconds.
    pub stalled: u64,
}

impl Totals {
    pub(super) fn of(c: &Connection) -> Totals {
        let life = &c.life;
        let retransmitted = c.truth.sums();
        let (stalls, stall_count, stalled) = life.stalls(&c.sides);
        Totals {
            flags: c.flags,
            initial_rtt: c.initial_rtt(),
            opener: life.opener,
            handshake: life.handshake,
            rtt: life.rtt,
            ack_rtt: c.round_trips.clone(),
            in_flight_max: c.in_flight_max,
            syns: life.syns,
            syn_acks: life.syn_acks,
            fins: life.fins,
            unanswered_syns: (0..2).filter(|&s| life.segments[1 - s] == 0).map(|s| life.syns[s]).sum(),
            resets: life.resets,
            payload: life.payload,
            goodput: [0, 1].map(|s| life.goodput(s, retransmitted[s].bytes)),
            retransmitted,
            stalls,
            stall_count,
            stalled,
        }
    }

    /// How many segments carry `flag`.
    pub fn flagged(&self, flag: Flags) -> u64 {
        flag.places().map(|place| self.flags[place]).sum()
    }
}
