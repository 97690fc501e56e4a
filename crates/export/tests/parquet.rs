//! What we write, Python's polars and pyarrow read.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::path::{Path, PathBuf};
use std::process::Command;

use coldcase_export::parquet;
use coldcase_tables::Tables;

/// A Python that has this module.
fn python_with(module: &str) -> Option<PathBuf> {
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.venv/bin/python");
    [ours, "python3".into()].into_iter().find(|python| {
        let probe = Command::new(python).args(["-c", &format!("import {module}")]).output();
        probe.is_ok_and(|o| o.status.success())
    })
}

fn read_by(module: &str, read: &str) {
    let Some(python) = python_with(module) else {
        eprintln!("skipped: no Python with {module} (make setup-test, or pip install {module})");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let bundle = dir.path().join("b.case");
    coldcase_testkit::bundle::small(&bundle).unwrap();
    let tables = Tables::open(&bundle, &Default::default()).unwrap();
    for name in tables.names() {
        let written = parquet::write(&tables, &name, dir.path(), false).unwrap();
        let frame = tables.frame(&name).unwrap();
        let sum: i128 = frame.column("utc").unwrap().i64().unwrap().iter().flatten().map(i128::from).sum();
        let script = format!("{read}\nprint(len(utc), sum(utc), ','.join(names))");
        let out = Command::new(&python).args(["-c", &script]).arg(&written.path).output().unwrap();
        assert!(out.status.success(), "{name}: {}", String::from_utf8_lossy(&out.stderr));
        let names: Vec<String> = frame.get_column_names().iter().map(|n| n.to_string()).collect();
        let expected = format!("{} {sum} {}\n", written.rows, names.join(","));
        assert_eq!(String::from_utf8_lossy(&out.stdout), expected, "{name}");
    }
}

#[test]
fn polars_of_python_reads_every_table_with_the_same_rows_and_times() {
    read_by(
        "polars",
        "import sys, polars as pl\nt = pl.read_parquet(sys.argv[1])\nutc, names = t['utc'].to_list(), t.columns",
    );
}

#[test]
fn pyarrow_reads_every_table_with_the_same_rows_and_times() {
    read_by(
        "pyarrow",
        "import sys, pyarrow.parquet as pq\nt = pq.read_table(sys.argv[1])\nutc, names = t['utc'].to_pylist(), t.column_names",
    );
}

#[test]
fn an_existing_file_is_refused_and_nothing_unfinished_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let bundle = dir.path().join("b.case");
    coldcase_testkit::bundle::small(&bundle).unwrap();
    let tables = Tables::open(&bundle, &Default::default()).unwrap();
    parquet::write(&tables, "logs", dir.path(), false).unwrap();
    let refused = parquet::write(&tables, "logs", dir.path(), false).unwrap_err();
    assert!(refused.to_string().ends_with("logs.parquet exists already"), "{refused}");
    parquet::write(&tables, "logs", dir.path(), true).unwrap();
    let left = std::fs::read_dir(dir.path())
        .unwrap()
        .filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().ends_with(".part"));
    assert_eq!(left.count(), 0);
}
