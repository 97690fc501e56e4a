use super::*;
use crate::request::Transaction;

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![kind];
    out.extend((body.len() as u32 + 4).to_be_bytes());
    out.extend(body);
    out
}

fn startup(code: u32, body: &[u8]) -> Vec<u8> {
    let mut out = (body.len() as u32 + 8).to_be_bytes().to_vec();
    out.extend(code.to_be_bytes());
    out.extend(body);
    out
}

fn z(text: &str) -> Vec<u8> {
    [text.as_bytes(), b"\0"].concat()
}

fn query(sql: &str) -> Vec<u8> {
    message(b'Q', &z(sql))
}

fn parse(name: &str, sql: &str) -> Vec<u8> {
    message(b'P', &[z(name), z(sql), vec![0, 0]].concat())
}

fn bind(portal: &str, name: &str) -> Vec<u8> {
    message(b'B', &[z(portal), z(name), vec![0; 6]].concat())
}

fn execute(portal: &str) -> Vec<u8> {
    message(b'E', &[z(portal), vec![0; 4]].concat())
}

fn describe_portal() -> Vec<u8> {
    message(b'D', b"P\0")
}

fn sync() -> Vec<u8> {
    message(b'S', b"")
}

fn row() -> Vec<u8> {
    message(b'D', b"\0\x01\0\0\0\x02ab")
}

fn columns() -> Vec<u8> {
    message(b'T', &[b"\0\x01a\0".as_slice(), &[0; 18]].concat())
}

fn tag(text: &str) -> Vec<u8> {
    message(b'C', &z(text))
}

fn ready(state: u8) -> Vec<u8> {
    message(b'Z', &[state])
}

fn error(severity: &str, code: &str) -> Vec<u8> {
    let fields = format!("S{severity}\0V{severity}\0C{code}\0Mno\0\0");
    message(b'E', fields.as_bytes())
}

enum Piece {
    C(Vec<u8>),
    S(Vec<u8>),
    GapC(u64),
    GapS(u64),
}
use Piece::{C, GapC, GapS, S};

/// The requests of a talk, whose n-th piece has the time n; `size` cuts the pieces.
fn read_in(talk: &[Piece], size: usize) -> (Vec<Request>, Postgres) {
    let (mut p, mut out) = (Postgres::new(), Vec::new());
    for (n, piece) in talk.iter().enumerate() {
        let at = Stamp { time: n as i64, packet: n as u64 };
        match piece {
            C(bytes) => bytes.chunks(size).for_each(|b| p.bytes(Side::Client, at, b, &mut out)),
            S(bytes) => bytes.chunks(size).for_each(|b| p.bytes(Side::Server, at, b, &mut out)),
            GapC(n) => p.gap(Side::Client, at, *n, &mut out),
            GapS(n) => p.gap(Side::Server, at, *n, &mut out),
        }
    }
    p.end(End::Closed, Stamp { time: talk.len() as i64, packet: 0 }, &mut out);
    (out, p)
}

fn read(talk: &[Piece]) -> Vec<Request> {
    let (whole, _) = read_in(talk, usize::MAX);
    for size in [1, 2, 3, 7, 50] {
        assert_eq!(read_in(talk, size).0, whole, "in pieces of {size}");
    }
    whole
}

/// Key, code, rows, missing and end of each.
fn told(requests: &[Request]) -> Vec<String> {
    let line = |r: &Request| {
        let rows = r.rows.map_or("-".into(), |n| n.to_string());
        let end = r.end.map_or("-".into(), |s| s.time.to_string());
        format!("{}|{}|{rows}|{}|{}-{end}|{:?}", r.key, r.code, r.missing, r.start.time, r.outcome)
    };
    requests.iter().map(line).collect()
}

fn opened() -> Vec<Piece> {
    vec![
        C(startup(196_608, b"user\0me\0database\0shop\0application_name\0app\0\0")),
        S([message(b'R', &[0; 4]), message(b'K', &[0, 0, 0, 9, 1, 2, 3, 4]), ready(b'I')].concat()),
    ]
}

#[test]
fn a_connection_is_opened_with_a_password_that_is_not_kept() {
    let requests = read(&[
        C(startup(wire::SSL, b"")),
        S(b"N".to_vec()),
        C(startup(196_608, b"user\0me\0database\0shop\0\0")),
        S(message(b'R', &[0, 0, 0, 3])),
        C(message(b'p', b"hunter2\0")),
        S([message(b'R', &[0; 4]), message(b'S', b"a\0b\0"), message(b'K', &[0, 0, 0, 9, 1, 2, 3, 4])].concat()),
        S(ready(b'I')),
        C(startup(196_608, b"")),
    ]);
    assert_eq!(told(&requests)[..2], ["ssl-request|N|-|0|0-1|Ok", "startup||-|0|2-6|Ok"]);
    let open = &requests[1];
    assert_eq!((open.detail.as_str(), open.target.as_str(), open.id), ("user=me database=shop", "shop", Some(9)));
    assert!(!format!("{requests:?}").contains("hunter2"));
}

#[test]
fn tls_ends_the_reading() {
    let talk = [C(startup(wire::SSL, b"")), S(b"S".to_vec()), C(b"\x16\x03\x01hello".to_vec())];
    let (requests, p) = read_in(&talk, usize::MAX);
    assert_eq!((told(&requests), p.turned()), (vec!["ssl-request|S|-|0|0-1|Ok".into()], Some(Turn::Tls)));
}

#[test]
fn a_wrong_password_is_the_error_of_the_startup() {
    let requests = read(&[C(startup(196_608, b"user\0me\0\0")), S(error("FATAL", "28P01"))]);
    assert_eq!(told(&requests), ["startup|28P01|-|0|0-1|Error"]);
}

#[test]
fn a_simple_query_is_one_request_however_many_statements_it_has() {
    let mut talk = opened();
    talk.extend([
        C(query("select * from t where a = 5; update t set a = 1")),
        S([columns(), row()].concat()),
        S([row(), tag("SELECT 2"), message(b'N', b"SNOTICE\0C00000\0\0")].concat()),
        S([tag("UPDATE 7"), ready(b'T')].concat()),
        C(query("")),
        S([message(b'I', b""), ready(b'T')].concat()),
        C(query("selec")),
        S([error("ERROR", "42601"), ready(b'E')].concat()),
    ]);
    let requests = read(&talk);
    let key = "SELECT * FROM t WHERE a = ?; UPDATE t SET a = ?";
    assert_eq!(
        told(&requests)[1..],
        [format!("{key}||2|0|2-5|Ok"), "||0|16|6-7|Ok".into(), "selec|42601|-|16|8-9|Error".into()]
    );
    let first = &requests[1];
    let times = [first.sent, first.first, first.first_row, first.done, first.end].map(|s| s.unwrap().time);
    assert_eq!(times, [2, 3, 3, 5, 5]);
    let states: Vec<_> = requests.iter().filter_map(|r| r.transaction).collect();
    assert_eq!(states, [Transaction::None, Transaction::Open, Transaction::Open, Transaction::Failed]);
    assert_eq!(
        first.response_bytes,
        talk[3..6].iter().map(|p| if let S(b) = p { b.len() as u64 } else { 0 }).sum::<u64>()
    );
}

#[test]
fn the_key_of_an_execute_is_the_statement_that_was_parsed() {
    let mut talk = opened();
    talk.extend([
        C([parse("s1", "select a from t where b = $1"), message(b'D', b"Ss1\0"), sync()].concat()),
        S([message(b'1', b""), message(b't', &[0, 1, 0, 0, 0, 25]), columns(), ready(b'I')].concat()),
        C([bind("", "s1"), execute(""), sync()].concat()),
        S([message(b'2', b""), row(), tag("SELECT 1")].concat()),
        S(ready(b'I')),
        C([message(b'C', b"Ss1\0"), sync()].concat()),
        S([message(b'3', b""), ready(b'I')].concat()),
        C([bind("", "s1"), execute(""), sync()].concat()),
        S([error("ERROR", "26000"), ready(b'I')].concat()),
    ]);
    let key = "SELECT a FROM t WHERE b = ?";
    assert_eq!(
        told(&read(&talk))[1..],
        [
            format!("prepare: {key}||-|0|2-3|Ok"),
            format!("{key}||1|0|4-6|Ok"),
            "close||-|0|7-8|Ok".into(),
            "statement s1|26000|-|1|9-10|Error".into(),
        ]
    );
}

#[test]
fn pipelined_requests_have_each_their_own_answer_and_what_follows_an_error_was_skipped() {
    let one = |sql: &str| [parse("", sql), bind("", ""), describe_portal(), execute("")].concat();
    let mut talk = opened();
    talk.extend([
        C([one("select 1"), one("insert into t values (2)"), sync(), one("select 3 from u")].concat()),
        C([one("select 4 from v"), sync(), query("select 5 from w")].concat()),
        S([message(b'1', b""), message(b'2', b""), columns(), row(), row(), tag("SELECT 2")].concat()),
        S([message(b'1', b""), message(b'2', b""), message(b'n', b""), tag("INSERT 0 1"), ready(b'I')].concat()),
        S([message(b'1', b""), error("ERROR", "22012"), ready(b'I')].concat()),
        S([columns(), tag("SELECT 0"), ready(b'I')].concat()),
    ]);
    assert_eq!(
        told(&read(&talk))[1..],
        [
            "SELECT ?||2|0|2-4|Ok",
            "INSERT INTO t VALUES (?)||1|0|2-5|Ok",
            "SELECT ? FROM u|22012|-|0|2-6|Error",
            "SELECT ? FROM v|skipped|-|0|3-6|Error",
            "SELECT ? FROM w||0|0|3-7|Ok",
        ]
    );
}

#[test]
fn a_portal_that_is_suspended_ends_the_request() {
    let mut talk = opened();
    talk.extend([
        C([parse("", "select * from t"), bind("p", ""), execute("p"), message(b'H', b"")].concat()),
        S([message(b'1', b""), message(b'2', b""), row(), row(), message(b's', b"")].concat()),
        C([execute("p"), sync()].concat()),
        S([row(), tag("SELECT 1"), ready(b'I')].concat()),
    ]);
    assert_eq!(told(&read(&talk))[1..], ["SELECT * FROM t||2|0|2-3|Ok", "SELECT * FROM t||1|0|4-5|Ok"]);
}

#[test]
fn copies_are_one_request_in_both_directions() {
    let mut talk = opened();
    let line = || message(b'd', b"1\tx\n");
    talk.extend([
        C(query("copy t from stdin")),
        S(message(b'G', &[0, 0, 1, 0, 0])),
        C([line(), line(), message(b'c', b"")].concat()),
        S([tag("COPY 2"), ready(b'I')].concat()),
        C([parse("", "copy t to stdout"), bind("", ""), execute(""), sync()].concat()),
        S([message(b'1', b""), message(b'2', b""), message(b'H', &[0, 0, 1, 0, 0]), line(), line(), line()].concat()),
        S([message(b'c', b""), tag("COPY 3"), ready(b'I')].concat()),
        C([parse("", "copy t from stdin"), bind("", ""), execute(""), sync()].concat()),
        S([message(b'1', b""), message(b'2', b""), message(b'G', &[0, 0, 1, 0, 0])].concat()),
        C([line(), message(b'f', b"no\0"), sync()].concat()),
        S([error("ERROR", "57014"), ready(b'I')].concat()),
        C(query("select 1")),
        S([columns(), row(), tag("SELECT 1"), ready(b'I')].concat()),
    ]);
    let requests = read(&talk);
    assert_eq!(
        told(&requests)[1..],
        [
            "COPY t FROM stdin||2|16|2-5|Ok",
            "COPY t TO stdout||3|16|6-8|Ok",
            "COPY t FROM stdin|57014|-|16|9-12|Error",
            "SELECT ?||1|0|13-14|Ok",
        ]
    );
    assert_eq!((requests[1].sent.unwrap().time, requests[2].first_row.unwrap().time), (4, 7));
}

#[test]
fn a_connection_that_is_met_in_its_midst_is_read_from_the_next_message_on() {
    let talk = [
        S([b"rest of a row".to_vec(), tag("SELECT 9"), ready(b'I')].concat()),
        C([bind("", "old"), execute(""), sync()].concat()),
        S([message(b'2', b""), row(), tag("SELECT 1"), ready(b'I')].concat()),
        C(query("select 1")),
        S([columns(), row(), tag("SELECT 1"), ready(b'I')].concat()),
    ];
    let (requests, p) = read_in(&talk, usize::MAX);
    let inferred = missing::START | missing::INFERRED;
    assert_eq!(told(&requests), [format!("statement old||1|{inferred}|1-2|Ok"), "SELECT ?||1|0|3-4|Ok".into()]);
    assert_eq!(p.unread(), 13 + 14 + 6);
}

#[test]
fn bytes_that_are_missing_inside_of_values_do_not_lose_the_order() {
    let mut talk = opened();
    let long = query(&format!("select a from t where b = '{}'", "x".repeat(500)));
    let big = message(b'D', &[b"\0\x01\0\0\x07\xd0".as_slice(), &[b'x'; 2000]].concat());
    talk.extend([
        C(long[..100].to_vec()),
        GapC(long.len() as u64 - 100),
        S([columns(), big[..500].to_vec()].concat()),
        GapS(big.len() as u64 - 500),
        S([row(), tag("SELECT 2"), ready(b'I')].concat()),
        C(query("select 2")),
        S([columns(), row(), tag("SELECT 1"), ready(b'I')].concat()),
    ]);
    let bits = missing::REQUEST | missing::RESPONSE | missing::KEY;
    assert_eq!(
        told(&read(&talk))[1..],
        [format!("SELECT a FROM t WHERE b =…||2|{bits}|2-6|Ok"), "SELECT ?||1|0|7-8|Ok".into()]
    );
}

#[test]
fn a_batch_whose_tail_is_cut_off_is_answered_by_what_comes_until_ready() {
    let mut talk = opened();
    let text = format!("select a from t where b = '{}'", "x".repeat(500));
    let batch = [parse("", &text), bind("", ""), describe_portal(), execute(""), sync()].concat();
    let answer = [message(b'1', b""), message(b'2', b""), columns(), row(), tag("SELECT 1"), ready(b'I')].concat();
    talk.extend([
        C(batch[..200].to_vec()),
        GapC(batch.len() as u64 - 200),
        S(answer.clone()),
        C(query("select 2")),
        S([columns(), tag("SELECT 0"), ready(b'I')].concat()),
        C(query("select 3")),
        S([columns(), tag("SELECT 0"), ready(b'I')].concat()),
    ]);
    let bits = missing::REQUEST | missing::INFERRED | missing::KEY;
    assert_eq!(
        told(&read(&talk))[1..],
        [
            format!("SELECT a FROM t WHERE b =…||1|{bits}|2-4|Ok"),
            format!("SELECT ?||0|{}|5-6|Ok", missing::INFERRED),
            "SELECT ?||0|0|7-8|Ok".into()
        ]
    );
}

#[test]
fn an_answer_that_is_lost_is_not_taken_from_the_next_request() {
    let mut talk = opened();
    talk.extend([
        C(query("select 1")),
        GapS(300),
        C(query("select 2 from t")),
        S([columns(), row(), tag("SELECT 1"), ready(b'I')].concat()),
    ]);
    assert_eq!(
        told(&read(&talk))[1..],
        [format!("SELECT ?||-|{}|2--|Unfinished", missing::RESPONSE), "SELECT ? FROM t||1|0|4-5|Ok".into()]
    );
}

#[test]
fn a_cancel_and_an_end_by_the_server_are_told() {
    let cancel = read(&[C(startup(wire::CANCEL, &[0, 0, 0, 9, 1, 2, 3, 4]))]);
    assert_eq!((told(&cancel), cancel[0].id), (vec!["cancel||-|0|0--|Ok".into()], Some(9)));
    let mut talk = opened();
    talk.push(S(error("FATAL", "57P01")));
    assert_eq!(told(&read(&talk))[1..], ["unasked error|57P01|-|0|2-2|Error"]);
    let mut talk = opened();
    talk.extend([C(query("select pg_sleep(9)")), S(columns())]);
    let open = read(&talk);
    assert_eq!((told(&open)[1].as_str(), open[1].first.unwrap().time), ("SELECT pg_sleep(?)||-|0|2--|Closed", 3));
}

#[test]
fn connections_are_known_by_their_bytes() {
    assert_eq!(probe(Side::Client, &startup(196_608, b"user\0me\0\0")), Verdict::Yes);
    assert_eq!(probe(Side::Client, &startup(wire::SSL, b"")), Verdict::Yes);
    assert_eq!(probe(Side::Client, &query("select 1")), Verdict::Yes);
    assert_eq!(probe(Side::Client, &[parse("", "select 1"), sync()].concat()), Verdict::Yes);
    assert_eq!(probe(Side::Server, &[row(), tag("SELECT 1"), ready(b'I')].concat()), Verdict::Yes);
    assert_eq!(probe(Side::Server, b"S"), Verdict::More);
    for other in [
        b"GET / HTTP/1.1\r\n".as_slice(),
        b"*1\r\n$4\r\nPING\r\n",
        b"\x16\x03\x01\x02\0\x01",
        b"SSH-2.0-x\r\n",
        b"PING\r\n",
    ] {
        assert_eq!(probe(Side::Client, other), Verdict::No, "{}", String::from_utf8_lossy(other));
        assert_eq!(probe(Side::Server, other), Verdict::No, "{}", String::from_utf8_lossy(other));
    }
}

#[test]
fn any_bytes_are_survived_with_bounded_memory() {
    let mut state = 1u64;
    let mut random = move |n: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % n
    };
    let (mut p, mut out) = (Postgres::new(), Vec::new());
    let pieces = [
        query("select 1"),
        parse("a", "select 2"),
        bind("", "a"),
        execute(""),
        sync(),
        row(),
        columns(),
        tag("SELECT 1"),
        ready(b'I'),
        error("ERROR", "42601"),
        message(b'G', &[0, 0, 0]),
        message(b'1', b""),
        message(b'2', b""),
        vec![0; 9],
        b"Q\0\0".to_vec(),
        startup(196_608, b"user\0x\0\0"),
    ];
    for n in 0..200_000 {
        let side = [Side::Client, Side::Server][random(2)];
        let at = Stamp { time: n, packet: 0 };
        match random(20) {
            0 => p.gap(side, at, random(30) as u64, &mut out),
            1 => p.bytes(side, at, &(0..random(20)).map(|_| random(256) as u8).collect::<Vec<_>>(), &mut out),
            _ => p.bytes(side, at, &pieces[random(pieces.len())], &mut out),
        }
        out.clear();
    }
    for n in 0..50_000 {
        p.bytes(Side::Client, Stamp { time: n, packet: 0 }, &query("select 1"), &mut out);
    }
    assert!(p.exchange.waiting() <= 8192);
    p.end(End::Reset, Stamp::default(), &mut out);
}
