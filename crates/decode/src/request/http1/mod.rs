//! HTTP/1.0 and 1.1 (RFC 9112): requests with their responses, pipelined or not.
//!
//! Times: a request begins with the first byte of its head; `first` is the first byte of the final response's head, so
//! interim ones (RFC 9110 15.2) count as time to the first byte; `end` is the last byte of the body. Where bytes are
//! missing inside a body of known length they are counted and the exchange goes on; where they hide a head, the next
//! head is looked for, and what is between belongs to the exchange that was open.
//!
//! After `Upgrade: h2c` the connection is HTTP/2, after CONNECT it is what its bytes show, after other upgrades
//! (WebSocket) it is not read.

mod exchange;
mod head;

use exchange::{Exchange, Exchanges};
use head::{Body, Upgrade};

use super::buffer::Buffer;
use super::detect::{AnyDissector, Detector, Opening};
use super::http2::Http2;
use super::{Dissector, End, Request, Side, Stamp, missing};

pub use head::{HEAD, chunk_size, end_of_head, probe};

/// Deepest nesting of connections by CONNECT that is followed.
const DEPTH: u8 = 2;
/// Pieces are read in parts of this size, so that no piece is too much for a buffer.
const PART: usize = 32 << 10;

/// What a side says next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Head,
    /// So many bytes of the body are left.
    Length(u64),
    ChunkLine,
    /// So many bytes of the chunk are left, its end of line included.
    Chunk(u64),
    Trailer,
    UntilClose,
    /// Where a message begins is not known.
    Lost,
    /// The client asked for another protocol; what it says is kept until the answer.
    Waits,
}

#[derive(Debug)]
struct Reader {
    buffer: Buffer,
    phase: Phase,
    /// How much of the buffer was looked at in vain.
    scanned: usize,
    /// Bytes that are missing behind the buffer while waiting.
    gap: u64,
}

/// The dissector of HTTP/1.
pub struct Http1 {
    readers: [Reader; 2],
    open: Exchanges,
    opening: Opening,
    /// Bytes that are missing behind the head that is being read.
    cut: Option<(Stamp, u64)>,
    /// What the connection became.
    after: Option<AnyDissector>,
    unread: u64,
}

impl Http1 {
    /// A connection as it was met.
    pub fn new(opening: Opening) -> Http1 {
        let phase = if opening.midway { Phase::Lost } else { Phase::Head };
        let reader = || Reader { buffer: Buffer::default(), phase, scanned: 0, gap: 0 };
        Http1 { readers: [reader(), reader()], open: Exchanges::default(), opening, cut: None, after: None, unread: 0 }
    }

    /// Reads what is there.
    fn read(&mut self, from: Side, out: &mut Vec<Request>) {
        while self.after.is_none() && self.step(from, out) {
            // A client that waited for the answer goes on where it was refused.
            if self.readers[0].phase == Phase::Waits && self.after.is_none() && !self.open.asks_upgrade() {
                self.readers[0].phase = if self.readers[0].gap > 0 { Phase::Lost } else { Phase::Head };
                self.readers[0].scanned = 0;
                while self.step(Side::Client, out) {}
            }
        }
        if self.after.is_some() {
            self.hand_over(out);
        }
    }

    /// What was not read yet goes to what the connection became.
    fn hand_over(&mut self, out: &mut Vec<Request>) {
        let Some(after) = &mut self.after else { return };
        let mut newest = Stamp::default();
        for (reader, side) in self.readers.iter_mut().zip([Side::Client, Side::Server]) {
            while let Some((at, len)) = reader.buffer.piece() {
                after.bytes(side, at, &reader.buffer.left()[..len], out);
                reader.buffer.take(len);
                newest = newest.max(at);
            }
            let gap = std::mem::take(&mut reader.gap);
            if gap > 0 {
                after.gap(side, newest, gap, out);
            }
        }
    }

    /// Takes `n` bytes of a side that belong to its message.
    fn consume(&mut self, from: Side, n: usize) -> Option<(Stamp, Stamp)> {
        let stamps = self.readers[from.index()].buffer.take(n)?;
        if !self.open.add(from, stamps, n as u64) {
            self.unread += n as u64;
        }
        Some(stamps)
    }

    /// Takes the `n` bytes of a head, and what is missing behind it.
    fn consume_head(&mut self, from: Side, n: usize) {
        self.consume(from, n);
        if let Some((at, len)) = self.cut.take() {
            self.open.add(from, (at, at), len);
            self.open.mark(from);
        }
    }

    fn done(&mut self, from: Side, out: &mut Vec<Request>) {
        let reader = &mut self.readers[from.index()];
        reader.phase = Phase::Head;
        reader.scanned = 0;
        match from {
            Side::Client => {
                self.open.sent();
                if self.open.asks_upgrade() {
                    self.readers[0].phase = Phase::Waits;
                }
                self.open.hand_out(out);
            }
            Side::Server => self.open.answered(None, out),
        }
    }

    /// Reads one thing of a side; false where more bytes are needed.
    fn step(&mut self, from: Side, out: &mut Vec<Request>) -> bool {
        let reader = &mut self.readers[from.index()];
        let have = reader.buffer.left().len();
        if have == 0 {
            return false;
        }
        match reader.phase {
            Phase::Head => self.head(from, out),
            Phase::Length(left) | Phase::Chunk(left) => {
                let n = left.min(have as u64);
                let rest = left - n;
                let chunked = matches!(reader.phase, Phase::Chunk(_));
                reader.phase = match (chunked, rest) {
                    (true, 0) => Phase::ChunkLine,
                    (true, rest) => Phase::Chunk(rest),
                    (false, rest) => Phase::Length(rest),
                };
                self.consume(from, n as usize);
                if !chunked && rest == 0 {
                    self.done(from, out);
                }
                true
            }
            Phase::ChunkLine | Phase::Trailer => self.line(from, out),
            Phase::UntilClose => self.consume(from, have).is_some(),
            Phase::Lost => self.look(from, out),
            Phase::Waits => false,
        }
    }

    /// A line of the chunked coding: a chunk's size, or a trailer.
    fn line(&mut self, from: Side, out: &mut Vec<Request>) -> bool {
        let reader = &mut self.readers[from.index()];
        let left = reader.buffer.left();
        let Some(end) = left[reader.scanned..].iter().position(|&b| b == b'\n').map(|at| reader.scanned + at) else {
            reader.scanned = left.len();
            if left.len() > head::HEAD {
                self.lose(from);
                return true;
            }
            return false;
        };
        let line = left[..end].trim_ascii();
        let trailer = reader.phase == Phase::Trailer;
        let next = match (trailer, head::chunk_size(line)) {
            (true, _) if line.is_empty() => None,
            (true, _) | (false, Some(0)) => Some(Phase::Trailer),
            (false, Some(n)) => Some(Phase::Chunk(n + 2)),
            (false, None) => Some(Phase::Lost),
        };
        reader.scanned = 0;
        reader.phase = next.unwrap_or(Phase::Head);
        self.consume(from, end + 1);
        if next.is_none() {
            self.done(from, out);
        }
        true
    }

    /// The place in the stream is lost.
    fn lose(&mut self, from: Side) {
        let reader = &mut self.readers[from.index()];
        reader.phase = Phase::Lost;
        reader.scanned = 0;
    }

    fn head(&mut self, from: Side, out: &mut Vec<Request>) -> bool {
        let reader = &mut self.readers[from.index()];
        let left = reader.buffer.left();
        // Empty lines before a head are to be ignored (RFC 9112 2.2).
        let blank = left.iter().position(|b| !matches!(b, b'\r' | b'\n')).unwrap_or(left.len());
        if blank > 0 {
            reader.buffer.take(blank);
            reader.scanned = 0;
            return true;
        }
        let Some(end) = head::end_of_head(left, reader.scanned) else {
            // The blank line may be there in part.
            reader.scanned = left.len().saturating_sub(2);
            if left.len() > head::HEAD {
                self.cut_head(from, out);
                return true;
            }
            return false;
        };
        reader.scanned = 0;
        let head = left[..end].to_vec();
        let read = match from {
            Side::Client => head::request(&head, false).map(|h| self.request(&h, end, out)),
            Side::Server => head::response(&head, false).map(|h| self.response(&h, end, out)),
        };
        if read.is_none() {
            self.lose(from);
            // Not the same head again.
            self.consume(from, 1);
        }
        true
    }

    /// The head of a request, which is the first `len` bytes.
    fn request(&mut self, head: &head::RequestHead, len: usize, out: &mut Vec<Request>) {
        let Some(start) = self.readers[0].buffer.stamp(0) else { return };
        let lost = self.readers[1].phase == Phase::Lost;
        self.open.asked(Exchange::of(head, start), lost, out);
        self.consume_head(Side::Client, len);
        match head.body {
            Body::Unstated | Body::Length(0) => self.done(Side::Client, out),
            Body::Length(n) => self.readers[0].phase = Phase::Length(n),
            Body::Chunked => self.readers[0].phase = Phase::ChunkLine,
            Body::Unknown => self.lose(Side::Client),
        }
    }

    /// The head of a response, which is the first `len` bytes.
    fn response(&mut self, head: &head::ResponseHead, len: usize, out: &mut Vec<Request>) {
        let Some(start) = self.readers[1].buffer.stamp(0) else { return };
        let midway = if self.opening.midway { missing::START } else { 0 };
        let (bodiless, connect) = self.open.begins_answer(head.status, start, midway, out);
        self.consume_head(Side::Server, len);
        let switches = head.status == 101 || (connect && (200..300).contains(&head.status));
        if switches {
            return self.switch(head.upgrade, out);
        }
        if (100..200).contains(&head.status) {
            self.open.interim();
            return;
        }
        // RFC 9112 6.3, in its order.
        let empty = bodiless || matches!(head.status, 204 | 304);
        self.readers[1].phase = match head.body {
            _ if empty => return self.done(Side::Server, out),
            Body::Length(0) => return self.done(Side::Server, out),
            Body::Length(n) => Phase::Length(n),
            Body::Chunked => Phase::ChunkLine,
            Body::Unstated => Phase::UntilClose,
            Body::Unknown => Phase::Lost,
        };
    }

    /// The connection is no HTTP/1 any more.
    fn switch(&mut self, upgrade: Upgrade, out: &mut Vec<Request>) {
        let asked = self.open.current().map(|e| e.upgrade);
        self.after = Some(match (upgrade, asked) {
            (Upgrade::H2c, Some(Upgrade::H2c) | None) => {
                Box::new(Http2::upgraded(self.open.take_current(out), self.opening))
            }
            _ => {
                let connect = self.open.current().is_some_and(|e| e.connect);
                self.done(Side::Server, out);
                let depth = self.opening.depth + 1;
                if connect && depth <= DEPTH {
                    Box::new(Detector::new(Opening { midway: false, depth }, true))
                } else {
                    Box::<Opaque>::default()
                }
            }
        });
    }

    /// A head is not whole, as bytes are missing or it is too long: what is there of it is read. It says nothing of
    /// where its message ends.
    fn cut_head(&mut self, from: Side, out: &mut Vec<Request>) {
        let left = self.readers[from.index()].buffer.left().to_vec();
        self.lose(from);
        match from {
            Side::Client => {
                if let Some(head) = head::request(&left, true) {
                    return self.request(&head, left.len(), out);
                }
            }
            Side::Server => {
                if let Some(head) = head::response(&left, true) {
                    return self.response(&head, left.len(), out);
                }
            }
        }
        self.consume_head(from, left.len());
    }

    /// Looks for the next head.
    fn look(&mut self, from: Side, out: &mut Vec<Request>) -> bool {
        let reader = &mut self.readers[from.index()];
        let left = reader.buffer.left();
        match head::find(from, left) {
            Some(at) => {
                reader.phase = Phase::Head;
                reader.scanned = 0;
                self.consume(from, at);
                match from {
                    Side::Client => self.open.sent_unknown(),
                    Side::Server => self.open.found_answer(out),
                }
                true
            }
            None => {
                let keep = if from == Side::Client { head::LINE } else { 12 };
                let drop = left.len().saturating_sub(keep);
                if drop > 0 {
                    self.consume(from, drop);
                }
                false
            }
        }
    }

    /// A gap where it is not known what is being said. It is of the exchange that is open, or else hides another.
    fn gap_while_lost(&mut self, from: Side, at: Stamp, len: u64, out: &mut Vec<Request>) {
        // What was looked at before the gap can not go on behind it.
        let waiting = self.readers[from.index()].buffer.left().len();
        self.consume(from, waiting);
        if self.open.expects(from) {
            self.gap_at_head(from, at, len, out);
        } else if self.open.add(from, (at, at), len) {
            self.open.mark(from);
        }
    }

    /// A gap where a message ended and the next begins: it hides a head.
    fn gap_at_head(&mut self, from: Side, at: Stamp, len: u64, out: &mut Vec<Request>) {
        self.lose(from);
        match from {
            Side::Client => {
                let lost = self.readers[1].phase == Phase::Lost;
                self.open.lost_request(at, lost, out);
            }
            Side::Server => self.open.lost_answer(at, len),
        }
        self.open.add(from, (at, at), len);
        self.open.mark(from);
    }
}

impl Dissector for Http1 {
    fn bytes(&mut self, from: Side, at: Stamp, bytes: &[u8], out: &mut Vec<Request>) {
        for part in bytes.chunks(PART) {
            if let Some(after) = &mut self.after {
                after.bytes(from, at, part, out);
                continue;
            }
            let reader = &mut self.readers[from.index()];
            if !reader.buffer.push(at, part) {
                // Only while waiting can so much gather.
                self.unread += (reader.buffer.clear() + part.len()) as u64;
                reader.gap = 1;
                continue;
            }
            self.read(from, out);
        }
    }

    fn gap(&mut self, from: Side, at: Stamp, len: u64, out: &mut Vec<Request>) {
        if let Some(after) = &mut self.after {
            return after.gap(from, at, len, out);
        }
        let reader = &mut self.readers[from.index()];
        let inside = match reader.phase {
            Phase::Waits => {
                reader.gap += len;
                return;
            }
            Phase::Length(left) => left.min(len),
            Phase::Chunk(left) if len < left => len,
            Phase::Lost => return self.gap_while_lost(from, at, len, out),
            Phase::UntilClose => len,
            _ => 0,
        };
        if inside > 0 {
            if self.open.add(from, (at, at), inside) {
                self.open.mark(from);
            }
            match &mut reader.phase {
                Phase::Chunk(left) => *left -= inside,
                Phase::Length(left) if inside < *left => *left -= inside,
                Phase::Length(_) => self.done(from, out),
                _ => {}
            }
        }
        let rest = len - inside;
        if rest == 0 {
            return;
        }
        let reader = &self.readers[from.index()];
        match reader.phase {
            Phase::Head if reader.buffer.left().is_empty() => self.gap_at_head(from, at, rest, out),
            Phase::Head => {
                self.cut = Some((at, rest));
                self.cut_head(from, out);
                self.lose(from);
            }
            _ => {
                let waiting = reader.buffer.left().len();
                self.consume(from, waiting);
                self.lose(from);
                if self.open.add(from, (at, at), rest) {
                    self.open.mark(from);
                }
            }
        }
    }

    fn half_close(&mut self, from: Side, at: Stamp, out: &mut Vec<Request>) {
        if let Some(after) = &mut self.after {
            after.half_close(from, at, out);
        } else if from == Side::Server && self.readers[1].phase == Phase::UntilClose {
            self.done(from, out);
        }
    }

    fn end(&mut self, how: End, at: Stamp, out: &mut Vec<Request>) {
        if let Some(after) = &mut self.after {
            return after.end(how, at, out);
        }
        let lost = self.readers[1].phase == Phase::Lost;
        for side in [Side::Client, Side::Server] {
            let reader = &self.readers[side.index()];
            if reader.phase == Phase::Head && !reader.buffer.left().is_empty() {
                self.cut_head(side, out);
            }
            if self.after.is_some() {
                self.hand_over(out);
                return self.end(how, at, out);
            }
            let waiting = self.readers[side.index()].buffer.left().len();
            self.consume(side, waiting);
        }
        // Its length is not known, and nothing says that it was not sent whole.
        if how == End::Closed && lost && self.open.has_status() {
            self.done(Side::Server, out);
        }
        self.open.end(how, out);
    }

    fn unread(&self) -> u64 {
        self.unread + self.after.as_ref().map_or(0, |a| a.unread())
    }
}

/// A connection that is not read.
#[derive(Debug, Default)]
struct Opaque {
    unread: u64,
}

impl Dissector for Opaque {
    fn bytes(&mut self, _from: Side, _at: Stamp, bytes: &[u8], _out: &mut Vec<Request>) {
        self.unread += bytes.len() as u64;
    }
    fn gap(&mut self, _from: Side, _at: Stamp, _len: u64, _out: &mut Vec<Request>) {}
    fn end(&mut self, _how: End, _at: Stamp, _out: &mut Vec<Request>) {}
    fn unread(&self) -> u64 {
        self.unread
    }
}

#[cfg(test)]
mod tests;
