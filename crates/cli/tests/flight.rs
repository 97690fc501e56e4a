//! Flight recordings from the command line: `record --flight`, `dump`, and the read verbs on what comes of it.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

mod common;

use std::time::Duration;

use common::{Recording, folder, run_in, schema};

const ONLY: [&str; 2] = ["--only", "host,log"];

#[test]
fn a_dump_is_an_ordinary_bundle_that_says_why_it_was_made() {
    let dir = folder();
    let log = dir.path().join("app.log");
    std::fs::write(&log, "").unwrap();
    let args = [
        "--flight",
        "10s",
        "--pre",
        "2s",
        "--post",
        "500ms",
        "-o",
        "f",
        "--log",
        "app.log",
        "--trigger",
        "log=ERROR.*disk",
    ];
    let recording = Recording::start(dir.path(), &[&args[..], &ONLY].concat());
    assert!(recording.said.iter().any(|l| l.contains("the last 10s of it")), "{:?}", recording.said);
    std::thread::sleep(Duration::from_secs(3));
    let made = run_in(dir.path(), &["dump", "f", "--reason", "a look", "--json"]).code(0).json();
    schema::check("dump", &made);
    assert_eq!((&made["kind"], &made["text"]), (&"command".into(), &"a look".into()));
    let there = run_in(dir.path(), &["dump", "f", "-o", "mine.case"]).code(0);
    assert!(there.stdout.trim().ends_with("/mine.case"), "{}", there.stdout);
    run_in(dir.path(), &["dump", "f", "-o", "mine.case"]).code(2);
    std::fs::write(&log, "an ERROR of the disk\n").unwrap();
    std::thread::sleep(Duration::from_secs(4));
    recording.signal("-INT");
    let (status, said) = recording.wait();
    assert_eq!(status.code(), Some(0), "{said:?}");
    let fired = said.iter().filter_map(|l| l.strip_prefix("dump: ")).find(|l| l.contains("-log.case")).unwrap();
    let fired = fired.split(' ').next().unwrap();
    for bundle in [made["bundle"].as_str().unwrap(), "mine.case", fired] {
        run_in(dir.path(), &["verify", bundle]).code(0);
        let info = run_in(dir.path(), &["info", "--json", bundle]).code(0).json();
        schema::check("info", &info);
        let dump = &info["flight"]["dump"];
        assert!(dump["to"].as_i64().unwrap() > dump["from"].as_i64().unwrap() && info["ended"] == "dump");
        assert!(!dump["segments"].as_array().unwrap().is_empty());
        run_in(dir.path(), &["timeline", bundle, "--limit", "5"]).code(0);
        run_in(dir.path(), &["analyze", bundle, "-o", &format!("{bundle}.report")]).code(0);
        run_in(dir.path(), &["recover", bundle, "-o", &format!("{bundle}.whole")]).code(0);
    }
    let info = run_in(dir.path(), &["info", fired]).code(0).stdout;
    assert!(info.contains("an ERROR of the disk") && info.contains("window "), "{info}");
    // Nobody records any more.
    let late = run_in(dir.path(), &["dump", "f"]).code(0);
    run_in(dir.path(), &["verify", late.stdout.trim()]).code(0);
    let nothing = run_in(dir.path(), &["dump", "."]).code(1);
    assert!(nothing.stderr.contains("not the folder of a flight recording"), "{}", nothing.stderr);
}

#[test]
fn what_cannot_be_meant_is_a_usage_error() {
    let dir = folder();
    for args in [
        &["record", "--flight", "5m", "-o", "-", "--trigger", "oom"][..],
        &["record", "--flight", "5m", "--pre", "6m", "-o", "f"],
        &["record", "--trigger", "oom", "-o", "f"],
        &["record", "--flight", "5m", "--trigger", "log=(", "-o", "f"],
    ] {
        let run = run_in(dir.path(), args).code(2);
        assert!(!run.stderr.is_empty());
    }
}
