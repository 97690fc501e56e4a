//! Logs: real files, rotated in both ways while numbered lines are written.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

mod support;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use coldcase_model::{Event, events::LogLine};
use coldcase_record::logs::{Logs, LogsConfig};
use support::{Recorded, record, record_with, wait_until};

#[derive(Debug, Clone, PartialEq)]
struct Row {
    path: String,
    inode: u64,
    offset: u64,
    flags: u32,
    line: String,
}

fn rows(recorded: &Recorded) -> Vec<Row> {
    let mut out = Vec::new();
    for columns in recorded.columns("log.lines") {
        let c = LogLine::cols(&columns).unwrap();
        for i in 0..columns.len() {
            assert!(c.time[i] > 0 && c.read[i] > 0);
            out.push(Row {
                path: c.path.text(i).into_owned(),
                inode: c.inode[i],
                offset: c.offset[i],
                flags: c.flags[i],
                line: c.line.text(i).into_owned(),
            });
        }
    }
    out
}

fn lines(recorded: &Recorded) -> Vec<String> {
    rows(recorded).into_iter().map(|r| r.line).collect()
}

fn follow(paths: &[&Path], from_start: bool) -> Logs {
    let paths = paths.iter().map(|p| p.to_str().unwrap().to_owned()).collect();
    Logs::new(LogsConfig { paths, from_start, ..LogsConfig::default() })
}

fn append(path: &Path, text: &str) {
    File::options().append(true).create(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

fn numbered(n: u32) -> String {
    format!("line {n:06} with some text behind it")
}

/// Each number once, whatever the order; a failure names the first ones that are not.
fn assert_each_once(recorded: &Recorded, until: u32) {
    let mut counts: BTreeMap<String, u32> = (0..until).map(|n| (numbered(n), 0)).collect();
    for line in lines(recorded) {
        *counts.entry(line).or_default() += 1;
    }
    let wrong: Vec<_> = counts.iter().filter(|(_, count)| **count != 1).take(3).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    assert_eq!(counts.len(), until as usize);
}

#[test]
fn each_line_is_recorded_once_through_rotation_by_rename() {
    let dir = tempfile::tempdir().unwrap();
    let (log, pattern) = (dir.path().join("app.log"), dir.path().join("app.log*"));
    append(&log, "before the recording\n");
    // The glob matches the rotated files too.
    let recording = record(follow(&[&pattern], false));
    let mut file = File::options().append(true).open(&log).unwrap();
    for n in 0..3000 {
        writeln!(file, "{}", numbered(n)).unwrap();
        if n % 500 == 250 {
            for old in (1..4).rev() {
                let _ = fs::rename(
                    dir.path().join(format!("app.log.{old}")),
                    dir.path().join(format!("app.log.{}", old + 1)),
                );
            }
            fs::rename(&log, dir.path().join("app.log.1")).unwrap();
        }
        if n % 500 == 300 {
            // The writer reopens only now: lines 251 to 300 went to the renamed file.
            file = File::options().append(true).create(true).open(&log).unwrap();
        }
        if n % 10 == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    recording.wait_for(3000);
    std::thread::sleep(Duration::from_millis(700));
    let recorded = recording.finish();
    assert_each_once(&recorded, 3000);
    assert_eq!((recorded.lost("log-gap"), recorded.lost("truncated")), (Some(0), Some(0)));
}

#[test]
fn each_line_is_recorded_once_through_copytruncate() {
    let dir = tempfile::tempdir().unwrap();
    let (log, pattern) = (dir.path().join("app.log"), dir.path().join("app.log*"));
    append(&log, "");
    let recording = record(follow(&[&pattern], false));
    let mut file = File::options().append(true).open(&log).unwrap();
    for n in 0..3000 {
        writeln!(file, "{}", numbered(n)).unwrap();
        if n % 1000 == 250 {
            // Right behind a write, so that the last lines are only in the copy.
            fs::copy(&log, dir.path().join(format!("app.log.{}", n / 1000))).unwrap();
            file.set_len(0).unwrap();
        }
        if n % 10 == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    recording.wait_for(3000);
    std::thread::sleep(Duration::from_millis(700));
    let recorded = recording.finish();
    assert_each_once(&recorded, 3000);
    assert_eq!(recorded.lost("log-gap"), Some(0));
}

#[test]
fn a_copy_that_is_still_being_made_is_no_new_log() {
    let dir = tempfile::tempdir().unwrap();
    let (log, copy, pattern) = (dir.path().join("a.log"), dir.path().join("a.log.1"), dir.path().join("a.log*"));
    append(&log, "");
    let recording = record(follow(&[&pattern], false));
    let text: String = (0..200).map(|n| numbered(n) + "\n").collect();
    append(&log, &text);
    recording.wait_for(200);
    append(&copy, &text[..text.len() / 2]);
    std::thread::sleep(Duration::from_millis(1200));
    append(&copy, &text[text.len() / 2..]);
    File::options().write(true).open(&log).unwrap().set_len(0).unwrap();
    append(&log, &(numbered(200) + "\n"));
    recording.wait_for(201);
    std::thread::sleep(Duration::from_millis(700));
    let recorded = recording.finish();
    assert_each_once(&recorded, 201);
    assert_eq!(recorded.lost("log-gap"), Some(0));
}

#[test]
fn a_truncation_without_a_copy_is_a_gap() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("app.log");
    append(&log, "first\n");
    let recording = record(follow(&[&log], true));
    recording.wait_for(1);
    // It is longer than before when it is looked at again: only its bytes tell.
    File::create(&log).unwrap().write_all(b"quite another text\nand more\n").unwrap();
    recording.wait_for(3);
    let recorded = recording.finish();
    let found: Vec<_> = rows(&recorded).into_iter().map(|r| (r.line, r.offset, r.flags)).collect();
    let want = [("first", 0, 0), ("quite another text", 0, 4), ("and more", 19, 0)];
    assert_eq!(found, want.map(|(l, o, f)| (l.to_owned(), o, f)));
    assert_eq!(recorded.lost("log-gap"), Some(1));
}

#[test]
fn each_line_says_where_it_stood() {
    let dir = tempfile::tempdir().unwrap();
    let (log, late) = (dir.path().join("a.log"), dir.path().join("late.log"));
    append(&log, "old line\nbegun before ");
    let recording = record(follow(&[&log, &late], false));
    assert!(recording.remarks.iter().any(|r| r.contains("late.log") && r.contains("when it appears")));
    append(&log, "the start\nopen");
    append(&late, "appeared\n");
    recording.wait_for(2);
    let recorded = recording.finish();
    let mut found = rows(&recorded);
    found.sort_by_key(|r| (r.path.clone(), r.offset));
    let row = |path: &Path, offset, flags, line: &str| Row {
        path: path.to_str().unwrap().into(),
        inode: fs::metadata(path).unwrap().ino(),
        offset,
        flags,
        line: line.into(),
    };
    let want = [row(&log, 9, 0, "begun before the start"), row(&log, 32, 2, "open"), row(&late, 0, 0, "appeared")];
    assert_eq!(found, want, "the end of the file has no newline: flag 2");
}

#[test]
fn bytes_are_kept_as_they_are_and_long_lines_are_cut_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("bytes.log");
    let mut bytes = vec![0xff, 0, 0x1b, b'[', b'\r', b'\n'];
    bytes.extend(vec![b'x'; (1 << 20) + 5]);
    bytes.push(b'\n');
    fs::write(&log, &bytes).unwrap();
    let recording = record(follow(&[&log], true));
    recording.wait_for(2);
    let recorded = recording.finish();
    let columns = &recorded.columns("log.lines")[0];
    let c = LogLine::cols(columns).unwrap();
    assert_eq!(c.line.get(0), [0xff, 0, 0x1b, b'[', b'\r']);
    assert_eq!((c.line.get(1).len(), c.flags[1]), (1 << 20, 1));
    let cut = recorded.losses.iter().find(|l| l.reason == "truncated").unwrap();
    assert_eq!((cut.count, cut.bytes), (1, 5));
}

#[test]
fn what_cannot_be_read_is_said_and_the_others_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let (good, bad) = (dir.path().join("good.log"), dir.path().join("directory.log"));
    fs::create_dir(&bad).unwrap();
    append(&good, "");
    let recording = record(follow(&[&bad, &good], false));
    assert!(recording.remarks.iter().any(|r| r.contains("directory.log")), "{:?}", recording.remarks);
    append(&good, "goes on\n");
    recording.wait_for(1);
    assert_eq!(lines(&recording.finish()), ["goes on"]);

    let skip = record_with(follow(&[&bad], false), |_| {}).err().unwrap();
    assert!(skip.reason.contains("not a regular file") && !skip.unasked, "{skip:?}");
    let skip = record_with(follow(&[], false), |_| {}).err().unwrap();
    assert!(skip.unasked && skip.reason.contains("no log files were named"));
}

#[test]
fn a_recording_gets_a_line_within_a_fraction_of_a_second() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("app.log");
    append(&log, "");
    let recording = record(follow(&[&log], false));
    let start = std::time::Instant::now();
    append(&log, "now\n");
    wait_until("the line", || recording.context.intake.events() == 1);
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    recording.finish();
}
