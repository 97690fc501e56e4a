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

#[test]
fn gates_stand_beside_the_settings_of_record_and_what_is_wrong_is_told() {
    let dir = folder();
    sides(dir.path(), 1_300, 2, false);
    let with = |text: &str, options: &[&str]| {
        std::fs::write(dir.path().join("coldcase.toml"), text).unwrap();
        let all = [&SIDES[..1], &["--gates", "coldcase.toml"], options, &SIDES[1..]].concat();
        run_in(dir.path(), &all)
    };
    let gate =
        |more: &str| format!("for = '30s'\n[kernel]\nsample-hz = 49\n[[compare.gate]]\nmetric = 'latency-*'\n{more}");
    let wide = with(&gate("relative = '80%'\nowner = 'ana'\n"), &["--json"]).code(0).json();
    schema::check("compare", &wide);
    assert_eq!(
        (wide["gates"][0]["matched"].as_u64(), wide["gates"][0]["worse"].as_u64()),
        (Some(2), Some(0)),
        "{wide:#}"
    );
    let live = with(&gate("override-until = 2026-09-21\nreason = 'new disk'\n"), &[]).code(0).stdout;
    assert!(live.contains("let pass until 2026-09-21 (new disk): latency p"), "{live}");
    let expired =
        with(&gate("relative = '80%'\noverride-until = 2026-09-20\nreason = 'new disk'\n"), &[]).code(1).stdout;
    assert!(expired.contains("the override of latency-* of * ended on 2026-09-20 (new disk)"), "{expired}");
    let idle = with("[[compare.gate]]\nmetric = 'latency p50'\noperation = 'GET *'\n", &[]).code(1).stdout;
    assert!(idle.contains("warning: gate 1 (latency p50 of GET *) matches nothing"), "{idle}");
    for (text, told) in [
        ("for = '30s'\n", "has no section [compare]"),
        ("[[compare.gate]]\nmetric = 'x'\nowners = 'y'\n", "line 3: unknown field `owners`"),
        ("[[compare.gate]]\nmetric = 'x'\noverride-until = 'soon'\nreason = 'y'\n", "'soon' is no date"),
    ] {
        let e = with(text, &[]).code(2).stderr;
        assert!(e.contains("coldcase.toml: ") && e.contains(told), "{e}");
    }
    let missing =
        run_in(dir.path(), &["compare", "--gates", "no.toml", "base-0.case", "--", "head-0.case"]).code(2).stderr;
    assert!(missing.contains("no.toml"), "{missing}");
}

#[test]
fn a_measure_is_explained_with_its_values_and_decision() {
    let dir = folder();
    sides(dir.path(), 1_300, 2, false);
    let asked = |what: &str, json: bool| {
        let all = [if json { &["--json"][..] } else { &[] }, &SIDES[..1], &["--explain", what], &SIDES[1..]].concat();
        run_in(dir.path(), &all)
    };
    let text = asked("latency-p50@POST /order", false).code(1).stdout;
    for told in [
        "latency p50 of POST /order (orders)\n",
        "(base-0.case)",
        "(head-2.case)",
        "tolerance  2.0%",
        "corrected by Holm for 2 measures",
        "decision   worse",
    ] {
        assert!(text.contains(told), "{told}: {text}");
    }
    let json = asked("latency p50", true).code(1).json();
    schema::check("compare", &json);
    let at = json["explained"][0].as_u64().unwrap() as usize;
    assert_eq!(json["measures"][at]["measure"], "latency p50");
    assert!(
        json["measures"][at]["effect"]["raw_p"].as_f64().unwrap()
            <= json["measures"][at]["effect"]["p"].as_f64().unwrap()
    );
    let none = asked("latency p75", false).code(2).stderr;
    assert!(none.contains("no measure is called so") && none.contains("latency p50"), "{none}");
}

#[test]
fn the_page_holds_everything_and_asks_nothing_of_a_network() {
    let dir = folder();
    sides(dir.path(), 1_300, 3, true);
    let all = [&SIDES[..1], &["--html", "c.html"], &SIDES[1..]].concat();
    run_in(dir.path(), &all).code(1);
    let page = std::fs::read_to_string(dir.path().join("c.html")).unwrap();
    assert!(page.contains("default-src 'none'; script-src 'sha256-"), "no policy");
    for outside in ["src=\"http", "href=\"http", "@import", "url(http"] {
        assert!(!page.contains(outside), "{outside}");
    }
    let verdict = page.find("Regression").unwrap();
    assert!(verdict < page.find("What explains it").unwrap() && page.contains("class=\"sortable\""));
    assert!(page.contains("durations of POST /order (orders) in base and head") && !page.contains("NaN"));
    run_in(dir.path(), &[&all[..1], &["--force"], &all[1..]].concat()).code(1);
    assert_eq!(page, std::fs::read_to_string(dir.path().join("c.html")).unwrap(), "the same input, the same bytes");
}

#[test]
fn single_runs_are_held_against_earlier_ones_and_equal_is_shown_or_not() {
    let dir = folder();
    sides(dir.path(), 1_300, 2, false);
    std::fs::create_dir(dir.path().join("earlier")).unwrap();
    for n in 0..4 {
        bundle(dir.path(), &format!("earlier/e-{n}"), 20 + n, 1_000, 2, false);
    }
    let of = |options: &[&str], head: &str| {
        run_in(dir.path(), &[&["compare"], options, &["base-0.case", "--", head]].concat())
    };
    let slow = of(&["--history", "earlier"], "head-1.case").code(1).stdout;
    assert!(slow.contains("worse (by earlier runs)"), "{slow}");
    let same = of(&["--history", "earlier"], "base-1.case").code(0).stdout;
    assert!(same.starts_with("pass: "), "{same}");
    let blocks = of(&[], "head-1.case").code(3).stdout;
    assert!(blocks.contains("too few (by blocks of time within the runs)"), "{blocks}");
    let equal = |share: &str, code| {
        let all = ["compare", "--equivalent", share, "base-0.case", "base-1.case", "base-2.case", "--", "earlier"];
        run_in(dir.path(), &all).code(code).stdout
    };
    assert!(equal("20%", 0).contains("shown to be equal within 20.0%"));
    assert!(equal("0.1%", 3).contains("is not shown to be equal within 0.1%"));
    of(&["--equivalent", "much"], "head-1.case").code(2);
}

#[cfg(target_os = "linux")]
#[test]
fn two_commands_are_recorded_in_turns_and_compared_and_one_that_fails_is_no_sample() {
    let dir = folder();
    std::fs::write(dir.path().join("c.toml"), "only = ['host']\n").unwrap();
    let with = |base: &str, head: &str, folder: &str| {
        let options =
            ["compare", "--interleave", base, head, "--runs", "2", "-o", folder, "--config", "c.toml", "--json"];
        run_in(dir.path(), &options)
    };
    let done = with("echo base >> order", "echo head >> order", "runs").code(3);
    let json = done.json();
    schema::check("compare", &json);
    assert_eq!((json["base"].as_array().unwrap().len(), json["verdict"].as_str()), (2, Some("inconclusive")));
    let order = std::fs::read_to_string(dir.path().join("order")).unwrap();
    assert_eq!(order, "base\nhead\nhead\nbase\n", "who goes first changes");
    let failed = with("true", "exit 7", "failed").code(2).stderr;
    assert!(failed.contains("head-1.case: its command ended with 7: a run that failed is no sample"), "{failed}");
    run_in(dir.path(), &["compare", "--interleave", "true", "true"]).code(2);
    run_in(dir.path(), &["compare", "--interleave", "true", "true", "-o", "x", "a.case"]).code(2);
}

#[cfg(target_os = "linux")]
#[test]
fn a_command_is_recorded_again_and_again_until_it_fails() {
    let dir = folder();
    let record = |name: &str, script: &str| {
        run_in(dir.path(), &["record", "--only", "host", "--repeat", "3", "-o", name, "--", "sh", "-c", script])
    };
    record("run.case", "true").code(0);
    record("other-%d.case", "true").code(0);
    for name in ["run-1", "run-3", "other-2"] {
        run_in(dir.path(), &["verify", &format!("{name}.case")]).code(0);
    }
    assert!(!dir.path().join("run-4.case").exists() && !dir.path().join("run.case").exists());
    let failed = record("fails.case", "echo x >> count; [ $(wc -l < count) -lt 2 ] || exit 9").code(9);
    assert!(failed.stderr.contains("run 2 of 3 ended with 9"), "{}", failed.stderr);
    assert!(!dir.path().join("fails-3.case").exists());
    run_in(dir.path(), &["record", "--repeat", "3", "-o", "x.case"]).code(2);
}
