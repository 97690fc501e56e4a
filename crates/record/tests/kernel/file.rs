//! Syncs of files whose path and number the test knows.

use std::io::Write;
use std::path::PathBuf;

use coldcase_model::events::{FileCall, Writeback};

use crate::captured::{capture, only};

/// A folder on a file system that tells of its syncs, deep enough to be worth walking.
fn folder(name: &str) -> Option<PathBuf> {
    let below = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).canonicalize().unwrap();
    let kind = Command::new("stat").args(["-f", "-c", "%T"]).arg(&below).output().unwrap();
    if !String::from_utf8_lossy(&kind.stdout).starts_with("ext") {
        eprintln!("skipped: {} is not on ext4", below.display());
        return None;
    }
    let folder = below.join(name).join("with a space");
    std::fs::create_dir_all(&folder).unwrap();
    Some(folder)
}

use std::process::Command;

#[test]
fn each_fsync_is_a_row_with_path_size_and_duration() {
    const SYNCS: u64 = 9;
    let Some(folder) = folder("synced") else { return };
    let path = folder.join("journal.log");
    let mut options = only("file");
    options.file_threshold = 0;
    let result = capture(&options, || {
        let mut file = std::fs::File::create(&path).unwrap();
        let mut took = 0;
        for n in 0..SYNCS {
            file.write_all(&[n as u8; 5000]).unwrap();
            let began = std::time::Instant::now();
            if n % 3 == 2 {
                file.sync_data().unwrap()
            } else {
                file.sync_all().unwrap()
            }
            took += began.elapsed().as_nanos() as u64;
        }
        drop(file);
        std::fs::remove_file(&path).unwrap();
        took
    });
    let _ = std::fs::remove_dir_all(folder.parent().unwrap());
    let Some((captured, took)) = result else { return };
    let (mut calls, mut sum, mut sizes, mut removed) = ([0; 3], 0, Vec::new(), 0);
    captured.each::<FileCall>(|c, rows| {
        for i in (0..rows).filter(|&i| c.pid[i] == std::process::id() && c.tid[i] == crate::captured::tid()) {
            if c.what[i] == 3 {
                let end = c.path.text(i).ends_with("/synced/with a space/journal.log");
                removed += usize::from(end && c.result[i] == 0);
                continue;
            }
            assert_eq!(c.path.text(i), path.to_string_lossy());
            assert_eq!((c.result[i], c.flags[i]), (0, 0));
            calls[c.what[i] as usize] += 1;
            sum += c.duration[i];
            sizes.push(c.size[i]);
        }
    });
    assert_eq!((calls[1], calls[2], removed), (6, 3, 1));
    sizes.sort();
    assert_eq!(sizes, (1..=SYNCS).map(|n| n * 5000).collect::<Vec<_>>());
    assert!(sum > took / 2 && sum <= took, "{sum} ns of {took} ns in the calls");
}

#[test]
fn short_calls_are_not_told_and_a_deep_path_keeps_its_end() {
    let Some(folder) = folder("deep") else { return };
    let deep = (0..30).fold(folder.clone(), |f, n| f.join(format!("level-{n}")));
    std::fs::create_dir_all(&deep).unwrap();
    let sync = |threshold: u64| {
        let mut options = only("file");
        options.file_threshold = threshold;
        capture(&options, || {
            let mut file = std::fs::File::create(deep.join("leaf")).unwrap();
            file.write_all(b"x").unwrap();
            file.sync_all().unwrap();
        })
    };
    let results = (sync(u64::MAX), sync(0));
    let _ = std::fs::remove_dir_all(folder.parent().unwrap());
    let (Some((none, ())), Some((one, ()))) = results else { return };
    let mine = |captured: &crate::captured::Captured| {
        let mut paths = Vec::new();
        captured.each::<FileCall>(|c, rows| {
            for i in (0..rows).filter(|&i| c.tid[i] == crate::captured::tid() && c.what[i] == 1) {
                paths.push((c.path.text(i).into_owned(), c.flags[i]));
            }
        });
        paths
    };
    assert!(mine(&none).is_empty());
    let paths = mine(&one);
    assert_eq!(paths.len(), 1, "{paths:?}");
    assert!(paths[0].0.ends_with("/level-28/level-29/leaf") && paths[0].0.len() <= 256, "{paths:?}");
    assert_eq!(paths[0].1 & 2, 2, "its beginning is cut off");
}

#[test]
fn dirty_pages_that_are_written_back_are_counted() {
    const SIZE: usize = 8 << 20;
    let Some(folder) = folder("dirty") else { return };
    let result = capture(&only("file"), || {
        let mut file = std::fs::File::create(folder.join("dirty.bin")).unwrap();
        file.write_all(&vec![7; SIZE]).unwrap();
        rustix::fs::syncfs(&file).unwrap();
    });
    let _ = std::fs::remove_dir_all(folder.parent().unwrap());
    let Some((captured, ())) = result else { return };
    let (mut pages, mut commits) = (0, 0);
    captured.each::<Writeback>(|c, rows| {
        for i in 0..rows {
            pages += if c.what[i] == 1 { c.pages[i] } else { 0 };
            commits += u64::from(c.what[i] == 3);
            assert!(c.what[i] == 2 || c.duration[i] > 0);
        }
    });
    assert!(pages >= (SIZE / 4096) as u64, "{pages} pages");
    let journal = std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .any(|e| std::fs::read_to_string(e.path().join("comm")).is_ok_and(|comm| comm.starts_with("jbd2/")));
    match journal {
        true => assert!(commits > 0, "syncfs commits the journal"),
        false => eprintln!("skipped: journal commits: no file system here has a journal"),
    }
}
