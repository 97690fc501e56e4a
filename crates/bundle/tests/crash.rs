//! Sudden ends: kill -9, and a disk that fills up.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]
#![cfg(target_os = "linux")]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use coldcase_bundle::{BatchBody, Bundle, WriteError, Writer, WriterOptions, recover, verify};
use coldcase_model::events::{HostMetric, Mark};
use coldcase_model::{Columns, Event};
use coldcase_testkit::corrupt::Rng;
use coldcase_testkit::{bundle, rows};

fn env(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

fn mark(number: u64) -> Columns {
    let mut rows = Columns::new(&Mark::DEF);
    Mark { time: number, uid: 0, pid: 0, text: format!("number {number}") }.push(&mut rows);
    rows
}

/// The child of the kill test: appends numbered rows and messages in three classes, and says on stdout what it has
/// appended and when. Runs only when the parent asks for it.
#[test]
fn child_that_appends_until_it_is_killed() {
    let Ok(path) = std::env::var("COLDCASE_KILL_CHILD") else { return };
    let writer = Writer::create(Path::new(&path), true, WriterOptions::default()).unwrap();
    let mut out = std::io::stdout();
    let start = Instant::now();
    let mut rng = Rng(3);
    for number in 0.. {
        writer.append("recorder.mark", mark(number)).unwrap();
        let utc = coldcase_model::Utc(number as i64);
        let message = coldcase_bundle::RawMessage {
            bytes: format!("message {number}").into_bytes(),
            log_time: utc,
            publish_time: utc,
            first: coldcase_model::Boottime(number),
            last: coldcase_model::Boottime(number),
        };
        assert_eq!(writer.append_raw("otlp.traces", message, rows::receipt(number, 9)).unwrap(), number);
        writer.append("kernel.offcpu", rows::off_cpu(&mut rng, 2000, 50, number * 1000)).unwrap();
        writeln!(out, "{number} {}", start.elapsed().as_millis()).unwrap();
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Numbers that are in a bundle: rows of `recorder.mark`, messages of `otlp.traces`, rows of `kernel.offcpu`.
fn numbers(path: &Path) -> (Vec<u64>, Vec<u64>, u64) {
    let b = Bundle::open(path).unwrap();
    let (mut marks, mut messages, mut off_cpu) = (Vec::new(), Vec::new(), 0);
    for chunk in b.chunks() {
        for batch in b.read_chunk(chunk.index, &|_| true).unwrap() {
            match (&*batch.stream, &batch.body) {
                ("recorder.mark", BatchBody::Columns(c)) => {
                    marks.extend_from_slice(Mark::cols(c).unwrap().time);
                }
                ("otlp.traces", BatchBody::Raw(bytes)) => {
                    let text = std::str::from_utf8(bytes).unwrap();
                    messages.push(text.trim_start_matches("message ").parse().unwrap());
                }
                ("kernel.offcpu", BatchBody::Columns(c)) => off_cpu += c.len() as u64,
                _ => {}
            }
        }
    }
    (marks, messages, off_cpu)
}

#[test]
fn after_kill_9_nothing_older_than_two_seconds_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let mut rng = Rng(env("COLDCASE_SEED", 1));
    for round in 0..env("COLDCASE_KILLS", 3) {
        let path = dir.path().join("killed.case");
        let _ = std::fs::remove_file(&path);
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_that_appends_until_it_is_killed", "--nocapture", "--test-threads=1"])
            .env("COLDCASE_KILL_CHILD", &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let reader = std::thread::spawn(move || {
            let pairs = stdout.lines().map_while(Result::ok).filter_map(|l| {
                let (number, at) = l.split_once(' ')?;
                Some((number.parse::<u64>().ok()?, at.parse::<u64>().ok()?))
            });
            pairs.collect::<Vec<_>>()
        });
        std::thread::sleep(Duration::from_millis(2500 + rng.below(2000)));
        child.kill().unwrap();
        child.wait().unwrap();
        let said = reader.join().unwrap();
        let last = said.last().unwrap().1;
        let due = said.iter().filter(|(_, at)| at + 2000 <= last).count() as u64;
        assert!(due > 10, "round {round}: the child was too slow to tell: {due}");
        let (marks, messages, off_cpu) = numbers(&path);
        assert!(marks.len() as u64 >= due && messages.len() as u64 >= due, "round {round}: {due} {}", marks.len());
        assert!(off_cpu >= due * 2000, "round {round}");
        assert!(marks.iter().copied().eq(0..marks.len() as u64), "round {round}: in order, without holes");
        assert!(messages.iter().copied().eq(0..messages.len() as u64), "round {round}");
        let to = dir.path().join("recovered.case");
        recover(&path, &to, true).unwrap();
        let v = verify(&to).unwrap();
        assert!(v.ok && v.sealed, "{v:?}");
        assert_eq!(numbers(&to), (marks, messages, off_cpu));
    }
}

/// A file system of a given size, when we may mount one.
struct Small(tempfile::TempDir);

impl Small {
    fn mount(kib: u32) -> Option<Small> {
        let dir = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={kib}k"), "coldcase-test"])
            .arg(dir.path())
            .stderr(Stdio::null())
            .status();
        if mounted.is_ok_and(|s| s.success()) {
            return Some(Small(dir));
        }
        eprintln!("skipped: a small tmpfs cannot be mounted here (needs root)");
        None
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_leaves_a_sealed_bundle_that_says_what_was_lost() {
    let Some(small) = Small::mount(2048) else { return };
    let path = small.0.path().join("full.case");
    let writer = Writer::create(&path, false, WriterOptions::default()).unwrap();
    let mut rng = Rng(9);
    let mut taken = 0;
    let error = loop {
        let piece = rows::off_cpu(&mut rng, 4000, 60, taken * 1000);
        match writer.append("kernel.offcpu", piece) {
            Ok(()) => taken += 4000,
            Err(e) => break e,
        }
        assert!(taken < 20_000_000, "the disk never filled");
    };
    assert!(matches!(error, WriteError::DiskFull { .. }), "{error}");
    assert!(writer.stats().disk_full);
    let again = writer.append("recorder.mark", mark(1));
    assert!(matches!(again, Err(WriteError::DiskFull { .. })));
    // Somebody else takes what is left.
    let filler = std::fs::write(small.0.path().join("filler"), vec![1; 4 << 20]);
    assert!(filler.is_err());
    let manifest = writer.seal(bundle::manifest()).unwrap();
    let v = verify(&path).unwrap();
    assert!(v.ok && v.sealed, "{v:?}");
    let (_, _, kept) = numbers(&path);
    let lost = manifest.losses.iter().find(|l| l.reason == "disk-full").expect("the loss is told");
    assert_eq!(kept + lost.count, taken, "every row taken in is kept or counted as lost");
    assert!(kept > 50_000 && lost.count > 0, "{kept} {lost:?}");
}

#[test]
fn a_disk_that_is_full_from_the_start_is_told_at_once() {
    let Some(small) = Small::mount(256) else { return };
    let filler = std::fs::write(small.0.path().join("filler"), vec![1; 1 << 20]);
    assert!(filler.is_err());
    let created = Writer::create(&small.0.path().join("a.case"), false, WriterOptions::default());
    assert!(matches!(created.err(), Some(WriteError::DiskFull { .. })));
}

#[test]
fn a_closed_pipe_is_an_error_and_not_a_signal_or_a_hang() {
    let (reader, pipe) = std::io::pipe().unwrap();
    let writer = Writer::to_stream(Box::new(pipe), WriterOptions::default()).unwrap();
    drop(reader);
    let mut rng = Rng(1);
    let error = (0..1000).find_map(|i| writer.append("kernel.offcpu", rows::off_cpu(&mut rng, 8192, 9, i)).err());
    assert!(matches!(error, Some(WriteError::Io { .. })), "{error:?}");
    assert!(writer.seal(bundle::manifest()).is_err());
}

#[test]
fn many_threads_append_at_once_and_every_row_is_there_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.case");
    let options = WriterOptions { chunk_bytes: 64 << 10, workers: 2, ..WriterOptions::default() };
    let writer = Writer::create(&path, false, options).unwrap();
    std::thread::scope(|s| {
        for thread in 0..8u64 {
            let writer = writer.clone();
            s.spawn(move || {
                for i in 0..500 {
                    let mut rows = Columns::new(&HostMetric::DEF);
                    let row = HostMetric { time: thread * 1000 + i, value: 1.5, ..HostMetric::default() };
                    row.push(&mut rows);
                    writer.append("host.metric", rows).unwrap();
                    writer.append("recorder.mark", mark(thread * 1000 + i)).unwrap();
                }
            });
        }
    });
    writer.seal(bundle::manifest()).unwrap();
    let (mut marks, _, _) = numbers(&path);
    marks.sort_unstable();
    let expected: Vec<u64> = (0..8).flat_map(|t| (0..500).map(move |i| t * 1000 + i)).collect();
    assert_eq!(marks, expected);
    assert!(verify(&path).unwrap().ok);
}
