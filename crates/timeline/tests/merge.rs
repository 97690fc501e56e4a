//! The merged order is a sort, whatever the chunks and the threads.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::time::Duration;

use coldcase_bundle::{RawMessage, Writer, WriterOptions};
use coldcase_model::events::{Anchor, LogLine, OffCpu, Receipt, TcpRetransmit};
use coldcase_model::manifest::Manifest;
use coldcase_model::{Boottime, Columns, Event, Utc};
use coldcase_timeline::{Body, Merge, Options, Piece, StreamSet, Timeline, When};
use proptest::prelude::*;

/// BOOTTIME and UTC at the start of the capture.
const BOOT: u64 = 1_000_000_000_000;
const REAL: i64 = 1_700_000_000_000_000_000;
const SECOND: u64 = 1_000_000_000;

/// One thing to record: when it is written, and how long before that it began.
#[derive(Debug, Clone)]
struct Fact {
    written: u64,
    long: u64,
    kind: u8,
}

fn facts() -> impl Strategy<Value = Vec<Fact>> {
    // Most are short, some reach back over many chunks: those are what a merge gets wrong.
    let long = prop_oneof![8 => 0..5_000_000u64, 1 => 0..60 * SECOND];
    let fact = (0..60 * SECOND, long, 0..4u8).prop_map(|(written, long, kind)| Fact {
        written,
        long: long.min(written),
        kind,
    });
    prop::collection::vec(fact, 0..400).prop_map(|mut facts| {
        facts.sort_by_key(|f| f.written);
        facts
    })
}

fn protobuf(field: u32, kind: u32, body: &[u8]) -> Vec<u8> {
    let mut out = varint(u64::from(field << 3 | kind));
    if kind == 2 {
        out.extend(varint(body.len() as u64));
    }
    out.extend(body);
    out
}

fn varint(mut n: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while n >= 128 {
        out.push(n as u8 | 128);
        n >>= 7;
    }
    out.push(n as u8);
    out
}

/// An ExportTraceServiceRequest with one span.
fn request(start: i64, end: i64) -> Vec<u8> {
    let span = [
        protobuf(2, 2, &[7; 8]),
        protobuf(5, 2, b"work"),
        protobuf(7, 1, &start.to_le_bytes()),
        protobuf(8, 1, &end.to_le_bytes()),
    ]
    .concat();
    protobuf(1, 2, &protobuf(2, 2, &protobuf(2, 2, &span)))
}

fn receipt(time: u64) -> Receipt {
    Receipt { time, read: REAL + (time - BOOT) as i64, origin: "127.0.0.1:1".into(), ..Default::default() }
}

/// Writes the facts in runs of `batch`; `flush` also ends the chunk after each run.
fn write(path: &Path, facts: &[Fact], batch: usize, chunk_bytes: usize, flush: bool) {
    let options = WriterOptions {
        chunk_bytes,
        chunk_time: Duration::from_secs(3600),
        id: Some("00000000000000aa".into()),
        ..WriterOptions::default()
    };
    let w = Writer::create(path, true, options).unwrap();
    let mut anchors = Columns::new(&Anchor::DEF);
    for at in [0, 60 * SECOND] {
        let (time, realtime) = (BOOT + at, REAL + at as i64);
        Anchor { time, width: 100, realtime, reason: "periodic".into(), ..Default::default() }.push(&mut anchors);
    }
    w.append("recorder.anchor", anchors).unwrap();
    for run in facts.chunks(batch) {
        let (mut off, mut tcp, mut log) =
            (Columns::new(&OffCpu::DEF), Columns::new(&TcpRetransmit::DEF), Columns::new(&LogLine::DEF));
        for f in run {
            let (now, began) = (BOOT + f.written, BOOT + f.written - f.long);
            let real = |boot: u64| REAL + (boot - BOOT) as i64;
            match f.kind {
                0 => OffCpu { time: began, duration: f.long, tid: 1, ..Default::default() }.push(&mut off),
                1 => TcpRetransmit { time: now, segments: 1, ..Default::default() }.push(&mut tcp),
                2 => {
                    let line = format!(
                        "ts={}.{:09} level=info hello",
                        real(began) / 1_000_000_000,
                        real(began) % 1_000_000_000
                    );
                    LogLine {
                        time: now,
                        read: real(now),
                        path: "/a.log".into(),
                        line: line.into_bytes(),
                        ..Default::default()
                    }
                    .push(&mut log);
                }
                _ => {
                    let message = RawMessage {
                        bytes: request(real(began), real(now)),
                        log_time: Utc(real(now)),
                        publish_time: Utc(real(now)),
                        first: Boottime(now),
                        last: Boottime(now),
                    };
                    w.append_raw("otlp.traces", message, receipt(now)).unwrap();
                }
            }
        }
        for (stream, rows) in [("kernel.offcpu", off), ("kernel.tcp_retransmit", tcp), ("log.lines", log)] {
            if !rows.is_empty() {
                w.append(stream, rows).unwrap();
            }
        }
        if flush {
            w.flush().unwrap();
        }
    }
    w.seal(Manifest::default()).unwrap();
}

/// When, stream, row and place in it, and what it says.
type Line = (i64, String, u64, u32, String);

fn merged(path: &Path, threads: usize, from: Option<When>, to: Option<When>) -> Vec<Line> {
    let options = Options { threads: Some(threads), from, to, streams: StreamSet::None, ..Options::default() };
    let t = Timeline::open(path, &options).unwrap();
    let mut merge = Merge::new(&t, &StreamSet::named(["kernel", "log", "otlp"]));
    let lines = merge
        .by_ref()
        .map(|e| {
            let what = match &e.body {
                Body::Row { columns, at } => format!("{:?}", columns.get("time").and_then(|c| c.int(*at))),
                Body::Line(l) => l.text().into_owned(),
                Body::Span(s) => s.span.name.clone(),
                other => format!("{other:?}"),
            };
            (e.utc.0, e.stream.to_string(), e.row, e.index, what)
        })
        .collect();
    assert_eq!(merge.problems(), Vec::<String>::new());
    lines
}

/// The same by sorting all facts.
fn sorted(facts: &[Fact]) -> Vec<(i64, u8, u64)> {
    let mut rows = [0u64; 4];
    let mut out: Vec<_> = facts
        .iter()
        .map(|f| {
            let row = rows[f.kind as usize];
            rows[f.kind as usize] += 1;
            let at = if f.kind == 1 { f.written } else { f.written - f.long };
            (REAL + at as i64, f.kind, row)
        })
        .collect();
    // The catalogue's order: kernel.offcpu, kernel.tcp_retransmit, log.lines, otlp.traces.
    out.sort_unstable();
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_chunking_and_any_number_of_threads_give_the_same_timeline_which_is_a_sort(
        facts in facts(), batch in 1..200usize, chunk in 300..40_000usize, flush: bool,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let (one, many) = (dir.path().join("one.case"), dir.path().join("many.case"));
        write(&one, &facts, usize::MAX, 1 << 20, false);
        write(&many, &facts, batch, chunk, flush);
        let reference = merged(&one, 1, None, None);
        prop_assert_eq!(&merged(&many, 1, None, None), &reference);
        prop_assert_eq!(&merged(&many, 3, None, None), &reference);
        let streams = ["kernel.offcpu", "kernel.tcp_retransmit", "log.lines", "otlp.traces"];
        let found: Vec<_> = reference
            .iter()
            .map(|l| (l.0, streams.iter().position(|s| *s == l.1).unwrap() as u8, l.2))
            .collect();
        prop_assert_eq!(found, sorted(&facts));
    }
}

#[test]
fn a_window_keeps_what_touches_it_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b.case");
    let facts: Vec<Fact> =
        (1..50).map(|i| Fact { written: i * SECOND, long: SECOND / 2, kind: (i % 4) as u8 }).collect();
    write(&path, &facts, 7, 1000, true);
    let all = merged(&path, 2, None, None);
    let (from, to) = (When::After(10 * SECOND as i64), When::After(20 * SECOND as i64));
    let some = merged(&path, 2, Some(from), Some(to));
    let expected: Vec<_> = all
        .iter()
        .filter(|l| {
            let start = l.0 - REAL;
            let long = if l.1 == "kernel.offcpu" || l.1 == "otlp.traces" { SECOND as i64 / 2 } else { 0 };
            start + long >= 10 * SECOND as i64 && start < 20 * SECOND as i64
        })
        .cloned()
        .collect();
    assert_eq!(some, expected);
    assert!(!some.is_empty() && some.len() < all.len());
}

#[test]
fn loaded_columns_hold_the_same_rows_as_the_merge_and_cite_them_alike() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b.case");
    let facts: Vec<Fact> =
        (1..300).map(|i| Fact { written: i * SECOND / 10, long: i * 1000, kind: (i % 4) as u8 }).collect();
    write(&path, &facts, 5, 700, true);
    for threads in [1, 2] {
        let options =
            Options { threads: Some(threads), to: Some(When::After(20 * SECOND as i64)), ..Options::default() };
        let t = Timeline::open(&path, &options).unwrap();
        let mut rows: Vec<(i64, u64)> = t
            .rows::<OffCpu>()
            .flat_map(|part| (0..part.len()).map(|i| (t.utc_of(part.cols.time[i]).0, part.row(i))).collect::<Vec<_>>())
            .collect();
        rows.sort_unstable();
        let merge: Vec<(i64, u64)> =
            Merge::new(&t, &StreamSet::named(["kernel.offcpu"])).map(|e| (e.utc.0, e.row)).collect();
        assert_eq!(rows, merge);
        assert!(!rows.is_empty());
        for streams in [StreamSet::All, StreamSet::None] {
            let t = Timeline::open(&path, &Options { streams, ..options.clone() }).unwrap();
            let take = |sum: &mut Vec<(i64, u64)>, piece: &Piece<'_>| {
                let part = piece.rows::<OffCpu>().unwrap();
                sum.extend((0..part.len()).map(|i| (t.utc_of(part.cols.time[i]).0, part.row(i))));
            };
            let (mut folded, problems) = t.fold(&["kernel.offcpu"], Vec::new, take, |a, b| [a, b].concat());
            folded.sort_unstable();
            assert_eq!((folded, problems.len()), (merge.clone(), 0), "whether or not they are held");
        }
        assert_eq!(t.spans().len(), Merge::new(&t, &StreamSet::named(["otlp"])).count());
        assert_eq!(
            t.evidence("kernel.offcpu", rows[0].1).to_string(),
            format!("00000000000000aa/kernel.offcpu#{}", rows[0].1)
        );
        assert_eq!(t.start(), Utc(REAL));
    }
}
