//! Other people's MCAP readers and writers are the judges: the mcap crate's, and PyPI's where Python can get it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use coldcase_bundle::{Batch, Bundle, recover, verify};
use coldcase_testkit::bundle;

fn sample() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sample.case");
    bundle::sample(&path, 20_000).unwrap().seal().unwrap();
    (dir, path)
}

fn batches(path: &Path) -> Vec<Batch> {
    let b = Bundle::open(path).unwrap();
    let mut all: Vec<Batch> = b.chunks().iter().flat_map(|c| b.read_chunk(c.index, &|_| true).unwrap()).collect();
    all.sort_by(|a, b| (&a.stream, a.first_row).cmp(&(&b.stream, b.first_row)));
    all
}

/// Messages by topic, and their bytes, as our reader sees them.
fn ours(path: &Path) -> (BTreeMap<String, u64>, BTreeMap<String, u64>) {
    let b = Bundle::open(path).unwrap();
    let mut counts = BTreeMap::new();
    for batch in batches(path) {
        *counts.entry(batch.stream.to_string()).or_insert(0) += 1;
    }
    (counts, b.streams().into_iter().map(|s| (s.name.to_string(), s.bytes)).collect())
}

#[test]
fn the_mcap_crates_readers_count_the_same_messages() {
    let (_dir, path) = sample();
    let bytes = std::fs::read(&path).unwrap();
    let (counts, sizes) = ours(&path);
    let (mut streamed, mut streamed_bytes) = (BTreeMap::new(), BTreeMap::new());
    for message in mcap::MessageStream::new(&bytes).unwrap() {
        let message = message.unwrap();
        *streamed.entry(message.channel.topic.clone()).or_insert(0) += 1;
        *streamed_bytes.entry(message.channel.topic.clone()).or_insert(0) += message.data.len() as u64;
    }
    assert_eq!((&streamed, &streamed_bytes), (&counts, &sizes));
    let summary = mcap::Summary::read(&bytes).unwrap().unwrap();
    let stats = summary.stats.clone().unwrap();
    assert_eq!(stats.message_count, counts.values().sum::<u64>());
    assert_eq!(stats.chunk_count as usize, summary.chunk_indexes.len());
    let mut by_chunk = BTreeMap::new();
    for index in &summary.chunk_indexes {
        let indexes = summary.read_message_indexes(&bytes, index).unwrap();
        let mut indexed: BTreeMap<String, u64> = BTreeMap::new();
        for (channel, entries) in indexes {
            *indexed.entry(channel.topic.clone()).or_default() += entries.len() as u64;
            for entry in entries {
                let found = summary.seek_message(&bytes, index, &entry).unwrap();
                assert_eq!((found.channel.topic.as_str(), found.log_time), (channel.topic.as_str(), entry.log_time));
            }
        }
        for message in summary.stream_chunk(&bytes, index).unwrap() {
            let topic = message.unwrap().channel.topic.clone();
            *indexed.get_mut(&topic).unwrap() -= 1;
            *by_chunk.entry(topic).or_insert(0) += 1;
        }
        assert!(indexed.values().all(|n| *n == 0), "message index and chunk agree");
    }
    assert_eq!(by_chunk, counts);
    let names: Vec<_> = summary.metadata_indexes.iter().map(|m| m.name.as_str()).collect();
    assert_eq!(names, ["coldcase.bundle", "coldcase.docs", "coldcase.manifest"]);
    for index in &summary.metadata_indexes {
        mcap::read::metadata(&bytes, index).unwrap();
    }
}

#[test]
fn the_mcap_crates_linear_reader_sees_only_records_of_the_specification_and_ours() {
    let (_dir, path) = sample();
    let bytes = std::fs::read(&path).unwrap();
    let mut opcodes: BTreeMap<u8, u64> = BTreeMap::new();
    for record in mcap::read::LinearReader::new(&bytes).unwrap() {
        *opcodes.entry(record.unwrap().opcode()).or_default() += 1;
    }
    assert_eq!(opcodes[&6], opcodes[&0x80], "a mark for each chunk");
    assert_eq!((opcodes[&1], opcodes[&2], opcodes[&0x81]), (1, 1, 1));
    assert!(opcodes.keys().all(|o| *o <= 0x0f || *o == 0x80 || *o == 0x81), "{opcodes:?}");
}

/// What a bundle is after a tool has copied it that knows nothing of private records.
fn check_rewritten(original: &Path, copy: &Path) {
    assert_eq!(batches(copy), batches(original));
    let opened = Bundle::open(copy).unwrap();
    assert_eq!(opened.id(), coldcase_testkit::FIXED_ID);
    assert!(opened.manifest().is_some());
    assert!(opened.problems().iter().any(|p| p.what.contains("another tool")), "{:?}", opened.problems());
    let v = verify(copy).unwrap();
    assert!(!v.ok && !v.sealed && v.reasons[0].contains("another tool rewrote"), "{v:?}");
    let back = copy.with_extension("back");
    let recovery = recover(copy, &back, false).unwrap();
    assert_eq!((recovery.chunks_lost, recovery.bytes_lost), (0, 0), "{recovery:?}");
    assert!(verify(&back).unwrap().ok);
    assert_eq!(batches(&back), batches(original));
}

#[test]
fn a_bundle_that_the_mcap_crate_rewrote_can_be_read_and_verify_says_so() {
    let (dir, path) = sample();
    let bytes = std::fs::read(&path).unwrap();
    let copy = dir.path().join("copy.case");
    let mut writer = mcap::WriteOptions::new()
        .profile("coldcase/1")
        .compression(Some(mcap::Compression::Zstd))
        .chunk_size(Some(32 << 10))
        .create(std::io::BufWriter::new(std::fs::File::create(&copy).unwrap()))
        .unwrap();
    for message in mcap::MessageStream::new(&bytes).unwrap() {
        writer.write(&message.unwrap()).unwrap();
    }
    let summary = mcap::Summary::read(&bytes).unwrap().unwrap();
    for index in &summary.metadata_indexes {
        writer.write_metadata(&mcap::read::metadata(&bytes, index).unwrap()).unwrap();
    }
    writer.finish().unwrap();
    check_rewritten(&path, &copy);
}

/// A Python with PyPI's `mcap`: from `target/venv-mcap`, made when there is none.
fn python() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let venv = root.join("target/venv-mcap");
    let python = venv.join("bin/python");
    let has =
        || Command::new(&python).args(["-c", "import mcap, zstandard, lz4"]).output().is_ok_and(|o| o.status.success());
    if has() {
        return Some(python);
    }
    let run = |c: &mut Command| c.output().is_ok_and(|o| o.status.success());
    let made = run(Command::new("python3").args(["-m", "venv"]).arg(&venv))
        && run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "mcap"]));
    if made && has() {
        return Some(python);
    }
    eprintln!("skipped: PyPI's mcap package cannot be installed here (python3, venv and network are needed)");
    None
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/interop").join(name)
}

fn run_python(python: &Path, args: &[&dyn AsRef<std::ffi::OsStr>]) -> Vec<u8> {
    let mut command = Command::new(python);
    args.iter().for_each(|a| {
        command.arg(a.as_ref());
    });
    let out = command.output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    out.stdout
}

#[test]
fn pypis_mcap_reads_and_rewrites_our_bundles() {
    let Some(python) = python() else { return };
    let (dir, path) = sample();
    let (counts, sizes) = ours(&path);
    let told: serde_json::Value =
        serde_json::from_slice(&run_python(&python, &[&script("mcap_count.py"), &path])).unwrap();
    let map = |key: &str| -> BTreeMap<String, u64> { serde_json::from_value(told[key].clone()).unwrap() };
    for way in ["statistics", "indexed", "linear", "records"] {
        assert_eq!(map(way), counts, "{way}");
    }
    assert_eq!(map("bytes"), sizes);
    assert_eq!(told["profile"], "coldcase/1");
    assert_eq!(told["id"], coldcase_testkit::FIXED_ID);
    assert_eq!(told["chunks"][0], told["chunks"][1]);
    for compression in ["zstd", "none"] {
        let copy = dir.path().join(compression);
        run_python(&python, &[&script("mcap_rewrite.py"), &path, &copy, &compression]);
        check_rewritten(&path, &copy);
    }
    let lz4 = dir.path().join("lz4");
    run_python(&python, &[&script("mcap_rewrite.py"), &path, &lz4, &"lz4"]);
    let opened = Bundle::open(&lz4).unwrap();
    assert!(opened.chunks().is_empty() && opened.problems()[0].what.contains("lz4"), "{:?}", opened.problems());
}

/// What a file of the conformance matrix holds; PyPI's mcap was asked too.
#[derive(serde::Deserialize)]
struct Conforming {
    file: String,
    profile: String,
    chunked: bool,
    topics: BTreeMap<String, u64>,
}

#[test]
fn every_file_of_the_conformance_matrix_is_counted_whole_or_refused_in_words() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    run_python(&python, &[&script("mcap_conformance.py"), &dir.path()]);
    let index: Vec<Conforming> =
        serde_json::from_slice(&std::fs::read(dir.path().join("index.json")).unwrap()).unwrap();
    assert!(index.len() > 300, "{}", index.len());
    for case in &index {
        let path = dir.path().join(&case.file);
        if case.profile.is_empty() {
            for told in [Bundle::open(&path).unwrap_err().to_string(), verify(&path).unwrap_err().to_string()] {
                assert!(told.contains("not a bundle of coldcase/1"), "{}: {told}", case.file);
            }
            continue;
        }
        let b = Bundle::open(&path).unwrap();
        assert!(!b.complete() && b.manifest().is_none(), "{}: nobody sealed it", case.file);
        let counts: BTreeMap<String, u64> = b.streams().into_iter().map(|s| (s.name.to_string(), s.events)).collect();
        let outside = b.problems().iter().filter(|p| p.what == "a message outside of a chunk").count() as u64;
        if case.chunked {
            assert_eq!((&counts, outside), (&case.topics, 0), "{}", case.file);
            let (read, _) = ours(&path);
            assert_eq!(read, case.topics, "{}", case.file);
        } else {
            // The profile has all messages in chunks; one elsewhere is told, never left out in silence.
            assert_eq!((counts.len(), outside), (0, case.topics.values().sum()), "{}", case.file);
        }
        assert!(!verify(&path).unwrap().sealed, "{}", case.file);
    }
}

#[test]
fn batches_are_plain_messagepack_of_named_columns() {
    let (_dir, path) = sample();
    let bytes = std::fs::read(&path).unwrap();
    let message = mcap::MessageStream::new(&bytes)
        .unwrap()
        .map(Result::unwrap)
        .find(|m| m.channel.topic == "host.metric")
        .unwrap();
    assert_eq!(message.channel.message_encoding, "msgpack");
    #[derive(serde::Deserialize)]
    struct Any {
        v: u32,
        rows: u64,
        first: u64,
        cols: BTreeMap<String, serde::de::IgnoredAny>,
    }
    let any: Any = rmp_serde::from_slice(&message.data).unwrap();
    assert_eq!((any.v, any.rows, any.first), (1, 6, 0));
    assert!(any.cols.keys().eq(["labels", "name", "time", "value"]));
    let schema: serde_json::Value = serde_json::from_slice(&message.channel.schema.as_ref().unwrap().data).unwrap();
    assert_eq!((schema["kind"].as_u64(), schema["fields"][3]["type"].as_str()), (Some(33), Some("f64")));
}
