//! `coldcase import`: captures become bundles that every verb takes, and tell the same as the files.
#![cfg(feature = "full")]
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod common;

use std::path::Path;

use common::{folder, run_in, schema};
use serde_json::Value;

/// Packets of the demo, by tcpdump.
const PCAP: &str = "shop-lock.pcap";

fn with_capture() -> tempfile::TempDir {
    let dir = folder();
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(PCAP);
    std::fs::copy(from, dir.path().join(PCAP)).unwrap();
    dir
}

/// The flow without what names the file.
fn flow(dir: &Path, file: &str) -> Value {
    let mut flow = run_in(dir, &["flow", file, "--json"]).code(0).json();
    for gone in ["bundle", "problems"] {
        flow.as_object_mut().unwrap().remove(gone);
    }
    for list in ["connections", "requests"] {
        for row in flow[list].as_array_mut().unwrap() {
            row.as_object_mut().unwrap().remove("evidence");
        }
    }
    flow
}

fn word(n: u32) -> [u8; 4] {
    n.to_le_bytes()
}

/// A pcapng block.
fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let total = word((12 + body.len()) as u32);
    [&word(kind)[..], &total, body, &total].concat()
}

/// Two sections: interfaces of different links and resolutions, a name, drops, a journal entry, a packet without time.
fn sections() -> Vec<u8> {
    let header = block(0x0a0d_0d0a, &[0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0, 96, 0, 0, 0, 0, 0, 0, 0]);
    let ip = |last: u8| {
        let mut ip = vec![0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, last];
        ip.extend([0x13, 0x88, 0, 53, 0, 8, 0, 0]);
        ip
    };
    let packet = |interface: u32, ticks: u64, frame: &[u8]| {
        let head = [interface, (ticks >> 32) as u32, ticks as u32, frame.len() as u32, frame.len() as u32];
        block(6, &[&head.map(word).concat()[..], frame].concat())
    };
    let interface =
        |link: u8, resolution: u8| block(1, &[link, 0, 0, 0, 0, 0, 0, 0, 9, 0, 1, 0, resolution, 0, 0, 0, 0, 0, 0, 0]);
    let cooked = [&[0u8; 14][..], &[8, 0], &ip(3)].concat();
    let mut out = header.clone();
    out.extend(interface(101, 6));
    out.extend(interface(113, 9));
    out.extend(packet(0, 1_600_000_000_000_001, &ip(2)));
    out.extend(block(9, b"MESSAGE=hello\n\0\0"));
    out.extend(packet(1, 1_600_000_000_000_000_500, &cooked));
    out.extend(block(5, &[&[0; 12][..], &[5, 0, 8, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]].concat()));
    out.extend(header);
    out.extend(interface(101, 0));
    out.extend(packet(0, 1_600_000_002, &ip(4)));
    out.extend(block(3, &[&word(28)[..], &ip(5)].concat()));
    out
}

#[test]
fn a_bundle_of_a_capture_tells_what_the_capture_tells() {
    let dir = with_capture();
    let done = run_in(dir.path(), &["import", PCAP, "-o", "b.case", "--json"]).code(0).json();
    schema::check("import", &done);
    assert_eq!((&done["files"][0]["items"], &done["lost"]), (&Value::from(400), &Value::from(false)));
    for verb in ["info", "verify", "timeline", "analyze", "flow"] {
        run_in(dir.path(), &[verb, "b.case"]).code(0);
    }
    let (bundle, file) = (flow(dir.path(), "b.case"), flow(dir.path(), PCAP));
    assert_eq!(bundle, file);
    let info = run_in(dir.path(), &["info", "b.case", "--json"]).code(0).json();
    assert_eq!(info["complete"], true);
}

#[test]
fn the_same_files_give_the_same_bytes() {
    let dir = with_capture();
    for out in ["x.case", "y.case"] {
        run_in(dir.path(), &["import", PCAP, "-o", "b.case", "--force"]).code(0);
        std::fs::rename(dir.path().join("b.case"), dir.path().join(out)).unwrap();
    }
    assert!(std::fs::read(dir.path().join("x.case")).unwrap() == std::fs::read(dir.path().join("y.case")).unwrap());
}

#[test]
fn sections_interfaces_and_resolutions_survive() {
    let dir = folder();
    std::fs::write(dir.path().join("a.pcapng"), sections()).unwrap();
    let run = run_in(dir.path(), &["import", "a.pcapng", "-o", "b.case", "--json"]).code(3).json();
    assert_eq!((&run["files"][0]["items"], &run["files"][0]["dropped"]), (&Value::from(4), &Value::from(7)));
    let of = |file: &str| {
        let flow = flow(dir.path(), file);
        let connections = flow["connections"].as_array().unwrap();
        connections.iter().map(|c| (c["b"].to_string(), c["first"].as_i64().unwrap())).collect::<Vec<_>>()
    };
    let times = of("a.pcapng");
    assert_eq!(times[0], ("\"10.0.0.2:53\"".to_owned(), 1_600_000_000_000_001_000));
    assert_eq!(times[1], ("\"10.0.0.3:53\"".to_owned(), 1_600_000_000_000_000_500));
    assert_eq!(times[2], ("\"10.0.0.4:53\"".to_owned(), 1_600_000_002_000_000_000));
    assert_eq!(times[..3], of("b.case")[..3]);
    let info = run_in(dir.path(), &["info", "b.case"]).code(0).stdout;
    assert!(info.contains("packet-drop"), "{info}");
}

#[test]
fn several_files_are_one_timeline() {
    let dir = with_capture();
    std::fs::write(dir.path().join("a.pcapng"), sections()).unwrap();
    let done = run_in(dir.path(), &["import", PCAP, "a.pcapng", "-o", "b.case", "--json"]).code(3).json();
    let formats: Vec<&str> = done["files"].as_array().unwrap().iter().filter_map(|f| f["format"].as_str()).collect();
    assert_eq!(formats, ["pcap", "pcapng"]);
    assert_eq!(flow(dir.path(), "b.case")["packets"], 404);
}

#[test]
fn a_capture_cut_anywhere_is_imported_up_to_there() {
    let dir = with_capture();
    let whole = std::fs::read(dir.path().join(PCAP)).unwrap();
    for cut in [24, 30, 41, 1_000, whole.len() - 1] {
        std::fs::write(dir.path().join("cut.pcap"), &whole[..cut]).unwrap();
        let code = if cut == 24 { 0 } else { 3 };
        let done = run_in(dir.path(), &["import", "cut.pcap", "-o", "b.case", "--force", "--json"]).code(code).json();
        let file = &done["files"][0];
        assert_eq!(file["bytes"].as_u64().unwrap() + file["bytes_lost"].as_u64().unwrap(), cut as u64);
        run_in(dir.path(), &["verify", "b.case"]).code(0);
        assert_eq!(flow(dir.path(), "b.case")["packets"], file["items"], "cut at {cut}");
    }
}

#[test]
fn what_is_no_capture_is_refused_and_leaves_nothing() {
    let dir = with_capture();
    std::fs::write(dir.path().join("note.txt"), "not packets").unwrap();
    let run = run_in(dir.path(), &["import", PCAP, "note.txt", "-o", "b.case"]).code(2);
    assert!(run.stderr.contains("note.txt: not a file that can be imported"), "{}", run.stderr);
    assert!(!dir.path().join("b.case").exists());
    let run = run_in(dir.path(), &["import", PCAP, "--as", "pcapng", "-o", "b.case"]).code(2);
    assert!(run.stderr.contains("not pcapng"), "{}", run.stderr);
    run_in(dir.path(), &["import", PCAP, "--as", "pcap", "-o", "b.case"]).code(0);
    let run = run_in(dir.path(), &["import", PCAP, "-o", "b.case"]).code(2);
    assert!(run.stderr.contains("--force"), "{}", run.stderr);
    run_in(dir.path(), &["import", "gone.pcap", "-o", "c.case"]).code(2);
}

/// Two requests as the collector's file exporter writes them, and one that is damaged.
const OTLP: &str = concat!(
    r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},"scopeSpans":[{"scope":{},"spans":["#,
    r#"{"traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"EEE19B7EC3C1B174","name":"buy","kind":2,"#,
    r#""startTimeUnixNano":"1700000000000000000","endTimeUnixNano":"1700000000250000000","status":{"code":2}}]}]}]}"#,
    "\n",
    r#"{"resourceLogs":[{"resource":{},"scopeLogs":[{"scope":{},"logRecords":[{"timeUnixNano":"1700000000100000000","#,
    r#""severityNumber":17,"body":{"stringValue":"out of stock"},"traceId":"5b8efff798038103d269b633813fc60c"}]}]}]}"#,
    "\n",
    r#"{"resourceLogs":[{"resource":"#,
    "\n"
);

#[test]
fn requests_of_the_collectors_file_exporter_become_spans_and_log_records() {
    let dir = folder();
    std::fs::write(dir.path().join("otel.jsonl"), OTLP).unwrap();
    let run = run_in(dir.path(), &["import", "otel.jsonl", "-o", "b.case", "--json"]).code(3);
    assert!(run.stderr.contains("line 3"), "{}", run.stderr);
    schema::check("import", &run.json());
    let file = &run.json()["files"][0];
    assert_eq!((&file["format"], &file["messages"], &file["items"]), (&"otlp".into(), &2.into(), &2.into()));
    let spans = run_in(dir.path(), &["query", "b.case", "SELECT service, name, duration, trace FROM spans", "--json"]);
    let spans = spans.code(0).json();
    let span = &spans["rows"][0];
    assert_eq!((&span["service"], &span["duration"]), (&"shop".into(), &250_000_000.into()));
    let logs =
        run_in(dir.path(), &["query", "b.case", "SELECT body, severity, trace FROM logs", "--json"]).code(0).json();
    let logs = &logs["rows"];
    assert_eq!((&logs[0]["body"], &logs[0]["trace"]), (&"out of stock".into(), &span["trace"]));
    let errors = run_in(dir.path(), &["latency", "b.case"]).code(0).stdout;
    assert!(errors.contains("buy"), "{errors}");
}

#[test]
fn one_request_on_many_lines_is_one_request() {
    let dir = folder();
    let first: Value = serde_json::from_str(OTLP.lines().next().unwrap()).unwrap();
    std::fs::write(dir.path().join("one.json"), serde_json::to_string_pretty(&first).unwrap()).unwrap();
    let done = run_in(dir.path(), &["import", "one.json", "-o", "b.case", "--json"]).code(0).json();
    assert_eq!((&done["files"][0]["messages"], &done["first"]), (&1.into(), &1_700_000_000_000_000_000u64.into()));
}

#[test]
fn lines_of_a_log_keep_their_bytes_and_take_the_times_that_they_tell() {
    let dir = folder();
    let text = b"starting\n2023-11-14T22:13:20.5Z ERROR out of stock\n  at shop.py:7\r\n2023-11-14T22:13:21Z INFO done \xff\nlast";
    std::fs::write(dir.path().join("app.log"), text).unwrap();
    let done = run_in(dir.path(), &["import", "app.log", "-o", "b.case", "--json"]).code(0).json();
    schema::check("import", &done);
    assert_eq!((&done["files"][0]["format"], &done["files"][0]["items"]), (&"log".into(), &5.into()));
    let rows = run_in(dir.path(), &["query", "b.case", "SELECT utc, body, severity FROM logs ORDER BY row", "--json"]);
    let rows = rows.code(0).json()["rows"].clone();
    let utc: Vec<i64> =
        rows.as_array().unwrap().iter().map(|r| r["utc"].as_i64().unwrap() - 1_700_000_000_000_000_000).collect();
    assert_eq!(utc, [500_000_000, 500_000_000, 500_000_000, 1_000_000_000, 1_000_000_000]);
    assert_eq!((&rows[1]["severity"], &rows[2]["body"]), (&"error".into(), &"  at shop.py:7".into()));
}

#[test]
fn a_compressed_capture_tells_what_the_capture_tells() {
    let dir = with_capture();
    let plain = std::fs::read(dir.path().join(PCAP)).unwrap();
    std::fs::write(dir.path().join("c.zst"), zstd::bulk::compress(&plain, 3).unwrap()).unwrap();
    run_in(dir.path(), &["import", "c.zst", "-o", "b.case"]).code(0);
    let direct = flow(dir.path(), "c.zst");
    assert_eq!(direct, flow(dir.path(), PCAP));
    assert_eq!(flow(dir.path(), "b.case")["packets"], direct["packets"]);
}

#[test]
fn stacks_of_other_tools_become_samples_with_their_names() {
    let dir = folder();
    let script = "# of another host\napp one 7/8 [001] 10.000000001: 250000 cycles:P: \n\
        \tffffffff81000010 do_syscall_64+0x10 ([kernel.kallsyms])\n\t    7f00000000aa read;\u{1b}[31m+0xa (/lib/libc.so.6)\n\n\
        app one 7/8 [001] 10.010000001: 250000 sched:sched_switch: x\n\n\
        app one 7/8 [001] 10.020000001: 250000 cycles:P: \n\tnot a frame\n\n\
        app one 7/7 [001] 10.030000001: 250000 cycles:P: \n\t    0000000000aa main+0x1 (/bin/app)\n";
    std::fs::write(dir.path().join("perf.txt"), script).unwrap();
    let done = run_in(dir.path(), &["import", "perf.txt", "-o", "b.case", "--json"]).code(3).json();
    schema::check("import", &done);
    let file = &done["files"][0];
    assert_eq!((&file["format"], &file["items"]), (&Value::from("perf-script"), &Value::from(2)));
    assert_eq!(file["note"], "1 sample of other events than the CPU's left out");
    assert_eq!(file["problem"], "line 8: no frame of a stack");
    let folded = run_in(dir.path(), &["flame", "b.case", "--folded"]).code(0).stdout;
    assert_eq!(folded, "app one[7];main 1\napp one[7];read:\\x1b[31m;do_syscall_64_[k] 1\n");
    std::fs::write(dir.path().join("heavy.folded"), "a;b 3\na;c 99999999999\n").unwrap();
    let done = run_in(dir.path(), &["import", "heavy.folded", "-o", "h.case", "--json"]).code(3).json();
    assert_eq!(done["files"][0]["items"], 50_000_000);
}

/// What `promtool tsdb create-blocks-from openmetrics` takes: every sample with its time, counters declared by their full
/// name. At the 30th second the errors begin and the rate falls; the counter of restarts begins anew.
fn backfill() -> String {
    let mut out = String::from("# HELP shop_errors_total Failed.\n# TYPE shop_errors_total counter\n");
    let start = 1_700_000_000;
    let mut errors = 0;
    for i in 0..60 {
        errors += if i < 30 { 1 + i % 2 } else { 20 + i % 3 };
        out.push_str(&format!("shop_errors_total{{code=\"500\"}} {errors} {}\n", start + i));
    }
    out.push_str("# TYPE shop_open gauge\n");
    (0..60).for_each(|i| {
        out.push_str(&format!("shop_open {} {}.5\n", if i < 30 { 50 + i % 3 } else { 20 + i % 3 }, start + i))
    });
    out.push_str("# TYPE shop_work_total counter\n");
    (0..60).for_each(|i| out.push_str(&format!("shop_work_total {} {}\n", (i % 45) * 7, start + i)));
    out + "# EOF\n"
}

#[test]
fn samples_with_times_become_metrics_and_what_moved_together_is_told() {
    let dir = folder();
    std::fs::write(dir.path().join("backfill.om"), backfill()).unwrap();
    let done = run_in(dir.path(), &["import", "backfill.om", "-o", "b.case", "--json"]).code(0).json();
    schema::check("import", &done);
    assert_eq!((&done["files"][0]["format"], &done["files"][0]["items"]), (&"prometheus".into(), &180.into()));
    let sql =
        "SELECT count(*) AS n, min(utc) AS a, max(utc) AS b, sum(value) AS s FROM metrics WHERE name = 'shop_open'";
    let rows = run_in(dir.path(), &["query", "b.case", "--format", "json", sql]).code(0).json();
    assert_eq!((&rows[0]["n"], &rows[0]["a"]), (&60.into(), &1_700_000_000_500_000_000i64.into()));
    let a = run_in(dir.path(), &["analyze", "b.case", "--json"]).code(0).json();
    schema::check("analysis", &a);
    let moves = a["metric_moves"].as_array().unwrap();
    let names: Vec<&str> =
        moves[0]["members"].as_array().unwrap().iter().map(|m| m["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["shop_open", "shop_errors_total{code=\"500\"}"], "{moves:?}");
    assert_eq!(moves[0]["time"], 1_700_000_030_000_000_000i64);
    let work = a["metrics"].as_array().unwrap().iter().find(|m| m["name"] == "shop_work_total");
    // A counter that fell was started anew: its rate is never negative.
    assert_eq!(work.map(|w| &w["resets"]), Some(&serde_json::json!([1_700_000_045_000_000_000i64])));
    assert!(work.unwrap()["points"].as_array().unwrap().iter().all(|p| p[1].as_f64().unwrap() >= 0.0));
    let text = run_in(dir.path(), &["analyze", "b.case", "-o", "r"]).code(0).stdout;
    let told = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(told.contains("moved together: shop_open (-59%), shop_errors_total{code=\"500\"} (×10)"), "{text}");
    assert!(std::fs::read_to_string(dir.path().join("r/report.html")).unwrap().contains("Moved at the same time"));
}

#[test]
fn a_page_of_text_and_one_of_openmetrics_are_imported_as_they_are() {
    let dir = folder();
    std::fs::write(dir.path().join("a.prom"), "# TYPE up gauge\nup{job=\"x\"} 1 1700000000123\n").unwrap();
    std::fs::write(dir.path().join("b.om"), "# TYPE a counter\na_total 2 1700000001.5\n# EOF\n").unwrap();
    run_in(dir.path(), &["import", "a.prom", "b.om", "-o", "b.case"]).code(0);
    let rows = run_in(
        dir.path(),
        &["query", "b.case", "--format", "json", "SELECT name, utc, origin FROM metrics ORDER BY utc"],
    );
    let want = serde_json::json!([
        {"name": "up", "utc": 1_700_000_000_123_000_000i64, "origin": "a.prom"},
        {"name": "a_total", "utc": 1_700_000_001_500_000_000i64, "origin": "b.om"},
    ]);
    assert_eq!(rows.code(0).json(), want);
    std::fs::write(dir.path().join("bad.prom"), "# TYPE up gauge\n".to_owned() + &"up 1\n".repeat(30) + "up one\n")
        .unwrap();
    let bad = run_in(dir.path(), &["import", "bad.prom", "-o", "bad.case", "--json"]).code(3).json();
    assert!(bad["files"][0]["problem"].as_str().unwrap().contains("1 bad lines, the first 32"), "{bad}");
}
