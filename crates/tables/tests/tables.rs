//! Frames against the columns that they come from.
#![allow(clippy::unwrap_used)]

use coldcase_model::events::OffCpu;
use coldcase_tables::Tables;
use coldcase_tables::polars::prelude::*;
use coldcase_timeline::{Options, When};

fn small(options: &Options) -> (tempfile::TempDir, Tables) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b.case");
    coldcase_testkit::bundle::small(&path).unwrap();
    let tables = Tables::open(&path, options).unwrap();
    (dir, tables)
}

#[test]
fn a_lazy_query_sees_the_rows_of_the_columns() {
    let (_dir, tables) = small(&Options::default());
    let sum: u64 = tables.timeline().rows::<OffCpu>().map(|r| r.cols.duration.iter().sum::<u64>()).sum();
    let lazy =
        tables.scan("kernel_offcpu").unwrap().select([col("duration").sum(), col("row").max()]).collect().unwrap();
    assert_eq!(lazy.column("duration").unwrap().u64().unwrap().get(0), Some(sum));
    assert_eq!(lazy.column("row").unwrap().u64().unwrap().get(0), Some(119));
    // A filter on a column that is not selected.
    let some = tables.scan("kernel_offcpu").unwrap().filter(col("tid").eq(lit(3u32))).select([col("utc")]);
    let all = tables.frame("kernel_offcpu").unwrap();
    let expected = all.column("tid").unwrap().u32().unwrap().iter().filter(|t| *t == Some(3)).count();
    assert_eq!(some.collect().unwrap().height(), expected);
}

#[test]
fn the_schema_that_a_scan_tells_is_the_one_that_a_build_has() {
    let (_dir, tables) = small(&Options::default());
    for name in tables.names().iter().map(String::as_str).chain(["spans", "span_events", "metrics", "packets"]) {
        let told = tables.scan(name).unwrap().collect_schema().unwrap();
        assert_eq!(*told, **tables.frame(name).unwrap().schema(), "{name}");
    }
    assert!(tables.scan("nothing").is_err());
}

#[test]
fn only_the_streams_of_the_named_tables_are_decoded_and_only_the_window() {
    let (_dir, whole) = small(&Options::default());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b.case");
    coldcase_testkit::bundle::small(&path).unwrap();
    let options = Options { from: Some(When::After(2_000_000_000)), ..Options::default() };
    let late = Tables::open_only(&path, &["kernel_offcpu"], &options).unwrap();
    assert_eq!(late.names(), ["kernel_offcpu"]);
    let (all, some) = (whole.frame("kernel_offcpu").unwrap(), late.frame("kernel_offcpu").unwrap());
    assert!(some.height() > 0 && some.height() < all.height());
    let ends = |f: &DataFrame| {
        let (utc, long) =
            (f.column("utc").unwrap().i64().unwrap().clone(), f.column("duration").unwrap().u64().unwrap().clone());
        utc.iter().zip(long.iter()).map(|(u, d)| u.unwrap() + d.unwrap() as i64).collect::<Vec<_>>()
    };
    let from = late.timeline().start().0 + 2_000_000_000;
    assert!(ends(&some).iter().all(|&e| e >= from));
    assert_eq!(ends(&all).iter().filter(|&&e| e >= from).count(), some.height());
}
