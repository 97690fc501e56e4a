//! One way of a connection: what was handed out, what is held, and where holes are.

use std::collections::BTreeMap;

use super::{HELD, Piece, Segment, Stamp};

/// What a held piece costs beside its bytes.
pub(super) const PIECE: usize = 96;
/// How far ahead of the next byte a segment or an acknowledgment is believed: the largest window there is (RFC 7323
/// 2.3). What is farther is stray.
const AHEAD: i32 = 1 << 30;
/// How far before the first segment seen the other side's acknowledgment is believed to mark the beginning.
const BEFORE: u32 = HELD as u32;
/// The position at which a stream begins: far from 0, so that positions before it exist.
const START: u64 = 1 << 32;

/// Receives what comes out of one way.
type Sink<'s> = dyn FnMut(Piece<'_>) + 's;

/// A segment, or part of one, that waits for bytes before it.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) at: Stamp,
    len: u64,
    data: Box<[u8]>,
    ack: Option<u32>,
}

impl Held {
    /// Whether all that it acknowledged of the other way was handed out.
    pub(super) fn is_met(&self, other: &Half) -> bool {
        self.ack.is_none_or(|ack| other.has(ack))
    }
}

/// A hole that will not be filled: its end, and the stamp of what tells so.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gap {
    end: u64,
    at: Stamp,
}

/// One way of a connection.
#[derive(Debug, Default)]
pub(super) struct Half {
    /// Position of the next byte to hand out.
    next: u64,
    /// The sequence number of that byte; `None` until the beginning is known.
    seq: Option<u32>,
    /// The receiver has all before this position.
    acked: u64,
    /// The first acknowledgment, where it came before the beginning was known.
    early: Option<u32>,
    pub(super) held: BTreeMap<u64, Held>,
    pub(super) cost: usize,
    /// Position behind the last byte, once FIN was seen.
    fin: Option<(u64, Stamp)>,
    /// FIN was handed out.
    pub(super) ended: bool,
    /// The newest stamp that was handed out.
    newest: Stamp,
    /// SYN was seen.
    pub(super) opened: bool,
}

impl Half {
    /// Whether this SYN begins another connection between the same ports.
    pub(super) fn reopened_by(&self, syn: u32) -> bool {
        self.seq.is_some_and(|seq| {
            let first = seq.wrapping_sub((self.next - START) as u32).wrapping_sub(1);
            !self.opened || first != syn
        })
    }

    /// A SYN with this sequence number.
    pub(super) fn syn(&mut self, seq: u32) {
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

    /// The other side has all before `ack`.
    pub(super) fn acknowledge(&mut self, ack: u32) {
        if self.seq.is_none() {
            // A second one that is higher tells that bytes went by in between.
            match self.early.filter(|first| (1..=AHEAD).contains(&(ack.wrapping_sub(*first) as i32))) {
                Some(first) => self.begin(first),
                None => self.early = Some(ack),
            }
        }
        if let Some(position) = self.position(ack) {
            self.acked = self.acked.max(position);
        }
    }

    /// Whether all before `ack` was handed out, as far as that is believed.
    pub(super) fn has(&self, ack: u32) -> bool {
        self.position(ack).is_none()
    }

    /// The positions of a segment's payload. `None` where nothing of it is new.
    pub(super) fn place(&mut self, s: &Segment<'_>) -> Option<(u64, u64)> {
        let seq = s.seq.wrapping_add(u32::from(s.syn));
        if s.len == 0 && !s.fin {
            return None;
        }
        let expected = self.seq.or_else(|| self.first(s, seq))?;
        let ahead = seq.wrapping_sub(expected) as i32;
        if !(-AHEAD..=AHEAD).contains(&ahead) {
            return None;
        }
        // Never below 0: positions begin at START, beyond AHEAD.
        let from = self.next.saturating_add_signed(i64::from(ahead));
        let end = from + u64::from(s.len);
        if s.fin && self.fin.is_none() && end >= self.next {
            self.fin = Some((end, s.at));
        }
        (end > self.next).then_some((from, end))
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

    /// Whether a segment from this position on need not be held.
    pub(super) fn is_next(&self, from: u64) -> bool {
        from <= self.next && self.held.is_empty()
    }

    /// Hands out what is new of a segment that is next.
    pub(super) fn pass(&mut self, s: &Segment<'_>, from: u64, end: u64, sink: &mut Sink<'_>) {
        let skip = (self.next - from) as usize;
        self.hand_out(s.at, end - self.next, captured(s).get(skip..).unwrap_or_default(), sink);
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
    pub(super) fn hold(&mut self, s: &Segment<'_>, start: u64, end: u64) {
        let captured = captured(s);
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
                let part = |position: u64| captured.len().min((position - start) as usize);
                let data: Box<[u8]> = captured[part(from)..part(stop)].into();
                self.cost += data.len() + PIECE;
                self.held.insert(from, Held { at: s.at, len: stop - from, data, ack: s.ack });
            }
            from = resume;
        }
    }

    /// The held piece that is next.
    pub(super) fn ready(&self) -> Option<&Held> {
        self.held.first_key_value().filter(|(at, _)| **at <= self.next).map(|(_, held)| held)
    }

    /// Hands out the held piece that is next.
    pub(super) fn hand_out_held(&mut self, sink: &mut Sink<'_>) {
        if let Some((_, held)) = self.held.pop_first() {
            self.cost -= held.data.len() + PIECE;
            self.hand_out(held.at, held.len, &held.data, sink);
        }
    }

    /// The hole that is next, if it will not be filled: the receiver has its bytes, too much is held behind it, or
    /// (with `all`) nothing more comes. Where nothing behind it was seen, its bytes may still come, as packets of the
    /// two ways are not always captured in their order; but not once the receiver speaks. The gap is no longer than what
    /// the `receiver` had when it said what is held of it.
    pub(super) fn gap(&self, now: Stamp, receiver: &Half, all: bool) -> Option<Gap> {
        let says = receiver.held.first_key_value().and_then(|(_, held)| held.ack);
        let had = says.and_then(|ack| self.position(ack)).unwrap_or(u64::MAX);
        match self.held.first_key_value() {
            Some((&start, _)) if start <= self.next => None,
            Some((&start, held)) if start <= self.acked || self.cost > HELD || all => {
                Some(Gap { end: start.min(had), at: held.at })
            }
            // One byte alone is a FIN or a keep-alive that was lost.
            _ if receiver.ready().is_some() && self.acked > self.next + 1 => {
                Some(Gap { end: self.acked.min(had), at: now })
            }
            _ => None,
        }
    }

    /// The position of an acknowledgment of bytes that were not handed out.
    fn position(&self, ack: u32) -> Option<u64> {
        let ahead = ack.wrapping_sub(self.seq?) as i32;
        (1..=AHEAD).contains(&ahead).then(|| self.next + ahead as u64)
    }

    /// Gives up a hole.
    pub(super) fn skip(&mut self, gap: Gap, sink: &mut Sink<'_>) {
        self.hand_out(gap.at, gap.end.saturating_sub(self.next), &[], sink);
    }

    /// Nothing more will come: what is missing before FIN, or was acknowledged, is a gap.
    pub(super) fn flush(&mut self, now: Stamp, sink: &mut Sink<'_>) {
        // A FIN that was not seen is acknowledged like a byte.
        let (end, at) = self.fin.unwrap_or((self.acked.saturating_sub(1), now));
        if end > self.next && self.seq.is_some() {
            self.hand_out(at, end - self.next, &[], sink);
        }
        self.finish(sink);
    }

    /// Hands out FIN where all before it was.
    pub(super) fn finish(&mut self, sink: &mut Sink<'_>) {
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

/// Those bytes of a segment that were captured.
fn captured<'a>(s: &Segment<'a>) -> &'a [u8] {
    &s.data[..s.data.len().min(s.len as usize)]
}
