use super::*;

fn text(name: &str, value: &str) -> Vec<u8> {
    [&[2], name.as_bytes(), &[0], (value.len() as u32 + 1).to_le_bytes().as_slice(), value.as_bytes(), &[0]].concat()
}

fn int(name: &str, value: i32) -> Vec<u8> {
    [&[16], name.as_bytes(), &[0], value.to_le_bytes().as_slice()].concat()
}

fn double(name: &str, value: f64) -> Vec<u8> {
    [&[1], name.as_bytes(), &[0], value.to_le_bytes().as_slice()].concat()
}

fn nested(kind: u8, name: &str, inside: &[Vec<u8>]) -> Vec<u8> {
    [&[kind], name.as_bytes(), &[0], document(inside).as_slice()].concat()
}

fn document(elements: &[Vec<u8>]) -> Vec<u8> {
    let inside = elements.concat();
    [&(inside.len() as u32 + 5).to_le_bytes(), inside.as_slice(), &[0]].concat()
}

fn message(id: u32, to: u32, code: u32, body: &[u8]) -> Vec<u8> {
    let header: Vec<u8> = [body.len() as u32 + 16, id, to, code].iter().flat_map(|n| n.to_le_bytes()).collect();
    [header, body.to_vec()].concat()
}

fn msg(id: u32, to: u32, flags: u32, elements: &[Vec<u8>]) -> Vec<u8> {
    message(id, to, MSG, &[&flags.to_le_bytes(), [0].as_slice(), &document(elements)].concat())
}

enum Piece {
    C(Vec<u8>),
    S(Vec<u8>),
    GapS(u64),
}
use Piece::{C, GapS, S};

fn read(talk: &[Piece]) -> Vec<String> {
    let read_in = |size: usize| {
        let (mut p, mut out) = (Mongo::new(), Vec::new());
        for (n, piece) in talk.iter().enumerate() {
            let at = Stamp { time: n as i64, packet: n as u64 };
            match piece {
                C(bytes) => bytes.chunks(size).for_each(|b| p.bytes(Side::Client, at, b, &mut out)),
                S(bytes) => bytes.chunks(size).for_each(|b| p.bytes(Side::Server, at, b, &mut out)),
                GapS(n) => p.gap(Side::Server, at, *n, &mut out),
            }
        }
        p.end(End::Closed, Stamp::default(), &mut out);
        out
    };
    let whole = read_in(usize::MAX);
    for size in [1, 2, 3, 5, 50] {
        assert_eq!(read_in(size), whole, "in pieces of {size}");
    }
    let line = |r: &Request| {
        let rows = r.rows.map_or("-".into(), |n| n.to_string());
        let end = r.end.map_or("-".into(), |s| s.time.to_string());
        format!("{}|{}|{rows}|{}|{}-{end}|{:?}", r.detail, r.code, r.missing, r.start.time, r.outcome)
    };
    whole.iter().map(line).collect()
}

#[test]
fn commands_and_replies_are_matched_by_id() {
    let batch = |name: &str| nested(3, "cursor", &[nested(4, name, &[nested(3, "0", &[]), nested(3, "1", &[])])]);
    let told = read(&[
        C([
            msg(1, 0, 0, &[text("find", "users"), text("$db", "shop")]),
            msg(2, 0, 0, &[text("insert", "users"), text("$db", "shop")]),
        ]
        .concat()),
        S(msg(
            80,
            2,
            0,
            &[
                int("n", 0),
                double("ok", 1.0),
                nested(4, "writeErrors", &[nested(3, "0", &[int("index", 0), int("code", 11000)])]),
            ],
        )),
        S(msg(81, 1, 0, &[batch("firstBatch"), double("ok", 1.0)])),
        C(msg(3, 0, 0, &[int("getMore", 7), text("collection", "users"), text("$db", "shop")])),
        S(msg(
            82,
            3,
            0,
            &[double("ok", 0.0), text("errmsg", "no"), int("code", 43), text("codeName", "CursorNotFound")],
        )),
        C(msg(4, 0, MORE_TO_COME, &[text("update", "users"), text("$db", "shop")])),
        C(msg(5, 0, 0, &[int("ping", 1), text("$db", "admin")])),
    ]);
    assert_eq!(
        told,
        [
            "insert users in shop|11000|0|0|0-1|Error",
            "find users in shop||2|0|0-2|Ok",
            "getMore users in shop|43 CursorNotFound|-|0|3-4|Error",
            "update users in shop||-|0|5--|Ok",
            "ping in admin||-|0|6--|Closed",
        ]
    );
}

#[test]
fn further_replies_of_an_exhaust_cursor_are_one_answer() {
    let batch = |n: usize| nested(3, "cursor", &[nested(4, "nextBatch", &vec![nested(3, "0", &[]); n])]);
    let told = read(&[
        C(msg(1, 0, 1 << 16, &[int("getMore", 7), text("collection", "c"), text("$db", "d")])),
        S(msg(80, 1, MORE_TO_COME, &[batch(2)])),
        S(msg(81, 80, MORE_TO_COME, &[batch(3)])),
        S(msg(82, 81, 0, &[batch(1), double("ok", 1.0)])),
        C(msg(2, 0, 1 << 16, &[int("hello", 1), text("$db", "admin")])),
        S(msg(83, 2, MORE_TO_COME, &[double("ok", 1.0)])),
        S(msg(84, 83, MORE_TO_COME, &[double("ok", 1.0)])),
    ]);
    assert_eq!(told, ["getMore c in d||6|0|0-3|Ok", "hello in admin||-|0|4-5|Ok"]);
}

#[test]
fn the_older_messages_are_read_too() {
    let query = |id, name: &str, inside: &[Vec<u8>]| {
        message(
            id,
            0,
            QUERY,
            &[&[0; 4], name.as_bytes(), &[0], [0, 0, 0, 0, 1, 0, 0, 0].as_slice(), &document(inside)].concat(),
        )
    };
    let reply = |to, flags: u32, n: u32, inside: &[Vec<u8>]| {
        message(
            90,
            to,
            REPLY,
            &[&flags.to_le_bytes(), [0; 12].as_slice(), &n.to_le_bytes(), &document(inside)].concat(),
        )
    };
    let told = read(&[
        C(query(0, "admin.$cmd", &[int("isMaster", 1)])),
        S(reply(0, 8, 1, &[double("ok", 1.0)])),
        C(query(1, "shop.users", &[int("age", 5)])),
        S(reply(1, 8, 3, &[int("x", 1)])),
        C(query(2, "shop.users", &[])),
        S(reply(2, 2, 1, &[text("$err", "no"), int("code", 9001)])),
        C(message(3, 0, INSERT, &[b"\0\0\0\0shop.users\0".as_slice(), &document(&[])].concat())),
        C(message(4, 0, COMPRESSED, b"\xdd\x07\0\0\x64\0\0\0\x01abc")),
        S(message(91, 4, COMPRESSED, b"\xdd\x07\0\0\x64\0\0\0\x01abc")),
    ]);
    assert_eq!(
        told,
        [
            "isMaster in admin||-|0|0-1|Ok",
            "find users in shop||3|0|2-3|Ok",
            "find users in shop|9001|1|0|4-5|Error",
            "insert users in shop||-|0|6--|Ok",
            "compressed (snappy)||-|20|7-8|Ok",
        ]
    );
}

#[test]
fn a_reply_that_is_cut_keeps_the_ids_of_those_behind_it() {
    let big = msg(80, 1, 0, &[text("x", &"y".repeat(2000)), double("ok", 1.0)]);
    let told = read(&[
        C([msg(1, 0, 0, &[text("find", "a"), text("$db", "d")]), msg(2, 0, 0, &[text("find", "b"), text("$db", "d")])]
            .concat()),
        S(big[..300].to_vec()),
        GapS(big.len() as u64 - 300 + 10),
        S(b"rest of another".to_vec()),
        S(msg(81, 2, 0, &[double("ok", 1.0)])),
    ]);
    assert_eq!(told, ["find a in d||-|4|0-2|Ok", "find b in d||-|4|0-4|Ok"]);
}

#[test]
fn connections_are_known_by_their_bytes() {
    assert_eq!(probe(Side::Client, &msg(1, 0, 0, &[int("ping", 1)])), Verdict::Yes);
    assert_eq!(probe(Side::Server, &msg(1, 1, 0, &[int("ok", 1)])), Verdict::Yes);
    for other in [
        b"GET / HTTP/1.1\r\nHost: a\r\n".as_slice(),
        b"\x16\x03\x01\x02\0\x01\0\0\x01\xfc\x03\x03\0\0\0\0",
        b"SSH-2.0-OpenSSH_9\r\n",
    ] {
        assert_eq!(probe(Side::Client, other), Verdict::No, "{}", String::from_utf8_lossy(other));
        assert_eq!(probe(Side::Server, other), Verdict::No, "{}", String::from_utf8_lossy(other));
    }
}

#[test]
fn any_bytes_are_survived() {
    let whole = [
        msg(
            1,
            0,
            0,
            &[text("find", "users"), nested(3, "cursor", &[nested(4, "firstBatch", &[])]), text("$db", "shop")],
        ),
        msg(2, 1, MORE_TO_COME, &[nested(3, "cursor", &[nested(4, "firstBatch", &[])]), double("ok", 0.0)]),
        message(3, 0, QUERY, b"\0\0\0\0a.$cmd\0\0\0\0\0\0\0\0\0\x05\0\0\0\0"),
        message(4, 3, REPLY, &[0; 25]),
    ];
    let mut state = 1u64;
    let mut random = move |n: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % n
    };
    for _ in 0..3000 {
        let (mut p, mut out) = (Mongo::new(), Vec::new());
        for _ in 0..10 {
            let side = [Side::Client, Side::Server][random(2)];
            let mut bytes = whole[random(4)].clone();
            for _ in 0..random(4) {
                let at = random(bytes.len());
                bytes[at] = random(256) as u8;
            }
            if random(10) == 0 {
                p.gap(side, Stamp::default(), random(30) as u64, &mut out);
            }
            p.bytes(side, Stamp::default(), &bytes, &mut out);
        }
        p.end(End::Reset, Stamp::default(), &mut out);
    }
}
