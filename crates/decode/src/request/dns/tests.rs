#![allow(clippy::unwrap_used)]

use super::*;

fn at(n: i64) -> Stamp {
    Stamp { time: n * 1_000_000_000, packet: n as u64 }
}

/// A message with one question, and what follows it.
fn packet(id: u16, flags: u16, name: &str, kind: u16, counts: [u16; 3], tail: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for n in [id, flags, 1, counts[0], counts[1], counts[2]] {
        out.extend(n.to_be_bytes());
    }
    for label in name.split('.') {
        out.push(label.len() as u8);
        out.extend(label.bytes());
    }
    out.push(0);
    out.extend(kind.to_be_bytes());
    out.extend(1u16.to_be_bytes());
    out.extend(tail);
    out
}

fn query(id: u16, name: &str) -> Vec<u8> {
    packet(id, 0x0100, name, 1, [0; 3], &[])
}

fn answer(id: u16, name: &str, rcode: u16) -> Vec<u8> {
    packet(id, 0x8180 | rcode, name, 1, [2, 0, 0], &[])
}

#[test]
fn answers_find_their_queries_by_id_and_question() {
    let mut flow = Datagrams::default();
    let mut out = Vec::new();
    let mut say = |n, bytes: &[u8]| flow.datagram(at(n), bytes, bytes.len() as u32, &mut out);
    say(0, &query(7, "a.example"));
    say(1, &query(8, "b.example"));
    say(2, &query(7, "c.example"));
    say(3, &answer(7, "C.example", 0));
    say(4, &answer(7, "a.example", 3));
    // Nobody asked.
    say(5, &answer(9, "d.example", 2));
    flow.finish(&mut out);
    let brief: Vec<_> = out.iter().map(|r| format!("{} {} {:?} {}", r.key, r.code, r.outcome, r.missing)).collect();
    assert_eq!(
        brief,
        [
            "A c.example NOERROR Ok 0",
            "A a.example NXDOMAIN Error 0",
            "A d.example SERVFAIL Error 2",
            "A b.example  Unfinished 0"
        ]
    );
    assert_eq!((out[1].start, out[1].sent, out[1].end), (at(0), Some(at(0)), Some(at(4))));
    assert_eq!((out[0].rows, out[0].id), (Some(2), Some(7)));
}

#[test]
fn a_query_sent_again_is_one_request_from_the_first_time_on() {
    let mut flow = Datagrams::default();
    let mut out = Vec::new();
    for n in [0, 5, 10] {
        flow.datagram(at(n), &query(7, "a.example"), 27, &mut out);
    }
    flow.datagram(at(11), &answer(7, "a.example", 0), 27, &mut out);
    flow.datagram(at(50), &query(7, "a.example"), 27, &mut out);
    flow.datagram(at(100), &query(7, "a.example"), 27, &mut out);
    flow.finish(&mut out);
    let times: Vec<_> = out.iter().map(|r| (r.start, r.end, r.detail.as_str())).collect();
    assert_eq!(
        times,
        [
            (at(0), Some(at(11)), "A a.example, sent 3 times"),
            (at(50), None, "A a.example"),
            (at(100), None, "A a.example")
        ]
    );
}

#[test]
fn the_extended_rcode_and_odd_names_are_read() {
    // An answer with a compressed name, then OPT with an upper rcode of 1.
    let tail =
        [&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 1, 2, 3, 4][..], &[0, 0, 41, 4, 0, 1, 0, 0, 0, 0, 0]].concat();
    let m = message(&packet(1, 0x8180, "a\\b.x y", 28, [1, 0, 1], &tail)).unwrap();
    assert_eq!((m.rcode, m.name.as_deref(), m.kind), (16, Some("a\\\\b.x\\032y"), 28));
    assert_eq!((rcode_name(16), type_name(28), type_name(999)), ("BADVERS".into(), "AAAA".into(), "TYPE999".into()));
    let mut root = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1];
    assert_eq!(message(&root).unwrap().name.as_deref(), Some("."));
    // A name that points to itself, forwards, or in a circle ends.
    for pointer in [[0xc0, 12], [0xc0, 20], [0xff, 0xff]] {
        root.splice(12.., [pointer[0], pointer[1], 0, 1, 0, 1]);
        assert_eq!(message(&root), None);
    }
}

#[test]
fn dns_is_known_by_its_bytes() {
    assert_eq!(probe_datagram(&query(1, "example.org")), Verdict::Yes);
    assert_eq!(probe_datagram(&answer(1, "example.org", 3)), Verdict::Yes);
    let netbios = packet(1, 0x0110, "FHEPFCELEHFCEPFFFACACACACACACABL", 32, [0; 3], &[]);
    assert_eq!(probe_datagram(&netbios), Verdict::No);
    assert_eq!(probe_datagram(&[0; 40]), Verdict::No);
    assert_eq!(probe_datagram(b"GET / HTTP/1.1\r\n\r\nand some more bytes"), Verdict::No);
    let framed = [&[0, 29][..], &query(1, "example.org")].concat();
    assert_eq!(probe(Side::Client, &framed), Verdict::Yes);
    assert_eq!(probe(Side::Server, &framed), Verdict::No);
    assert_eq!(probe(Side::Client, &framed[..9]), Verdict::More);
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes()[..], message].concat()
}

#[test]
fn messages_over_tcp_come_in_any_pieces_and_survive_gaps() {
    let said = [framed(&query(1, "a.example")), framed(&query(2, "b.example"))].concat();
    let mut stream = Stream::default();
    let mut out = Vec::new();
    for (n, byte) in said.iter().enumerate() {
        stream.bytes(Side::Client, at(n as i64), &[*byte], &mut out);
    }
    let tail = [0; 100];
    let long = framed(&packet(2, 0x8180, "b.example", 1, [5, 0, 0], &tail));
    stream.bytes(Side::Server, at(100), &long[..40], &mut out);
    stream.gap(Side::Server, at(101), 60, &mut out);
    stream.bytes(Side::Server, at(102), &long[100..], &mut out);
    stream.bytes(Side::Server, at(103), &framed(&answer(1, "a.example", 0)), &mut out);
    stream.end(End::Closed, at(104), &mut out);
    let brief: Vec<_> = out.iter().map(|r| (r.key.as_str(), r.start.time / 1_000_000_000, r.rows)).collect();
    assert_eq!(brief, [("A b.example", 29, Some(5)), ("A a.example", 0, Some(2))]);
    assert_eq!(stream.unread(), 0);
}
