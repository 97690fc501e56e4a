//! Block I/O of a direct write, against the device's own counter.

use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;

use coldcase_model::events::BlockIo;

use crate::captured::{capture, only};

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
        for i in (0..rows).filter(|&i| c.pid[i] == std::process::id() && c.op[i] & 0xff == 1) {
            bytes += u64::from(c.bytes[i]);
            requests += 1;
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
