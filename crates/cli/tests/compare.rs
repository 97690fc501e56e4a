//! `coldcase compare`: runs of OTLP/JSON files made into bundles, sides held against each other.
#![cfg(feature = "full")]
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;

use common::{folder, run_in, schema};

/// A run of 300 requests of about `middle` microseconds, whose order service asks the database `queries` times each; every hundredth fails
/// where `fails` is said.
fn bundle(dir: &Path, name: &str, number: u64, middle: u64, queries: u64, fails: bool) {
    let mut lines = String::new();
    for i in 0..300u64 {
        let id = number * 1_000_000 + i + 1;
        let start = 1_790_000_000_000_000_000 + i * 10_000_000;
        let took = middle * 1_000 * (100 + (i * 13) % 40 + number * 7 % 5) / 100;
        let failed = fails && i % 30 == 0;
        let status = if failed { r#"{"code":2,"message":"ledger 17 is locked"}"# } else { "{}" };
        let span = |id: u64, parent: &str, name: &str, kind: u8, start: u64, end: u64, status: &str| {
            format!(
                r#"{{"traceId":"{:032x}","spanId":"{id:016x}",{parent}"name":"{name}","kind":{kind},"startTimeUnixNano":"{start}","endTimeUnixNano":"{end}","status":{status}}}"#,
                number * 1_000_000 + i + 1
            )
        };
        let mut spans = vec![span(id, "", "POST /order", 2, start, start + took, status)];
        for q in 0..queries {
            let parent = format!(r#""parentSpanId":"{id:016x}","#);
            let at = start + 1_000 * q;
            spans.push(span(id + 100_000 * (q + 1), &parent, "SELECT items", 3, at, at + 500, "{}"));
        }
        lines.push_str(&format!(
            r#"{{"resourceSpans":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"orders"}}}}]}},"scopeSpans":[{{"spans":[{}]}}]}}]}}"#,
            spans.join(",")
        ));
        lines.push('\n');
    }
    let file = format!("{name}.jsonl");
    std::fs::write(dir.join(&file), lines).unwrap();
    run_in(dir, &["import", &file, "-o", &format!("{name}.case"), "--quiet"]).code(0);
}

fn sides(dir: &Path, middle: u64, queries: u64, fails: bool) {
    for n in 0..3 {
        bundle(dir, &format!("base-{n}"), n, 1_000, 2, false);
        bundle(dir, &format!("head-{n}"), 10 + n, middle, queries, fails);
    }
}

const SIDES: [&str; 8] =
    ["compare", "base-0.case", "base-1.case", "base-2.case", "--", "head-0.case", "head-1.case", "head-2.case"];

#[test]
fn sides_that_are_alike_pass_and_a_slower_head_is_a_regression() {
    let dir = folder();
    sides(dir.path(), 1_000, 2, false);
    let same = run_in(dir.path(), &[&["--json"], &SIDES[..]].concat()).code(0).json();
    schema::check("compare", &same);
    assert_eq!((same["verdict"].as_str(), same["exact"].as_array().map(Vec::len)), (Some("pass"), Some(0)));
    assert_eq!(same["base"][0]["requests"], 300);
    let dir = folder();
    sides(dir.path(), 1_300, 2, false);
    let slower = run_in(dir.path(), &[&["--json"], &SIDES[..]].concat()).code(1).json();
    schema::check("compare", &slower);
    assert!(slower["reasons"][0].as_str().unwrap().starts_with("latency p"), "{slower:#}");
    let text = run_in(dir.path(), &SIDES).code(1).stdout;
    assert!(text.starts_with("regression: base 3 runs with 900 requests, head 3 runs"), "{text}");
    let again = run_in(dir.path(), &[&SIDES[..1], &["--threads", "1"], &SIDES[1..]].concat()).code(1).stdout;
    assert_eq!(text, again, "the same whatever the number of threads");
}

#[test]
fn one_query_more_and_a_new_error_are_told_of_single_runs() {
    let dir = folder();
    bundle(dir.path(), "a", 0, 1_000, 2, false);
    bundle(dir.path(), "b", 10, 1_000, 3, true);
    let args = ["compare", "--markdown", "c.md", "--junit", "c.xml", "--github", "a.case", "--", "b.case"];
    let text = run_in(dir.path(), &args).code(1).stdout;
    assert!(text.contains("calls SELECT items (orders) 3 times a request, it was 2"), "{text}");
    assert!(text.contains("fails in a new way, 10 times: ledger # is locked"), "{text}");
    assert!(text.starts_with("::error title=coldcase compare regression::"), "{text}");
    let markdown = std::fs::read_to_string(dir.path().join("c.md")).unwrap();
    assert!(markdown.starts_with("### ❌ coldcase compare: regression"), "{markdown}");
    assert!(std::fs::read_to_string(dir.path().join("c.xml")).unwrap().contains("failures=\"3\""));
    run_in(dir.path(), &args).code(2);
}

#[test]
fn what_cannot_be_compared_is_told_and_is_no_pass() {
    let dir = folder();
    bundle(dir.path(), "a", 0, 1_000, 2, false);
    bundle(dir.path(), "b", 10, 9_000, 2, false);
    let one = run_in(dir.path(), &["compare", "a.case", "--", "b.case"]).code(3).stdout;
    assert!(one.contains("1 run on a side cannot show"), "{one}");
    let twice = run_in(dir.path(), &["compare", "a.case", "--", "a.case"]).code(2).stderr;
    assert!(twice.contains("the same bundle"), "{twice}");
    run_in(dir.path(), &["compare", "a.case", "--", "missing.case"]).code(2);
    run_in(dir.path(), &["compare", "a.case"]).code(2);
    let late = run_in(dir.path(), &["compare", "a.case", "--", "b.case", "--top"]).code(2).stderr;
    assert!(late.contains("options stand before"), "{late}");
    std::fs::create_dir(dir.path().join("empty")).unwrap();
    let none = run_in(dir.path(), &["compare", "empty", "--", "a.case"]).code(2).stderr;
    assert!(none.contains("no bundle in this folder"), "{none}");
}
