//! Damaged, cut and hostile files: never a panic, never more lost than was touched, and every change is noticed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use coldcase_bundle::{BatchBody, Bundle, OpenError, Verification, recover, verify};
use coldcase_testkit::corrupt::{self, Rng};
use coldcase_testkit::{bundle, rows};

struct Dir(tempfile::TempDir);

impl Dir {
    fn new() -> Dir {
        Dir(tempfile::tempdir().unwrap())
    }

    fn put(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn small(&self) -> (PathBuf, Vec<u8>) {
        let path = self.0.path().join("small.case");
        bundle::small(&path).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        (path, bytes)
    }
}

/// Rows by stream that can be read, and how many chunks could not.
fn readable(path: &Path) -> Result<(BTreeMap<String, u64>, usize), OpenError> {
    let bundle = Bundle::open(path)?;
    let (mut sums, mut bad) = (BTreeMap::new(), 0);
    for chunk in bundle.chunks() {
        match bundle.read_chunk(chunk.index, &|_| true) {
            Err(_) => bad += 1,
            Ok(batches) => {
                for b in batches {
                    *sums.entry(b.stream.to_string()).or_insert(0) += match &b.body {
                        BatchBody::Columns(c) => c.len() as u64,
                        BatchBody::Raw(_) => 1,
                    };
                }
            }
        }
    }
    let _ = bundle.streams();
    Ok((sums, bad))
}

fn env(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

#[test]
fn a_bundle_cut_at_any_byte_gives_every_whole_chunk_before_the_cut() {
    let dir = Dir::new();
    let (path, bytes) = dir.small();
    let whole = Bundle::open(&path).unwrap();
    let ends: Vec<u64> = whole.chunks().iter().map(|c| c.offset + c.bytes).collect();
    let cut = dir.put("cut.case", &bytes);
    let file = std::fs::OpenOptions::new().write(true).open(&cut).unwrap();
    let mut read = usize::MAX;
    for length in (0..bytes.len() as u64).rev() {
        file.set_len(length).unwrap();
        let expected = ends.iter().filter(|e| **e <= length).count();
        let b = match Bundle::open(&cut) {
            Ok(b) => b,
            Err(e) => {
                assert!(expected == 0 && !e.to_string().contains('\n'), "cut at {length}: {e}");
                continue;
            }
        };
        assert!(b.chunks().len() == expected && !b.complete(), "cut at {length}");
        if expected != read {
            read = expected;
            for (a, c) in b.chunks().iter().zip(whole.chunks()) {
                assert_eq!((a.offset, a.bytes), (c.offset, c.bytes));
                b.read_chunk(a.index, &|_| true).unwrap();
            }
        }
        let v = verify(&cut).unwrap();
        assert!(!v.sealed && !v.reasons.is_empty(), "cut at {length}: {v:?}");
        // Behind the last chunk stand manifest and seal: from there on it is known that something was there.
        assert!(v.ok || ends.iter().all(|e| *e < length), "cut at {length}: {v:?}");
    }
}

#[test]
fn verify_notices_a_change_of_every_byte_and_names_it() {
    use std::os::unix::fs::FileExt;
    let dir = Dir::new();
    let (path, bytes) = dir.small();
    let good = verify(&path).unwrap();
    assert_eq!((good.ok, good.sealed, good.first_bad, good.reasons.len()), (true, true, None, 0));
    let flipped = dir.put("flip.case", &bytes);
    let file = std::fs::OpenOptions::new().write(true).open(&flipped).unwrap();
    for (at, byte) in bytes.iter().enumerate() {
        file.write_all_at(&[byte ^ 1 << (at % 8)], at as u64).unwrap();
        match verify(&flipped) {
            // The magic and the header: it is then no bundle at all.
            Err(_) => assert!(at < 64, "byte {at}"),
            Ok(v) => {
                assert!(!v.ok, "byte {at} of {}: {v:?}", bytes.len());
                let first = v.first_bad.clone().unwrap();
                assert!(first.start <= at as u64, "byte {at}: {v:?}");
            }
        }
        file.write_all_at(&[*byte], at as u64).unwrap();
    }
    assert_eq!(verify(&flipped).unwrap(), verify(&path).unwrap());
}

#[test]
fn verify_notices_bytes_added_at_the_end_and_chunks_removed_or_exchanged() {
    let dir = Dir::new();
    let (path, bytes) = dir.small();
    let mut longer = bytes.clone();
    longer.push(0);
    let bad = |v: Verification| !v.ok && v.first_bad.is_some();
    assert!(bad(verify(&dir.put("a.case", &longer)).unwrap()));
    let b = Bundle::open(&path).unwrap();
    // A whole segment, from one mark to the next.
    let (first, second) = (b.chunks()[1].offset as usize, b.chunks()[2].offset as usize);
    assert!(bad(verify(&dir.put("b.case", &corrupt::cut_out(&bytes, first, second - first))).unwrap()));
    let third = b.chunks()[3].offset as usize;
    let mut exchanged = bytes[..first].to_vec();
    exchanged.extend_from_slice(&bytes[second..third]);
    exchanged.extend_from_slice(&bytes[first..second]);
    exchanged.extend_from_slice(&bytes[third..]);
    assert!(bad(verify(&dir.put("c.case", &exchanged)).unwrap()));
}

#[test]
fn one_changed_byte_costs_at_most_the_chunk_it_stands_in() {
    let dir = Dir::new();
    let (path, bytes) = dir.small();
    let whole = Bundle::open(&path).unwrap();
    let mut changed = bytes.clone();
    for at in (64..bytes.len()).step_by(3) {
        corrupt::flip(&mut changed, at, (at / 3) as u8);
        let flipped = dir.put("flip.case", &changed);
        let opened = Bundle::open(&flipped).unwrap();
        let good = opened.chunks().iter().filter(|c| opened.read_chunk(c.index, &|_| true).is_ok()).count();
        assert!(good + 1 >= whole.chunks().len(), "byte {at}: {good} of {}", whole.chunks().len());
        changed[at] = bytes[at];
    }
}

#[test]
fn random_damage_never_panics_and_recover_gives_a_whole_bundle() {
    let dir = Dir::new();
    let (path, bytes) = dir.small();
    drop(path);
    let rounds = env("COLDCASE_FLIPS", 1_500);
    let mut rng = Rng(env("COLDCASE_SEED", 11));
    for round in 0..rounds {
        let mut changed = bytes.clone();
        let count = 1 + rng.below(8) as usize;
        match round % 4 {
            0 => {
                let at = rng.below(bytes.len() as u64) as usize;
                changed = corrupt::cut_out(&bytes, at, count * 50);
            }
            1 => {
                let length = rng.below(bytes.len() as u64) as usize;
                changed.truncate(length);
                if !changed.is_empty() {
                    corrupt::flip_random(&mut changed, &mut rng, 1);
                }
            }
            _ => corrupt::flip_random(&mut changed, &mut rng, count),
        }
        let damaged = dir.put("damaged.case", &changed);
        let Ok((rows, _)) = readable(&damaged) else { continue };
        if changed != bytes {
            assert!(verify(&damaged).is_ok_and(|v| !(v.ok && v.sealed)), "round {round}");
        }
        let to = dir.0.path().join("recovered.case");
        let recovery = recover(&damaged, &to, true).unwrap_or_else(|e| panic!("round {round}: {e}"));
        let v = verify(&to).unwrap();
        assert!(v.ok && v.sealed, "round {round}: {v:?}");
        let (mut after, bad) = readable(&to).unwrap();
        assert_eq!(bad, 0);
        // Its own additions to the loss ledger apart, exactly what could be read is there.
        assert_eq!(recovery.rows, rows, "round {round}");
        if !recovery.complete() {
            assert!(after.remove("recorder.loss").is_some(), "round {round}: {recovery:?}");
        }
        assert_eq!(after, rows, "round {round}");
    }
}

#[test]
fn recover_keeps_row_numbers_and_counts_what_is_missing() {
    let dir = Dir::new();
    let (path, bytes) = dir.small();
    let whole = Bundle::open(&path).unwrap();
    let second = whole
        .chunks()
        .iter()
        .filter(|c| c.streams.iter().any(|s| &*s.stream == "kernel.offcpu"))
        .nth(1)
        .unwrap()
        .clone();
    let mut changed = bytes.clone();
    let at = (second.offset + second.bytes / 2) as usize;
    changed[at..at + 16].fill(0xee);
    let damaged = dir.put("damaged.case", &changed);
    let to = dir.0.path().join("recovered.case");
    let recovery = recover(&damaged, &to, false).unwrap();
    assert_eq!((recovery.chunks_lost, recovery.bytes_lost), (1, second.bytes));
    assert_eq!(recovery.rows_lost, BTreeMap::from([("kernel.offcpu".to_owned(), 40)]));
    let opened = Bundle::open(&to).unwrap();
    let manifest = opened.manifest().unwrap();
    assert_eq!(manifest.parent.as_deref(), Some(coldcase_testkit::FIXED_ID));
    assert_ne!(manifest.id, coldcase_testkit::FIXED_ID);
    let lost = manifest.losses.iter().find(|l| l.source == "kernel.offcpu").unwrap();
    assert_eq!((lost.reason.as_str(), lost.count, lost.class.as_str()), ("unreadable", 40, "sched"));
    let firsts: Vec<u64> = opened
        .chunks()
        .iter()
        .flat_map(|c| opened.read_chunk(c.index, &|s| s == "kernel.offcpu").unwrap())
        .map(|b| b.first_row)
        .collect();
    assert_eq!(firsts, [0, 80]);
    assert!(matches!(
        recover(&damaged, &to, false),
        Err(coldcase_bundle::RecoverError::Write(coldcase_bundle::WriteError::Exists { .. }))
    ));
    assert!(matches!(recover(&damaged, &damaged, true), Err(coldcase_bundle::RecoverError::SameFile { .. })));
}

#[test]
fn recovering_a_whole_bundle_loses_nothing_and_an_unsealed_one_gets_a_manifest() {
    let dir = Dir::new();
    let (path, _) = dir.small();
    let to = dir.0.path().join("copy.case");
    let recovery = recover(&path, &to, false).unwrap();
    assert!(recovery.complete(), "{recovery:?}");
    assert_eq!(readable(&to).unwrap(), readable(&path).unwrap());
    let unsealed = dir.0.path().join("unsealed.case");
    drop(bundle::sample(&unsealed, 40).unwrap());
    let recovery = recover(&unsealed, &to, true).unwrap();
    assert!(recovery.complete(), "{recovery:?}");
    assert_eq!(Bundle::open(&to).unwrap().manifest().unwrap().ended, "not sealed");
    assert_eq!(readable(&to).unwrap(), readable(&path).unwrap());
}

#[test]
fn what_is_no_bundle_gets_one_clear_line() {
    let dir = Dir::new();
    let line = |name: &str, bytes: &[u8]| {
        let e = Bundle::open(&dir.put(name, bytes)).unwrap_err().to_string();
        assert!(!e.contains('\n') && e.contains(name), "{e}");
        e
    };
    assert!(line("empty.case", b"").contains("empty"));
    assert!(line("text.case", b"hello, I am a text file, much longer than the magic").contains("not a bundle"));
    assert!(line("gzip.case", b"\x1f\x8b\x08\x00").contains("not a bundle"));
    let header = |profile: &str| {
        let mut bytes = mcap::MAGIC.to_vec();
        bytes.push(1);
        bytes.extend_from_slice(&(8 + profile.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&(profile.len() as u32).to_le_bytes());
        bytes.extend_from_slice(profile.as_bytes());
        bytes.extend_from_slice(&0u32.to_le_bytes());
        bytes
    };
    assert!(line("ros.case", &header("ros2")).contains("\"ros2\""));
    assert!(line("future.case", &header("coldcase/2")).contains("coldcase/2"));
    assert!(line("cut.case", &header("coldcase/1")[..12]).contains("damaged"));
    let nothing = Bundle::open(&dir.put("start.case", &header("coldcase/1"))).unwrap();
    assert_eq!((nothing.chunks().len(), nothing.complete(), nothing.id()), (0, false, ""));
    assert!(Bundle::open(&dir.0.path().join("absent.case")).unwrap_err().to_string().contains("absent.case"));
    assert!(Bundle::open(dir.0.path()).is_err());
}

/// A chunk record around `data`, as a stranger would forge it.
fn forged_chunk(claimed: u64, data: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend_from_slice(&[0; 16]);
    body.extend_from_slice(&claimed.to_le_bytes());
    body.extend_from_slice(&0u32.to_le_bytes());
    body.extend_from_slice(&4u32.to_le_bytes());
    body.extend_from_slice(b"zstd");
    body.extend_from_slice(&(data.len() as u64).to_le_bytes());
    body.extend_from_slice(data);
    let mut record = vec![6];
    record.extend_from_slice(&(body.len() as u64).to_le_bytes());
    record.extend_from_slice(&body);
    record
}

/// The peak of this process's resident memory in KiB, where /proc tells.
fn peak_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?.trim().trim_end_matches(" kB").parse().ok()
}

#[test]
fn bombs_and_absurd_lengths_are_refused_within_bounded_memory() {
    let dir = Dir::new();
    let (_, bytes) = dir.small();
    let start = Bundle::open(&dir.put("a.case", &bytes)).unwrap().chunks()[0].offset as usize;
    let head = &bytes[..start];
    let before = peak_kib();
    // 4 GiB of zeros, honestly and dishonestly labelled.
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), 3).unwrap();
    std::io::copy(&mut std::io::Read::take(std::io::repeat(0), 4 << 30), &mut encoder).unwrap();
    let bomb = encoder.finish().unwrap();
    for claimed in [4 << 30, u64::MAX, 1000, 64 << 20] {
        let mut file = head.to_vec();
        file.extend_from_slice(&forged_chunk(claimed, &bomb));
        let path = dir.put("bomb.case", &file);
        let opened = Bundle::open(&path).unwrap();
        assert_eq!(opened.chunks().len(), 0, "claimed {claimed}");
        assert!(!opened.problems().is_empty());
    }
    // Records that claim more than the file, or than there is memory.
    for length in [u64::MAX, u64::MAX - 8, 1 << 40, bytes.len() as u64] {
        for opcode in [1, 2, 3, 4, 6, 7, 9, 0x0c, 0x0f, 0x80, 0x81, 0xff, 0] {
            let mut file = head.to_vec();
            file.push(opcode);
            file.extend_from_slice(&length.to_le_bytes());
            file.extend_from_slice(&[0xff; 300]);
            let path = dir.put("absurd.case", &file);
            let opened = Bundle::open(&path).unwrap();
            assert_eq!(opened.chunks().len(), 0);
            assert!(!opened.problems().is_empty());
            verify(&path).unwrap();
        }
    }
    if let (Some(before), Some(after)) = (before, peak_kib()) {
        assert!(after - before < 400 << 10, "took {} MiB", (after - before) >> 10);
    }
}

#[test]
fn a_file_full_of_false_markers_is_read_in_time() {
    let dir = Dir::new();
    let (_, bytes) = dir.small();
    let start = Bundle::open(&dir.put("a.case", &bytes)).unwrap().chunks()[0].offset as usize;
    let mut file = bytes[..start].to_vec();
    file.push(0xfe);
    let mut marker = vec![0x80];
    marker.extend_from_slice(&(60u64 << 20).to_le_bytes());
    marker.extend_from_slice(b"\xc4\x89coldcase\x1a\x9e\x53\xf7\r\n");
    while file.len() < 100 << 20 {
        file.extend_from_slice(&marker);
    }
    let path = dir.put("markers.case", &file);
    let begun = std::time::Instant::now();
    assert!(Bundle::open(&path).unwrap().chunks().is_empty());
    verify(&path).unwrap();
    assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
}

#[test]
fn hostile_batches_inside_a_valid_chunk_are_refused() {
    use coldcase_bundle::internals;
    let good = internals::encode_batch("log.lines", 0, &rows::log_lines(50, 0), &coldcase_bundle::Identity).unwrap();
    internals::decode(&good).unwrap();
    let mut rng = Rng(5);
    for _ in 0..env("COLDCASE_FLIPS", 1_500) * 4 {
        let mut bad = good.clone();
        let count = 1 + rng.below(4) as usize;
        corrupt::flip_random(&mut bad, &mut rng, count);
        if let Ok((_, columns)) = internals::decode(&bad) {
            // Whatever is accepted is consistent.
            for c in &columns.columns {
                assert_eq!(c.len(), columns.len());
                if let coldcase_model::Column::Text(t) = c {
                    assert!(t.ids.iter().all(|id| (*id as usize) < t.entries.len()));
                }
            }
        }
    }
    for length in 0..good.len() {
        assert!(internals::decode(&good[..length]).is_err());
    }
}
