use super::*;

fn packet(sequence: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = (payload.len() as u32).to_le_bytes()[..3].to_vec();
    out.push(sequence);
    out.extend(payload);
    out
}

fn packets(first: u8, payloads: &[Vec<u8>]) -> Vec<u8> {
    payloads.iter().enumerate().flat_map(|(i, p)| packet(first + i as u8, p)).collect()
}

fn command(command: u8, body: &[u8]) -> Vec<u8> {
    packet(0, &[&[command], body].concat())
}

fn query(sql: &str) -> Vec<u8> {
    command(command::QUERY, sql.as_bytes())
}

fn ok(affected: u8, status: u8) -> Vec<u8> {
    vec![0, affected, 0, status, 0, 0, 0]
}

fn eof(status: u8) -> Vec<u8> {
    vec![0xfe, 0, 0, status, 0]
}

fn end_ok(status: u8) -> Vec<u8> {
    vec![0xfe, 0, 0, status, 0, 0, 0]
}

fn column() -> Vec<u8> {
    b"\x03def\0\0\0\x01a\0\x0c\x3f\0\x01\0\0\0\x08\x81\0\0\0\0".to_vec()
}

fn row() -> Vec<u8> {
    b"\x02ab".to_vec()
}

fn error() -> Vec<u8> {
    b"\xff\x28\x04#42000You have an error".to_vec()
}

const BASE: u32 = can::PROTOCOL_41 | can::SECURE_CONNECTION | can::CONNECT_WITH_DB;

fn greeting(capabilities: u32) -> Vec<u8> {
    let low = (capabilities as u16).to_le_bytes();
    let high = ((capabilities >> 16) as u16).to_le_bytes();
    packet(
        0,
        &[
            b"\x0a8.0.36\0\x07\0\0\0saltsalt\0".as_slice(),
            &low,
            b"\x21\x02\0",
            &high,
            &[21],
            &[0; 10],
            b"saltsaltsalt\0",
        ]
        .concat(),
    )
}

fn login(capabilities: u32) -> Vec<u8> {
    packet(1, &[&capabilities.to_le_bytes(), [0; 28].as_slice(), b"me\0\x04SECRshop\0"].concat())
}

enum Piece {
    C(Vec<u8>),
    S(Vec<u8>),
    GapC(u64),
    GapS(u64),
}
use Piece::{C, GapC, GapS, S};

fn read_in(talk: &[Piece], size: usize) -> (Vec<Request>, Mysql) {
    let (mut p, mut out) = (Mysql::new(), Vec::new());
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

fn read(talk: &[Piece]) -> Vec<Request> {
    let (whole, _) = read_in(talk, usize::MAX);
    for size in [1, 2, 3, 5, 50] {
        assert_eq!(read_in(talk, size).0, whole, "in pieces of {size}");
    }
    whole
}

fn told(requests: &[Request]) -> Vec<String> {
    let line = |r: &Request| {
        let rows = r.rows.map_or("-".into(), |n| n.to_string());
        let end = r.end.map_or("-".into(), |s| s.time.to_string());
        format!("{}|{}|{rows}|{}|{}-{end}|{:?}", r.key, r.code, r.missing, r.start.time, r.outcome)
    };
    requests.iter().map(line).collect()
}

fn opened(capabilities: u32) -> Vec<Piece> {
    vec![S(greeting(capabilities)), C(login(capabilities)), S(packet(2, &ok(0, 2)))]
}

#[test]
fn a_login_is_a_request_and_its_secret_is_not_kept() {
    let mut talk = opened(BASE);
    talk.extend([
        C(command(14, b"")),
        S(packet(1, &ok(0, 3))),
        C(command(2, b"other")),
        S(packet(1, &ok(0, 2))),
        C(command(1, b"")),
    ]);
    let requests = read(&talk);
    assert_eq!(told(&requests), ["connect||-|0|1-2|Ok", "ping||0|0|3-4|Ok", "init db||0|0|5-6|Ok", "quit||-|0|7--|Ok"]);
    assert_eq!((requests[0].detail.as_str(), requests[0].id), ("user=me database=shop server=8.0.36", Some(7)));
    assert_eq!((requests[1].target.as_str(), requests[3].target.as_str()), ("shop", "other"));
    assert_eq!(requests[1].transaction, Some(Transaction::Open));
    assert!(!format!("{requests:?}").contains("SECR"));
}

#[test]
fn a_login_may_take_rounds_and_may_be_refused() {
    let talk = [
        S(greeting(BASE)),
        C(login(BASE)),
        S(packet(2, b"\xfemysql_native_password\0salt\0")),
        C(packet(3, b"SECRET")),
        S(packet(4, b"\xff\x15\x04#28000Access denied")),
    ];
    assert_eq!(told(&read(&talk)), ["connect|1045 (28000)|-|0|1-4|Error"]);
    let full = [S(packet(0, b"\xff\x10\x04Too many connections"))];
    assert_eq!(told(&read(&full)), ["connect|1040|-|0|0-0|Error"]);
}

#[test]
fn tls_and_compression_end_the_reading() {
    let tls = packet(1, &[&(BASE | can::SSL).to_le_bytes(), [0; 28].as_slice()].concat());
    let (requests, p) = read_in(&[S(greeting(BASE | can::SSL)), C(tls), C(b"\x16\x03\x01".to_vec())], usize::MAX);
    assert_eq!((told(&requests), p.turned()), (vec!["ssl-request||-|0|1--|Ok".into()], Some(Turn::Tls)));
    let mut talk = opened(BASE | can::COMPRESS);
    talk.push(C(vec![9, 0, 0, 0, 0, 0, 0, 1, 0]));
    let (requests, p) = read_in(&talk, usize::MAX);
    assert_eq!((requests.len(), p.turned(), p.unread()), (1, Some(Turn::Compressed), 9));
}

#[test]
fn results_have_their_rows_with_and_without_eof_packets() {
    for (capabilities, behind_columns, end) in
        [(BASE, vec![eof(2)], eof(2)), (BASE | can::DEPRECATE_EOF, vec![], end_ok(2))]
    {
        let rows = [vec![vec![1], column()], behind_columns, vec![row(), row(), end.clone()]].concat();
        let mut talk = opened(capabilities);
        talk.extend([
            C(query("SELECT a FROM t WHERE id IN (1,2)")),
            S(packets(1, &rows[..3])),
            S(packets(4, &rows[3..])),
            C(query("update t set a = 1")),
            S(packet(1, &ok(5, 2))),
            C(query("selec")),
            S(packet(1, &error())),
        ]);
        let requests = read(&talk);
        assert_eq!(
            told(&requests)[1..],
            [
                "SELECT a FROM t WHERE id IN (?)||2|0|3-5|Ok",
                "UPDATE t SET a = ?||5|0|6-7|Ok",
                "selec|1064 (42000)|-|16|8-9|Error"
            ]
        );
        assert_eq!(requests[1].first.unwrap().time, 4);
    }
}

#[test]
fn an_execute_has_the_key_of_its_prepare_and_several_results_are_one_answer() {
    for capabilities in [BASE, BASE | can::DEPRECATE_EOF] {
        let old = capabilities == BASE;
        let group = |n: usize| [vec![column(); n], if old { vec![eof(2)] } else { vec![] }].concat();
        let end = |status| if old { eof(status) } else { end_ok(status) };
        let mut talk = opened(capabilities);
        let prepared = [vec![b"\0\x09\0\0\0\x01\0\x02\0\0\0\0".to_vec()], group(2), group(1)].concat();
        let nothing = vec![b"\0\x0a\0\0\0\0\0\0\0\0\0\0".to_vec()];
        let results = [vec![vec![1]], group(1), vec![b"\0\0x".to_vec(), end(10)], vec![ok(1, 2)]].concat();
        talk.extend([
            C(command(command::PREPARE, b"select a from t where b = ? and c = ?")),
            S(packets(1, &prepared)),
            C(command(command::EXECUTE, b"\x09\0\0\0\0\x01\0\0\0\0\x01")),
            S(packets(1, &results)),
            C(command(command::CLOSE, b"\x09\0\0\0")),
            C(command(command::PREPARE, b"set autocommit = 0")),
            S(packets(1, &nothing)),
            C([
                command(command::EXECUTE, b"\x0a\0\0\0\0\x01\0\0\0"),
                command(command::EXECUTE, b"\x09\0\0\0\0\x01\0\0\0"),
            ]
            .concat()),
            S([packet(1, &ok(0, 2)), packet(1, &error())].concat()),
        ]);
        let key = "SELECT a FROM t WHERE b = ? AND c = ?";
        assert_eq!(
            told(&read(&talk))[1..],
            [
                format!("prepare: {key}||-|0|3-4|Ok"),
                format!("{key}||1|0|5-6|Ok"),
                format!("close: {key}||-|0|7--|Ok"),
                "prepare: SET autocommit = ?||-|0|8-9|Ok".into(),
                "SET autocommit = ?||0|0|10-11|Ok".into(),
                "statement 9|1064 (42000)|-|1|10-11|Error".into(),
            ]
        );
    }
}

#[test]
fn a_file_that_the_client_sends_is_of_the_request() {
    let mut talk = opened(BASE);
    talk.extend([
        C(query("load data local infile 'x' into table t")),
        S(packet(1, b"\xfbx")),
        C([packet(2, b"1\n2\n"), packet(3, b"")].concat()),
        S(packet(4, &ok(2, 2))),
        C(command(9, b"")),
        S(packet(1, b"Uptime: 3")),
    ]);
    let requests = read(&talk);
    assert_eq!((told(&requests)[1].split_once('|').unwrap().1, requests[1].sent.unwrap().time), ("|2|16|3-6|Ok", 5));
    assert_eq!(told(&requests)[2], "statistics||-|0|7-8|Ok");
}

#[test]
fn packets_of_16_mib_go_on_in_the_next() {
    let mut talk = opened(BASE);
    let long = vec![b'x'; 0xff_ffff - 30];
    let sql = [b"insert into t values ('".as_slice(), &long].concat();
    let mut first = command(command::QUERY, &sql[..0xff_ffff - 1 - 7]);
    first.extend(b"1234567");
    first[..3].copy_from_slice(&[0xff; 3]);
    let big = [vec![0xff, 0xff, 0xff, 4], b"\xfd\xff\xff\xff".to_vec(), vec![b'y'; 0xff_ffff - 4]].concat();
    talk.extend([
        C(first),
        C(packet(1, b"')")),
        S(packet(2, &ok(1, 2))),
        C(query("select a from t")),
        S(packets(1, &[vec![1], column(), eof(2)])),
        S([big, packet(5, b"z"), packet(6, &eof(2))].concat()),
    ]);
    let (requests, _) = read_in(&talk, 1 << 16);
    assert_eq!(told(&requests)[1..], ["INSERT INTO t VALUES (…||1|16|3-5|Ok", "SELECT a FROM t||1|0|6-8|Ok"]);
}

#[test]
fn mariadb_leaves_out_definitions_and_tells_of_progress() {
    let mut talk = opened(BASE | can::DEPRECATE_EOF);
    talk.extend([
        C(query("select a from t")),
        S(packets(1, &[vec![1, 0], row(), end_ok(2)])),
        C(query("alter table t add b int")),
        S(packets(1, &[b"\xff\xff\xff\x01\x01\x02\0\0\0\x04copy".to_vec(), ok(0, 2)])),
        C([command(command::PREPARE, b"select 1"), command(command::EXECUTE, b"\xff\xff\xff\xff\0\x01\0\0\0")]
            .concat()),
        S(packets(1, &[b"\0\x0a\0\0\0\x01\0\0\0\0\0\0".to_vec(), column()])),
        S(packets(1, &[vec![1, 1], column(), row(), end_ok(2)])),
    ]);
    assert_eq!(
        told(&read(&talk))[1..],
        [
            "SELECT a FROM t||1|0|3-4|Ok",
            "ALTER TABLE t ADD b INT||0|0|5-6|Ok",
            "prepare: SELECT ?||-|0|7-8|Ok",
            "SELECT ?||1|0|7-9|Ok"
        ]
    );
}

#[test]
fn query_attributes_stand_before_the_text() {
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let mut talk = opened(BASE | can::QUERY_ATTRIBUTES);
    let attributes = [
        b"\x02\x01\0\x01\x08\0\x01n\xfe\0\x0btraceparent\x05\0\0\0\0\0\0\0\x37".as_slice(),
        parent.as_bytes(),
        b"select 2",
    ]
    .concat();
    talk.extend([
        C(command(command::QUERY, b"\0\x01select 1 from t")),
        S(packet(1, &ok(0, 2))),
        C(command(command::QUERY, &attributes)),
        S(packet(1, &ok(0, 2))),
    ]);
    let requests = read(&talk);
    assert_eq!(told(&requests)[1..], ["SELECT ? FROM t||0|0|3-4|Ok", "SELECT ?||0|0|5-6|Ok"]);
    assert_eq!(requests[2].traceparent.as_deref(), Some(parent));
}

#[test]
fn a_connection_that_is_met_in_its_midst_is_read_from_the_next_command_on() {
    let talk = [
        S([b"half of a row".to_vec(), packet(9, &eof(2))].concat()),
        C(query("select a from t where b = 'some text'")),
        S(packets(1, &[vec![1], column(), eof(2), row(), eof(2)])),
        C(command(command::PREPARE, b"select a from u where b = ?")),
        S(packets(1, &[b"\0\x0a\0\0\0\x01\0\x01\0\0\0\0".to_vec(), column(), eof(2), column(), eof(2)])),
        C(command(command::EXECUTE, b"\x05\0\0\0\0\x01\0\0\0")),
        S(packets(1, &[vec![1], column(), row(), end_ok(2)])),
    ];
    let (requests, _) = read_in(&talk, usize::MAX);
    let bits = missing::INFERRED | missing::START;
    assert_eq!(
        told(&requests),
        [
            format!("SELECT a FROM t WHERE b = ?||1|{bits}|1-2|Ok"),
            "prepare: SELECT a FROM u WHERE b = ?||-|0|3-4|Ok".into(),
            "statement 5||1|1|5-6|Ok".into(),
        ]
    );
}

#[test]
fn bytes_that_are_missing_do_not_give_an_answer_to_another() {
    let mut talk = opened(BASE);
    let long = query(&format!("select a from t where b = '{}'", "x".repeat(900)));
    let big = packet(4, &[b"\xfc\xd0\x07".as_slice(), &[b'x'; 2000]].concat());
    talk.extend([
        C(long[..100].to_vec()),
        GapC(long.len() as u64 - 100),
        S([packets(1, &[vec![1], column(), eof(2)]), big[..500].to_vec()].concat()),
        GapS(big.len() as u64 - 500),
        S(packet(5, &eof(2))),
        C(query("select b from t")),
        S(packets(1, &[vec![1], column(), eof(2)])),
        GapS(5000),
        S([b"x and more".to_vec(), packet(77, &row()), packet(78, &eof(2))].concat()),
        C(query("select c from t")),
        GapS(500),
        C(query("select d from t")),
        S(packet(1, &ok(0, 2))),
    ]);
    let (both, response) = (missing::REQUEST | missing::RESPONSE | missing::KEY, missing::RESPONSE);
    assert_eq!(
        told(&read_in(&talk, usize::MAX).0)[1..],
        [
            format!("SELECT a FROM t WHERE b =…||1|{both}|3-7|Ok"),
            format!("SELECT b FROM t||-|{response}|8-11|Ok"),
            format!("SELECT c FROM t||-|{response}|12--|Unfinished"),
            "SELECT d FROM t||0|0|14-15|Ok".into(),
        ]
    );
}

#[test]
fn connections_are_known_by_their_bytes() {
    assert_eq!(probe(Side::Server, &greeting(BASE)), Verdict::Yes);
    assert_eq!(probe(Side::Client, &login(BASE)), Verdict::Yes);
    assert_eq!(probe(Side::Client, &query("select a from t")), Verdict::Yes);
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
    let pieces = [
        greeting(BASE),
        login(BASE),
        query("select 1"),
        command(command::PREPARE, b"select ?"),
        command(command::EXECUTE, b"\x01\0\0\0\0\x01\0\0\0"),
        packet(1, &ok(0, 2)),
        packet(1, &[1]),
        packet(2, &column()),
        packet(3, &eof(2)),
        packet(4, &row()),
        packet(5, &eof(2)),
        packet(1, &error()),
        packet(1, b"\xfbx"),
        packet(2, b""),
        vec![0; 9],
        packet(1, b"\0\x01\0\0\0\x01\0\x01\0\0\0\0"),
    ];
    for round in 0..50 {
        let (mut p, mut out) = (Mysql::new(), Vec::new());
        if round % 2 == 0 {
            p.bytes(Side::Server, Stamp::default(), &greeting(BASE), &mut out);
            p.bytes(Side::Client, Stamp::default(), &login(BASE), &mut out);
        }
        for n in 0..4000 {
            let side = [Side::Client, Side::Server][random(2)];
            let at = Stamp { time: n, packet: 0 };
            match random(20) {
                0 => p.gap(side, at, random(30) as u64, &mut out),
                1 => p.bytes(side, at, &(0..random(20)).map(|_| random(256) as u8).collect::<Vec<_>>(), &mut out),
                _ => p.bytes(side, at, &pieces[random(pieces.len())], &mut out),
            }
        }
        assert!(p.pending.len() <= WAITING);
        p.end(End::Reset, Stamp::default(), &mut out);
    }
}
