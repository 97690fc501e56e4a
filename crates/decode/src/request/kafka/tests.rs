use super::*;

fn string(text: &str) -> Vec<u8> {
    [&(text.len() as u16).to_be_bytes(), text.as_bytes()].concat()
}

fn framed(body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32).to_be_bytes(), body].concat()
}

fn call(api: u16, version: u16, id: u32, body: &[u8]) -> Vec<u8> {
    framed(&[&api.to_be_bytes(), &version.to_be_bytes(), id.to_be_bytes().as_slice(), &string("app-1"), body].concat())
}

fn answer(id: u32, body: &[u8]) -> Vec<u8> {
    framed(&[&id.to_be_bytes(), body].concat())
}

fn produce(id: u32, acks: u16, records: usize) -> Vec<u8> {
    let topic = [&1u32.to_be_bytes(), string("orders").as_slice(), &1u32.to_be_bytes(), &[0; 4]].concat();
    let records = [&(records as u32).to_be_bytes(), vec![b'r'; records].as_slice()].concat();
    call(0, 7, id, &[b"\xff\xff".as_slice(), &acks.to_be_bytes(), &[0, 0, 0x75, 0x30], &topic, &records].concat())
}

fn produced(id: u32, error: u16) -> Vec<u8> {
    let partition = [&1u32.to_be_bytes(), [0; 4].as_slice(), &error.to_be_bytes(), &[0; 16]].concat();
    answer(id, &[&1u32.to_be_bytes(), string("orders").as_slice(), &partition, &[0; 4]].concat())
}

enum Piece {
    C(Vec<u8>),
    S(Vec<u8>),
    GapC(u64),
    GapS(u64),
}
use Piece::{C, GapC, GapS, S};

fn read_in(talk: &[Piece], size: usize) -> (Vec<Request>, Kafka) {
    let (mut p, mut out) = (Kafka::new(), Vec::new());
    for (n, piece) in talk.iter().enumerate() {
        let at = Stamp { time: n as i64, packet: n as u64 };
        match piece {
            C(bytes) => bytes.chunks(size).for_each(|b| p.bytes(Side::Client, at, b, &mut out)),
            S(bytes) => bytes.chunks(size).for_each(|b| p.bytes(Side::Server, at, b, &mut out)),
            GapC(n) => p.gap(Side::Client, at, *n, &mut out),
            GapS(n) => p.gap(Side::Server, at, *n, &mut out),
        }
    }
    p.end(End::Closed, Stamp::default(), &mut out);
    (out, p)
}

fn read(talk: &[Piece]) -> Vec<String> {
    let (whole, _) = read_in(talk, usize::MAX);
    for size in [1, 2, 3, 5, 50] {
        assert_eq!(read_in(talk, size).0, whole, "in pieces of {size}");
    }
    let line = |r: &Request| {
        let end = r.end.map_or("-".into(), |s| s.time.to_string());
        format!("{}|{}|{}|{}-{end}|{:?}", r.detail, r.code, r.missing, r.start.time, r.outcome)
    };
    whole.iter().map(line).collect()
}

#[test]
fn answers_are_found_by_their_correlation_id() {
    let told = read(&[
        C(call(18, 3, 1, b"\0\x05java\x043.0\0")),
        S(answer(1, b"\0\0\x01")),
        C([produce(2, 1, 100), call(3, 1, 3, &[&1u32.to_be_bytes(), string("orders").as_slice()].concat())].concat()),
        S(answer(3, &[0; 20])),
        S(produced(2, 6)),
        C(produce(4, 0, 10)),
        C(call(12, 4, 5, b"\0\x04grp\0\0\0\x01")),
        S(answer(5, b"\0\0\0\0\0\0\x1b\0")),
        C(call(1, 11, 6, &[[0; 25].as_slice(), &1u32.to_be_bytes(), &string("orders")].concat())),
    ]);
    assert_eq!(
        told,
        [
            "ApiVersions v3 client=app-1||0|0-1|Ok",
            "Metadata orders v1 client=app-1||0|2-3|Ok",
            "Produce orders v7 client=app-1|6 NOT_LEADER_OR_FOLLOWER|0|2-4|Error",
            "Produce orders v7 client=app-1||0|5--|Ok",
            "Heartbeat v4 group=grp client=app-1|27 REBALANCE_IN_PROGRESS|0|6-7|Error",
            "Fetch orders v11 client=app-1||0|8--|Closed",
        ]
    );
}

#[test]
fn a_traceparent_in_the_header_of_a_record_is_found() {
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let body = [b"\xff\xff\0\x01\0\0\0\0\0\0\0\0".as_slice(), b"xx\x16traceparent\x6e", parent.as_bytes()].concat();
    let (requests, _) = read_in(&[C(call(0, 7, 1, &body))], usize::MAX);
    assert_eq!(requests[0].traceparent.as_deref(), Some(parent));
}

#[test]
fn bytes_that_are_missing_are_passed_over() {
    let long = produce(1, 1, 5000);
    let told = read(&[
        C(long[..200].to_vec()),
        GapC(long.len() as u64 - 200),
        S(produced(1, 0)),
        C(produce(2, 1, 10)),
        GapC(99),
        C([b"rest of a record".to_vec(), produce(9, 1, 10)].concat()),
        GapS(99),
        S([b"rest".to_vec(), produced(9, 0)].concat()),
    ]);
    assert_eq!(
        told,
        [
            "Produce orders v7 client=app-1||2|0-2|Ok",
            "Produce orders v7 client=app-1||4|5-7|Ok",
            "Produce orders v7 client=app-1||4|3--|Closed",
        ]
    );
}

#[test]
fn connections_are_known_by_their_bytes() {
    assert_eq!(probe(Side::Client, &produce(1, 1, 10)), Verdict::Yes);
    assert_eq!(probe(Side::Server, &produced(1, 0)), Verdict::Likely);
    let startup = b"\0\0\0\x14\0\x03\0\0user\0me\0\0\0\0\0".as_slice();
    for other in [
        b"GET / HTTP/1.1\r\n".as_slice(),
        b"\x16\x03\x01\x02\0\x01",
        b"SSH-2.0-x\r\n",
        startup,
        b"\0\0\0\x08\x04\xd2\x16\x2f",
    ] {
        assert_eq!(probe(Side::Client, other), Verdict::No, "{}", String::from_utf8_lossy(other));
    }
}

#[test]
fn any_bytes_are_survived() {
    let mut state = 1u64;
    let mut random = move |n: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % n
    };
    for _ in 0..2000 {
        let (mut p, mut out) = (Kafka::new(), Vec::new());
        for n in 0..20 {
            let side = [Side::Client, Side::Server][random(2)];
            let (api, version) = (random(80) as u16, random(18) as u16);
            let body: Vec<u8> = (0..random(60)).map(|_| [0, 1, 2, random(256) as u8][random(4)]).collect();
            let bytes =
                if side == Side::Client { call(api, version, n, &body) } else { answer(random(20) as u32, &body) };
            match random(10) {
                0 => p.gap(side, Stamp::default(), random(30) as u64, &mut out),
                1 => p.bytes(side, Stamp::default(), &body, &mut out),
                _ => p.bytes(side, Stamp::default(), &bytes, &mut out),
            }
        }
        p.end(End::Reset, Stamp::default(), &mut out);
    }
}
