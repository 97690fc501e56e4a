//! `coldcase trace`, and traces of other tools, on real spans: those that OpenTelemetry's exporter to Zipkin wrote
//! (`fixtures/zipkin`), those of the recorded shop, and hostile ones.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;

use common::{run_in, schema};
use serde_json::{Value, json};

fn fixture(name: &str) -> String {
    format!("{}/../../fixtures/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// A folder with a bundle `b.case` of these files.
fn imported(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut args = vec!["import", "-o", "b.case"];
    for (name, text) in files {
        std::fs::write(dir.path().join(name), text).unwrap();
        args.push(name);
    }
    run_in(dir.path(), &args).code(0);
    dir
}

fn traces(folder: &Path, bundle: &str, more: &[&str]) -> Value {
    let args = [&["trace", bundle, "--json"], more].concat();
    let document = run_in(folder, &args).code(0).json();
    schema::check("trace", &document);
    document
}

fn int(v: &Value) -> i64 {
    v.as_i64().unwrap()
}

/// The parts of a path follow each other from the root's start to its end.
fn is_additive(view: &Value) {
    let mut at = int(&view["start"]);
    for part in view["path"].as_array().unwrap() {
        assert_eq!(int(&part["from"]), at);
        at = int(&part["to"]);
    }
    assert_eq!(at - int(&view["start"]), int(&view["duration"]));
    let on_path: i64 = view["spans"].as_array().unwrap().iter().map(|s| int(&s["on_path"])).sum();
    assert_eq!(on_path, int(&view["duration"]));
}

#[test]
fn spans_of_zipkin_make_traces_and_a_clock_that_is_ahead_is_found_and_corrected_only_when_asked() {
    let text = std::fs::read_to_string(fixture("zipkin/shop.jsonl")).unwrap();
    let dir = imported(&[("shop.jsonl", &text)]);
    let all = traces(dir.path(), "b.case", &[]);
    assert_eq!((int(&all["count"]), all["operations"][0]["name"].as_str()), (3, Some("GET /buy")));
    let clock = &all["clocks"][0];
    assert_eq!((clock["a"].as_str(), clock["b"].as_str()), (Some("host gateway-host"), Some("host orders-host")));
    // Its clock is three seconds ahead: fixtures/zipkin/make.py.
    assert!(int(&clock["least"]) <= 3_000_000_000 && int(&clock["most"]) >= 3_000_000_000, "{clock}");
    assert!(int(&clock["most"]) - int(&clock["least"]) < 2_000_000_000 && int(&clock["pairs"]) == 3, "{clock}");

    let id = all["operations"][0]["slowest"][0]["id"].as_str().unwrap().to_owned();
    let as_sent = traces(dir.path(), "b.case", &["--trace", &id]);
    let corrected = traces(dir.path(), "b.case", &["--trace", &id, "--deskew"]);
    let (as_sent, corrected) = (&as_sent["traces"][0], &corrected["traces"][0]);
    is_additive(as_sent);
    is_additive(corrected);
    assert_eq!((as_sent["deskewed"].as_bool(), corrected["deskewed"].as_bool()), (Some(false), Some(true)));
    // Three seconds off, the server's spans lie outside of the client's: only corrected they are on the path.
    let path_of = |view: &Value, service: &str| -> i64 {
        let spans = view["spans"].as_array().unwrap();
        spans.iter().filter(|s| s["service"] == service).map(|s| int(&s["on_path"])).sum()
    };
    assert_eq!(path_of(as_sent, "orders"), 0);
    assert!(path_of(corrected, "orders") > 20_000_000, "the sleep of 20 ms is in it");
    let insert = |view: &Value| {
        view["spans"].as_array().unwrap().iter().find(|s| s["name"] == "INSERT orders").cloned().unwrap()
    };
    assert_eq!(int(&insert(as_sent)["corrected"]), 0);
    assert_eq!(int(&insert(corrected)["corrected"]), int(&clock["offset"]));

    let text = run_in(dir.path(), &["trace", "b.case", "--trace", &id]).code(0).stdout;
    assert!(text.contains("--deskew` corrects them") && text.contains("critical path: "), "{text}");
    assert!(!text.contains("CORRECTED"));
    let text = run_in(dir.path(), &["trace", "b.case", "--trace", &id, "--deskew"]).code(0).stdout;
    assert!(text.contains("CORRECTED: ") && text.contains("stock reserved"), "{text}");
    let timeline = run_in(dir.path(), &["timeline", "b.case", "--trace", &id]).code(0);
    assert!(
        timeline.stderr.contains("the clock of host orders-host is ahead of host gateway-host by about 3."),
        "{}",
        timeline.stderr
    );
    assert_eq!(timeline.stdout.lines().count(), 4);
}

#[test]
fn jaegers_and_zipkins_documents_are_stored_as_they_stand_and_give_the_same_rows() {
    let jaeger = r#"{"data":[{"traceID":"1ef2","spans":[{"traceID":"1ef2","spanID":"a1","operationName":"GET /buy",
      "references":[],"startTime":1600000000000000,"duration":5000,"tags":[{"key":"span.kind","type":"string","value":"server"}],
      "logs":[],"processID":"p1","warnings":null,"novel":{"kept":true}},{"traceID":"1ef2","spanID":"b2","operationName":"query",
      "references":[{"refType":"CHILD_OF","traceID":"1ef2","spanID":"a1"}],"startTime":1600000000001000,"duration":2000,
      "tags":[{"key":"error","type":"bool","value":true}],"logs":[],"processID":"p1"}],
      "processes":{"p1":{"serviceName":"gateway","tags":[]}}}],"total":0}"#;
    let zipkin = r#"[{"traceId":"1ef2","id":"00000000000000a1","name":"GET /buy","kind":"SERVER","timestamp":1600000000000000,
      "duration":5000,"localEndpoint":{"serviceName":"gateway"}},{"traceId":"1ef2","id":"00000000000000b2",
      "parentId":"00000000000000a1","name":"query","timestamp":1600000000001000,"duration":2000,
      "localEndpoint":{"serviceName":"gateway"},"tags":{"error":"true"}}]"#;
    let sql = "SELECT trace, span, parent, service, name, kind, status, utc, duration FROM spans ORDER BY utc";
    let rows = |text: &str| {
        let dir = imported(&[("traces.json", text)]);
        let raw = std::fs::read(dir.path().join("b.case")).unwrap();
        let rows = run_in(dir.path(), &["query", "b.case", sql, "--json"]).code(0).json();
        (rows["rows"].clone(), traces(dir.path(), "b.case", &["--trace", "0000000000001ef2"]), raw.len())
    };
    let ((a, trace, _), (b, ..)) = (rows(jaeger), rows(zipkin));
    assert_eq!(a, b);
    assert_eq!(a.as_array().unwrap().len(), 2);
    let view = &trace["traces"][0];
    is_additive(view);
    assert_eq!((int(&view["duration"]), int(&view["spans"][0]["own"])), (5_000_000, 3_000_000));
}

#[test]
fn what_cannot_be_read_of_a_document_is_left_out_and_counted() {
    let good = r#"{"traceId":"1","id":"1","timestamp":1600000000000000,"duration":1}"#;
    let text = format!("[{good},{{\"traceId\":\"1\",\"id\":\"2\",\"duration\":\"long\"}},{good}] ");
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("z.json"), text).unwrap();
    let done = run_in(dir.path(), &["import", "z.json", "-o", "b.case", "--json"]).code(3).json();
    assert_eq!((int(&done["files"][0]["items"]), done["files"][0]["format"].as_str()), (2, Some("zipkin")), "{done}");
    assert!(done["files"][0]["problem"].as_str().unwrap().contains("long"), "{done}");
    // One and the same span twice.
    let all = traces(dir.path(), "b.case", &["--trace", "0000000000000001"]);
    assert_eq!(int(&all["traces"][0]["flaws"]["duplicates"]), 1);
    std::fs::write(dir.path().join("cut.json"), "[{\"traceId\":\"1\",\"id\":\"1\"},{\"traceId\"").unwrap();
    let done = run_in(dir.path(), &["import", "cut.json", "-o", "cut.case", "--json"]).code(3).json();
    assert_eq!(int(&done["files"][0]["items"]), 0);
}

#[test]
fn a_large_document_is_stored_in_parts_that_hold_all_of_it() {
    let span = |i: u32| {
        let tag = "x".repeat(1000);
        format!(
            r#"{{"traceId":"{:x}","id":"{i:x}","timestamp":{},"duration":3,"tags":{{"t":"{tag}"}}}}"#,
            i / 7 + 1,
            1_600_000_000_000_000u64 + u64::from(i)
        )
    };
    let text = format!("[{}]", (1..=9000).map(span).collect::<Vec<_>>().join(",\n"));
    let dir = imported(&[("z.json", &text)]);
    let rows = run_in(
        dir.path(),
        &["query", "b.case", "SELECT count(*) AS n, count(DISTINCT span) AS d, max(row) AS last FROM spans", "--json"],
    );
    let row = rows.code(0).json()["rows"][0].clone();
    let numbers: Vec<i64> = match &row {
        Value::Array(cells) => cells.iter().map(int).collect(),
        object => ["n", "d", "last"].iter().map(|k| int(&object[*k])).collect(),
    };
    assert_eq!(numbers[..2], [9000, 9000]);
    assert!(numbers[2] >= 1, "several messages");
}

#[test]
fn hostile_names_do_nothing_on_a_terminal_or_a_page() {
    let evil = "</title><script>alert(1)</script>\u{1b}[2J\u{202e}";
    let spans = json!([
        {"traceId":"ab","id":"1","name":evil,"timestamp":1_600_000_000_000_000u64,"duration":9,"localEndpoint":{"serviceName":evil},
         "annotations":[{"timestamp":1_600_000_000_000_001u64,"value":evil}],"tags":{"error":evil}},
        {"traceId":"ab","id":"2","parentId":"2","name":evil,"timestamp":1_600_000_000_000_002u64,"duration":2},
        {"traceId":"ab","id":"3","parentId":"77","name":evil,"timestamp":1_600_000_000_000_002u64,"duration":2},
    ]);
    let dir = imported(&[("z.json", &spans.to_string())]);
    let id = "000000000000000000000000000000ab";
    let text = run_in(dir.path(), &["trace", "b.case", "--trace", id]).code(0).stdout;
    assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'), "{text}");
    assert!(text.contains("1 circle of parents was cut") && text.contains("1 parent is not in the bundle"), "{text}");
    run_in(dir.path(), &["trace", "b.case", "--trace", id, "--svg", "t.svg"]).code(0);
    let svg = std::fs::read_to_string(dir.path().join("t.svg")).unwrap();
    assert!(svg.contains("&lt;script&gt;") && !svg.contains("<script") && !svg.contains('\u{1b}'));
    run_in(dir.path(), &["analyze", "b.case", "-o", "r"]).code(0);
    let page = std::fs::read_to_string(dir.path().join("r/report.html")).unwrap();
    assert!(page.contains("<h2 id=\"h-traces\">") && !page.contains("<script>alert"));
    let none = run_in(dir.path(), &["trace", "b.case", "--trace", &"f".repeat(32)]).code(2);
    assert!(none.stderr.contains("no span of this trace is here"), "{}", none.stderr);
}

#[test]
fn a_trace_of_the_recorded_shop_names_its_threads_and_what_they_waited_for() {
    let (dir, bundle) = (tempfile::tempdir().unwrap(), fixture("shop-lock.case"));
    let all = traces(dir.path(), &bundle, &["--worst"]);
    assert!(int(&all["count"]) > 100, "{}", all["count"]);
    let view = &all["traces"][0];
    is_additive(view);
    let spans = view["spans"].as_array().unwrap();
    assert!(spans.len() >= 3);
    for s in spans {
        assert!(s["tier"].as_str().unwrap().ends_with(", thread.id") && s["tid"].is_u64(), "{s}");
    }
    // On one host all clocks may be equal.
    for c in all["clocks"].as_array().unwrap() {
        assert_eq!((int(&c["offset"]), c["contradictory"].as_bool()), (0, Some(false)), "{c}");
    }
    let id = view["id"].as_str().unwrap();
    let lines = run_in(dir.path(), &["timeline", &bundle, "--trace", id, "--json"]).code(0).stdout;
    let lines: Vec<Value> = lines.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    lines.iter().for_each(|l| schema::check("timeline", l));
    let how = |stream: &str| -> Vec<&str> {
        lines.iter().filter(|l| l["stream"] == stream).filter_map(|l| l["how"].as_str()).collect()
    };
    assert_eq!(how("otlp.traces").len(), spans.len());
    assert!(how("otlp.traces").iter().all(|h| *h == "trace id"));
    assert!(!how("kernel.offcpu").is_empty() && how("kernel.offcpu").iter().all(|h| *h == "thread.id"));
    assert!(lines.iter().all(|l| l["how"].is_string()), "each line says how it was joined");
    let text = run_in(dir.path(), &["timeline", &bundle, "--trace", id]).code(0).stdout;
    assert!(text.lines().all(|l| l.ends_with(']')) && text.contains("[trace id]"), "{text}");
}
