//! Frames of HTTP/2 (RFC 9113 4.1, 6): their headers, and whether bytes are frames.

use super::super::Side;
use super::super::detect::Verdict;

/// The client's first bytes (RFC 9113 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes of a frame's header.
pub(super) const HEADER: usize = 9;

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
pub(super) const PUSH_PROMISE: u8 = 5;
pub(super) const GOAWAY: u8 = 7;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const END_STREAM: u8 = 0x1;
pub(super) const END_HEADERS: u8 = 0x4;
pub(super) const PADDED: u8 = 0x8;
pub(super) const PRIORITY: u8 = 0x20;

/// A frame's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) length: u32,
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
}

impl Frame {
    pub(super) fn read(bytes: &[u8]) -> Option<Frame> {
        let &[a, b, c, kind, flags, d, e, f, g] = bytes.first_chunk::<HEADER>()?;
        Some(Frame {
            length: u32::from_be_bytes([0, a, b, c]),
            kind,
            flags,
            stream: u32::from_be_bytes([d & 0x7f, e, f, g]),
        })
    }

    /// Whether the header can be one: lengths and streams are as the type has them.
    pub(super) fn is_possible(&self) -> bool {
        let (connection, length) = (self.stream == 0, self.length);
        match self.kind {
            DATA | HEADERS | PUSH_PROMISE | CONTINUATION => !connection,
            2 => !connection && length == 5,
            RST_STREAM => !connection && length == 4,
            SETTINGS => connection && length.is_multiple_of(6) && length <= 6 * 64,
            6 => connection && length == 8,
            GOAWAY => connection && length >= 8,
            8 => length == 4,
            _ => length <= 1 << 14,
        }
    }

    /// Whether it looks like one where nothing else says so: only flags and types of RFC 9113, no absurd length.
    fn is_likely(&self) -> bool {
        let flags = match self.kind {
            DATA => END_STREAM | PADDED,
            HEADERS => END_STREAM | END_HEADERS | PADDED | PRIORITY,
            PUSH_PROMISE => END_HEADERS | PADDED,
            CONTINUATION => END_HEADERS,
            SETTINGS | 6 => 1,
            2 | RST_STREAM | GOAWAY | 8 => 0,
            _ => return false,
        };
        self.is_possible() && self.flags & !flags == 0 && self.length <= 1 << 20
    }
}

/// A payload without what padding and priority put before and behind it.
pub(super) fn content<'a>(frame: &Frame, payload: &'a [u8]) -> Option<&'a [u8]> {
    let (mut payload, mut pad) = (payload, 0);
    if frame.flags & PADDED != 0 {
        let (&n, rest) = payload.split_first()?;
        (payload, pad) = (rest, usize::from(n));
    }
    if frame.kind == HEADERS && frame.flags & PRIORITY != 0 {
        payload = payload.get(5..)?;
    }
    payload.get(..payload.len().checked_sub(pad)?)
}

/// Whose header block this is, by its first field: a pseudo field of a request, or of a response.
fn speaker(frame: &Frame, payload: &[u8]) -> Option<Side> {
    let skip = usize::from(frame.flags & PADDED != 0) + if frame.flags & PRIORITY != 0 { 5 } else { 0 };
    let mut block = payload.get(skip..)?;
    while let [0x20..=0x3e, rest @ ..] = block {
        block = rest;
    }
    match *block.first()? {
        0x82..=0x87 | 0x41..=0x47 | 0x01..=0x07 | 0x11..=0x17 => Some(Side::Client),
        0x88..=0x8e | 0x48..=0x4e | 0x08..=0x0e | 0x18..=0x1e => Some(Side::Server),
        _ => None,
    }
}

/// Whether bytes are HTTP/2, from its beginning or from a frame's.
pub fn probe(from: Side, bytes: &[u8]) -> Verdict {
    let n = bytes.len().min(PREFACE.len());
    if from == Side::Client && bytes[..n] == PREFACE[..n] {
        return if n >= 16 { Verdict::Yes } else { Verdict::More };
    }
    let (mut at, mut frames, mut shown) = (0, 0, false);
    while at < bytes.len() {
        let Some(frame) = Frame::read(&bytes[at..]) else { break };
        if !frame.is_likely() {
            return Verdict::No;
        }
        if frame.kind == HEADERS {
            match speaker(&frame, &bytes[at + HEADER..]) {
                Some(side) if side == from => shown = true,
                Some(_) => return Verdict::No,
                None => {}
            }
        }
        at += HEADER + frame.length as usize;
        frames += u32::from(at <= bytes.len());
    }
    // Frames that show no side are of no use before one that does.
    match (shown, frames) {
        (true, _) if at == bytes.len() || frames >= 2 => Verdict::Yes,
        (true, _) => Verdict::Likely,
        _ => Verdict::More,
    }
}

/// Where a frame begins, in bytes of which the beginning is not known: behind it there must be another, or nothing.
pub(super) fn find(bytes: &[u8]) -> Option<usize> {
    (0..bytes.len()).find(|&start| {
        let mut at = start;
        for _ in 0..2 {
            match bytes.get(at..).and_then(Frame::read) {
                Some(frame) if frame.is_likely() => at += HEADER + frame.length as usize,
                _ => return false,
            }
            if at == bytes.len() {
                return true;
            }
        }
        true
    })
}

/// An error code's name (RFC 9113 7).
pub(super) fn error_name(code: u32) -> String {
    const NAMES: [&str; 14] = [
        "NO_ERROR",
        "PROTOCOL_ERROR",
        "INTERNAL_ERROR",
        "FLOW_CONTROL_ERROR",
        "SETTINGS_TIMEOUT",
        "STREAM_CLOSED",
        "FRAME_SIZE_ERROR",
        "REFUSED_STREAM",
        "CANCEL",
        "COMPRESSION_ERROR",
        "CONNECT_ERROR",
        "ENHANCE_YOUR_CALM",
        "INADEQUATE_SECURITY",
        "HTTP_1_1_REQUIRED",
    ];
    NAMES.get(code as usize).map_or_else(|| format!("{code:#x}"), |n| (*n).to_owned())
}
