use super::*;

enum Piece {
    C(&'static str),
    S(&'static str),
    GapC(u64),
    GapS(u64),
}
use Piece::{C, GapC, GapS, S};

fn read_in(talk: &[Piece], size: usize) -> (Vec<Request>, Redis) {
    let (mut p, mut out) = (Redis::new(), Vec::new());
    for (n, piece) in talk.iter().enumerate() {
        let at = Stamp { time: n as i64, packet: n as u64 };
        match piece {
            C(text) => text.as_bytes().chunks(size).for_each(|b| p.bytes(Side::Client, at, b, &mut out)),
            S(text) => text.as_bytes().chunks(size).for_each(|b| p.bytes(Side::Server, at, b, &mut out)),
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
    whole.iter().map(told).collect()
}

fn told(r: &Request) -> String {
    let rows = r.rows.map_or("-".into(), |n| n.to_string());
    let end = r.end.map_or("-".into(), |s| s.time.to_string());
    format!("{}|{}|{rows}|{}|{}-{end}|{:?}", r.detail, r.code, r.missing, r.start.time, r.outcome)
}

#[test]
fn commands_have_their_answers_in_order() {
    let told = read(&[
        C("*3\r\n$3\r\nset\r\n$1\r\nk\r\n$6\r\nSECRET\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*2\r\n$3\r\nGET\r\n$1\r\nx\r\n"),
        S("+OK\r\n$6\r\nSECRET\r\n"),
        S("$-1\r\n"),
        C("*4\r\n$6\r\nLRANGE\r\n$1\r\nl\r\n$1\r\n0\r\n$2\r\n-1\r\n"),
        S("*3\r\n$1\r\na\r\n*2\r\n:1\r\n*0\r\n$-1\r\n"),
        C("*2\r\n$4\r\nINCR\r\n$1\r\nl\r\nPING\r\n"),
        S("-WRONGTYPE Operation against\r\n+PONG\r\n"),
        C(
            "*2\r\n$6\r\nCONFIG\r\n$3\r\nget\r\n*2\r\n$4\r\nAUTH\r\n$6\r\nSECRET\r\n*4\r\n$4\r\nEVAL\r\n$1\r\ns\r\n$1\r\n1\r\n$2\r\nk1\r\n",
        ),
        S("*0\r\n+OK\r\n:1\r\n"),
    ]);
    assert_eq!(
        told,
        [
            "SET k||-|0|0-1|Ok",
            "GET k||1|0|0-1|Ok",
            "GET x||0|0|0-2|Ok",
            "LRANGE l||3|0|3-4|Ok",
            "INCR l|WRONGTYPE|-|0|5-6|Error",
            "PING||-|0|5-6|Ok",
            "CONFIG GET||0|0|7-8|Ok",
            "AUTH||-|0|7-8|Ok",
            "EVAL k1||-|0|7-8|Ok",
        ]
    );
}

#[test]
fn values_of_resp3_are_counted_as_one() {
    let told = read(&[
        C("*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n"),
        S("%2\r\n$6\r\nserver\r\n$5\r\nredis\r\n$5\r\nproto\r\n:3\r\n"),
        C("*2\r\n$8\r\nSMEMBERS\r\n$1\r\ns\r\nECHO x\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"),
        S("|1\r\n+ttl\r\n:5\r\n~2\r\n,1.5\r\n#t\r\n>2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n=7\r\ntxt:abc\r\n_\r\n"),
        C("INFO\r\n*1\r\n$4\r\nKEYS\r\n"),
        S("$?\r\n;3\r\nabc\r\n;0\r\n*?\r\n:1\r\n:2\r\n.\r\n"),
        C("GET k\r\n"),
        S("!10\r\nERR broken\r\n"),
    ]);
    assert_eq!(
        told,
        [
            "HELLO||2|0|0-1|Ok",
            "SMEMBERS s||2|0|2-3|Ok",
            "ECHO||1|0|2-3|Ok",
            "GET k||0|0|2-3|Ok",
            "INFO||-|0|4-5|Ok",
            "KEYS||-|0|4-5|Ok",
            "GET k|ERR|1|0|6-7|Error"
        ]
    );
}

#[test]
fn messages_of_subscriptions_are_no_answers() {
    let told = read(&[
        C("*3\r\n$9\r\nSUBSCRIBE\r\n$1\r\na\r\n$1\r\nb\r\n"),
        S("*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n"),
        S("*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n"),
        S("*4\r\n$8\r\npmessage\r\n$1\r\na\r\n$1\r\na\r\n$2\r\nhi\r\n"),
        C("UNSUBSCRIBE\r\n"),
        S("*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:1\r\n*3\r\n$11\r\nunsubscribe\r\n$1\r\nb\r\n:0\r\n"),
        C("PING\r\n"),
        S("+PONG\r\n"),
    ]);
    assert_eq!(told, ["SUBSCRIBE a||3|0|0-2|Ok", "UNSUBSCRIBE||3|0|4-5|Ok", "PING||-|0|6-7|Ok"]);
}

#[test]
fn a_transaction_is_its_commands() {
    let told = read(&[C("MULTI\r\nSET a 1\r\nEXEC\r\n"), S("+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n"), C("BLPOP q 0\r\n")]);
    assert_eq!(told, ["MULTI||-|0|0-1|Ok", "SET a||-|0|0-1|Ok", "EXEC||1|0|0-1|Ok", "BLPOP q||-|0|2--|Closed"]);
}

#[test]
fn answers_that_the_client_does_not_want_are_not_awaited() {
    let told = read(&[
        C("CLIENT REPLY SKIP\r\nSET a 1\r\nGET a\r\n"),
        S("$1\r\n1\r\n"),
        C("CLIENT REPLY OFF\r\nSET a 2\r\nCLIENT REPLY ON\r\nGET a\r\n"),
        S("+OK\r\n$1\r\n2\r\n"),
        C("MONITOR\r\n"),
        S("+OK\r\n+1.0 [0 x] \"GET\" \"a\"\r\n"),
    ]);
    assert_eq!(
        told,
        [
            "CLIENT REPLY||-|0|0--|Ok",
            "SET a||-|0|0--|Ok",
            "GET a||1|0|0-1|Ok",
            "CLIENT REPLY||-|0|2--|Ok",
            "SET a||-|0|2--|Ok",
            "CLIENT REPLY||-|0|2-3|Ok",
            "GET a||1|0|2-3|Ok",
            "MONITOR||-|0|4-5|Ok",
        ]
    );
}

#[test]
fn bytes_that_are_missing_inside_of_values_do_not_lose_the_order() {
    let told = read(&[
        C("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1000\r\nxxx"),
        GapC(997 + 2),
        S("+OK\r\n"),
        C("GET k\r\n"),
        S("$1000\r\nxx"),
        GapS(1000),
        C("GET l\r\n"),
        GapS(70),
        C("GET m\r\n"),
        S("$1\r\nx\r\n"),
    ]);
    assert_eq!(told, ["SET k||-|2|0-2|Ok", "GET k||1|4|3-5|Ok", "GET l||-|4|6--|Unfinished", "GET m||1|0|8-9|Ok"]);
}

#[test]
fn where_a_client_pipelines_an_answer_after_a_gap_is_inferred() {
    let told = read(&[
        C("GET j\r\nGET k\r\n"),
        S("$1\r\nx\r\n$1\r\nx\r\n"),
        C("GET l\r\n"),
        GapS(7),
        C("GET m\r\n"),
        S("$1\r\nx\r\n"),
    ]);
    let (both, inferred) = (missing::RESPONSE | missing::INFERRED, missing::INFERRED);
    assert_eq!(told[2..], [format!("GET l||1|{both}|2-5|Ok"), format!("GET m||-|{inferred}|4--|Closed")]);
}

#[test]
fn where_commands_may_be_missing_the_order_is_not_trusted() {
    let told = read(&[
        C("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n"),
        GapC(100),
        C("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"),
        S("+OK\r\n+OK\r\n$1\r\nx\r\n"),
        C("*2\r\n$3\r\nGET\r\n$1\r\nl\r\n"),
        S("$1\r\nx\r\n"),
        C("*2\r\n$3\r\nGET\r\n$1\r\nm\r\n"),
        S("$1\r\nx\r\n"),
    ]);
    let inferred = missing::INFERRED;
    assert_eq!(
        told,
        [
            format!("SET k||-|{}|0-3|Ok", inferred | missing::REQUEST),
            format!("GET k||-|{inferred}|2-3|Ok"),
            format!("GET l||1|{inferred}|4-5|Ok"),
            "GET m||1|0|6-7|Ok".into(),
        ]
    );
}

#[test]
fn a_pipeline_longer_than_what_is_kept_keeps_its_order() {
    let (mut p, mut out) = (Redis::new(), Vec::new());
    for n in 0..20_000 {
        p.bytes(Side::Client, Stamp { time: n, packet: 0 }, b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", &mut out);
    }
    assert_eq!((p.pending.len(), out.len()), (WAITING, 20_000 - WAITING));
    for n in 0..20_000 {
        p.bytes(Side::Server, Stamp { time: n, packet: 1 }, b"$1\r\nx\r\n", &mut out);
    }
    p.bytes(Side::Client, Stamp { time: 7, packet: 2 }, b"GET z\r\n", &mut out);
    p.bytes(Side::Server, Stamp { time: 8, packet: 3 }, b"-ERR\r\n", &mut out);
    assert_eq!((out.len(), p.unread()), (20_001, 0));
    assert!(out[20_000 - WAITING..20_000].iter().all(|r| r.start.time == r.end.unwrap().time));
    assert_eq!(told(&out[20_000]), "GET z|ERR|-|0|7-8|Error");
}

#[test]
fn connections_are_known_by_their_bytes() {
    assert_eq!(probe(Side::Client, b"*1\r\n$4\r\nPING\r\n"), Verdict::Yes);
    assert_eq!(probe(Side::Client, b"PING\r\n"), Verdict::Likely);
    assert_eq!(probe(Side::Server, b"+OK\r\n"), Verdict::Likely);
    assert_eq!(probe(Side::Client, b"*1\r\n$4"), Verdict::More);
    for other in [
        b"GET / HTTP/1.1\r\n".as_slice(),
        b"\x16\x03\x01\x02\0\x01",
        b"SSH-2.0-x\r\n",
        b"EHLO x\r\n",
        b"\0\0\0\x08\x04\xd2\x16\x2f",
    ] {
        assert_eq!(probe(Side::Server, other), Verdict::No, "{}", String::from_utf8_lossy(other));
    }
    for other in [b"\x16\x03\x01\x02\0\x01".as_slice(), b"SSH-2.0-x\r\n", b"EHLO x\r\n", b"\0\0\0\x08\x04\xd2\x16\x2f"]
    {
        assert_eq!(probe(Side::Client, other), Verdict::No, "{}", String::from_utf8_lossy(other));
    }
}

#[test]
fn any_bytes_are_survived_with_bounded_memory() {
    let mut state = 1u64;
    let mut random = move |n: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % n
    };
    let pieces: [&[u8]; 20] = [
        b"*2\r\n",
        b"$3\r\nGET\r\n",
        b"$1\r\nk\r\n",
        b"+OK\r\n",
        b"-ERR x\r\n",
        b":1\r\n",
        b"$-1\r\n",
        b"*-1\r\n",
        b"%1\r\n",
        b">1\r\n",
        b"|1\r\n",
        b"*?\r\n",
        b".\r\n",
        b"$?\r\n",
        b";0\r\n",
        b"PING\r\n",
        b"*1000000000\r\n",
        b"\r\n",
        b"SUBSCRIBE a\r\n",
        b"*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n",
    ];
    for _ in 0..50 {
        let (mut p, mut out) = (Redis::new(), Vec::new());
        for n in 0..4000 {
            let side = [Side::Client, Side::Server][random(2)];
            let at = Stamp { time: n, packet: 0 };
            match random(20) {
                0 => p.gap(side, at, random(30) as u64, &mut out),
                1 => p.bytes(side, at, &(0..random(20)).map(|_| random(256) as u8).collect::<Vec<_>>(), &mut out),
                _ => p.bytes(side, at, pieces[random(pieces.len())], &mut out),
            }
        }
        p.end(End::Reset, Stamp::default(), &mut out);
    }
}

#[test]
fn a_length_that_is_none_loses_the_side_in_whatever_pieces_it_comes() {
    let requests = read(&[C("*3\r\n$?x*3\r\n$?y\r\n")]);
    assert!(requests.len() == 1 && requests[0].starts_with("unknown|"), "{requests:?}");
}
