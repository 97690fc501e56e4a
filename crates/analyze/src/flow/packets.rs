//! Packets as a [`Tap`](super::Tap) takes them: decoded, in capture order.

use std::borrow::Cow;

use coldcase_decode::capture::Record;
use coldcase_decode::packet::{self, Decoded, Reassembler};

/// What takes packets in, in capture order.
pub trait Sink {
    /// Takes some; batches may be of any size.
    fn take(&mut self, packets: Vec<Packet<'_>>);

    /// No more packets.
    fn end(&mut self) {}
}

/// A decoded packet.
#[derive(Debug)]
pub struct Packet<'a> {
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
    /// What was captured behind the transport header.
    pub data: Cow<'a, [u8]>,
    /// The frame, where it is a fragment that may be put together with others.
    pub(super) fragment: Option<Box<Frame>>,
}

/// A frame and its link type.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) link: u16,
    pub(super) bytes: Vec<u8>,
}

impl<'a> Packet<'a> {
    /// Decodes a record; `received` stands in where it holds no time.
    pub fn of(record: &Record<'a>, row: u64, frame: u64, received: i64) -> Packet<'a> {
        let (decoded, data) = packet::decode_payload(record.link, record.bytes, record.original);
        let is_fragment = decoded.headers().is_some_and(|h| h.fragment);
        Packet {
            row,
            frame,
            time: record.time.unwrap_or(received),
            original: record.original,
            decoded,
            data: Cow::Borrowed(data),
            fragment: is_fragment.then(|| Box::new(Frame { link: record.link, bytes: record.bytes.to_vec() })),
        }
    }

    /// Puts the datagram that it completes in its place, where it is the last of the fragments of one.
    pub(super) fn complete(&mut self, fragments: &mut Reassembler) {
        if let Some(frame) = self.fragment.take()
            && let Some(whole) = fragments.push(frame.link, &frame.bytes, self.original)
        {
            (self.decoded, self.data) = (whole.0, whole.1.into());
        }
    }
}
