//! A writer that goes on from file to file, and bundles joined from chunks of several: no row is lost or told twice.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use coldcase_bundle::{
    BatchBody, Bundle, Join, JoinError, NextFile, RawMessage, Tap, Writer, WriterOptions, recover, verify,
};
use coldcase_model::events::{HostMetric, LogLine, Receipt};
use coldcase_model::manifest::{FlightEntry, Manifest};
use coldcase_model::{Boottime, Class, Columns, Event, Utc};

/// A row that tells its number.
fn numbered(n: u64) -> Columns {
    let mut columns = Columns::new(&HostMetric::DEF);
    HostMetric { time: 1_000_000 + n, name: "n".into(), labels: String::new(), value: n as f64 }.push(&mut columns);
    columns
}

fn line(n: u64) -> Columns {
    let mut columns = Columns::new(&LogLine::DEF);
    LogLine { time: 1_000_000 + n, line: n.to_string().into_bytes(), ..LogLine::default() }.push(&mut columns);
    columns
}

fn raw(n: u64) -> (RawMessage, Receipt) {
    let at = Boottime(1_000_000 + n);
    let bytes = n.to_string().into_bytes();
    (RawMessage { bytes, log_time: Utc(0), publish_time: Utc(0), first: at, last: at }, Receipt::default())
}

fn manifest(segment: u64) -> Manifest {
    Manifest { flight: Some(FlightEntry { segment, dump: None }), ..Manifest::default() }
}

fn next(path: &Path) -> NextFile {
    NextFile { path: path.to_owned(), id: None, preface: Some(manifest(0)) }
}

/// The values of the numbered rows by their row number, of one file.
fn values(path: &Path) -> BTreeMap<(String, u64), String> {
    let bundle = Bundle::open(path).unwrap();
    assert_eq!(bundle.problems(), []);
    let mut out = BTreeMap::new();
    for chunk in bundle.chunks() {
        for batch in bundle.read_chunk(chunk.index, &|s| !s.ends_with("receipts")).unwrap() {
            let values: Vec<String> = match &batch.body {
                BatchBody::Raw(bytes) => vec![String::from_utf8(bytes.clone()).unwrap()],
                BatchBody::Columns(c) if &*batch.stream == LogLine::DEF.stream => {
                    let c = LogLine::cols(c).unwrap();
                    (0..c.time.len()).map(|i| c.line.text(i).into_owned()).collect()
                }
                BatchBody::Columns(c) => HostMetric::cols(c).unwrap().value.iter().map(f64::to_string).collect(),
            };
            for (i, value) in values.into_iter().enumerate() {
                let row = (batch.stream.to_string(), batch.first_row + i as u64);
                assert_eq!(out.insert(row.clone(), value), None, "{row:?} twice in {}", path.display());
            }
        }
    }
    out
}

#[test]
fn what_was_committed_is_in_the_files_while_they_are_changed_and_costs_no_chunk_twice() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (dir.path().join("1.case"), dir.path().join("2.case"));
    // Nothing is cut by time or size: only commits cut.
    let options = WriterOptions { chunk_time: Duration::from_secs(3600), ..WriterOptions::default() };
    let writer = Writer::create(&first, false, options).unwrap();
    let mut commits = writer.commits(Class::Otlp);
    writer.append("log.lines", line(0)).unwrap();
    for n in 0..50 {
        let (message, receipt) = raw(n);
        writer.append_raw("otlp.traces", message, receipt).unwrap();
    }
    commits.commit().unwrap();
    assert_eq!(writer.stats().chunks, 1, "one chunk for all of them, and none of another class");
    commits.commit().unwrap();
    assert_eq!(writer.stats().chunks, 1, "nothing new, nothing cut");
    let traces = |path: &Path| values(path).into_keys().filter(|(s, _)| s == "otlp.traces").map(|(_, n)| n).collect();
    let there: Vec<u64> = traces(&first);
    assert_eq!(there, (0..50).collect::<Vec<_>>(), "read beside the writer, before any seal");

    let (message, receipt) = raw(50);
    writer.append_raw("otlp.traces", message, receipt).unwrap();
    let rotation = writer.rotate(next(&second), manifest(0)).unwrap();
    let (message, receipt) = raw(51);
    writer.append_raw("otlp.traces", message, receipt).unwrap();
    commits.commit().unwrap();
    let both: [Vec<u64>; 2] = [traces(&first), traces(&second)];
    assert_eq!((both[0].len(), both[0][50], both[1].clone()), (51, 50, vec![51]));
    rotation.wait(Duration::from_secs(10)).unwrap().unwrap();
    writer.clone().seal(Manifest::default()).unwrap();
    assert!(commits.commit().is_err(), "a sealed bundle takes nothing");
}

#[test]
fn what_cannot_be_made_durable_is_not_told_as_committed() {
    let writer = Writer::to_stream(Box::new(std::io::sink()), WriterOptions::default()).unwrap();
    let (message, receipt) = raw(0);
    writer.append_raw("otlp.traces", message, receipt).unwrap();
    let error = writer.commits(Class::Otlp).commit().unwrap_err();
    assert!(error.to_string().contains("cannot be synced"), "{error}");
}

#[test]
fn rows_taken_while_the_file_changes_stand_in_exactly_one_of_the_files() {
    let dir = tempfile::tempdir().unwrap();
    let path = |n: u64| dir.path().join(format!("{n}.case"));
    let options = WriterOptions { chunk_bytes: 8 << 10, workers: 2, preface: Some(manifest(0)), ..Default::default() };
    let writer = Writer::create(&path(0), false, options).unwrap();
    let (stop, taken) = (Arc::new(AtomicBool::new(false)), Arc::new([const { AtomicU64::new(0) }; 3]));
    let threads: Vec<_> = (0..3)
        .map(|kind| {
            let (writer, stop, taken) = (writer.clone(), stop.clone(), taken.clone());
            std::thread::spawn(move || {
                let mut n = 0;
                while !stop.load(Ordering::Relaxed) {
                    match kind {
                        0 => writer.append(HostMetric::DEF.stream, numbered(n)).unwrap(),
                        1 => writer.append(LogLine::DEF.stream, line(n)).unwrap(),
                        _ => {
                            let (message, receipt) = raw(n);
                            assert_eq!(writer.append_raw("otlp.traces", message, receipt).unwrap(), n);
                        }
                    }
                    n += 1;
                    taken[kind].store(n, Ordering::Relaxed);
                    if n % 50 == 0 {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                }
            })
        })
        .collect();
    let files = 6;
    for n in 1..files {
        std::thread::sleep(Duration::from_millis(60));
        let rotation = writer.rotate(next(&path(n)), manifest(n - 1)).unwrap();
        let sealed = rotation.wait(Duration::from_secs(20)).unwrap().unwrap();
        assert_eq!(sealed.flight.unwrap().segment, n - 1);
    }
    std::thread::sleep(Duration::from_millis(60));
    stop.store(true, Ordering::Relaxed);
    threads.into_iter().for_each(|t| t.join().unwrap());
    let rows = writer.stats().rows;
    writer.seal(manifest(files - 1)).unwrap();

    let mut all = BTreeMap::new();
    for n in 0..files {
        let v = verify(&path(n)).unwrap();
        assert!(v.ok && v.sealed, "{v:?}");
        for (row, value) in values(&path(n)) {
            assert_eq!(all.insert(row.clone(), value), None, "{row:?} in two files");
        }
    }
    for (kind, stream) in [HostMetric::DEF.stream, LogLine::DEF.stream, "otlp.traces"].into_iter().enumerate() {
        let count = taken[kind].load(Ordering::Relaxed);
        assert!(count > 100 && rows[stream] == count);
        for n in 0..count {
            assert_eq!(all.remove(&(stream.to_owned(), n)), Some(n.to_string()), "{stream}#{n}");
        }
    }
    assert!(all.is_empty(), "rows that nobody wrote");

    // The same again in one file, byte for byte the chunks of the segments.
    let joined = dir.path().join("joined.case");
    let mut join = Join::create(&joined, false, None).unwrap();
    let (mut chunks, mut bytes) = (0, 0);
    for n in 0..files {
        let segment = Bundle::open(&path(n)).unwrap();
        let taken = join.take(&segment, &|_| true).unwrap();
        assert_eq!(taken.problems, []);
        (chunks, bytes) = (chunks + segment.chunks().len(), bytes + taken.bytes);
    }
    let sealed = join.seal(manifest(0)).unwrap();
    assert_eq!(sealed.streams.iter().find(|s| s.name == "otlp.traces").unwrap().events, rows["otlp.traces"]);
    let v = verify(&joined).unwrap();
    assert!(v.ok && v.sealed && v.chunks == chunks as u64, "{v:?}");
    let whole = values(&joined);
    assert_eq!(whole.len() as u64, taken.iter().map(|t| t.load(Ordering::Relaxed)).sum::<u64>());
    assert_eq!(Bundle::open(&joined).unwrap().chunks().iter().map(|c| c.bytes).sum::<u64>(), bytes);
    // A bundle of bundles is read by other people's tools, too.
    let file = std::fs::read(&joined).unwrap();
    assert_eq!(mcap::Summary::read(&file).unwrap().unwrap().chunk_indexes.len(), chunks);
    assert_eq!(mcap::MessageStream::new(&file).unwrap().map(Result::unwrap).count() as u64, {
        mcap::Summary::read(&file).unwrap().unwrap().stats.unwrap().message_count
    });
}

#[test]
fn a_part_of_the_chunks_is_joined_and_what_is_damaged_is_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.case");
    let options = WriterOptions { preface: Some(manifest(3)), ..Default::default() };
    let writer = Writer::create(&path, false, options).unwrap();
    for n in 0..4 {
        writer.append(HostMetric::DEF.stream, numbered(n)).unwrap();
        writer.flush().unwrap();
    }
    writer.seal(manifest(3)).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let at = Bundle::open(&path).unwrap().chunks()[2].clone();
    bytes[(at.offset + at.bytes - 3) as usize] ^= 0x40;
    std::fs::write(&path, bytes).unwrap();
    let out = dir.path().join("b.case");
    let mut join = Join::create(&out, false, None).unwrap();
    let taken = join.take(&Bundle::open(&path).unwrap(), &|chunk| chunk > 0).unwrap();
    assert_eq!((taken.chunks, taken.problems.len()), (2, 1));
    assert_eq!(taken.problems[0].range.start, at.offset);
    join.seal(manifest(3)).unwrap();
    let v = verify(&out).unwrap();
    assert!(v.ok && v.sealed, "{v:?}");
    let numbers: Vec<u64> = values(&out).into_keys().map(|(_, n)| n).collect();
    assert_eq!(numbers, [1, 3], "rows keep their numbers");
}

#[test]
fn bundles_whose_numbers_mean_other_things_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("a.case"), dir.path().join("b.case"));
    for path in [&a, &b] {
        let writer = Writer::create(path, false, WriterOptions::default()).unwrap();
        writer.append(HostMetric::DEF.stream, numbered(1)).unwrap();
        writer.seal(Manifest::default()).unwrap();
    }
    // Another version of the recorder, with the field renamed: same length, so that only the definition changes.
    let mut bytes = std::fs::read(&b).unwrap();
    let (old, new) = (b"\"name\":\"labels\"", b"\"name\":\"labelz\"");
    let places: Vec<usize> = (0..bytes.len() - old.len()).filter(|&i| bytes[i..].starts_with(old)).collect();
    assert!(!places.is_empty());
    places.iter().for_each(|&i| bytes[i..i + new.len()].copy_from_slice(new));
    std::fs::write(&b, bytes).unwrap();
    let mut join = Join::create(&dir.path().join("c.case"), false, None).unwrap();
    join.take(&Bundle::open(&a).unwrap(), &|_| true).unwrap();
    let refused = join.take(&Bundle::open(&b).unwrap(), &|_| true).unwrap_err();
    assert!(matches!(refused, JoinError::Definitions { stream } if stream == HostMetric::DEF.stream));
}

#[test]
fn a_later_run_numbers_its_rows_on_and_a_cut_segment_loses_nothing_that_was_never_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.case");
    let first_rows = BTreeMap::from([(HostMetric::DEF.stream.to_owned(), 1000)]);
    let options = WriterOptions { first_rows, preface: Some(manifest(7)), ..Default::default() };
    let writer = Writer::create(&path, false, options).unwrap();
    writer.append(HostMetric::DEF.stream, numbered(1)).unwrap();
    writer.append(LogLine::DEF.stream, line(2)).unwrap();
    writer.flush().unwrap();
    // As after kill -9: the file as it is now, unsealed.
    let cut = dir.path().join("cut.case");
    std::fs::copy(&path, &cut).unwrap();
    let whole = dir.path().join("whole.case");
    let recovery = recover(&cut, &whole, false).unwrap();
    assert!(recovery.complete(), "{recovery:?}");
    let bundle = Bundle::open(&whole).unwrap();
    assert_eq!(bundle.manifest().unwrap().flight.as_ref().unwrap().segment, 7);
    let expected =
        [((HostMetric::DEF.stream.to_owned(), 1000), "1".into()), ((LogLine::DEF.stream.to_owned(), 0), "2".into())];
    assert_eq!(values(&whole), BTreeMap::from(expected));
    drop(writer);
}

struct Counting([AtomicU64; 2]);

impl Tap for Counting {
    fn rows(&self, _: &str, rows: &Columns) {
        self.0[0].fetch_add(rows.len() as u64, Ordering::Relaxed);
    }
    fn raw(&self, _: &str, _: &RawMessage, _: &Receipt) {
        self.0[1].fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn the_tap_sees_everything_that_is_taken_in() {
    let dir = tempfile::tempdir().unwrap();
    let path: PathBuf = dir.path().join("a.case");
    let tap = Arc::new(Counting(Default::default()));
    let options = WriterOptions { tap: Some(tap.clone()), ..Default::default() };
    let writer = Writer::create(&path, false, options).unwrap();
    (0..5).for_each(|n| writer.append(HostMetric::DEF.stream, numbered(n)).unwrap());
    let (message, receipt) = raw(1);
    writer.append_raw("otlp.logs", message, receipt).unwrap();
    writer.seal(Manifest::default()).unwrap();
    assert_eq!([5, 1], [tap.0[0].load(Ordering::Relaxed), tap.0[1].load(Ordering::Relaxed)]);
}
