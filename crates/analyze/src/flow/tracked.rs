//! One connection while its packets come in, and what it came to.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::SocketAddr;

use coldcase_decode::packet::{Headers, Tcp};
use coldcase_decode::request::{self, Request};
use coldcase_decode::tcp::{Connection, Flags, Marks, Segment, Stall, Totals};
use coldcase_model::analysis::{AckRtt, SentAgain, TcpDetail, TcpFacts, TcpStall};
use coldcase_model::entity::Protocol;

use super::copies::Copies;
use super::talk::Talk;

/// How many messages a connection cites.
const CITED: usize = 4;

/// Where a packet stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct At {
    pub(super) row: u64,
    pub(super) frame: u64,
    pub(super) time: i64,
    pub(super) original: u32,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Tracked {
    pub(super) proto: Protocol,
    /// Sender of the first packet, and its peer.
    pub(super) ends: [SocketAddr; 2],
    /// Frame of the first packet, and whether it was inside another packet.
    pub(super) since: (u64, bool),
    /// Frame of the newest.
    pub(super) newest: u64,
    pub(super) first: i64,
    pub(super) last: i64,
    pub(super) packets: [u64; 2],
    pub(super) bytes: [u64; 2],
    /// Message of the first packet, then of those with the first trouble.
    rows: Vec<u64>,
    tcp: Option<State>,
    /// Both directions, once there is more than one interface.
    copies: Option<Box<[Copies; 2]>>,
    copied: u64,
    /// What it says.
    pub(super) talk: Talk,
}

/// TCP state. A connection of one segment, as floods and scans leave them, keeps just that.
#[derive(Debug)]
enum State {
    One {
        first: Box<Segment>,
        reopened: bool,
    },
    Many(Box<Many>),
    /// It closed long ago: what it came to, and which side opened it.
    Summed {
        facts: Box<TcpFacts>,
        opener: usize,
    },
}

#[derive(Debug)]
struct Many {
    connection: Connection,
    frames: BTreeMap<&'static str, Vec<u64>>,
}

impl Many {
    fn push(&mut self, from: usize, segment: &Segment) -> Marks {
        let marks = self.connection.push(from, segment);
        for name in marks.flags.names() {
            let frames = self.frames.entry(name).or_default();
            if frames.len() < TcpDetail::FRAMES {
                frames.push(segment.frame);
            }
        }
        marks
    }
}

impl Many {
    fn begin(first: &Segment, reopened: bool) -> Many {
        let connection = if reopened { Connection::reopened() } else { Connection::default() };
        let mut many = Many { connection, frames: BTreeMap::new() };
        many.push(0, first);
        many
    }
}

impl Tracked {
    /// A connection of which no packet was counted yet.
    pub(super) fn new(proto: Protocol, ends: [SocketAddr; 2], at: At, inside: bool) -> Tracked {
        Tracked {
            proto,
            ends,
            since: (at.frame, inside),
            newest: at.frame,
            first: at.time,
            last: at.time,
            packets: [0; 2],
            bytes: [0; 2],
            rows: vec![at.row],
            tcp: None,
            copies: None,
            copied: 0,
            talk: Talk::default(),
        }
    }

    /// Whether a SYN from `src` opens another connection on the same ports.
    pub(super) fn is_reopened_by(&self, src: SocketAddr, tcp: &Tcp) -> bool {
        let from = usize::from(self.ends[0] != src);
        match &self.tcp {
            None => false,
            Some(State::Many(many)) => many.connection.is_reopened_by(from, tcp),
            Some(State::Summed { .. }) => tcp.has(Tcp::SYN) && !tcp.has(Tcp::ACK),
            Some(State::One { first, reopened }) => {
                // Few come here: most SYNs are of connections that nobody knows yet.
                tcp.has(Tcp::SYN) && Many::begin(first, *reopened).connection.is_reopened_by(from, tcp)
            }
        }
    }

    /// Whether nothing but its opener was heard.
    pub(super) fn is_half_open(&self) -> bool {
        match &self.tcp {
            Some(State::One { first, .. }) => first.tcp.has(Tcp::SYN) && !first.tcp.has(Tcp::ACK),
            Some(State::Many(many)) => self.packets[1] == 0 && many.connection.opener() == Some(0),
            Some(State::Summed { .. }) | None => false,
        }
    }

    /// Whether both sides closed it, or one reset it, and everything said on it was read.
    pub(super) fn is_closed(&self) -> bool {
        match &self.tcp {
            Some(State::Many(many)) => many.connection.is_closed() && !self.is_half_open() && self.talk.is_over(),
            _ => false,
        }
    }

    /// Lets go of all but what it came to.
    pub(super) fn sum_up(&mut self) {
        let a = self.opener();
        let Some(State::Many(many)) = &self.tcp else { return };
        let facts = Box::new(facts(&many.connection.totals(), &many.frames, a));
        self.tcp = Some(State::Summed { facts, opener: a });
        self.copies = None;
        self.rows.shrink_to_fit();
        self.talk.found.shrink_to_fit();
    }

    /// Whether a packet of `src` is the copy of one that came by another interface.
    pub(super) fn is_copy(&mut self, src: SocketAddr, signature: u64, time: i64, interface: u8) -> bool {
        let from = usize::from(self.ends[0] != src);
        let copy = self.copies.get_or_insert_default()[from].is_copy(signature, time, interface);
        self.copied += u64::from(copy);
        copy
    }

    /// SYNs without an answer.
    pub(super) fn unanswered(&self) -> u64 {
        if self.is_half_open() { self.packets[0] } else { 0 }
    }

    /// Counts a packet from `src`.
    pub(super) fn push(&mut self, src: SocketAddr, at: At, tcp: Option<(&Headers, Tcp)>, reopened: bool) {
        let from = usize::from(self.ends[0] != src);
        self.newest = at.frame;
        self.first = self.first.min(at.time);
        self.last = self.last.max(at.time);
        self.packets[from] += 1;
        self.bytes[from] += u64::from(at.original);
        let Some((h, tcp)) = tcp else { return };
        let payload = h.length_known.then_some(h.payload);
        let segment = Segment { frame: at.frame, time: at.time, ip_id: h.ip_id, tcp, payload };
        let Some(state) = &mut self.tcp else {
            self.tcp = Some(State::One { first: Box::new(segment), reopened });
            return;
        };
        if let State::One { first, reopened } = state {
            *state = State::Many(Box::new(Many::begin(first, *reopened)));
        }
        let State::Many(many) = state else { return };
        let marks = many.push(from, &segment);
        let trouble = tcp.has(Tcp::RST) || marks.retransmitted > 0 || marks.flags.has(Flags::RETRANSMISSION);
        if trouble && self.rows.len() < CITED && self.rows[1..].last() != Some(&at.row) {
            self.rows.push(at.row);
        }
    }

    /// The side that opened it; where that was not seen, the one with the higher port.
    fn opener(&self) -> usize {
        let opener = match &self.tcp {
            None => None,
            Some(State::Many(many)) => many.connection.opener(),
            Some(State::One { first, reopened }) => Many::begin(first, *reopened).connection.opener(),
            Some(State::Summed { opener, .. }) => Some(*opener),
        };
        let by_port = || usize::from(self.ends[1].port() > self.ends[0].port());
        opener.or(self.talk.client()).unwrap_or_else(by_port)
    }

    /// What it came to.
    pub(super) fn finish(self) -> Connected {
        let a = self.opener();
        let pick = |both: [u64; 2]| [both[a], both[1 - a]];
        let of = |many: &Many| facts(&many.connection.totals(), &many.frames, a);
        Connected {
            proto: self.proto,
            ends: [self.ends[a], self.ends[1 - a]],
            since: self.since,
            stream: None,
            frames: [self.since.0, self.newest],
            first: self.first,
            last: self.last,
            packets: pick(self.packets),
            bytes: pick(self.bytes),
            copies: self.copied,
            tcp: self.tcp.map(|state| match state {
                State::Many(many) => of(&many),
                State::One { first, reopened } => of(&Many::begin(&first, reopened)),
                State::Summed { facts, .. } => *facts,
            }),
            rows: self.rows,
            protocol: self.talk.protocol(),
            unread: self.talk.unread(),
            requests: self.talk.found,
        }
    }
}

/// A connection with its ends typed. `ends[0]` opened it (or, when that was not seen, has the higher port).
#[derive(Debug, Clone, PartialEq)]
pub struct Connected {
    /// Transport.
    pub proto: Protocol,
    /// Opener and peer.
    pub ends: [SocketAddr; 2],
    /// Frame of the first packet, and whether it was inside another packet.
    pub since: (u64, bool),
    /// Numbers of its first and its last packet.
    pub frames: [u64; 2],
    /// Its number among those of its transport, in that order.
    pub stream: Option<u64>,
    /// First packet, UTC nanoseconds.
    pub first: i64,
    /// Last packet.
    pub last: i64,
    /// Packets sent by each end.
    pub packets: [u64; 2],
    /// Bytes on the wire sent by each end.
    pub bytes: [u64; 2],
    /// Packets that another interface had seen before; they are counted nowhere else.
    pub copies: u64,
    /// TCP facts.
    pub tcp: Option<TcpFacts>,
    /// Messages that show it: of its first packet, then of the first resets and retransmissions.
    pub rows: Vec<u64>,
    /// The protocol that it speaks, once known.
    pub protocol: Option<request::Protocol>,
    /// Bytes of it that belong to no message that could be read.
    pub unread: u64,
    /// The requests on it.
    pub requests: Vec<Request>,
}

/// The sums of a connection, for a reader who knows its sides as `a` and `b`.
fn facts(t: &Totals, frames: &BTreeMap<&'static str, Vec<u64>>, a: usize) -> TcpFacts {
    let b = 1 - a;
    let sent_again = |side: usize| {
        let r = t.retransmitted[side];
        SentAgain {
            segments: r.segments,
            bytes: r.bytes,
            needless_bytes: r.needless_bytes,
            duplicates_reported: r.reported,
        }
    };
    let stall = |s: &Stall| TcpStall {
        start: s.start,
        length: s.length.max(0) as u64,
        cause: s.cause.name().to_owned(),
        waiting: if s.waiting == a { "a" } else { "b" }.to_owned(),
    };
    TcpFacts {
        handshake: t.handshake,
        rtt: t.rtt,
        retransmissions: t.flagged(Flags::RETRANSMISSION),
        kernel_retransmissions: None,
        resets: t.resets.refused + t.resets.mid_stream + t.resets.after_close,
        unanswered_syns: t.unanswered_syns,
        zero_windows: t.flagged(Flags::ZERO_WINDOW),
        fast_retransmissions: t.flagged(Flags::FAST_RETRANSMISSION),
        spurious_retransmissions: t.flagged(Flags::SPURIOUS_RETRANSMISSION),
        out_of_order: t.flagged(Flags::OUT_OF_ORDER),
        duplicate_acks: t.flagged(Flags::DUPLICATE_ACK),
        lost_segments: t.flagged(Flags::LOST_SEGMENT),
        more: TcpDetail {
            initial_rtt: t.initial_rtt,
            acked_lost_segments: t.flagged(Flags::ACK_LOST_SEGMENT),
            zero_window_probes: t.flagged(Flags::ZERO_WINDOW_PROBE),
            zero_window_probe_acks: t.flagged(Flags::ZERO_WINDOW_PROBE_ACK),
            windows_full: t.flagged(Flags::WINDOW_FULL),
            window_updates: t.flagged(Flags::WINDOW_UPDATE),
            keep_alives: t.flagged(Flags::KEEP_ALIVE),
            keep_alive_acks: t.flagged(Flags::KEEP_ALIVE_ACK),
            reused_ports: t.flagged(Flags::REUSED_PORTS),
            ack_rtt: ack_rtt(t),
            bytes_in_flight_max: u64::from(t.in_flight_max),
            syns: t.syns[0] + t.syns[1],
            syn_acks: t.syn_acks,
            fins: t.fins,
            resets_refused: t.resets.refused,
            resets_mid_stream: t.resets.mid_stream,
            resets_after_close: t.resets.after_close,
            payload_ab: t.payload[a],
            payload_ba: t.payload[b],
            goodput_ab: t.goodput[a],
            goodput_ba: t.goodput[b],
            sent_again_ab: sent_again(a),
            sent_again_ba: sent_again(b),
            stalls: t.stalls.iter().map(stall).collect(),
            stall_count: t.stall_count,
            stalled: t.stalled,
            frames: frames.iter().map(|(name, frames)| (Cow::Borrowed(*name), frames.clone())).collect(),
        },
    }
}

fn ack_rtt(t: &Totals) -> Option<AckRtt> {
    let r = &t.ack_rtt;
    Some(AckRtt { count: r.count, min: r.min, mean: r.mean()?, p50: r.quantile(50)?, p95: r.quantile(95)?, max: r.max })
}
