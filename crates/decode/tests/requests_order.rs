//! The same requests come out whatever the order, the repetition and the pieces in which segments were captured.

use coldcase_decode::request::connection::Connection;
use coldcase_decode::request::reassembly::{Segment, Way};
use coldcase_decode::request::{Outcome, Protocol, Request, Stamp};
use proptest::prelude::*;

/// What one side says until the other speaks.
type Turn = (Way, Vec<u8>);

fn http1() -> Vec<Turn> {
    let long = "x".repeat(3000);
    vec![
        (Way::Forward, b"GET /a/1 HTTP/1.1\r\nHost: h\r\n\r\nGET /b HTTP/1.1\r\n\r\n".to_vec()),
        (
            Way::Back,
            format!(
                "HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n{long}HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"
            )
            .into_bytes(),
        ),
        (Way::Forward, b"POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n".to_vec()),
        (Way::Back, b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno".to_vec()),
    ]
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = payload.len() as u32;
    [&length.to_be_bytes()[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

fn http2() -> Vec<Turn> {
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    // :method POST, :path /p.S/M (indexed), content-type application/grpc.
    let head = [&b"\x83\x44\x06/p.S/M\x5f\x10application/grpc"[..]].concat();
    let message = [&[0, 0, 0, 0, 90][..], &[1; 90]].concat();
    vec![
        (Way::Forward, [preface, frame(4, 0, 0, &[]), frame(1, 4, 1, &head), frame(0, 1, 1, &message)].concat()),
        (
            Way::Back,
            [
                frame(4, 0, 0, &[]),
                frame(1, 4, 1, b"\x88"),
                frame(0, 0, 1, &message),
                frame(0, 0, 1, &message),
                frame(1, 5, 1, b"\x40\x0bgrpc-status\x010"),
            ]
            .concat(),
        ),
        (Way::Forward, frame(1, 5, 3, b"\x82\xbf")),
        (Way::Back, frame(1, 5, 3, b"\x8d")),
    ]
}

fn dns() -> Vec<Turn> {
    let message = |id: u8, flags: u8, answers: u8| {
        let name = b"\x07example\x03org\x00\x00\x01\x00\x01";
        [&[0, 29, 0, id, flags, 0, 0, 1, 0, answers, 0, 0, 0, 0][..], name].concat()
    };
    vec![
        (Way::Forward, [message(1, 1, 0), message(2, 1, 0)].concat()),
        (Way::Back, [message(2, 0x81, 0), message(1, 0x81, 0)].concat()),
    ]
}

/// One packet before it has a time.
#[derive(Debug, Clone)]
struct Piece {
    way: Way,
    seq: u32,
    ack: u32,
    syn: bool,
    data: Vec<u8>,
}

const ISN: [u32; 2] = [u32::MAX - 500, 1_000_000];

/// Cuts turns into segments, at the given lengths in turn.
fn segments(turns: &[Turn], lengths: &[usize]) -> Vec<Vec<Piece>> {
    let mut next = ISN.map(|n| n.wrapping_add(1));
    let syn = |way: Way, ack| Piece { way, seq: ISN[way.index()], ack, syn: true, data: Vec::new() };
    let mut out = vec![vec![syn(Way::Forward, 0)], vec![syn(Way::Back, next[0])]];
    let mut lengths = lengths.iter().cycle();
    for (way, bytes) in turns {
        let (mut at, mut turn) = (0, Vec::new());
        while at < bytes.len() {
            let end = bytes.len().min(at + lengths.next().copied().unwrap_or(1460));
            let (seq, ack) = (next[way.index()], next[way.other().index()]);
            turn.push(Piece { way: *way, seq, ack, syn: false, data: bytes[at..end].to_vec() });
            next[way.index()] = seq.wrapping_add((end - at) as u32);
            at = end;
        }
        out.push(turn);
    }
    out
}

fn requests(pieces: &[Piece]) -> Vec<Request> {
    let mut connection = Connection::new();
    let mut out = Vec::new();
    for (n, p) in pieces.iter().enumerate() {
        let segment = Segment {
            way: p.way,
            at: Stamp { time: n as i64, packet: n as u64 },
            seq: p.seq,
            ack: (p.ack != 0).then_some(p.ack),
            syn: p.syn,
            fin: false,
            rst: false,
            len: p.data.len() as u32,
            data: &p.data,
        };
        connection.segment(&segment, &mut out);
    }
    connection.finish(&mut out);
    assert_eq!(connection.unread(), 0);
    // When they came depends on the packets; what they are does not.
    for r in &mut out {
        assert!(r.sent.is_some() && r.first.is_some() && r.end >= r.first && r.sent >= Some(r.start));
        (r.start, r.sent, r.first, r.end, r.first_row) =
            (Stamp::default(), None, None, None, r.first_row.map(|_| Stamp::default()));
    }
    out
}

#[test]
fn the_conversations_are_read_as_they_were_meant() {
    let all = |turns: &[Turn]| requests(&segments(turns, &[1460]).concat());
    let brief = |turns: &[Turn]| -> Vec<String> {
        all(turns).iter().map(|r| format!("{} {} {} {:?}", r.protocol.name(), r.key, r.code, r.outcome)).collect()
    };
    assert_eq!(brief(&http1()), ["http GET /a/{n} 200 Ok", "http GET /b 404 Error", "http POST /c 500 Error"]);
    assert_eq!(brief(&http2()), ["grpc POST /p.S/M 0 Ok", "http2 GET /p.S/M 404 Error"]);
    assert_eq!(brief(&dns()), ["dns A example.org NOERROR Ok", "dns A example.org NOERROR Ok"]);
    let grpc = &all(&http2())[0];
    assert_eq!((grpc.protocol, grpc.outcome, grpc.rows), (Protocol::Grpc, Outcome::Ok, Some(2)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn order_repetition_and_pieces_change_nothing(
        which in 0usize..3,
        lengths in prop::collection::vec(prop_oneof![1usize..8, 8usize..200, 200usize..1460], 1..40),
        swaps in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..60),
        copies in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..20),
    ) {
        let turns = [http1, http2, dns][which]();
        let whole = requests(&segments(&turns, &[1460]).concat());
        let mut shuffled = segments(&turns, &lengths);
        // Segments of a turn change places; the other side speaks when it has all of them.
        for (turn, (a, b)) in (0..shuffled.len()).cycle().zip(&swaps) {
            let turn = &mut shuffled[turn];
            let (a, b) = (a.index(turn.len()), b.index(turn.len()));
            turn.swap(a, b);
        }
        // Copies of any, later in the same turn or in any after it, with other bytes.
        for (from, to) in &copies {
            let from = from.index(shuffled.len());
            let to = from + to.index(shuffled.len() - from);
            let mut copy = shuffled[from][0].clone();
            if !copy.syn {
                copy.data.fill(b'?');
                shuffled[to].push(copy);
            }
        }
        prop_assert_eq!(requests(&shuffled.concat()), whole);
    }
}
