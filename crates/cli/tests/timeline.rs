//! `coldcase timeline` and `coldcase export` on a small bundle.
#![cfg(feature = "full")]
#![allow(clippy::unwrap_used)]

mod common;

use coldcase_model::column::{StackColumn, TextColumn};
use coldcase_model::{CATALOGUE, Column, Columns, EventDef, FieldType, Ip};
use coldcase_testkit::Builder;
use common::{folder, run_in};

#[test]
fn every_event_is_one_line_in_order_and_no_control_character_gets_through() {
    let dir = folder();
    coldcase_testkit::bundle::small(&dir.path().join("b.case")).unwrap();
    let all = run_in(dir.path(), &["timeline", "b.case"]).code(0);
    assert!(all.stdout.lines().count() > 100, "{}", all.stdout);
    assert!(!all.stdout.chars().any(|c| c.is_control() && c != '\n'), "captured text reached the terminal raw");
    let json = run_in(dir.path(), &["timeline", "b.case", "--json"]).code(0);
    let rows: Vec<serde_json::Value> = json.stdout.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(rows.len(), all.stdout.lines().count());
    let times: Vec<i64> = rows.iter().map(|r| r["utc"].as_i64().unwrap()).collect();
    assert!(times.is_sorted());
    let first = &rows[0];
    assert_eq!(first["schema"]["name"], "coldcase.timeline");
    assert!(first["evidence"].as_str().unwrap().contains('#'));
    let one = run_in(dir.path(), &["timeline", "b.case", "--json", "--threads", "1"]).code(0);
    assert_eq!(one.stdout, json.stdout, "one thread prints what many print");
}

#[test]
fn streams_window_grep_and_limit_narrow_it() {
    let dir = folder();
    coldcase_testkit::bundle::small(&dir.path().join("b.case")).unwrap();
    let lines = |args: &[&str]| {
        let out = run_in(dir.path(), &[&["timeline", "b.case"], args].concat()).code(0).stdout;
        out.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let off = lines(&["--stream", "kernel.offcpu"]);
    assert_eq!(off.len(), 120);
    assert!(off.iter().all(|l| l.contains("kernel.offcpu") && l.contains("off-CPU") || l.contains("preempted")));
    assert_eq!(lines(&["--stream", "kernel"]).len(), 125);
    assert_eq!(lines(&["--stream", "kernel.offcpu", "--limit", "3"]), off[..3]);
    let late = lines(&["--stream", "kernel.offcpu", "--from", "+2s"]);
    assert!(!late.is_empty() && late.len() < off.len());
    assert!(off.ends_with(&late));
    assert_eq!(lines(&["--stream", "kernel.offcpu", "--to", "+2s"]).len() + late.len(), off.len());
    let preempted = lines(&["--stream", "kernel.offcpu", "--grep", "preempted"]);
    assert!(preempted.iter().all(|l| l.contains("preempted")));
    assert!(lines(&["--pid", "4294967295"]).is_empty());
}

#[test]
fn what_cannot_be_meant_is_refused_with_a_hint() {
    let dir = folder();
    coldcase_testkit::bundle::small(&dir.path().join("b.case")).unwrap();
    for (args, part) in [
        (vec!["timeline", "b.case", "--stream", "kernel.nothing"], "there is no such stream"),
        (vec!["timeline", "b.case", "--from", "+2s", "--to", "+1s"], "--from must be before --to"),
        (vec!["timeline", "b.case", "--trace", "xyz"], "32 hex digits"),
        (vec!["timeline", "b.case", "--grep", "("], "regex"),
        (vec!["timeline", "absent.case"], "absent.case"),
        (vec!["export", "b.case"], "--parquet"),
        (vec!["export", "b.case", "--parquet", "out", "--table", "nothing"], "there is no such table"),
    ] {
        let run = run_in(dir.path(), &args).code(2);
        assert!(run.stderr.contains(part), "{args:?}: {}", run.stderr);
        assert!(run.stdout.is_empty());
    }
    assert!(!dir.path().join("out").exists(), "nothing is written before all is known to be right");
}

#[test]
fn a_damaged_bundle_gives_what_is_left_and_says_so() {
    let dir = folder();
    let path = dir.path().join("b.case");
    coldcase_testkit::bundle::small(&path).unwrap();
    let whole = run_in(dir.path(), &["timeline", "b.case"]).code(0).stdout.lines().count();
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let cut = run_in(dir.path(), &["timeline", "b.case"]).code(0);
    assert!(cut.stdout.lines().count() < whole);
    run_in(dir.path(), &["timeline", "b.case", "--strict"]).code(3);
    assert!(cut.stderr.contains("warning:"), "{}", cut.stderr);
}

#[test]
fn export_writes_one_file_a_table_and_refuses_to_replace() {
    let dir = folder();
    coldcase_testkit::bundle::small(&dir.path().join("b.case")).unwrap();
    let done = run_in(dir.path(), &["export", "--json", "b.case", "--parquet", "out"]).code(0).json();
    let tables = done["tables"].as_array().unwrap();
    let offcpu = tables.iter().find(|t| t["name"] == "kernel_offcpu").unwrap();
    assert_eq!(offcpu["rows"], 120);
    for t in tables {
        let file = std::fs::read(dir.path().join(t["file"].as_str().unwrap())).unwrap();
        assert!(file.starts_with(b"PAR1") && file.ends_with(b"PAR1"));
    }
    let again = run_in(dir.path(), &["export", "b.case", "--parquet", "out"]).code(2);
    assert!(again.stderr.contains("exists already"), "{}", again.stderr);
    run_in(dir.path(), &["export", "b.case", "--parquet", "out", "--force", "--table", "logs"]).code(0);
}

/// Three rows of a kind, with the smallest and the largest values of each type.
fn extremes(def: &EventDef) -> Columns {
    let text = |rows: [&[u8]; 3]| {
        let mut c = TextColumn::default();
        rows.iter().for_each(|r| c.push(r));
        c
    };
    let columns = def.fields.iter().map(|f| match f.ty {
        FieldType::U8 => Column::U8(vec![0, 1, u8::MAX]),
        FieldType::U16 => Column::U16(vec![0, 1, u16::MAX]),
        FieldType::U32 => Column::U32(vec![0, 1, u32::MAX]),
        FieldType::U64 => Column::U64(vec![0, 1, u64::MAX]),
        FieldType::I32 => Column::I32(vec![i32::MIN, -1, i32::MAX]),
        FieldType::I64 => Column::I64(vec![i64::MIN, -1, i64::MAX]),
        FieldType::F64 => Column::F64(vec![f64::NAN, f64::NEG_INFINITY, f64::MAX]),
        FieldType::Ip => Column::Ip(vec![Ip([0; 16]), Ip([1; 16]), Ip([255; 16])]),
        FieldType::Comm => Column::Text(text([b"", b"a", b"\x1b[31m\xff\0"])),
        FieldType::Text => Column::Text(text([b"", b"build-id:", b"\x1b]0;x\x07\xff<b>\n\0"])),
        FieldType::Stack => {
            let mut c = StackColumn::default();
            [&[][..], &[0, 1], &[u64::MAX; 300]].iter().for_each(|s| c.push(s));
            Column::Stack(c)
        }
    });
    let names = def.fields.iter().map(|f| f.name.into()).collect();
    Columns::from_parts(names, columns.collect()).unwrap()
}

/// A row of a kind with these numbers and texts, all else zero.
fn one(def: &EventDef, numbers: &[(&str, i64)], texts: &[(&str, &str)]) -> Columns {
    let mut rows = Columns::new(def);
    for (field, column) in def.fields.iter().zip(&mut rows.columns) {
        let n = numbers.iter().find(|(name, _)| *name == field.name).map_or(0, |(_, n)| *n);
        let text = texts.iter().find(|(name, _)| *name == field.name).map_or("", |(_, text)| *text);
        match column {
            Column::U64(v) => v.push(n as u64),
            Column::I64(v) => v.push(n),
            Column::U32(v) => v.push(n as u32),
            Column::I32(v) => v.push(n as i32),
            Column::U16(v) => v.push(n as u16),
            Column::U8(v) => v.push(n as u8),
            Column::F64(v) => v.push(n as f64),
            Column::Ip(v) => v.push(Ip(std::net::Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped().octets())),
            Column::Text(c) => c.push(text.as_bytes()),
            Column::Stack(c) => c.push(&[]),
        }
    }
    Columns::from_parts(rows.names, rows.columns).unwrap()
}

#[test]
fn calls_into_libraries_say_what_was_called_how_long_it_took_and_how_it_ended() {
    use coldcase_model::Event;
    use coldcase_model::events::{NameLookup, Statement, TlsCall};
    const MS: i64 = 1_000_000;
    let cases = [
        (
            one(
                &TlsCall::DEF,
                &[
                    ("duration", 2 * MS),
                    ("function", 4),
                    ("bytes", 95),
                    ("result", 1),
                    ("socket", 5),
                    ("family", 2),
                    ("local_port", 5000),
                    ("remote_port", 443),
                ],
                &[],
            ),
            "SSL_write_ex 2.00ms, sent 95 B, 10.0.0.1:5000 > 10.0.0.1:443",
        ),
        (
            one(&TlsCall::DEF, &[("duration", MS), ("function", 1), ("flags", 1)], &[]),
            "SSL_read 1.00ms, not done when the capture ended",
        ),
        (
            one(&TlsCall::DEF, &[("duration", MS), ("function", 5), ("result", -1), ("socket", 5), ("family", 1)], &[]),
            "SSL_do_handshake 1.00ms, returned -1, a socket that is not IP",
        ),
        (
            one(&Statement::DEF, &[("duration", 3 * MS), ("executing", 2 * MS)], &[("query", "select ?")]),
            "3.00ms, executing 2.00ms: select ?",
        ),
        (
            one(&Statement::DEF, &[("duration", MS), ("flags", 8)], &[("query", "select $1")]),
            "1.00ms, not executed: select $1",
        ),
        (one(&Statement::DEF, &[("duration", MS), ("flags", 8 | 16)], &[("query", "selec")]), "1.00ms, failed: selec"),
        (
            one(&Statement::DEF, &[("duration", MS), ("flags", 4 | 8)], &[]),
            "1.00ms, executing 0ns, ran already when the capture began",
        ),
        (
            one(&Statement::DEF, &[("duration", MS), ("executing", MS), ("flags", 2)], &[("query", "select x")]),
            "1.00ms, executing 1.00ms, its process ended in it: select x",
        ),
        (
            one(&NameLookup::DEF, &[("duration", MS), ("result", -2)], &[("name", "no.\x1bwhere")]),
            "getaddrinfo(no.\\x1bwhere) 1.00ms, EAI_NONAME",
        ),
        (
            one(&NameLookup::DEF, &[("duration", MS), ("flags", 2)], &[("name", "db")]),
            "getaddrinfo(db) 1.00ms, its thread ended in it",
        ),
    ];
    for (n, (rows, expected)) in cases.into_iter().enumerate() {
        let dir = folder();
        let stream = [TlsCall::DEF, Statement::DEF, NameLookup::DEF]
            .iter()
            .find(|d| d.fields.len() == rows.columns.len())
            .map(|d| d.stream)
            .unwrap();
        let builder = Builder::new(&dir.path().join("b.case")).unwrap();
        builder.rows(stream, rows).unwrap().seal().unwrap();
        let out = run_in(dir.path(), &["timeline", "b.case", "--stream", stream]).code(0).stdout;
        assert!(out.trim_end().ends_with(expected), "{n}: {out}");
    }
}

#[test]
fn the_largest_and_smallest_values_of_every_kind_are_survived() {
    let dir = folder();
    let mut builder = Builder::new(&dir.path().join("b.case")).unwrap();
    for def in CATALOGUE.iter().filter(|d| d.stream.contains('.') || d.stream == "symbols") {
        builder = builder.rows(def.stream, extremes(def)).unwrap();
    }
    builder.seal().unwrap();
    let streams = ["kernel", "host", "recorder", "log", "metrics", "symbols"].join(",");
    for extra in [&["--json"][..], &[], &["--from", "+1s"], &["--pid", "1", "--service", "x"]] {
        let run = run_in(dir.path(), &[&["timeline", "b.case", "--stream", &streams], extra].concat()).code(0);
        assert!(!run.stdout.contains('\x1b') && !run.stderr.contains('\x1b'));
    }
    run_in(dir.path(), &["export", "b.case", "--parquet", "out"]).code(0);
}
