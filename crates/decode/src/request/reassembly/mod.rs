//! The segments of a TCP connection, put in order: bytes, gaps and the ends of both streams.
//!
//! What the capture saw is not what the receivers saw: segments come twice, late, in pieces that overlap, cut by the
//! capture's snap length, or not at all. [`Reassembly`] hands bytes on as soon as all before them are there or known to
//! be missing. Where two copies of a byte differ, the first that was captured stays: receivers do the same with bytes
//! that they have handed to the application (RFC 9293 3.10.7.4 trims what is old), and what was handed out here can not
//! be taken back. Sequence numbers wrap (RFC 9293 3.4): inside, positions have 64 bits.
//!
//! Between the two ways the order is that of cause: a segment that acknowledges bytes of the other way is handed out
//! behind them. So a hole before what the receiver acknowledged is a loss of the capture, as the receiver has the bytes,
//! and its place among what the other side said is known. Where both ways have such a hole, the side that did not speak
//! last is the one whose turn it was.

mod half;

use half::{Gap, Half};

use super::Stamp;

/// Most that one way of a connection holds back while bytes before are missing: bytes, and [`PIECE`] for each piece.
pub const HELD: usize = 1 << 20;
/// One of the two ways of a connection, before it is known who the client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Way {
    /// That of the first packet of the connection in the capture.
    Forward,
    /// The other.
    Back,
}

impl Way {
    /// The other way.
    pub fn other(self) -> Way {
        match self {
            Way::Forward => Way::Back,
            Way::Back => Way::Forward,
        }
    }

    /// 0 for forward, 1 for back: an index into pairs.
    pub fn index(self) -> usize {
        usize::from(self == Way::Back)
    }
}

/// What reassembly needs of a TCP segment.
#[derive(Debug, Clone, Copy)]
pub struct Segment<'a> {
    /// Which way it went.
    pub way: Way,
    /// When and in which packet.
    pub at: Stamp,
    /// Its sequence number.
    pub seq: u32,
    /// Its acknowledgment number, if its ACK flag is set.
    pub ack: Option<u32>,
    /// SYN flag.
    pub syn: bool,
    /// FIN flag.
    pub fin: bool,
    /// RST flag.
    pub rst: bool,
    /// Bytes of payload on the wire.
    pub len: u32,
    /// Those of them that were captured: the first ones, or none.
    pub data: &'a [u8],
}

/// What comes out, in the order of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Bytes, with the stamp of the segment that brought them, or of a later one that filled the hole before them.
    Bytes(Stamp, &'a [u8]),
    /// So many bytes were cut or lost by the capture.
    Gap(Stamp, u64),
    /// The sender sends no more.
    Fin(Stamp),
}

/// Receives what comes out, and which way it went.
pub type Sink<'s> = dyn FnMut(Way, Piece<'_>) + 's;

/// Both ways of a connection.
#[derive(Debug, Default)]
pub struct Reassembly {
    halves: [Half; 2],
    /// Who said, or lost, what was handed out last.
    last: Option<Way>,
}

impl Reassembly {
    /// Whether the connection was seen from its beginning: a SYN at least.
    pub fn opened(&self) -> bool {
        self.halves.iter().any(|h| h.opened)
    }

    /// Whether both sides sent FIN, and all before it was handed out.
    pub fn ended(&self) -> bool {
        self.halves.iter().all(|h| h.ended)
    }

    /// Whether a side did.
    pub fn half_ended(&self) -> bool {
        self.halves.iter().any(|h| h.ended)
    }

    /// Whether this segment opens another connection between the same addresses and ports.
    pub fn reopened_by(&self, s: &Segment<'_>) -> bool {
        s.syn && s.ack.is_none() && self.halves[s.way.index()].reopened_by(s.seq)
    }

    /// Takes a segment; what is in order by now goes to the sink.
    pub fn segment(&mut self, s: &Segment<'_>, sink: &mut Sink<'_>) {
        let [mut this, mut other] = self.halves.each_mut();
        if s.way == Way::Back {
            (this, other) = (other, this);
        }
        if s.syn {
            this.syn(s.seq);
        }
        if let Some(ack) = s.ack.filter(|_| !s.rst) {
            other.acknowledge(ack);
        }
        if s.rst {
            return self.flush(s.at, sink);
        }
        if let Some((from, end)) = this.place(s) {
            let met = s.ack.is_none_or(|ack| other.has(ack));
            if met && this.is_next(from) {
                this.pass(s, from, end, &mut |piece| sink(s.way, piece));
                self.last = Some(s.way);
            } else {
                this.hold(s, from, end);
            }
        }
        self.pump(s.at, false, sink);
    }

    /// Nothing more will come: hands out all that is held, with the gaps between. `now` is the newest stamp.
    pub fn flush(&mut self, now: Stamp, sink: &mut Sink<'_>) {
        self.pump(now, true, sink);
        for way in [Way::Forward, Way::Back] {
            self.halves[way.index()].flush(now, &mut |piece| sink(way, piece));
        }
    }

    /// Hands out what can be. `now` is the stamp of the newest segment; with `all` nothing is waited for.
    fn pump(&mut self, now: Stamp, all: bool, sink: &mut Sink<'_>) {
        while let Some((way, gap)) = self.next(now, all) {
            let half = &mut self.halves[way.index()];
            match gap {
                None => half.hand_out_held(&mut |piece| sink(way, piece)),
                Some(gap) => half.skip(gap, &mut |piece| sink(way, piece)),
            }
            self.last = Some(way);
        }
        for way in [Way::Forward, Way::Back] {
            self.halves[way.index()].finish(&mut |piece| sink(way, piece));
        }
    }

    /// What to hand out next: a held segment, or a gap.
    fn next(&self, now: Stamp, all: bool) -> Option<(Way, Option<Gap>)> {
        let turn = self.last.map_or(Way::Forward, Way::other);
        let ways = [turn, turn.other()];
        let half = |way: Way| &self.halves[way.index()];
        let ready = |way: &Way| half(*way).ready().is_some();
        // A segment whose sender had all that it acknowledged before.
        let met = ways.into_iter().filter(|&way| half(way).ready().is_some_and(|held| held.is_met(half(way.other()))));
        if let Some(way) = met.min_by_key(|&way| half(way).ready().map(|held| held.at)) {
            return Some((way, None));
        }
        let gap = ways.into_iter().find_map(|way| Some((way, Some(half(way).gap(now, half(way.other()), all)?))));
        gap.or_else(|| ways.into_iter().find(ready).map(|way| (way, None)))
    }
}

#[cfg(test)]
mod tests;
