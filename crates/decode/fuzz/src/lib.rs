//! What the fuzz targets of requests share: bytes to conversations.

use coldcase_decode::request::connection::Connection;
use coldcase_decode::request::detect::AnyDissector;
use coldcase_decode::request::reassembly::{Segment, Way};
use coldcase_decode::request::{DETAIL, End, Request, Side, Stamp};

/// One thing that happens: who, and bytes or a gap. In the input: a byte with the side in bit 0, the kind in bits 1 and
/// 2 (0 to 2 bytes, 3 a gap or a close), and a length in the rest that, where it is 31, goes on in two bytes.
enum Event<'a> {
    Bytes(Side, &'a [u8]),
    Gap(Side, u64),
    Close(Side),
}

fn events(mut input: &[u8]) -> Vec<Event<'_>> {
    let mut out = Vec::new();
    while let Some((&op, rest)) = input.split_first() {
        input = rest;
        let side = if op & 1 == 0 { Side::Client } else { Side::Server };
        let mut len = usize::from(op >> 3);
        if len == 31 {
            let Some((more, rest)) = input.split_first_chunk::<2>() else { break };
            (len, input) = (usize::from(u16::from_be_bytes(*more)), rest);
        }
        if op & 6 == 6 {
            out.push(if len == 0 { Event::Close(side) } else { Event::Gap(side, len as u64) });
        } else {
            let (bytes, rest) = input.split_at(len.min(input.len()));
            (input, _) = (rest, out.push(Event::Bytes(side, bytes)));
        }
    }
    out
}

fn check(out: &[Request]) {
    for r in out {
        assert!(r.key.len() <= DETAIL && r.detail.len() <= DETAIL + 64 && r.target.len() <= DETAIL);
        assert!(r.first.is_none_or(|f| r.end.is_none_or(|e| e >= f)), "{r:?}");
        assert!(r.sent.is_none_or(|s| s >= r.start), "{r:?}");
    }
}

/// Plays a conversation to a dissector, in pieces of at most `most` bytes.
fn play(mut dissector: AnyDissector, events: &[Event<'_>], most: usize) -> Vec<Request> {
    let mut out = Vec::new();
    let mut total = 0;
    for (n, event) in events.iter().enumerate() {
        let at = Stamp { time: n as i64, packet: n as u64 };
        match event {
            Event::Bytes(side, bytes) => {
                total += bytes.len() as u64;
                bytes.chunks(most).for_each(|part| dissector.bytes(*side, at, part, &mut out));
            }
            Event::Gap(side, len) => dissector.gap(*side, at, *len, &mut out),
            Event::Close(side) => dissector.half_close(*side, at, &mut out),
        }
    }
    let at = Stamp { time: events.len() as i64, packet: events.len() as u64 };
    dissector.end([End::Capture, End::Closed, End::Reset][events.len() % 3], at, &mut out);
    assert!(dissector.unread() <= total);
    check(&out);
    out
}

/// What requests say whatever the pieces.
fn said(requests: Vec<Request>) -> Vec<(String, String, String, String, u8)> {
    requests.into_iter().map(|r| (r.key, r.detail, r.code, format!("{:?}", r.outcome), r.missing)).collect()
}

/// Plays a conversation in one piece size.
pub fn play_once(open: impl Fn() -> AnyDissector, input: &[u8]) {
    play(open(), &events(input), usize::MAX);
}

/// Plays a conversation in pieces of different sizes: the requests must be the same. Behind a gap that need not be, as
/// the next message is looked for where a piece begins.
pub fn talk(open: impl Fn() -> AnyDissector, input: &[u8]) {
    let events = events(input);
    let whole = said(play(open(), &events, usize::MAX));
    if events.iter().any(|e| matches!(e, Event::Gap(..))) {
        return;
    }
    assert_eq!(whole, said(play(open(), &events, 1)));
    assert_eq!(whole, said(play(open(), &events, 7)));
}

/// A connection from segments: each has a head of seven bytes.
pub fn segments(mut input: &[u8]) {
    let mut connection = Connection::new();
    let mut out = Vec::new();
    let mut n = 0;
    while let Some((&[flags, s, t, a, b, len, captured], rest)) = input.split_first_chunk::<7>() {
        let len = usize::from(len);
        let (data, rest) = rest.split_at(len.min(rest.len()));
        input = rest;
        // Sequence numbers that meet, and some that wrap or stray.
        let number = |high: u8, low: u8| match high >> 6 {
            3 => u32::from(high & 63) << 26 | u32::from(low),
            _ => (u32::from(high & 63) << 8 | u32::from(low)).wrapping_sub(512),
        };
        let segment = Segment {
            way: if flags & 1 == 0 { Way::Forward } else { Way::Back },
            at: Stamp { time: n, packet: n as u64 },
            seq: number(s, t),
            ack: (flags & 2 != 0).then(|| number(a, b)),
            syn: flags & 0x1c == 0x1c,
            fin: flags & 0xe0 == 0xe0,
            rst: flags == 0x42,
            len: len as u32 + u32::from(captured & 1) * 100,
            data: &data[..data.len().saturating_sub(usize::from(captured >> 4))],
        };
        connection.segment(&segment, &mut out);
        n += 1;
    }
    connection.finish(&mut out);
    check(&out);
}
