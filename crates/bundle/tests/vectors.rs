//! The vectors in `formats/vectors`: what a second reader can check itself against. `COLDCASE_BLESS=1` writes them anew.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use coldcase_bundle::{BatchBody, Bundle, internals, verify};
use coldcase_model::{Column, Columns};
use coldcase_testkit::bundle;
use serde_json::{Value, json};

fn vector(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../formats/vectors").join(name)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// A cell: integers as they are, text as text where it is UTF-8 and as `{"hex": …}` where not, stacks as lists.
fn cell(column: &Column, row: usize) -> Value {
    match column {
        Column::F64(v) => json!(v[row]),
        Column::Ip(v) => json!(v[row].addr().to_string()),
        Column::Text(c) => match std::str::from_utf8(c.get(row)) {
            Ok(text) => json!(text),
            Err(_) => json!({ "hex": hex(c.get(row)) }),
        },
        Column::Stack(c) => json!(c.get(row)),
        Column::U64(v) => json!(v[row]),
        other => json!(i64::try_from(other.int(row).unwrap()).unwrap()),
    }
}

fn rows(columns: &Columns) -> Value {
    let named = columns.names.iter().zip(&columns.columns);
    let columns: BTreeMap<String, Vec<Value>> =
        named.map(|(n, c)| (n.to_string(), (0..columns.len()).map(|r| cell(c, r)).collect())).collect();
    json!(columns)
}

/// Everything in a bundle that does not depend on how it was compressed.
fn content(path: &Path) -> Value {
    let b = Bundle::open(path).unwrap();
    assert_eq!(b.problems(), []);
    let chunks: Vec<Value> = b
        .chunks()
        .iter()
        .map(|c| {
            let messages: Vec<Value> = b
                .read_chunk(c.index, &|_| true)
                .unwrap()
                .iter()
                .map(|m| {
                    let body = match &m.body {
                        BatchBody::Columns(c) => json!({ "columns": rows(c) }),
                        BatchBody::Raw(bytes) => json!({ "raw": hex(bytes) }),
                    };
                    json!({ "stream": &*m.stream, "first": m.first_row, "log_time": m.log_time,
                            "publish_time": m.publish_time, "body": body })
                })
                .collect();
            let streams: Vec<Value> = c
                .streams
                .iter()
                .map(|s| {
                    json!({ "name": &*s.stream, "rows": s.rows, "first_row": s.first_row, "start": s.start, "end": s.end })
                })
                .collect();
            json!({ "class": c.class.name(), "streams": streams, "messages": messages })
        })
        .collect();
    let mut manifest = serde_json::to_value(b.manifest().unwrap()).unwrap();
    // Depends on the compressed bytes.
    manifest.as_object_mut().unwrap().remove("root");
    json!({ "id": b.id(), "manifest": manifest, "chunks": chunks })
}

fn check(name: &str, made: &Value) {
    let path = vector(name);
    if std::env::var_os("COLDCASE_BLESS").is_some() {
        std::fs::write(&path, serde_json::to_string_pretty(made).unwrap() + "\n").unwrap();
    }
    let committed: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert!(committed == *made, "{name} differs from what this build makes; COLDCASE_BLESS=1 shows how in the diff");
}

#[test]
fn the_small_bundle_vector_reads_as_its_json_says() {
    let path = vector("small.case");
    let dir = tempfile::tempdir().unwrap();
    let made = dir.path().join("small.case");
    bundle::small(&made).unwrap();
    if std::env::var_os("COLDCASE_BLESS").is_some() {
        std::fs::copy(&made, &path).unwrap();
    }
    let v = verify(&path).unwrap();
    assert!(v.ok && v.sealed, "{v:?}");
    check("small.json", &content(&path));
    assert_eq!(content(&made), content(&path), "the writer still makes the same content");
}

#[test]
fn the_integer_vectors_are_what_this_build_makes() {
    let rising: Vec<u64> = (0..300).map(|i| 1_000_000 + i * 1000 + i % 7).collect();
    let cases: Vec<(&str, Vec<u64>)> = vec![
        ("no values", vec![]),
        ("one value", vec![7]),
        ("constant", vec![5; 10]),
        ("frame of reference, one byte", vec![1000, 1001, 1255, 1003]),
        ("deltas", (0..12).map(|i| 100_000 + 70_000 * i).collect()),
        ("two blocks of deltas", rising),
        ("extremes", vec![u64::MAX, 0, 1 << 63]),
    ];
    let made: Vec<Value> = cases
        .iter()
        .map(|(what, values)| {
            let bytes = internals::encode_ints(values);
            assert_eq!(&internals::decode_ints(&bytes, values.len()).unwrap(), values);
            json!({ "what": what, "values": values.iter().map(u64::to_string).collect::<Vec<_>>(), "hex": hex(&bytes) })
        })
        .collect();
    let packed: Vec<Value> = [vec![], vec![0, 0, 0], vec![0, 1, 1, 2], vec![300, 2], vec![70_000]]
        .iter()
        .map(|ids| json!({ "ids": ids, "hex": hex(&internals::encode_packed(ids)) }))
        .collect();
    check("ints.json", &json!({ "ints": made, "packed": packed }));
}
