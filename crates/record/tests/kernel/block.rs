//! Block I/O by construction: direct writes, writeback, and writes that a cgroup holds back.

use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;

use coldcase_model::events::BlockIo;

use crate::captured::{capture, only, tid};

const THREAD: u32 = 1;
const WRITEBACK: u32 = 3;
const THROTTLED: u32 = 7;

/// A block that may be written directly: aligned.
#[repr(align(4096))]
struct Block([u8; 1 << 16]);

#[test]
fn direct_writes_are_requests_of_this_process_with_their_bytes() {
    const WRITES: usize = 20;
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("direct.bin");
    let dev = std::fs::metadata(path.parent().unwrap()).unwrap().dev();
    if !std::path::Path::new(&format!("/sys/dev/block/{}:{}", libc::major(dev), libc::minor(dev))).exists() {
        eprintln!("skipped: no block device under {}", path.display());
        return;
    }
    let flags = libc::O_DIRECT;
    let file = std::fs::OpenOptions::new().create(true).truncate(true).write(true).custom_flags(flags).open(&path);
    let Ok(mut file) = file else {
        eprintln!("skipped: no direct I/O under {}", path.display());
        return;
    };
    let block = Box::new(Block([7; 1 << 16]));
    let result = capture(&only("block"), || {
        for _ in 0..WRITES {
            file.write_all(&block.0).unwrap();
        }
        file.sync_all().unwrap();
    });
    let _ = std::fs::remove_file(&path);
    let Some((captured, ())) = result else { return };
    let (mut bytes, mut requests) = (0, 0);
    captured.each::<BlockIo>(|c, rows| {
        // Other threads of this process are other tests.
        for i in (0..rows).filter(|&i| c.tid[i] == tid() && c.op[i] & 0xff == 1) {
            bytes += u64::from(c.bytes[i]);
            requests += 1;
            assert!(c.origin[i] == THREAD && c.bios[i] > 0, "origin {} of {} bios", c.origin[i], c.bios[i]);
            assert!(c.duration[i] > 0 && c.queue[i] <= c.duration[i], "{} of {}", c.queue[i], c.duration[i]);
            assert_eq!(c.error[i], 0);
            let disk = format!("/sys/dev/block/{}:{}", c.dev[i] >> 20, c.dev[i] & 0xf_ffff);
            assert!(std::path::Path::new(&disk).exists(), "{disk}");
        }
    });
    let written = (WRITES << 16) as u64;
    // The file system writes its journal besides, some of it in our name.
    assert!(bytes >= written && bytes < written * 2, "{bytes} bytes in {requests} requests");
}

#[test]
fn dirty_pages_are_written_back_by_the_flusher_and_told_apart() {
    const SIZE: usize = 4 << 20;
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("dirty.bin");
    let mut file = std::fs::File::create(&path).unwrap();
    let result = capture(&only("block"), || {
        file.write_all(&vec![9; SIZE]).unwrap();
        // The flusher of the device writes what is dirty; an fsync would write in our own name.
        rustix::fs::syncfs(&file).unwrap();
    });
    let _ = std::fs::remove_file(&path);
    let Some((captured, ())) = result else { return };
    let (mut back, mut other) = (0, 0);
    captured.each::<BlockIo>(|c, rows| {
        for i in (0..rows).filter(|&i| c.op[i] & 0xff == 1) {
            if c.origin[i] == WRITEBACK {
                back += u64::from(c.bytes[i]);
                let work = c.work.text(i);
                assert!(work.is_empty() || work.starts_with("flush-"), "{work}");
            } else if c.pid[i] == std::process::id() {
                other += u64::from(c.bytes[i]);
            }
        }
    });
    if back == 0 && !std::path::Path::new("/sys/block/vda").exists() {
        eprintln!("skipped: {} is not on a block device", path.display());
        return;
    }
    assert!(back >= SIZE as u64 && other < back, "{back} bytes written back, {other} in our name");
}

#[test]
fn writes_that_blkio_throttling_held_back_say_so_and_whose_they_are() {
    const WRITES: usize = 6;
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("throttled.bin");
    let group = PathBuf::from(format!("/sys/fs/cgroup/blkio/coldcase-test-{}", std::process::id()));
    let dev = std::fs::metadata(path.parent().unwrap()).unwrap().dev();
    if !group.parent().unwrap().join("blkio.throttle.write_bps_device").exists() {
        eprintln!("skipped: no blkio throttling (cgroup v1)");
        return;
    }
    std::fs::create_dir(&group).unwrap();
    let id = std::fs::metadata(&group).unwrap().ino();
    let limit = format!("{}:{} 262144", libc::major(dev), libc::minor(dev));
    if let Err(e) = std::fs::write(group.join("blkio.throttle.write_bps_device"), limit) {
        let _ = std::fs::remove_dir(&group);
        eprintln!("skipped: no limit on the device under {} ({e})", path.display());
        return;
    }
    let write = format!(
        "echo $$ > {}/tasks && exec dd if=/dev/zero of={} bs=64k count={WRITES} oflag=direct status=none",
        group.display(),
        path.display()
    );
    let result = capture(&only("block"), || {
        assert!(std::process::Command::new("sh").args(["-c", &write]).status().unwrap().success());
    });
    let _ = std::fs::remove_file(&path);
    // The kernel lets go of a cgroup a little after its last process.
    let gone = (0..50).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(20));
        std::fs::remove_dir(&group).is_ok()
    });
    assert!(gone, "{} stays", group.display());
    let Some((captured, ())) = result else { return };
    let mut held = 0;
    captured.each::<BlockIo>(|c, rows| {
        for i in (0..rows).filter(|&i| c.owner_cgroup[i] == id && c.op[i] & 0xff == 1 && c.bytes[i] == 1 << 16) {
            held += usize::from(c.origin[i] == THROTTLED && c.work.get(i) == b"kthrotld");
        }
    });
    // What the budget of the time before still covers goes at once.
    assert!((WRITES - 2..=WRITES).contains(&held), "{held} of {WRITES}");
}
