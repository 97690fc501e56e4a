//! Statements, look-ups and handshakes of known length, and what the latency of them is.
#![allow(clippy::unwrap_used)]

use coldcase_analyze::{Options, Part, analyze};
use coldcase_model::analysis::Latency;
use coldcase_model::column::TextColumn;
use coldcase_model::events::{NameLookup, Statement, TlsCall};
use coldcase_model::{Column, Columns, Event};
use coldcase_testkit::Builder;
use coldcase_testkit::rows::{BOOT, anchor};

/// Rows with these texts in a column.
fn with_texts<E: Event>(rows: Vec<(E, &str)>, name: &str) -> Columns {
    let (mut columns, mut texts) = (Columns::new(&E::DEF), TextColumn::default());
    for (row, text) in rows {
        row.push(&mut columns);
        texts.push(text.as_bytes());
    }
    let at = columns.names.iter().position(|n| n == name).unwrap();
    columns.columns[at] = Column::Text(texts);
    columns
}

fn statement(after: u64, duration: u64, flags: u32, query: &str) -> (Statement, &str) {
    (Statement { time: BOOT + after, duration, flags, pid: 7, tid: 7, ..Default::default() }, query)
}

fn lookup(after: u64, duration: u64, result: i32, flags: u32, name: &str) -> (NameLookup, &str) {
    (NameLookup { time: BOOT + after, duration, result, flags, pid: 7, tid: 7, ..Default::default() }, name)
}

fn handshake(after: u64, duration: u64, connection: u64, socket: u64, result: i32) -> TlsCall {
    let time = BOOT + after;
    TlsCall { time, duration, connection, socket, result, function: 5, pid: 7, tid: 7, ..Default::default() }
}

#[test]
fn only_what_was_seen_to_begin_and_to_end_has_a_latency_and_a_handshake_of_many_calls_is_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.case");
    let statements = vec![
        statement(10, 100, 0, "select ?"),
        statement(20, 300, 16, "select ?"),
        statement(30, 5, 8, "prepared only"),
        statement(40, 6, 8 | 16, "no such syntax"),
        statement(50, 999, 1, "runs on"),
        statement(0, 999, 4, ""),
        statement(10, 90, 128, "select ?"),
    ];
    let lookups = vec![
        lookup(10, 50, 0, 0, "db"),
        lookup(80, 70, -2, 0, "db"),
        lookup(90, 9, 0, 2, "killed"),
        lookup(95, 9, 0, 0, ""),
    ];
    let handshakes = [
        // Two calls of one, with another connection's between; then the object again, with another socket.
        handshake(100, 10, 1, 11, -1),
        handshake(105, 10, 2, 12, 1),
        handshake(150, 10, 1, 11, 1),
        handshake(200, 10, 1, 13, -1),
        handshake(900, 20, 1, 14, 1),
    ];
    Builder::new(&path)
        .unwrap()
        .rows("recorder.anchor", anchor(BOOT, "start"))
        .unwrap()
        .rows(Statement::DEF.stream, with_texts(statements, "query"))
        .unwrap()
        .rows(NameLookup::DEF.stream, with_texts(lookups, "name"))
        .unwrap()
        .events(handshakes)
        .unwrap()
        .seal()
        .unwrap();
    let a = analyze(&path, &Options { parts: vec![Part::Latency], ..Options::default() }).unwrap();
    let of = |group: &str| a.latencies.iter().filter(|l| l.group == group).collect::<Vec<_>>();
    let figures = |l: &Latency| (l.name.clone(), l.count, l.errors, l.max, l.total);
    let statements: Vec<_> = of("statement").into_iter().map(figures).collect();
    assert_eq!(
        statements,
        [("select ?".to_owned(), 2, Some(1), 300, 400), ("no such syntax".to_owned(), 1, Some(1), 6, 6)]
    );
    let lookups: Vec<_> = of("name_lookup").into_iter().map(figures).collect();
    assert_eq!(lookups, [("db".to_owned(), 2, Some(1), 70, 120)]);
    let [shaken] = of("tls")[..] else { panic!("{:?}", of("tls")) };
    assert_eq!((shaken.count, shaken.errors, shaken.max, shaken.total), (3, None, 60, 90));
    assert_eq!(shaken.exemplars[0].evidence.to_string(), format!("{}/kernel.tls#2", a.bundle.id));
}

/// Number, longest and total of the handshakes that these calls are.
fn shaken(calls: impl IntoIterator<Item = TlsCall>) -> (u64, u64, u64) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.case");
    let bundle = Builder::new(&path).unwrap().rows("recorder.anchor", anchor(BOOT, "start")).unwrap();
    bundle.events(calls).unwrap().seal().unwrap();
    let a = analyze(&path, &Options { parts: vec![Part::Latency], ..Options::default() }).unwrap();
    let [tls] = &a.latencies.iter().filter(|l| l.group == "tls").collect::<Vec<_>>()[..] else { panic!() };
    (tls.count, tls.max, tls.total)
}

#[test]
fn an_object_without_a_socket_that_is_used_again_is_another_handshake() {
    const SECOND: u64 = 1_000_000_000;
    // Given up by the other end, then used again.
    assert_eq!(
        shaken([handshake(100, 10, 1, 0, -1), handshake(150, 10, 1, 0, 0), handshake(900, 20, 1, 0, 1)]),
        (1, 20, 20)
    );
    // Its process or the capture ended in it.
    for flags in [1, 2] {
        let ended = TlsCall { flags, ..handshake(150, 10, 1, 0, 0) };
        assert_eq!(shaken([handshake(100, 10, 1, 0, -1), ended, handshake(900, 20, 1, 0, 1)]), (1, 20, 20));
    }
    // A pause that no handshake takes; with the same socket it is one all the same.
    let late = |socket| [handshake(100, 10, 1, socket, -1), handshake(31 * SECOND + 200, 20, 1, socket, 1)];
    assert_eq!(shaken(late(0)), (1, 20, 20));
    assert_eq!(shaken(late(7)), (1, 31 * SECOND + 120, 31 * SECOND + 120));
    let soon =
        [handshake(100, 10, 1, 0, -1), handshake(29 * SECOND, 10, 1, 0, -1), handshake(50 * SECOND, 20, 1, 0, 1)];
    assert_eq!(shaken(soon), (1, 50 * SECOND - 80, 50 * SECOND - 80));
}
