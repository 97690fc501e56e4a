//! Requests that a sender sent again are counted once, and only those.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use coldcase_bundle::{RawMessage, Writer, WriterOptions};
use coldcase_model::events::{Anchor, Receipt};
use coldcase_model::manifest::Manifest;
use coldcase_model::{Boottime, Columns, Event, Utc};
use coldcase_timeline::{Options, StreamSet, Timeline};

/// Length-delimited field of fewer than 128 bytes.
fn field(number: u8, body: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, body.len() as u8][..], body].concat()
}

fn request(item: &[u8]) -> Vec<u8> {
    field(1, &field(2, &field(2, item)))
}

fn span(n: u8) -> Vec<u8> {
    request(&[field(1, &[7; 16]), field(2, &[n; 8]), vec![7 << 3 | 1, 0, 0, 0, 0, 0, 0, 0, 1]].concat())
}

fn record(time: u8, body: &str) -> Vec<u8> {
    let told = if time == 0 { Vec::new() } else { vec![1 << 3 | 1, time, 0, 0, 0, 0, 0, 0, 1] };
    request(&[told, field(5, &field(1, body.as_bytes()))].concat())
}

fn bundle(path: &Path, requests: &[(&str, Vec<u8>)]) {
    // A chunk for each request: repeats must be found across them.
    let writer = Writer::create(path, false, WriterOptions { chunk_bytes: 1, ..WriterOptions::default() }).unwrap();
    let mut anchor = Columns::new(&Anchor::DEF);
    Anchor { time: 1, realtime: 1, reason: "start".into(), ..Anchor::default() }.push(&mut anchor);
    writer.append("recorder.anchor", anchor).unwrap();
    for (n, (stream, bytes)) in requests.iter().enumerate() {
        let at = Boottime(1_000 + n as u64);
        let message = RawMessage { bytes: bytes.clone(), log_time: Utc(1), publish_time: Utc(1), first: at, last: at };
        writer.append_raw(stream, message, Receipt { time: at.0, ..Receipt::default() }).unwrap();
    }
    writer.seal(Manifest::default()).unwrap();
}

#[test]
fn a_request_that_was_sent_again_is_counted_once_where_it_stood_first() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b.case");
    let sent = [
        ("otlp.traces", span(1)),
        ("otlp.traces", span(2)),
        ("otlp.traces", span(1)),
        ("otlp.traces", span(3)),
        ("otlp.traces", span(1)),
        ("otlp.logs", record(5, "told")),
        ("otlp.logs", record(5, "told")),
        ("otlp.logs", record(6, "told")),
        // Without a time two may be two.
        ("otlp.logs", record(0, "beat")),
        ("otlp.logs", record(0, "beat")),
    ];
    bundle(&path, &sent);
    for threads in [1, 2] {
        let options = Options { threads: Some(threads), streams: StreamSet::All, ..Options::default() };
        let t = Timeline::open(&path, &options).unwrap();
        assert_eq!(t.problems(), Vec::<String>::new());
        let spans: Vec<(u64, String)> = t.spans().iter().map(|s| (s.row, s.span.id.unwrap().to_string())).collect();
        let expected = [(0, "01"), (1, "02"), (3, "03")].map(|(row, id)| (row, id.repeat(8)));
        assert_eq!(spans, expected);
        let records: Vec<u64> = t.records().iter().map(|r| r.row).collect();
        assert_eq!(records, [0, 2, 3, 4]);
        assert_eq!(t.decoded().repeated, 3);
    }
}
