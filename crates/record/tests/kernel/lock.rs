//! Waits for locks inside the kernel, against a lock that is contended on purpose.

use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use coldcase_model::events::LockContention;

use crate::captured::{capture, only, tid};

const MUTEX_OR_SEMAPHORE: u32 = 32 | 16 | 6;

#[test]
fn threads_that_write_one_file_wait_for_its_lock_and_for_nothing_longer_than_they_ran() {
    let file = std::sync::Arc::new(tempfile());
    let Some((captured, (tids, wall))) = capture(&only("lock"), || {
        let began = Instant::now();
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let file = file.clone();
                std::thread::spawn(move || {
                    let block = vec![7; 4 << 20];
                    while began.elapsed() < Duration::from_millis(700) {
                        file.write_all_at(&block, 0).unwrap();
                    }
                    tid()
                })
            })
            .collect();
        (threads.into_iter().map(|t| t.join().unwrap()).collect::<Vec<_>>(), began.elapsed())
    }) else {
        return;
    };
    assert!(captured.wrong.is_empty(), "{:?}", captured.wrong);
    let (mut waits, mut locks) = (0, std::collections::HashMap::<u64, u32>::new());
    captured.each::<LockContention>(|c, rows| {
        for i in (0..rows).filter(|&i| tids.contains(&c.tid[i])) {
            assert!(c.duration[i] >= 100_000 && c.duration[i] <= wall.as_nanos() as u64 + 100_000_000);
            if c.flags[i] & MUTEX_OR_SEMAPHORE != 0 {
                waits += 1;
                *locks.entry(c.lock[i]).or_default() += 1;
                assert!(!c.kernel_stack.get(i).is_empty());
            }
        }
    });
    let most = locks.values().max().copied().unwrap_or(0);
    assert!(waits >= 20 && most * 10 >= waits * 8, "one lock of {} with {most} of {waits} waits", locks.len());
}

fn tempfile() -> std::fs::File {
    let path = std::env::temp_dir().join(format!("coldcase-lock-{}", std::process::id()));
    let file = std::fs::File::create(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    file
}
