//! `coldcase export`: one file a format, the same bytes each time, whatever the bundle has in it. What foreign readers make of them
//! is held against the bundle in `tests/interop/exports.py`.
#![cfg(feature = "full")]
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;

use coldcase_testkit::Builder;
use common::{folder, run_in, schema};
use serde_json::Value;

const CASE: &str = "shop-lock.case";
/// Formats of one file, and their schema.
const FILES: [(&str, &str); 5] = [
    ("perfetto", "export_perfetto"),
    ("pprof", "export_profile"),
    ("speedscope", "export_profile"),
    ("folded", "export_profile"),
    ("ndjson", "export_ndjson"),
];

fn bench() -> tempfile::TempDir {
    let dir = folder();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(CASE);
    std::fs::copy(fixture, dir.path().join(CASE)).unwrap();
    dir
}

fn export(dir: &Path, format: &str, file: &str, more: &[&str]) -> (Value, Vec<u8>) {
    let flag = format!("--{format}");
    let told = run_in(dir, &[&["export", &flag, file, "--json", "--force"], more].concat()).code(0).json();
    (told, std::fs::read(dir.join(file)).unwrap())
}

#[test]
fn a_file_has_the_same_bytes_each_time_on_one_thread_and_on_two() {
    let dir = bench();
    for (format, name) in FILES {
        let (told, first) = export(dir.path(), format, "first", &[CASE]);
        schema::check(name, &told);
        assert_eq!(told["format"], format);
        assert!(first.len() > 1000, "{format}");
        for more in [&[CASE][..], &[CASE, "--threads", "1"], &[CASE, "--threads", "2"]] {
            assert!(export(dir.path(), format, "again", more).1 == first, "{format} {more:?}");
        }
    }
    let told = run_in(dir.path(), &["export", "--otlp-json", "requests", CASE, "--json"]).code(0).json();
    schema::check("export_otlp_json", &told);
    assert_eq!((&told["files"][0]["requests"], &told["unknown_fields"]), (&50.into(), &0.into()));
    let lines = std::fs::read_to_string(dir.path().join("requests/traces.jsonl")).unwrap();
    assert!(lines.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()));
    assert_eq!(lines.lines().count(), 50);
}

#[test]
fn json_lines_are_those_of_the_timeline_and_go_to_a_pipe_too() {
    let dir = bench();
    let listed = run_in(dir.path(), &["timeline", CASE, "--json", "--stream", "kernel.block"]).code(0).stdout;
    let piped = run_in(dir.path(), &["export", "--ndjson", "-", CASE, "--stream", "kernel.block"]).code(0).stdout;
    assert_eq!(piped, listed);
    let (told, _) = export(dir.path(), "ndjson", "lines", &[CASE, "--stream", "kernel.block"]);
    assert_eq!(told["entries"], listed.lines().count());
}

#[test]
fn a_window_and_a_process_leave_the_rest_out() {
    let dir = bench();
    let flames = |more: &[&str]| {
        let out = run_in(dir.path(), &[&["flame", CASE, "--json"], more].concat()).code(0).json();
        let kind = |kind: &str| {
            let all = out["flames"].as_array().unwrap();
            let of = all.iter().find(|f| f["kind"] == kind);
            of.map_or(0, |f| f["stacks"].as_array().unwrap().iter().map(|s| s[1].as_u64().unwrap()).sum::<u64>())
        };
        (kind("on-cpu"), kind("off-cpu"))
    };
    let all = flames(&[]);
    for more in [&["--from", "+2s", "--to", "+3s"][..], &["--comm", "orders"]] {
        let expected = flames(more);
        assert!(expected.0 < all.0 && expected.1 < all.1, "{more:?}");
        for format in ["pprof", "speedscope"] {
            let (told, _) = export(dir.path(), format, "part", &[more, &[CASE]].concat());
            assert_eq!((&told["cpu_samples"], &told["off_cpu"]), (&expected.0.into(), &expected.1.into()), "{format}");
        }
        let (told, _) = export(dir.path(), "perfetto", "part", &[more, &[CASE]].concat());
        assert_eq!(told["cpu_samples"], expected.0);
    }
}

#[test]
fn a_trace_is_its_spans_and_what_its_threads_did() {
    let dir = bench();
    let first =
        run_in(dir.path(), &["query", CASE, "SELECT trace FROM spans LIMIT 1", "--format", "json"]).code(0).json();
    let trace = first[0]["trace"].as_str().unwrap().to_owned();
    let sql = format!("SELECT count(*) AS n FROM spans WHERE trace = '{trace}'");
    let spans = run_in(dir.path(), &["query", CASE, &sql, "--format", "json"]).code(0).json();
    let (told, _) = export(dir.path(), "perfetto", "part", &[CASE, "--trace", &trace]);
    assert_eq!(told["slices"]["span"], spans[0]["n"]);
    let slices = told["slices"]["kernel.offcpu"].as_u64().unwrap_or(0);
    assert!(slices < 100, "{told}");
    assert!(told["counters"].as_object().unwrap().is_empty(), "of a series nobody knows whose it is: {told}");
}

#[test]
fn a_bundle_with_nothing_in_it_gives_files_with_nothing_in_them() {
    let dir = folder();
    Builder::new(&dir.path().join("empty.case")).unwrap().seal().unwrap();
    for (format, name) in FILES {
        let (told, bytes) = export(dir.path(), format, "none", &["empty.case"]);
        schema::check(name, &told);
        let readable = match format {
            "folded" | "ndjson" => bytes.is_empty(),
            "speedscope" => serde_json::from_slice::<Value>(&bytes).unwrap()["profiles"].as_array().unwrap().is_empty(),
            "pprof" => bytes.starts_with(&[0x1f, 0x8b]),
            // The clocks and the host, of a trace without events.
            _ => told["slices"].as_object().unwrap().is_empty() && !bytes.is_empty(),
        };
        assert!(readable, "{format}: {told}");
    }
    let said = run_in(dir.path(), &["export", "--otlp-json", "requests", "empty.case"]).code(0).stdout;
    assert_eq!(said, "nothing was received by OTLP\n");
}

#[test]
fn what_a_format_does_not_take_is_refused_and_leaves_no_file() {
    let dir = bench();
    std::fs::write(dir.path().join("there"), "mine").unwrap();
    for (args, said) in [
        (vec!["--perfetto", "there", CASE], "there exists already"),
        (vec!["--pprof", "x", CASE, "--stream", "log"], "--stream: streams are chosen"),
        (vec!["--perfetto", "x", CASE, "--stream", "nothing"], "--stream nothing: there is no such stream"),
        (vec!["--ndjson", "x", CASE, "--table", "spans"], "--table: tables are chosen"),
        (vec!["--speedscope", "x", CASE, "--stacks", "off-cpu"], "--stacks: stacks are chosen"),
        (vec!["--perfetto", "-", CASE, "--json"], "--json: standard output is taken"),
        (vec!["--otlp-json", "x", CASE, "--from", "+1s"], "what was received by OTLP is read whole"),
        (vec!["--perfetto", "x", "there"], "there"),
    ] {
        let run = run_in(dir.path(), &[vec!["export"], args].concat()).code(2);
        assert!(run.stderr.contains(said), "{said}: {}", run.stderr);
    }
    run_in(dir.path(), &["export", "--perfetto", "x", "--ndjson", "y", CASE]).code(2);
    let mut left: Vec<String> =
        std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    left.sort();
    assert_eq!(left, [CASE, "there"]);
}
