//! What is written is what is read: every stream, every kind of field, sealed or not.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use coldcase_bundle::{Batch, BatchBody, Bundle, Writer, WriterOptions, verify};
use coldcase_model::events::Receipt;
use coldcase_model::{Boottime, CATALOGUE, Column, Columns, Event, Utc};
use coldcase_testkit::corrupt::Rng;
use coldcase_testkit::{Builder, bundle, rows};

fn all(bundle: &Bundle) -> Vec<Batch> {
    let chunks = 0..bundle.chunks().len();
    chunks.flat_map(|i| bundle.read_chunk(i, &|_| true).unwrap()).collect()
}

fn columns(batches: &[Batch], stream: &str) -> Columns {
    let mut parts = batches.iter().filter(|b| &*b.stream == stream).map(|b| match &b.body {
        BatchBody::Columns(c) => c.clone(),
        BatchBody::Raw(_) => panic!("{stream} is raw"),
    });
    let mut first = parts.next().unwrap();
    parts.for_each(|p| first.append(p).unwrap());
    first
}

/// Whether the rows are the same, however their dictionaries are made up.
fn same(a: &Columns, b: &Columns) -> bool {
    a.slice(0..a.len()) == b.slice(0..b.len())
}

#[test]
fn a_small_bundle_comes_back_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.case");
    let manifest = bundle::small(&path).unwrap();
    let opened = Bundle::open(&path).unwrap();
    assert!(opened.complete());
    assert_eq!(opened.problems(), []);
    assert_eq!(opened.id(), coldcase_testkit::FIXED_ID);
    assert_eq!(opened.manifest(), Some(&manifest));
    let batches = all(&opened);
    let mut rng = Rng(7);
    let mut expected = rows::off_cpu(&mut rng, 40, 9, rows::BOOT);
    let samples = rows::cpu_samples(&mut rng, 5, rows::BOOT);
    expected.append(rows::off_cpu(&mut rng, 40, 9, rows::BOOT + 1_000_000_000)).unwrap();
    let metrics = rows::host_metrics(&mut rng, rows::BOOT + 1_000_000_000);
    expected.append(rows::off_cpu(&mut rng, 40, 9, rows::BOOT + 2_000_000_000)).unwrap();
    assert!(same(&columns(&batches, "kernel.offcpu"), &expected));
    assert_eq!(columns(&batches, "kernel.cpu_sample"), samples);
    assert_eq!(columns(&batches, "host.metric"), metrics);
    assert_eq!(columns(&batches, "log.lines"), rows::log_lines(10, rows::BOOT));
    let raw: Vec<_> = batches
        .iter()
        .filter(|b| &*b.stream == "otlp.traces")
        .map(|b| (b.first_row, b.publish_time, b.body.clone()))
        .collect();
    let utc = |t: u64| Utc(t as i64 + rows::OFFSET);
    assert_eq!(
        raw,
        [
            (0, utc(rows::BOOT + 5), BatchBody::Raw(b"\x0a\x03one".to_vec())),
            (1, utc(rows::BOOT + 1_000_000_000), BatchBody::Raw(b"\x0a\x03two".to_vec())),
        ]
    );
    assert_eq!(columns(&batches, "otlp.traces.receipts").len(), 2);
    let streams: BTreeMap<_, _> = opened.streams().into_iter().map(|s| (s.name.to_string(), s)).collect();
    let off_cpu = &streams["kernel.offcpu"];
    assert_eq!((off_cpu.kind, off_cpu.events), (1, 120));
    assert_eq!(off_cpu.fields[0].name, "time");
    assert!(off_cpu.fields[0].doc.contains("switched out"));
    let manifest_streams: Vec<_> = manifest.streams.iter().map(|s| (s.name.clone(), s.events, s.bytes)).collect();
    let sums: Vec<_> = streams.values().map(|s| (s.name.to_string(), s.events, s.bytes)).collect();
    assert_eq!(manifest_streams, sums);
}

#[test]
fn the_same_appends_give_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("a.case"), dir.path().join("b.case"));
    bundle::small(&a).unwrap();
    bundle::small(&b).unwrap();
    assert_eq!(std::fs::read(a).unwrap(), std::fs::read(b).unwrap());
}

#[test]
fn publish_time_follows_the_anchor_and_chunk_times_the_rows() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.case");
    bundle::small(&path).unwrap();
    let opened = Bundle::open(&path).unwrap();
    for chunk in opened.chunks() {
        for batch in opened.read_chunk(chunk.index, &|s| s == "kernel.offcpu").unwrap() {
            let BatchBody::Columns(c) = &batch.body else { panic!() };
            let cols = coldcase_model::events::OffCpu::cols(c).unwrap();
            let start = *cols.time.iter().min().unwrap();
            let end = cols.time.iter().zip(cols.duration).map(|(t, d)| t + d).max().unwrap();
            assert_eq!(batch.publish_time, Utc(start as i64 + rows::OFFSET));
            let info = chunk.streams.iter().find(|s| &*s.stream == "kernel.offcpu").unwrap();
            assert_eq!((info.start, info.end, info.rows), (Boottime(start), Boottime(end), c.len() as u64));
            assert_eq!(info.first_row, batch.first_row);
        }
    }
}

#[test]
fn a_bundle_that_was_never_sealed_reads_the_same_but_is_incomplete() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("a.case"), dir.path().join("b.case"));
    bundle::small(&a).unwrap();
    drop(bundle::sample(&b, 40).unwrap());
    let (sealed, unsealed) = (Bundle::open(&a).unwrap(), Bundle::open(&b).unwrap());
    assert!(!unsealed.complete());
    assert_eq!(unsealed.problems(), []);
    assert_eq!(unsealed.id(), coldcase_testkit::FIXED_ID);
    assert_eq!(all(&sealed), all(&unsealed));
    assert_eq!(sealed.chunks(), unsealed.chunks());
    let strip = |b: &Bundle| b.streams().into_iter().map(|s| (s.name, s.kind, s.events, s.bytes)).collect::<Vec<_>>();
    assert_eq!(strip(&sealed), strip(&unsealed));
}

#[test]
fn a_stream_that_cannot_seek_gets_the_same_bytes_as_a_file() {
    #[derive(Clone, Default)]
    struct Pipe(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);
    impl std::io::Write for Pipe {
        fn write(&mut self, b: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(b);
            Ok(b.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.case");
    let pipe = Pipe::default();
    for to_pipe in [true, false] {
        let o = coldcase_testkit::fixed_options();
        let w = if to_pipe {
            Writer::to_stream(Box::new(pipe.clone()), o).unwrap()
        } else {
            Writer::create(&path, false, o).unwrap()
        };
        w.append("recorder.anchor", rows::anchor(rows::BOOT, "start")).unwrap();
        w.append("kernel.offcpu", rows::off_cpu(&mut Rng(1), 5000, 8, rows::BOOT)).unwrap();
        w.seal(bundle::manifest()).unwrap();
    }
    assert_eq!(*pipe.0.lock().unwrap(), std::fs::read(&path).unwrap());
}

#[test]
fn rows_are_numbered_through_batches_chunks_and_large_appends() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.case");
    let mut built = Builder::new(&path).unwrap();
    let mut rng = Rng(3);
    let sizes = [1, 7, 8191, 8192, 8193, 70_000, 3, 200_000];
    let mut expected: Option<Columns> = None;
    for n in sizes {
        let piece = rows::off_cpu(&mut rng, n, 20, rows::BOOT);
        match &mut expected {
            Some(e) => e.append(piece.clone()).unwrap(),
            None => expected = Some(piece.clone()),
        }
        built = built.rows("kernel.offcpu", piece).unwrap();
    }
    built.seal().unwrap();
    let opened = Bundle::open(&path).unwrap();
    assert!(opened.chunks().len() > 5, "cut by size: {} chunks", opened.chunks().len());
    let batches = all(&opened);
    let mut next = 0;
    for b in &batches {
        assert_eq!(b.first_row, next);
        let BatchBody::Columns(c) = &b.body else { panic!() };
        next += c.len() as u64;
    }
    assert!(same(&columns(&batches, "kernel.offcpu"), &expected.unwrap()));
    assert!(verify(&path).unwrap().ok);
}

#[test]
fn every_kind_of_the_catalogue_can_be_written_and_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.case");
    let writer = Writer::create(&path, false, WriterOptions::default()).unwrap();
    let mut expected = BTreeMap::new();
    for def in CATALOGUE {
        let stream = if def.kind == Receipt::DEF.kind { "packets.receipts" } else { def.stream };
        let mut rng = Rng(u64::from(def.kind));
        let columns: Vec<Column> = def
            .fields
            .iter()
            .map(|f| {
                let mut c = Column::new(f.ty);
                (0..300).for_each(|_| push(&mut c, &mut rng));
                c
            })
            .collect();
        let rows = Columns::from_parts(def.fields.iter().map(|f| f.name.into()).collect(), columns).unwrap();
        writer.append(stream, rows.clone()).unwrap();
        expected.insert(stream, rows);
    }
    writer.seal(bundle::manifest()).unwrap();
    let batches = all(&Bundle::open(&path).unwrap());
    for (stream, rows) in expected {
        assert_eq!(columns(&batches, stream), rows, "{stream}");
    }
}

fn push(column: &mut Column, rng: &mut Rng) {
    let n = rng.next() >> (rng.below(8) * 8);
    match column {
        Column::U8(v) => v.push(n as u8),
        Column::U16(v) => v.push(n as u16),
        Column::U32(v) => v.push(n as u32),
        Column::U64(v) => v.push(n),
        Column::I32(v) => v.push(n as i32),
        Column::I64(v) => v.push(n as i64),
        Column::F64(v) => v.push(n as f64 / 3.0),
        Column::Ip(v) => v.push(coldcase_model::Ip(u128::from(n % 50).to_be_bytes())),
        Column::Text(c) => c.push(&n.to_le_bytes()[..(n % 8) as usize]),
        Column::Stack(c) => c.push(&vec![n, n / 3][..(n % 3) as usize]),
    }
}

#[test]
fn an_existing_file_is_refused_without_force_and_replaced_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.case");
    std::fs::write(&path, "precious").unwrap();
    let Err(e) = Writer::create(&path, false, WriterOptions::default()) else { panic!("overwritten") };
    assert!(matches!(e, coldcase_bundle::WriteError::Exists { .. }), "{e}");
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    Writer::create(&path, true, WriterOptions::default()).unwrap().seal(bundle::manifest()).unwrap();
    assert!(verify(&path).unwrap().ok);
    let link = dir.path().join("link.case");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert!(Writer::create(&link, false, WriterOptions::default()).is_err());
    Writer::create(&link, true, WriterOptions::default()).unwrap().seal(bundle::manifest()).unwrap();
    assert!(link.is_symlink() && verify(&path).unwrap().ok);
}

#[test]
fn what_does_not_fit_is_refused_by_name_and_a_sealed_bundle_takes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let w = Writer::create(&dir.path().join("a.case"), false, WriterOptions::default()).unwrap();
    let samples = rows::cpu_samples(&mut Rng(1), 3, 0);
    assert_eq!(
        w.append("no.such", samples.clone()).unwrap_err().to_string(),
        "no.such: no such stream in the catalogue"
    );
    let e = w.append("kernel.offcpu", samples.clone()).unwrap_err().to_string();
    assert!(e.starts_with("kernel.offcpu: "), "{e}");
    assert!(w.append("packets", samples.clone()).is_err());
    let again = w.clone();
    w.seal(bundle::manifest()).unwrap();
    assert!(matches!(again.append("kernel.cpu_sample", samples), Err(coldcase_bundle::WriteError::Closed)));
    assert!(again.seal(bundle::manifest()).is_err());
}

#[test]
fn a_chunk_is_cut_by_time_without_anybody_calling() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.case");
    let w = Writer::create(&path, false, WriterOptions::default()).unwrap();
    w.append("kernel.offcpu", rows::off_cpu(&mut Rng(1), 10, 2, 0)).unwrap();
    assert_eq!(w.stats().backlog.len(), 1);
    std::thread::sleep(std::time::Duration::from_millis(1300));
    let opened = Bundle::open(&path).unwrap();
    assert_eq!(opened.chunks().len(), 1);
    let stats = w.stats();
    assert_eq!((stats.backlog.len(), stats.rows["kernel.offcpu"], stats.chunks), (0, 10, 1));
    assert_eq!(stats.bytes_written, opened.len());
}

#[test]
fn the_gate_sees_and_may_change_all_captured_text() {
    struct Upper;
    impl coldcase_bundle::Gate for Upper {
        fn pass<'a>(&self, stream: &str, field: &str, bytes: &'a [u8]) -> std::borrow::Cow<'a, [u8]> {
            if stream.starts_with("recorder.") || field == "path" {
                bytes.into()
            } else {
                bytes.to_ascii_uppercase().into()
            }
        }
        fn policy(&self) -> Option<String> {
            Some("upper/1".into())
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.case");
    let options = WriterOptions { gate: std::sync::Arc::new(Upper), ..coldcase_testkit::fixed_options() };
    let built = Builder::with(&path, options).unwrap();
    let manifest = built
        .rows("log.lines", rows::log_lines(3, 0))
        .unwrap()
        .raw("metrics.pages", b"up 1", 0)
        .unwrap()
        .seal()
        .unwrap();
    assert!(manifest.policies.contains(&"upper/1".to_owned()));
    let batches = all(&Bundle::open(&path).unwrap());
    let Some(Column::Text(line)) = columns(&batches, "log.lines").get("line").cloned() else { panic!() };
    assert_eq!(line.get(0), b"0 INFO ORDER 1000 ACCEPTED IN 0 MS");
    assert!(batches.iter().any(|b| b.body == BatchBody::Raw(b"UP 1".to_vec())));
}
