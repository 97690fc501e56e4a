//! Packets as a [`Tap`](super::Tap) takes them: decoded, in capture order.

use coldcase_decode::capture::Record;
use coldcase_decode::packet::{self, Decoded};

/// A decoded packet.
#[derive(Debug)]
pub struct Packet {
    /// The message of its stream that holds it.
    pub row: u64,
    /// Number of its frame in the capture, from 1.
    pub frame: u64,
    /// When: UTC nanoseconds.
    pub time: i64,
    /// Length on the wire.
    pub original: u32,
    /// What it is.
    pub decoded: Decoded,
    /// The frame, where it is a fragment that may be put together with others.
    pub(super) fragment: Option<Box<Frame>>,
}

/// A frame and its link type.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) link: u16,
    pub(super) bytes: Vec<u8>,
}

impl Packet {
    /// Decodes a record; `received` stands in where it holds no time.
    pub fn of(record: &Record<'_>, row: u64, frame: u64, received: i64) -> Packet {
        let decoded = packet::decode(record.link, record.bytes, record.original);
        let is_fragment = decoded.headers().is_some_and(|h| h.fragment);
        Packet {
            row,
            frame,
            time: record.time.unwrap_or(received),
            original: record.original,
            decoded,
            fragment: is_fragment.then(|| Box::new(Frame { link: record.link, bytes: record.bytes.to_vec() })),
        }
    }
}
