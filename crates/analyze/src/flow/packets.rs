//! Packets as a [`Tap`](super::Tap) takes them: decoded, in capture order.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};

use coldcase_decode::capture::{Reader, Record};
use coldcase_decode::packet::{self, Decoded, Reassembler};

/// What takes packets in, in capture order.
pub trait Sink {
    /// Takes some; batches may be of any size.
    fn take(&mut self, packets: Vec<Packet<'_>>);

    /// Told the first and the last time of some, where packets have times of their own.
    fn spans(&mut self, _first: i64, _last: i64) {}

    /// Told that some are not handed over: what is left is not the whole capture.
    fn leave_out(&mut self) {}

    /// No more packets.
    fn end(&mut self) {}
}

/// A frame as a capture holds it.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// When: UTC nanoseconds; `None` where the capture does not tell.
    pub time: Option<i64>,
    /// Its link type.
    pub link: u16,
    /// Length on the wire.
    pub original: u32,
    /// What was captured of it.
    pub bytes: &'a [u8],
}

impl<'a> From<&Record<'a>> for Frame<'a> {
    fn from(r: &Record<'a>) -> Frame<'a> {
        Frame { time: r.time, link: r.link, original: r.original, bytes: r.bytes }
    }
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
    /// Tells its interface from the others of the capture.
    pub interface: u64,
    /// The number of that among those seen, which the tap gives.
    pub(super) place: u8,
    /// What it is.
    pub decoded: Decoded,
    /// What was captured behind the transport header.
    pub data: Cow<'a, [u8]>,
    /// The frame, where it is a fragment that may be put together with others.
    pub(super) fragment: Option<Box<Fragment>>,
}

/// What tells the interfaces of a capture of all interfaces apart: their index where the frame has it, else whether the
/// packet came or went.
fn within_any(link: u16, bytes: &[u8]) -> u64 {
    const LINUX_SLL: u16 = 113;
    const LINUX_SLL2: u16 = 276;
    match (link, bytes) {
        (LINUX_SLL, [0, kind, ..]) => u64::from(*kind == 4),
        (LINUX_SLL2, [_, _, _, _, a, b, c, d, ..]) => u64::from(u32::from_be_bytes([*a, *b, *c, *d])),
        _ => 0,
    }
}

/// The frame of a fragment, and its link type.
#[derive(Debug)]
pub(super) struct Fragment {
    pub(super) link: u16,
    pub(super) bytes: Vec<u8>,
}

impl<'a> Packet<'a> {
    /// Decodes a frame; `received` stands in where it holds no time.
    pub fn of(record: &Frame<'a>, interface: u64, row: u64, frame: u64, received: i64) -> Packet<'a> {
        let (decoded, data) = packet::decode_payload(record.link, record.bytes, record.original);
        let is_fragment = decoded.headers().is_some_and(|h| h.fragment);
        Packet {
            row,
            frame,
            time: record.time.unwrap_or(received),
            original: record.original,
            interface: interface ^ within_any(record.link, record.bytes),
            place: 0,
            decoded,
            data: Cow::Borrowed(data),
            fragment: is_fragment.then(|| Box::new(Fragment { link: record.link, bytes: record.bytes.to_vec() })),
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

/// Tells interfaces by their names, where they have one: each section of a capture numbers its own.
#[derive(Debug, Default)]
pub(super) struct Interfaces(Vec<u64>);

impl Interfaces {
    /// What tells the interface that `reader` knows by this number.
    pub(super) fn id(&mut self, reader: &Reader, number: u32) -> u64 {
        while self.0.len() <= number as usize {
            let next = self.0.len() as u32;
            let mut hash = DefaultHasher::new();
            match reader.interfaces().get(next as usize).map_or("", |i| &i.name) {
                "" => next.hash(&mut hash),
                name => name.hash(&mut hash),
            }
            self.0.push(hash.finish());
        }
        self.0[number as usize]
    }
}
