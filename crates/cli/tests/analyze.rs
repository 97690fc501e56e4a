//! `coldcase analyze`, `flame`, `latency` and `flow` on a bundle with a known truth.
#![cfg(feature = "full")]
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod common;
#[path = "../../analyze/tests/shop/mod.rs"]
mod shop;

use std::path::Path;

use common::{folder, run_in, schema};

fn with_shop() -> tempfile::TempDir {
    let dir = folder();
    shop::write(&dir.path().join("shop.case"));
    dir
}

const FILES: [&str; 5] = ["report.html", "flame.svg", "latency.svg", "flow.svg", "findings.json"];

fn files(dir: &Path) -> Vec<Vec<u8>> {
    FILES.iter().map(|f| std::fs::read(dir.join(f)).unwrap_or_else(|e| panic!("{f}: {e}"))).collect()
}

#[test]
fn a_report_is_written_beside_the_bundle_and_the_summary_is_printed() {
    let dir = with_shop();
    let run = run_in(dir.path(), &["analyze", "shop.case"]).code(0);
    assert!(run.stderr.is_empty(), "{}", run.stderr);
    insta::assert_snapshot!(run.stdout);
    assert!(!run.stdout.chars().any(|c| c.is_control() && c != '\n'));
    let written = files(&dir.path().join("shop.case.report"));
    assert!(written.iter().all(|f| f.len() > 500));
    // Again into its own folder: the same bytes.
    run_in(dir.path(), &["analyze", "shop.case", "--threads", "1"]).code(0);
    assert_eq!(written, files(&dir.path().join("shop.case.report")), "one thread writes what many write");
}

#[test]
fn a_folder_of_somebody_else_is_left_alone_unless_forced() {
    let dir = with_shop();
    std::fs::create_dir(dir.path().join("mine")).unwrap();
    std::fs::write(dir.path().join("mine/thesis.tex"), "years of work").unwrap();
    let run = run_in(dir.path(), &["analyze", "shop.case", "-o", "mine"]).code(2);
    assert!(run.stderr.contains("mine") && run.stderr.contains("hint:"), "{}", run.stderr);
    assert!(!dir.path().join("mine/report.html").exists());
    run_in(dir.path(), &["analyze", "shop.case", "-o", "mine", "--force", "-q"]).code(0);
    assert_eq!(files(&dir.path().join("mine")).len(), 5);
    assert_eq!(std::fs::read_to_string(dir.path().join("mine/thesis.tex")).unwrap(), "years of work");
}

#[test]
fn json_carries_the_analysis_and_writes_nothing_unasked() {
    let dir = with_shop();
    let run = run_in(dir.path(), &["analyze", "shop.case", "--json"]).code(0);
    let a = run.json();
    schema::check("analysis", &a);
    assert!(a["summary"][0].as_str().unwrap().contains("failed"), "{}", a["summary"]);
    assert!(!dir.path().join("shop.case.report").exists());
    let four = run_in(dir.path(), &["analyze", "shop.case", "--json", "--threads", "4"]).code(0);
    assert_eq!(run.stdout, four.stdout);
}

#[test]
fn tables_of_flame_latency_and_flow_are_as_they_were() {
    let dir = with_shop();
    let print = |args: &[&str]| run_in(dir.path(), args).code(0).stdout;
    insta::assert_snapshot!("flame", print(&["flame", "shop.case"]));
    insta::assert_snapshot!("folded", print(&["flame", "shop.case", "--folded"]));
    insta::assert_snapshot!("latency", print(&["latency", "shop.case"]));
    insta::assert_snapshot!("flow", print(&["flow", "shop.case", "--top", "3"]));
}

#[test]
fn their_json_follows_the_schemas() {
    let dir = with_shop();
    for verb in ["flame", "latency", "flow"] {
        schema::check(verb, &run_in(dir.path(), &[verb, "shop.case", "--json"]).code(0).json());
    }
    let flow = run_in(dir.path(), &["flow", "shop.case", "--json"]).code(0).json();
    assert_eq!(flow["packets"], shop::REQUESTS * 6 + 1);
    let again: u64 =
        flow["connections"].as_array().unwrap().iter().map(|c| c["tcp"]["retransmissions"].as_u64().unwrap()).sum();
    assert_eq!(again, 1);
}

#[test]
fn pictures_are_written_once() {
    let dir = with_shop();
    for verb in ["flame", "latency", "flow"] {
        let svg = format!("{verb}.svg");
        run_in(dir.path(), &[verb, "shop.case", "--svg", &svg]).code(0);
        assert!(std::fs::read_to_string(dir.path().join(&svg)).unwrap().contains("<svg"));
        let run = run_in(dir.path(), &[verb, "shop.case", "--svg", &svg]).code(2);
        assert!(run.stderr.contains(&svg), "{}", run.stderr);
        run_in(dir.path(), &[verb, "shop.case", "--svg", &svg, "--force"]).code(0);
    }
}

#[test]
fn what_is_not_a_bundle_is_refused() {
    let dir = with_shop();
    std::fs::write(dir.path().join("text"), "not a bundle, not a capture").unwrap();
    std::fs::write(dir.path().join("empty"), "").unwrap();
    for verb in ["analyze", "flame", "latency", "flow"] {
        for file in ["text", "empty", "absent"] {
            let run = run_in(dir.path(), &[verb, file]).code(2);
            assert!(run.stderr.contains(file), "{verb} {file}: {}", run.stderr);
            assert!(run.stdout.is_empty());
            assert!(!dir.path().join(format!("{file}.report")).exists());
        }
        run_in(dir.path(), &[verb, "shop.case", "--from", "+5s", "--to", "+4s"]).code(2);
        run_in(dir.path(), &[verb, "shop.case", "--trace", "abc"]).code(2);
    }
}

#[test]
fn lost_evidence_is_an_exit_code_only_when_strict() {
    let dir = folder();
    // Its OTLP requests are nonsense: they are stored, and cannot be decoded.
    coldcase_testkit::bundle::small(&dir.path().join("b.case")).unwrap();
    let run = run_in(dir.path(), &["analyze", "b.case"]).code(0);
    assert!(run.stdout.contains("otlp.traces"), "{}", run.stdout);
    run_in(dir.path(), &["analyze", "b.case", "--strict"]).code(3);
    let dir = with_shop();
    run_in(dir.path(), &["analyze", "shop.case", "--strict"]).code(0);
}

#[test]
fn a_bundle_cut_anywhere_is_analyzed_as_far_as_it_goes() {
    let dir = with_shop();
    let bytes = std::fs::read(dir.path().join("shop.case")).unwrap();
    for part in [4, 3, 2] {
        std::fs::write(dir.path().join("cut.case"), &bytes[..bytes.len() * (part - 1) / part]).unwrap();
        let run = run_in(dir.path(), &["analyze", "cut.case", "--json"]).code(0);
        let a = run.json();
        assert_eq!(a["bundle"]["complete"], false);
        assert!(a["flow"]["packets"].as_u64().unwrap() > 100, "{part}");
        assert!(!a["summary"].as_array().unwrap().is_empty());
    }
}

#[test]
fn a_capture_file_is_read_directly() {
    let dir = folder();
    let corpus = Path::new("/work/shared/corpus/pcaps/050-tcp-retransmit-fast009.pcap");
    if !corpus.exists() {
        eprintln!("skipped: no {}", corpus.display());
        return;
    }
    let file = corpus.to_str().unwrap();
    let flow = run_in(dir.path(), &["flow", file, "--json"]).code(0).json();
    schema::check("flow", &flow);
    assert_eq!((flow["packets"].as_u64(), flow["bytes"].as_u64()), (Some(39), Some(30_757)));
    let tcp = &flow["connections"][0]["tcp"];
    assert_eq!((tcp["retransmissions"].as_u64(), tcp["resets"].as_u64()), (Some(3), Some(1)));
    assert_eq!(tcp["rtt"].as_u64(), Some(185_458_000));
    let postgres = corpus.with_file_name("104-pgsql-psql-create-insert-select-delete-drop.pcap");
    let deep = run_in(dir.path(), &["latency", postgres.to_str().unwrap(), "--db", "--json"]).code(0).json();
    schema::check("latency_db", &deep);
    assert_eq!(deep["databases"][0]["requests"], 8);
    run_in(dir.path(), &["flow", file, "--pid", "7"]).code(2);
    let run = run_in(dir.path(), &["analyze", file]).code(2);
    assert!(run.stderr.contains("hint:"), "{}", run.stderr);
}
