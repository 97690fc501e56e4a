//! `coldcase replay`: the command line, lines, files and steps. Receivers are in `tests/replay/selfcheck.py`.
#![cfg(feature = "full")]
#![allow(clippy::unwrap_used)]

mod common;

use std::io::Write;
use std::process::{Command, Stdio};

use common::{COLDCASE, folder, run_in, schema};

#[test]
fn lines_are_those_of_the_timeline_in_order() {
    let dir = folder();
    coldcase_testkit::bundle::small(&dir.path().join("b.case")).unwrap();
    let lines = run_in(dir.path(), &["timeline", "b.case"]).code(0).stdout;
    let played = run_in(dir.path(), &["replay", "b.case", "--speed", "max"]).code(0);
    assert_eq!(played.stdout, lines);
    assert!(played.stderr.contains("replayed "), "{}", played.stderr);
    let twice = run_in(dir.path(), &["replay", "b.case", "--speed", "max", "--loop", "2"]).code(0);
    assert_eq!(twice.stdout, lines.repeat(2));
    let quiet = run_in(dir.path(), &["replay", "b.case", "--speed", "max", "--quiet"]).code(0);
    assert!(!quiet.stderr.contains("replayed "), "{}", quiet.stderr);
}

#[test]
fn streams_window_and_expression_narrow_it_as_in_the_timeline() {
    let dir = folder();
    coldcase_testkit::bundle::small(&dir.path().join("b.case")).unwrap();
    for (timeline, replay) in [
        (&["--stream", "kernel.offcpu"][..], &["--stream", "kernel.offcpu"][..]),
        (&["--grep", "preempted"], &["--where", "preempted"]),
        (&["--from", "+1s", "--to", "+2s"], &["--from", "+1s", "--to", "+2s"]),
    ] {
        let lines = run_in(dir.path(), &[&["timeline", "b.case"], timeline].concat()).code(0).stdout;
        let played = run_in(dir.path(), &[&["replay", "b.case", "--speed", "max"], replay].concat()).code(0).stdout;
        assert!(!lines.is_empty());
        assert_eq!(played, lines, "{replay:?}");
    }
    let nothing = run_in(dir.path(), &["replay", "b.case", "--where", "no line has this"]).code(0);
    assert!(nothing.stdout.is_empty() && nothing.stderr.contains("there is nothing"), "{}", nothing.stderr);
}

#[test]
fn the_summary_is_a_document_of_its_schema() {
    let dir = folder();
    coldcase_testkit::bundle::small(&dir.path().join("b.case")).unwrap();
    let played = run_in(dir.path(), &["replay", "b.case", "--json", "--speed", "100", "--openmetrics", "b.om"]).code(0);
    let document = played.json();
    schema::check("replay", &document);
    assert_eq!(document["outputs"][0]["sink"], "openmetrics");
    assert!(std::fs::read_to_string(dir.path().join("b.om")).unwrap().ends_with("# EOF\n"));
    let again = run_in(dir.path(), &["replay", "b.case", "--openmetrics", "b.om"]).code(2);
    assert!(again.stderr.contains("hint:") && again.stderr.contains("--force"), "{}", again.stderr);
}

#[test]
fn steps_are_taken_from_stdin() {
    let dir = folder();
    coldcase_testkit::bundle::small(&dir.path().join("b.case")).unwrap();
    let run = |words: &str| {
        let mut child = Command::new(COLDCASE)
            .args(["replay", "b.case", "--speed", "step", "--stream", "kernel.offcpu"])
            .current_dir(dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(words.as_bytes()).unwrap();
        common::Run::from(child.wait_with_output().unwrap()).code(0)
    };
    assert_eq!(run("\n\n\nq\n").stdout.lines().count(), 3);
    assert_eq!(run("\n").stdout.lines().count(), 1, "the end of stdin ends it");
}

#[test]
fn what_cannot_be_meant_is_refused_with_a_line_of_its_own() {
    let dir = folder();
    coldcase_testkit::bundle::small(&dir.path().join("b.case")).unwrap();
    std::fs::write(dir.path().join("text"), "no bundle").unwrap();
    for (args, part) in [
        (&["replay", "b.case", "--speed", "0"][..], "is not a speed"),
        (&["replay", "b.case", "--speed", "101"], "is not a speed"),
        (&["replay", "b.case", "--speed", "fast"], "is not a speed"),
        (&["replay", "b.case", "--loop", "0"], "0 is not in 1.."),
        (&["replay", "b.case", "--from", "+2s", "--to", "+1s"], "--from must be before --to"),
        (&["replay", "b.case", "--from", "+2s", "--to", "+2s"], "--from must be before --to"),
        (&["replay", "b.case", "--shift", "yesterday"], "is not a time"),
        (&["replay", "b.case", "--stream", "kernel.nothing"], "there is no such stream"),
        (&["replay", "b.case", "--where", "("], "regex parse error"),
        (&["replay", "b.case", "--otlp", "127.0.0.1:4318"], "is no receiver of OTLP"),
        (&["replay", "b.case", "--remote-write", "here"], "is no place to write samples to"),
        (&["replay", "b.case", "--exposition", "all"], "is no address"),
        (&["replay", "b.case", "--plain", "--json"], "both write to stdout"),
        (&["replay", "text"], "hint: bundles are made by"),
        (&["replay", "missing.case"], "missing.case"),
    ] {
        let refused = run_in(dir.path(), args).code(2);
        assert!(refused.stderr.contains(part), "{args:?}: {}", refused.stderr);
    }
    let gone = run_in(dir.path(), &["replay", "b.case", "--otlp", "http://127.0.0.1:1"]).code(1);
    assert!(gone.stderr.contains("hint: is the receiver running"), "{}", gone.stderr);
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let dir = folder();
    coldcase_testkit::bundle::sample(&dir.path().join("b.case"), 20).unwrap().seal().unwrap();
    let mut child = Command::new(COLDCASE)
        .args(["replay", "b.case", "--speed", "max"])
        .current_dir(dir.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    common::Run::from(child.wait_with_output().unwrap()).code(0);
}
