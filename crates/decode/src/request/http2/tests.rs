#![allow(clippy::unwrap_used)]

use super::super::Protocol;
use super::super::detect::Verdict;
use super::*;

fn at(n: i64) -> Stamp {
    Stamp { time: n, packet: n as u64 }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let n = payload.len() as u32;
    [&n.to_be_bytes()[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A header block of literals: with `indexed`, they enter the table.
fn block(fields: &[(&str, &str)], indexed: bool) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        out.push(if indexed { 0x40 } else { 0 });
        for text in [name, value] {
            out.push(text.len() as u8);
            out.extend(text.bytes());
        }
    }
    out
}

const ENDS: u8 = frame::END_HEADERS | frame::END_STREAM;

fn get(stream: u32, path: &str) -> Vec<u8> {
    let fields = [(":method", "GET"), (":path", path), (":authority", "h"), ("traceparent", "00-a")];
    frame(1, ENDS, stream, &block(&fields, false))
}

/// A conversation, as whole messages.
struct Talk {
    http2: Http2,
    out: Vec<Request>,
    now: i64,
}

impl Talk {
    fn new(midway: bool) -> Talk {
        Talk { http2: Http2::new(Opening { midway, depth: 0 }), out: Vec::new(), now: 0 }
    }

    fn says(&mut self, from: Side, bytes: &[u8]) {
        self.http2.bytes(from, at(self.now), bytes, &mut self.out);
        self.now += 1;
    }

    fn misses(&mut self, from: Side, len: usize) {
        self.http2.gap(from, at(self.now), len as u64, &mut self.out);
        self.now += 1;
    }

    fn ends(mut self, how: End) -> Vec<Request> {
        self.http2.end(how, at(self.now), &mut self.out);
        self.out
    }
}

fn brief(requests: &[Request]) -> Vec<String> {
    requests.iter().map(|r| format!("{} {} {:?} {}", r.key, r.code, r.outcome, r.missing)).collect()
}

#[test]
fn streams_are_requests_whatever_the_order_of_their_frames() {
    let mut t = Talk::new(false);
    t.says(Side::Client, &[PREFACE, &frame(4, 0, 0, &[]), &get(1, "/a/1"), &get(3, "/b")].concat());
    t.says(Side::Server, &[frame(4, 1, 0, &[]), frame(1, 4, 3, &[0x8d]), frame(0, 0, 3, b"no")].concat());
    t.says(Side::Server, &frame(1, frame::END_HEADERS, 1, &block(&[(":status", "103")], false)));
    t.says(Side::Server, &[frame(0, 1, 3, b""), frame(1, 4, 1, &[0x88])].concat());
    t.says(Side::Server, &frame(0, 9, 1, &[2, b'x', 0, 0]));
    let out = t.ends(End::Capture);
    assert_eq!(brief(&out), ["GET /b 404 Error 0", "GET /a/{n} 200 Ok 0"]);
    let r = &out[1];
    assert_eq!((r.start, r.sent, r.first, r.end), (at(0), Some(at(0)), Some(at(3)), Some(at(4))));
    assert_eq!((r.target.as_str(), r.traceparent.as_deref(), r.id), ("h", Some("00-a"), Some(1)));
    assert_eq!((r.protocol, r.rows, r.response_bytes), (Protocol::Http2, None, 9 + 13 + 10 + 13));
}

#[test]
fn grpc_has_its_status_from_the_trailers_and_counts_messages() {
    let request = [(":method", "POST"), (":path", "/pkg.Service/Get17"), ("content-type", "application/grpc+proto")];
    let mut t = Talk::new(false);
    t.says(Side::Client, PREFACE);
    t.says(Side::Client, &frame(1, 0, 1, &block(&request, false)[..20]));
    t.says(Side::Client, &frame(9, 4, 1, &block(&request, false)[20..]));
    t.says(Side::Client, &frame(0, 1, 1, &[0, 0, 0, 0, 0]));
    t.says(Side::Server, &frame(1, 4, 1, &[0x88]));
    t.says(Side::Server, &frame(0, 0, 1, &[0, 0, 0, 0, 1, b'x', 0, 0, 0]));
    t.says(Side::Server, &frame(0, 0, 1, &[0, 2, b'y', b'y']));
    t.says(Side::Server, &frame(1, 5, 1, &block(&[("grpc-status", "5")], false)));
    let out = t.ends(End::Closed);
    assert_eq!(brief(&out), ["POST /pkg.Service/Get17 5 Error 0"]);
    let r = &out[0];
    assert_eq!((r.protocol, r.rows, r.first, r.first_row), (Protocol::Grpc, Some(2), Some(at(4)), Some(at(5))));
    assert_eq!((r.start, r.sent, r.end), (at(1), Some(at(3)), Some(at(7))));
}

#[test]
fn resets_refusals_and_ends_are_told_apart() {
    let mut t = Talk::new(false);
    t.says(Side::Client, &[PREFACE, &get(1, "/a"), &get(3, "/b"), &get(5, "/c"), &get(7, "/d")].concat());
    t.says(Side::Client, &frame(3, 0, 1, &8u32.to_be_bytes()));
    t.says(Side::Server, &frame(7, 0, 0, &[0, 0, 0, 5, 0, 0, 0, 11]));
    t.says(Side::Server, &frame(3, 0, 3, &7u32.to_be_bytes()));
    let out = t.ends(End::Closed);
    assert_eq!(
        brief(&out),
        [
            "GET /a CANCEL Reset 0",
            "GET /d ENHANCE_YOUR_CALM Closed 0",
            "GET /b REFUSED_STREAM Reset 0",
            "GET /c  Closed 0"
        ]
    );
}

#[test]
fn a_connection_met_in_its_midst_is_labelled_and_read() {
    let mut t = Talk::new(true);
    // The path is an entry that was never seen; the next one is.
    t.says(Side::Client, &frame(1, ENDS, 21, &[0x82, 0xc4]));
    t.says(Side::Server, &[frame(0, 1, 19, b"rest"), frame(1, ENDS, 21, &[0x88])].concat());
    t.says(Side::Client, &frame(1, ENDS, 23, &[&[0x82][..], &block(&[(":path", "/new")], true)].concat()));
    t.says(Side::Client, &frame(1, ENDS, 25, &[0x82, 0xbe]));
    // The trailers may hold the status of gRPC: whether it went well is not known.
    t.says(Side::Server, &[frame(1, 4, 23, &[0x88]), frame(1, ENDS, 23, &[0xbf])].concat());
    let out = t.ends(End::Capture);
    assert_eq!(brief(&out), ["GET ? 200 Ok 1", "GET /new 200 Unfinished 1", "GET /new  Unfinished 1"]);
}

#[test]
fn gaps_inside_frames_keep_the_place() {
    let mut t = Talk::new(false);
    t.says(Side::Client, &[PREFACE, &get(1, "/a"), &get(3, "/b")].concat());
    let body = frame(0, 1, 1, &[0; 1000]);
    t.says(Side::Server, &[&frame(1, 4, 1, &[0x88])[..], &body[..100]].concat());
    t.misses(Side::Server, 800);
    t.says(Side::Server, &body[900..]);
    // A header block that is cut after the status.
    let head = frame(1, ENDS, 3, &[&[0x8d][..], &[0; 50]].concat());
    t.says(Side::Server, &head[..10]);
    t.misses(Side::Server, 50);
    t.says(Side::Client, &get(5, "/c"));
    t.says(Side::Server, &frame(1, ENDS, 5, &[0x89]));
    let out = t.ends(End::Capture);
    assert_eq!(brief(&out), ["GET /a 200 Ok 4", "GET /b 404 Error 4", "GET /c 204 Ok 1"]);
    assert_eq!(out[0].response_bytes, 10 + 1009);
}

#[test]
fn behind_a_lost_frame_header_the_next_frame_is_found() {
    let mut t = Talk::new(false);
    t.says(Side::Client, &[PREFACE, &get(1, "/a")].concat());
    t.misses(Side::Client, 500);
    t.says(Side::Client, &[&b"tail of a frame"[..], &get(5, "/c"), &get(7, "/d")].concat());
    t.says(Side::Server, &[frame(1, ENDS, 1, &[0x88]), frame(1, ENDS, 5, &[0x88])].concat());
    let out = t.ends(End::Capture);
    assert_eq!(brief(&out), ["GET /a 200 Ok 2", "GET /c 200 Ok 1", "GET /d  Unfinished 1"]);
}

#[test]
fn http2_is_known_by_preface_or_frames_and_by_side() {
    assert_eq!(probe(Side::Client, PREFACE), Verdict::Yes);
    assert_eq!(probe(Side::Client, &PREFACE[..9]), Verdict::More);
    let request = frame(1, ENDS, 21, &[0x82, 0xc4]);
    assert_eq!(probe(Side::Client, &request), Verdict::Yes);
    assert_eq!(probe(Side::Server, &request), Verdict::No);
    assert_eq!(probe(Side::Client, &frame(6, 0, 0, &[0; 8])), Verdict::More);
    assert_eq!(probe(Side::Client, b"GET / HTTP/1.1\r\n"), Verdict::No);
    assert_eq!(probe(Side::Server, &[0; 64]), Verdict::No);
}

#[test]
fn what_is_kept_is_bounded() {
    let mut t = Talk::new(false);
    t.says(Side::Client, PREFACE);
    for n in 0..10_000 {
        t.says(Side::Client, &get(n * 2 + 1, "/a"));
    }
    assert_eq!((t.http2.streams.len(), t.out.len()), (OPEN, 10_000 - OPEN));
    // Endless continuation.
    t.says(Side::Client, &frame(1, 0, 20_001, &[0x82]));
    for _ in 0..1000 {
        t.says(Side::Client, &frame(9, 0, 20_001, &[0; 1000]));
    }
    assert!(t.http2.readers[0].block.is_none());
    t.says(Side::Client, &[&[0xff, 0xff, 0xff, 1, 4, 0, 0, 1, 1][..], &[0; 100_000]].concat());
    assert!(t.http2.readers[0].buffer.left().len() < BLOCK);
}
