//! HTTP/2 (RFC 9113) with prior knowledge or after an upgrade, and gRPC in it: one request for each stream.
//!
//! `start` is the first byte of the frame that opened the stream, `sent` the last one of the frame with the client's
//! END_STREAM, `first` the first byte of the final response's HEADERS, `end` the last one of the server's END_STREAM.
//! gRPC is told by its content type; its `code` is grpc-status, `rows` are the messages of the answer and `first_row`
//! the first of them. A stream that is reset has the error's name for its code.
//!
//! Where bytes are missing inside a frame, the frames behind it are read on. Where they hide the beginning of one, the
//! next is looked for, and header fields that were said before are unknown: a `?` in the key.

mod frame;
mod stream;

use std::collections::BTreeMap;

use frame::{Frame, HEADER, PREFACE};
use stream::Stream;

use super::buffer::Buffer;
use super::detect::Opening;
use super::hpack::Decoder;
use super::{Dissector, End, Outcome, Request, Side, Stamp, missing};

pub use frame::probe;

/// Most streams that may be open; servers allow some hundreds.
const OPEN: usize = 4096;
/// Longest header block, over all of its frames.
const BLOCK: usize = 128 << 10;
/// How much is looked at for the next frame where the place was lost.
const LOST: usize = 16 << 10;
/// Pieces are read in parts of this size, so that no piece is too much for a buffer.
const PART: usize = 32 << 10;

/// A DATA frame, or one that is not read, that goes on.
#[derive(Debug, Clone, Copy)]
struct Passing {
    frame: Frame,
    /// Bytes that are still to come, and how many of them are padding.
    left: u64,
    padding: u64,
}

/// A header block that goes on in CONTINUATION frames.
#[derive(Debug)]
struct Block {
    /// The stream it is of; for a promise the promised one.
    stream: u32,
    ends: bool,
    promise: bool,
    bytes: Vec<u8>,
    start: Stamp,
    length: u64,
    /// Not all of it is there.
    cut: bool,
}

#[derive(Debug, Default)]
struct Reader {
    buffer: Buffer,
    passing: Option<Passing>,
    block: Option<Block>,
    table: Decoder,
    lost: bool,
}

/// The dissector of HTTP/2.
#[derive(Debug)]
pub struct Http2 {
    readers: [Reader; 2],
    streams: BTreeMap<u32, Stream>,
    /// The newest stream that the client opened.
    newest: u32,
    /// Something was said that is not known here.
    midway: bool,
    unread: u64,
}

impl Http2 {
    /// A connection as it was met.
    pub fn new(opening: Opening) -> Http2 {
        Http2 { readers: Default::default(), streams: BTreeMap::new(), newest: 0, midway: opening.midway, unread: 0 }
    }

    /// A connection that was HTTP/1, whose request is answered in stream 1.
    pub fn upgraded(request: Option<Request>, opening: Opening) -> Http2 {
        let mut http2 = Http2::new(opening);
        if let Some(request) = request {
            http2.newest = 1;
            http2.streams.insert(1, Stream::upgraded(request));
        }
        http2
    }

    /// Reads one thing of a side; false where more bytes are needed.
    fn step(&mut self, from: Side, out: &mut Vec<Request>) -> bool {
        let reader = &mut self.readers[from.index()];
        let left = reader.buffer.left();
        if left.is_empty() {
            return false;
        }
        if let Some(passing) = reader.passing {
            return self.pass(from, passing, out);
        }
        if reader.lost {
            return self.look(from);
        }
        if from == Side::Client && left[0] == PREFACE[0] && PREFACE.starts_with(&left[..left.len().min(PREFACE.len())])
        {
            let whole = left.len() >= PREFACE.len();
            if whole {
                reader.buffer.take(PREFACE.len());
            }
            return whole;
        }
        let Some(frame) = Frame::read(left) else { return false };
        let inside = frame.kind == frame::CONTINUATION;
        if !frame.is_possible() || inside != reader.block.is_some() && !self.midway {
            self.lose(from);
            self.readers[from.index()].buffer.take(1);
            self.unread += 1;
            return true;
        }
        let whole = HEADER + frame.length as usize;
        let read = matches!(frame.kind, frame::HEADERS | frame::PUSH_PROMISE | frame::CONTINUATION | frame::RST_STREAM)
            || frame.kind == frame::GOAWAY;
        if !read || whole > BLOCK {
            return self.begin_passing(from, frame, out);
        }
        let reader = &mut self.readers[from.index()];
        let Some(payload) = reader.buffer.left().get(HEADER..whole).map(<[u8]>::to_vec) else { return false };
        if let Some(stamps) = reader.buffer.take(whole) {
            self.frame(from, frame, &payload, stamps, false, out);
        }
        true
    }

    /// A frame whose payload is not kept begins.
    fn begin_passing(&mut self, from: Side, frame: Frame, out: &mut Vec<Request>) -> bool {
        let reader = &mut self.readers[from.index()];
        let padded = frame.kind == frame::DATA && frame.flags & frame::PADDED != 0 && frame.length > 0;
        let head = HEADER + usize::from(padded);
        let Some(&padding) = reader.buffer.left().get(head - 1) else { return false };
        let left = u64::from(frame.length) - u64::from(padded);
        let padding = if padded { u64::from(padding).min(left) } else { 0 };
        let Some((_, last)) = reader.buffer.take(head) else { return false };
        reader.passing = (left > 0).then_some(Passing { frame, left, padding });
        if frame.kind != frame::DATA {
            if matches!(frame.kind, frame::HEADERS | frame::PUSH_PROMISE | frame::CONTINUATION) {
                // Longer than what is kept: its entries are not known.
                reader.block = None;
                reader.table.forget();
                self.midway = true;
            }
            return true;
        }
        if let Some(stream) = self.streams.get_mut(&frame.stream) {
            stream.add(from, HEADER as u64 + u64::from(frame.length));
        }
        if left == 0 {
            self.passed(from, frame, last, out);
        }
        true
    }

    /// Bytes of a frame whose payload is not kept.
    fn pass(&mut self, from: Side, mut passing: Passing, out: &mut Vec<Request>) -> bool {
        let reader = &mut self.readers[from.index()];
        let Some((at, len)) = reader.buffer.piece() else { return false };
        let n = passing.left.min(len as u64);
        let body = n.min(passing.left - passing.padding) as usize;
        if passing.frame.kind == frame::DATA
            && let Some(stream) = self.streams.get_mut(&passing.frame.stream)
        {
            stream.body(from, at, &reader.buffer.left()[..body]);
        }
        reader.buffer.take(n as usize);
        passing.left -= n;
        passing.padding = passing.padding.min(passing.left);
        reader.passing = (passing.left > 0).then_some(passing);
        if passing.left == 0 {
            self.passed(from, passing.frame, at, out);
        }
        true
    }

    /// The end of a frame whose payload is not kept.
    fn passed(&mut self, from: Side, frame: Frame, last: Stamp, out: &mut Vec<Request>) {
        if frame.kind == frame::DATA && frame.flags & frame::END_STREAM != 0 {
            self.ended(from, frame.stream, last, out);
        }
    }

    /// A side said all of a stream.
    fn ended(&mut self, from: Side, id: u32, last: Stamp, out: &mut Vec<Request>) {
        match from {
            Side::Client => {
                if let Some(stream) = self.streams.get_mut(&id) {
                    stream.request.sent = Some(last);
                }
            }
            Side::Server => {
                if let Some(mut stream) = self.streams.remove(&id) {
                    stream.request.end = Some(last);
                    out.push(stream.over(None));
                }
            }
        }
    }

    /// A frame, or with `cut` what is there of it.
    fn frame(
        &mut self,
        from: Side,
        frame: Frame,
        payload: &[u8],
        (first, last): (Stamp, Stamp),
        cut: bool,
        out: &mut Vec<Request>,
    ) {
        let length = HEADER as u64 + u64::from(frame.length);
        match frame.kind {
            frame::HEADERS | frame::PUSH_PROMISE => {
                let content = if cut { cut_content(&frame, payload) } else { frame::content(&frame, payload) };
                let Some(mut content) = content else { return self.bad_block(from) };
                let promise = frame.kind == frame::PUSH_PROMISE;
                let mut stream = frame.stream;
                if promise {
                    let Some((id, rest)) = content.split_first_chunk::<4>() else { return self.bad_block(from) };
                    stream = u32::from_be_bytes(*id) & 0x7fff_ffff;
                    content = rest;
                }
                let ends = !promise && frame.flags & frame::END_STREAM != 0;
                let block = Block { stream, ends, promise, bytes: content.to_vec(), start: first, length, cut };
                self.readers[from.index()].block = Some(block);
            }
            frame::CONTINUATION => {
                let Some(block) = &mut self.readers[from.index()].block else { return self.bad_block(from) };
                if block.bytes.len() + payload.len() > BLOCK {
                    return self.bad_block(from);
                }
                // Behind what is missing nothing fits.
                if !block.cut {
                    block.bytes.extend_from_slice(payload);
                }
                block.cut |= cut;
                block.length += length;
            }
            frame::RST_STREAM => {
                let code = payload.first_chunk().map_or(String::new(), |c| frame::error_name(u32::from_be_bytes(*c)));
                if let Some(stream) = self.streams.remove(&frame.stream) {
                    out.push(stream.over(Some((Outcome::Reset, code))));
                }
                return;
            }
            frame::GOAWAY if from == Side::Server => return self.goaway(payload, out),
            _ => return,
        }
        if frame.flags & frame::END_HEADERS != 0
            && let Some(block) = self.readers[from.index()].block.take()
        {
            self.block(from, &block, last, out);
        }
    }

    /// The server reads no streams behind the one it names (RFC 9113 6.8).
    fn goaway(&mut self, payload: &[u8], out: &mut Vec<Request>) {
        let Some(&[a, b, c, d, e, f, g, h]) = payload.first_chunk::<8>() else { return };
        let last = u32::from_be_bytes([a, b, c, d]) & 0x7fff_ffff;
        let code = frame::error_name(u32::from_be_bytes([e, f, g, h]));
        for (_, stream) in self.streams.split_off(&last.saturating_add(1)) {
            out.push(stream.over(Some((Outcome::Closed, code.clone()))));
        }
    }

    /// A block that can not be read: what it added to the table is not known.
    fn bad_block(&mut self, from: Side) {
        let reader = &mut self.readers[from.index()];
        reader.block = None;
        reader.table.forget();
        self.midway = true;
    }

    /// A header block that is whole, or as much of it as there is.
    fn block(&mut self, from: Side, block: &Block, last: Stamp, out: &mut Vec<Request>) {
        let mut fields = Vec::new();
        let mut unknown = false;
        let read = self.readers[from.index()].table.decode(&block.bytes, &mut |name, value| {
            unknown |= name.is_none() || value.is_none();
            // No honest block has more of these.
            if fields.len() < 64 {
                fields.extend(stream::field(name, value));
            }
        });
        if read.is_err() || block.cut {
            self.readers[from.index()].table.forget();
            self.midway = true;
        }
        let speaker = if block.promise { Side::Client } else { from };
        self.open(speaker, block, &fields, out);
        let Some(stream) = self.streams.get_mut(&block.stream) else { return };
        stream.block(speaker, unknown, block.cut);
        stream.add(from, block.length);
        for (name, value) in fields {
            stream.header(speaker, name, value);
        }
        if speaker == Side::Server && !stream.is_interim() {
            stream.request.first.get_or_insert(block.start);
        }
        if block.promise {
            stream.request.sent = Some(last);
        }
        if block.ends {
            self.ended(from, block.stream, last, out);
        }
    }

    /// Opens the stream of a block, if it begins one.
    fn open(&mut self, speaker: Side, block: &Block, fields: &[(&str, String)], out: &mut Vec<Request>) {
        if self.streams.contains_key(&block.stream) {
            return;
        }
        let says = |wanted: &str| fields.iter().any(|(name, _)| *name == wanted);
        let mut stream = Stream::new(block.stream, block.start);
        match speaker {
            // Trailers of a stream that was answered already do not open it again.
            Side::Client if block.stream <= self.newest && !says(":method") && !block.promise => return,
            Side::Client => self.newest = self.newest.max(block.stream),
            Side::Server if self.midway && says(":status") => {
                stream.request.missing = missing::REQUEST | missing::START;
            }
            Side::Server => return,
        }
        if self.midway {
            stream.request.missing |= missing::START;
        }
        if self.streams.len() >= OPEN
            && let Some((_, oldest)) = self.streams.pop_first()
        {
            out.push(oldest.over(Some((Outcome::Unfinished, String::new()))));
        }
        self.streams.insert(block.stream, stream);
    }

    /// Where frames begin is not known any more.
    fn lose(&mut self, from: Side) {
        let reader = &mut self.readers[from.index()];
        reader.lost = true;
        reader.passing = None;
        reader.block = None;
        reader.table.forget();
        self.midway = true;
        for stream in self.streams.values_mut() {
            stream.mark(from);
            stream.body_gap(from, u64::MAX);
        }
    }

    /// Looks for the next frame.
    fn look(&mut self, from: Side) -> bool {
        let reader = &mut self.readers[from.index()];
        let left = reader.buffer.left();
        let found = frame::find(left);
        let drop = found.unwrap_or(left.len().saturating_sub(LOST));
        reader.lost = found.is_none();
        reader.buffer.take(drop);
        self.unread += drop as u64;
        found.is_some()
    }

    /// Bytes are missing in the frame that begins the buffer. Returns how many of them are behind it.
    fn cut_frame(&mut self, from: Side, at: Stamp, len: u64, out: &mut Vec<Request>) -> u64 {
        let reader = &mut self.readers[from.index()];
        let left = reader.buffer.left();
        let Some(frame) = Frame::read(left).filter(|f| f.is_possible() && !reader.lost) else { return len };
        let payload = left[HEADER..].to_vec();
        let rest = u64::from(frame.length).saturating_sub(payload.len() as u64);
        let first = reader.buffer.stamp(0).unwrap_or(at);
        reader.buffer.clear();
        if rest > len {
            // The rest of the frame is of no use any more.
            let skipped = Frame { kind: u8::MAX, ..frame };
            reader.passing = Some(Passing { frame: skipped, left: rest - len, padding: 0 });
        }
        self.frame(from, frame, &payload, (first, at), true, out);
        len.saturating_sub(rest)
    }
}

/// The content of a frame that is cut: padding is behind the cut.
fn cut_content<'a>(frame: &Frame, payload: &'a [u8]) -> Option<&'a [u8]> {
    let flags = frame.flags & !frame::PADDED;
    let skip = usize::from(frame.flags & frame::PADDED != 0);
    frame::content(&Frame { flags, ..*frame }, payload.get(skip..)?)
}

impl Dissector for Http2 {
    fn bytes(&mut self, from: Side, at: Stamp, bytes: &[u8], out: &mut Vec<Request>) {
        for part in bytes.chunks(PART) {
            let reader = &mut self.readers[from.index()];
            if !reader.buffer.push(at, part) {
                self.unread += (reader.buffer.clear() + part.len()) as u64;
                self.lose(from);
            }
            while self.step(from, out) {}
        }
    }

    fn gap(&mut self, from: Side, at: Stamp, len: u64, out: &mut Vec<Request>) {
        let mut len = len;
        let reader = &mut self.readers[from.index()];
        if let Some(mut passing) = reader.passing {
            let inside = passing.left.min(len);
            passing.left -= inside;
            passing.padding = passing.padding.min(passing.left);
            len -= inside;
            reader.passing = (passing.left > 0).then_some(passing);
            if let Some(stream) = self.streams.get_mut(&passing.frame.stream) {
                stream.body_gap(from, inside);
            }
            if passing.left == 0 {
                self.passed(from, passing.frame, at, out);
            }
        } else if !reader.buffer.left().is_empty() {
            len = self.cut_frame(from, at, len, out);
        }
        if len > 0 {
            self.unread += self.readers[from.index()].buffer.clear() as u64;
            self.lose(from);
        }
    }

    fn end(&mut self, how: End, _at: Stamp, out: &mut Vec<Request>) {
        let outcome = match how {
            End::Capture => Outcome::Unfinished,
            End::Closed => Outcome::Closed,
            End::Reset => Outcome::Reset,
        };
        for stream in std::mem::take(&mut self.streams).into_values() {
            out.push(stream.over(Some((outcome, String::new()))));
        }
        for reader in &mut self.readers {
            self.unread += reader.buffer.clear() as u64;
        }
    }

    fn unread(&self) -> u64 {
        self.unread
    }
}

#[cfg(test)]
mod tests;
