//! The segments of one way of a TCP connection, put in order: bytes, gaps and the end of the stream.
//!
//! What the capture saw is not what the receiver saw: segments come twice, late, in pieces that overlap, cut by the
//! capture's snap length, or not at all. [`Half`] hands bytes on as soon as all before them are there or known to be
//! missing. Where two copies of a byte differ, the first that was captured stays: receivers do the same with bytes
//! that they have handed to the application (RFC 9293 3.10.7.4 trims what is old), and what was handed out here can not
//! be taken back. Sequence numbers wrap (RFC 9293 3.4): inside, positions have 64 bits.

use std::collections::BTreeMap;

use super::Stamp;

/// Most that one way of a connection holds back while bytes before are missing: bytes, and [`PIECE`] for each piece.
pub const HELD: usize = 1 << 20;
/// What a held piece costs beside its bytes.
const PIECE: usize = 96;
/// How far ahead of the next byte a segment or an acknowledgment is believed: the largest window there is (RFC 7323
/// 2.3). What is farther is stray.
const AHEAD: i32 = 1 << 30;
/// How far before the first segment seen the other side's acknowledgment is believed to mark the beginning.
const BEFORE: u32 = HELD as u32;

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

/// Receives what comes out.
pub type Sink<'s> = dyn FnMut(Piece<'_>) + 's;

/// A segment, or part of one, that waits for bytes before it.
#[derive(Debug)]
struct Held {
    at: Stamp,
    len: u64,
    data: Box<[u8]>,
}

/// One way of a connection.
#[derive(Debug, Default)]
pub struct Half {
    /// Position of the next byte to hand out. Begins far from 0, so that positions before it exist.
    next: u64,
    /// The sequence number of that byte; `None` until the beginning is known.
    seq: Option<u32>,
    /// The receiver has all before this position.
    acked: u64,
    /// The newest acknowledgment, where it came before the beginning was known.
    early: Option<u32>,
    held: BTreeMap<u64, Held>,
    cost: usize,
    /// Position behind the last byte, once FIN was seen.
    fin: Option<(u64, Stamp)>,
    ended: bool,
    /// The newest stamp that was handed out.
    newest: Stamp,
    /// SYN was seen.
    opened: bool,
}

impl Half {
    /// Whether its SYN was seen: what comes out begins with the first byte of the stream.
    pub fn opened(&self) -> bool {
        self.opened
    }

    /// Whether FIN, and all before it, was handed out.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// Whether this SYN begins another connection between the same ports.
    pub fn reopened_by(&self, syn: u32) -> bool {
        match self.seq {
            Some(_) if !self.opened => true,
            Some(seq) => {
                let first = seq.wrapping_sub((self.next - START) as u32).wrapping_sub(1);
                first != syn
            }
            None => false,
        }
    }

    /// A SYN with this sequence number.
    pub fn syn(&mut self, seq: u32) {
        if self.seq.is_none() {
            self.begin(seq.wrapping_add(1));
            self.opened = true;
        }
    }

    fn begin(&mut self, seq: u32) {
        self.seq = Some(seq);
        self.next = START;
        self.acked = START;
    }

    /// The other side acknowledged all before `ack`.
    pub fn ack(&mut self, ack: u32) {
        let Some(seq) = self.seq else {
            self.early = Some(ack);
            return;
        };
        let ahead = ack.wrapping_sub(seq) as i32;
        if (1..=AHEAD).contains(&ahead) {
            self.acked = self.acked.max(self.next + ahead as u64);
        }
    }

    /// A segment with payload, FIN or both, of this way.
    pub fn segment(&mut self, s: &Segment<'_>, sink: &mut Sink<'_>) {
        let seq = s.seq.wrapping_add(u32::from(s.syn));
        if s.len == 0 && !s.fin {
            return;
        }
        let Some(expected) = self.seq.or_else(|| self.first(s, seq)) else { return };
        let ahead = seq.wrapping_sub(expected) as i32;
        if !(-AHEAD..=AHEAD).contains(&ahead) {
            return;
        }
        // Never below 0: positions begin at START, beyond AHEAD.
        let from = self.next.saturating_add_signed(i64::from(ahead));
        let end = from + u64::from(s.len);
        if s.fin && self.fin.is_none() && end >= self.next {
            self.fin = Some((end, s.at));
        }
        if end > self.next {
            let captured = &s.data[..s.data.len().min(s.len as usize)];
            if from <= self.next && self.held.is_empty() {
                let skip = (self.next - from) as usize;
                self.hand_out(s.at, end - self.next, captured.get(skip..).unwrap_or_default(), sink);
            } else {
                self.hold(s.at, from, end, captured);
                self.drain(sink);
                self.settle(s.at, false, sink);
                while self.cost > HELD {
                    self.skip_hole(sink);
                }
            }
        }
        self.finish(sink);
    }

    /// Learns where the stream begins from the first payload of a connection met in its midst. `None` for a
    /// keep-alive, which repeats one byte or makes it up (RFC 1122 4.2.3.6).
    fn first(&mut self, s: &Segment<'_>, seq: u32) -> Option<u32> {
        if s.len == 1 && s.data.iter().all(|&b| b == 0) && self.early.is_none_or(|e| e == seq.wrapping_add(1)) {
            return None;
        }
        let begin = self.early.filter(|e| seq.wrapping_sub(*e) <= BEFORE).unwrap_or(seq);
        self.begin(begin);
        Some(begin)
    }

    /// Hands out what is next in the stream: `len` bytes, of which `data` was captured.
    fn hand_out(&mut self, at: Stamp, len: u64, data: &[u8], sink: &mut Sink<'_>) {
        self.newest = self.newest.max(at);
        if !data.is_empty() {
            sink(Piece::Bytes(self.newest, data));
        }
        let cut = len - data.len() as u64;
        if cut > 0 {
            sink(Piece::Gap(self.newest, cut));
        }
        self.next += len;
        self.seq = self.seq.map(|s| s.wrapping_add(len as u32));
    }

    /// Keeps those parts of a segment that are neither handed out nor held yet.
    fn hold(&mut self, at: Stamp, start: u64, end: u64, data: &[u8]) {
        let mut from = start.max(self.next);
        if let Some((&before, held)) = self.held.range(..=from).next_back() {
            from = from.max(before + held.len);
        }
        while from < end {
            let (stop, resume) = match self.held.range(from..end).next() {
                Some((&at, held)) => (at, at + held.len),
                None => (end, end),
            };
            if stop > from {
                let part = |position: u64| data.len().min((position - start) as usize);
                let data: Box<[u8]> = data[part(from)..part(stop)].into();
                self.cost += data.len() + PIECE;
                self.held.insert(from, Held { at, len: stop - from, data });
            }
            from = resume;
        }
    }

    /// Hands out what is held and follows without a hole.
    fn drain(&mut self, sink: &mut Sink<'_>) {
        while let Some(entry) = self.held.first_entry().filter(|e| *e.key() <= self.next) {
            let held = entry.remove();
            self.cost -= held.data.len() + PIECE;
            self.hand_out(held.at, held.len, &held.data, sink);
        }
    }

    /// The hole before the first held piece will not be filled.
    fn skip_hole(&mut self, sink: &mut Sink<'_>) {
        if let Some((&start, held)) = self.held.first_key_value() {
            let at = held.at;
            if start > self.next {
                self.hand_out(at, start - self.next, &[], sink);
            }
            self.drain(sink);
        }
    }

    /// Holes before what the receiver acknowledged are losses of the capture: the receiver has those bytes. With
    /// `all`, that holds where nothing behind the hole was seen as well; without, such bytes may still come, as packets
    /// of the two ways are not always captured in their order.
    pub fn settle(&mut self, at: Stamp, all: bool, sink: &mut Sink<'_>) {
        while self.acked > self.next {
            match self.held.first_key_value() {
                Some((&start, _)) if start <= self.acked => self.skip_hole(sink),
                // One byte alone is a FIN or a keep-alive that was lost.
                _ if all && self.acked > self.next + 1 => self.hand_out(at, self.acked - self.next, &[], sink),
                _ => break,
            }
        }
        self.finish(sink);
    }

    /// Nothing more will come: hands out all that is held, with the gaps between.
    pub fn flush(&mut self, sink: &mut Sink<'_>) {
        while !self.held.is_empty() {
            self.skip_hole(sink);
        }
        if let Some((end, at)) = self.fin
            && end > self.next
        {
            self.hand_out(at, end - self.next, &[], sink);
        }
        self.finish(sink);
    }

    fn finish(&mut self, sink: &mut Sink<'_>) {
        if let Some((end, at)) = self.fin
            && self.next >= end
            && !self.ended
        {
            self.ended = true;
            self.newest = self.newest.max(at);
            sink(Piece::Fin(self.newest));
        }
    }
}

/// The position at which a stream begins.
const START: u64 = 1 << 32;

#[cfg(test)]
mod tests;
