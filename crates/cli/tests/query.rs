//! `coldcase query`: SQL over the tables of the fixture, against what other verbs say of it.
#![cfg(feature = "full")]
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;

use common::{folder, run_in, schema};
use serde_json::Value;

fn bundle() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/shop-lock.case");
    path.to_str().unwrap().to_owned()
}

fn ask(sql: &str) -> Vec<Value> {
    let dir = folder();
    let answer = run_in(dir.path(), &["query", &bundle(), sql, "--json"]).code(0).json();
    schema::check("query", &answer);
    answer["rows"].as_array().unwrap().clone()
}

#[test]
fn counts_are_those_of_info_and_sums_are_made_by_the_query() {
    let dir = folder();
    let info = run_in(dir.path(), &["info", &bundle(), "--json"]).code(0).json();
    let events = |stream: &str| {
        let of = info["streams"].as_array().unwrap().iter().find(|s| s["name"] == stream);
        of.and_then(|s| s["events"].as_i64()).unwrap()
    };
    let n = |sql: &str| ask(sql)[0]["n"].as_i64().unwrap();
    assert_eq!(n("SELECT count(*) AS n FROM kernel_offcpu"), events("kernel.offcpu"));
    assert_eq!(n("SELECT count(*) AS n FROM offcpu"), events("kernel.offcpu"), "by its short name");
    for sql in [
        "SELECT count(*) AS n FROM offcpu",
        "SELECT COUNT(1) AS n FROM offcpu",
        "SELECT count(*) AS n FROM offcpu WHERE tid < 0",
    ] {
        assert_eq!(ask(sql).len(), 1, "{sql}");
    }
    assert_eq!(n("SELECT count(1) AS n FROM offcpu"), events("kernel.offcpu"));
    assert_eq!(n("SELECT count(*) AS n FROM offcpu WHERE tid < 0"), 0);
    let within =
        run_in(dir.path(), &["query", &bundle(), "SELECT sum(n) FROM (SELECT count(*) AS n FROM offcpu) AS c"]).code(2);
    assert!(within.stderr.contains("count a column"), "{}", within.stderr);
    let by_process = ask("SELECT process, sum(duration) AS waited FROM offcpu GROUP BY process ORDER BY waited DESC");
    assert!(by_process.len() > 2);
    let waited: Vec<i64> = by_process.iter().map(|r| r["waited"].as_i64().unwrap()).collect();
    assert!(waited.is_sorted_by(|a, b| a >= b), "{waited:?}");
    assert_eq!(waited.iter().sum::<i64>(), n("SELECT sum(duration) AS n FROM offcpu"));
}

#[test]
fn connections_are_those_of_flow_and_join_to_nothing_else_by_chance() {
    let dir = folder();
    let flow = run_in(dir.path(), &["flow", &bundle(), "--json"]).code(0).json();
    let connections = ask("SELECT connection, a, b, packets_ab FROM connections ORDER BY connection");
    let theirs = flow["connections"].as_array().unwrap();
    assert_eq!(connections.len(), theirs.len());
    for (ours, c) in connections.iter().zip(theirs) {
        assert_eq!((&ours["a"], &ours["b"], &ours["packets_ab"]), (&c["a"], &c["b"], &c["packets_ab"]));
    }
}

#[test]
fn each_format_holds_the_same_rows_and_a_file_is_not_replaced_unasked() {
    let dir = folder();
    let sql = "SELECT name, count(*) AS n FROM spans GROUP BY name ORDER BY name";
    let rows = ask(sql);
    let csv = run_in(dir.path(), &["query", &bundle(), sql, "--format", "csv"]).code(0).stdout;
    assert_eq!((csv.lines().count(), csv.lines().next()), (rows.len() + 1, Some("name,n")));
    let plain = run_in(dir.path(), &["query", &bundle(), sql, "--format", "json"]).code(0).json();
    assert_eq!(plain, Value::Array(rows.clone()));
    let table = run_in(dir.path(), &["query", &bundle(), sql]).code(0).stdout;
    assert_eq!(table.lines().count(), rows.len() + 1);
    let parquet = ["query", &bundle(), sql, "--format", "parquet", "-o", "spans.parquet"];
    run_in(dir.path(), &parquet).code(0);
    assert!(std::fs::read(dir.path().join("spans.parquet")).unwrap().starts_with(b"PAR1"));
    assert!(run_in(dir.path(), &parquet).code(1).stderr.contains("exists"));
    run_in(dir.path(), &["query", &bundle(), sql, "--format", "parquet"]).code(2);
}

#[test]
fn what_cannot_be_answered_is_said_in_a_line_and_the_tables_are_listed_without_a_query() {
    let dir = folder();
    for bad in ["SELECT nothing FROM spans", "SELECT * FROM nowhere", "no sql at all", "", "SELECT * FROM spans WHERE"]
    {
        let run = run_in(dir.path(), &["query", &bundle(), bad]).code(2);
        assert!(run.stderr.starts_with("error: ") && run.stderr.contains("hint: "), "{bad}: {}", run.stderr);
        assert_eq!(run.stderr.lines().count(), 2, "{bad}: {}", run.stderr);
    }
    let listed = run_in(dir.path(), &["query", &bundle()]).code(0).stdout;
    schema::check("tables", &run_in(dir.path(), &["query", &bundle(), "--json"]).code(0).json());
    for table in ["kernel_offcpu", "spans", "connections", "requests"] {
        assert!(listed.lines().any(|l| l.starts_with(&format!("{table} "))), "{table}: {listed}");
    }
}
