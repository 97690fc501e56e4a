//! System calls against calls of a known number and length.

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use coldcase_model::events::{SlowSyscall, SyscallSum};

use crate::captured::{capture, only};

/// Calls that were summed and their time, of this process and number.
fn sums(captured: &crate::captured::Captured, number: i64) -> (u64, u64, u64, Vec<u64>) {
    let (mut count, mut total, mut failed, mut lengths) = (0, 0, 0, Vec::new());
    captured.each::<SyscallSum>(|c, rows| {
        for i in (0..rows).filter(|&i| c.pid[i] == std::process::id() && i64::from(c.syscall[i]) == number) {
            count += c.count[i];
            total += c.total[i];
            failed += c.failed[i];
            lengths.push(c.at_least[i]);
            assert!(c.longest[i] >= c.at_least[i], "{} in the bucket from {}", c.longest[i], c.at_least[i]);
        }
    });
    (count, total, failed, lengths)
}

#[test]
fn every_call_is_counted_once_whatever_the_flushes_do_meanwhile() {
    const CALLS: u64 = 400_000;
    let Some((captured, ())) = capture(&only("syscall"), || {
        // On both sides of several flushes, from two threads: calls that nothing else here makes.
        let work = || {
            for _ in 0..CALLS / 2 {
                // SAFETY: takes no pointers, changes nothing.
                unsafe { libc::syscall(libc::SYS_getpgid, 0) };
            }
        };
        std::thread::scope(|s| {
            s.spawn(work);
            s.spawn(work);
        });
        for _ in 0..1000 {
            // SAFETY: likewise; there is no such process.
            unsafe { libc::syscall(libc::SYS_getsid, i32::MAX) };
        }
    }) else {
        return;
    };
    assert!(captured.wrong.is_empty(), "{:?}", captured.wrong);
    let (count, ..) = sums(&captured, libc::SYS_getpgid);
    assert_eq!(count, CALLS);
    let (count, _, failed, _) = sums(&captured, libc::SYS_getsid);
    assert_eq!((count, failed), (1000, 1000));
}

#[test]
fn a_slow_call_is_a_row_with_its_arguments_result_and_stack_and_in_the_bucket_of_its_length() {
    let mut options = only("syscall");
    options.syscall_threshold = 20_000_000;
    let Some((captured, took)) = capture(&options, || {
        [5u64, 40].map(|ms| {
            let began = Instant::now();
            let mut none: [libc::pollfd; 0] = [];
            // SAFETY: no descriptor is passed.
            assert_eq!(unsafe { libc::poll(none.as_mut_ptr(), 0, ms as i32) }, 0);
            began.elapsed()
        })
    }) else {
        return;
    };
    let mut slow = Vec::new();
    captured.each::<SlowSyscall>(|c, rows| {
        for i in (0..rows).filter(|&i| c.pid[i] == std::process::id() && i64::from(c.syscall[i]) == libc::SYS_poll) {
            slow.push((c.duration[i], c.arg1[i], c.arg2[i], c.result[i], c.user_stack.get(i).len()));
        }
    });
    assert_eq!(slow.len(), 1, "{slow:?}");
    let (duration, descriptors, timeout, result, frames) = slow[0];
    assert_eq!((descriptors, timeout, result), (0, 40, 0));
    assert!(frames > 0 && duration >= 39_900_000 && Duration::from_nanos(duration) <= took[1], "{slow:?} in {took:?}");
    let (_, _, _, lengths) = sums(&captured, libc::SYS_poll);
    let holds = |at_least: u64, ns: u64| at_least <= ns && ns < at_least + at_least / 4 + 1;
    assert!(lengths.iter().any(|&l| holds(l, duration)), "{duration} in {lengths:?}");
}

#[test]
fn a_slow_call_names_the_file_it_was_about() {
    let mut options = only("syscall");
    options.syscall_threshold = 0;
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    let (old, new, long) = (root.join("old"), root.join("new"), root.join("x".repeat(250)).join("y".repeat(200)));
    let Some((captured, ())) = capture(&options, || {
        let mut file = std::fs::File::create(&old).unwrap();
        file.write_all(b"one").unwrap();
        file.sync_data().unwrap();
        std::fs::rename(&old, &new).unwrap();
        std::fs::read_link(root.join("absent")).unwrap_err();
        std::fs::remove_file(&long).unwrap_err();
        let (mut reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(b"no file").unwrap();
        reader.read_exact(&mut [0; 7]).unwrap();
        std::fs::remove_file(&new).unwrap();
    }) else {
        return;
    };
    let (mut seen, mut pipes) = (Vec::new(), 0);
    captured.each::<SlowSyscall>(|c, rows| {
        for i in (0..rows).filter(|&i| c.pid[i] == std::process::id()) {
            let (path, to) = (c.path.text(i), c.to.text(i));
            let name = coldcase_model::syscall::name(std::env::consts::ARCH, c.syscall[i]).unwrap_or("?");
            pipes += usize::from(path.is_empty() && name == "write" && c.result[i] == 7);
            if path.starts_with(root.to_str().unwrap()) {
                seen.push((name.to_owned(), path.into_owned(), to.into_owned(), c.flags[i]));
            }
        }
    });
    let text = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    // Bit 3: of a descriptor.
    let whole = |name: &str, path: &std::path::Path, to: &str| {
        let of_descriptor = ["openat", "write", "fdatasync"].contains(&name);
        (name.to_owned(), text(path), to.to_owned(), if of_descriptor { 8 } else { 0 })
    };
    let mut expected = vec![
        // The descriptor's path is the one it had when the call returned.
        whole("openat", &old, ""),
        whole("write", &old, ""),
        whole("fdatasync", &old, ""),
        whole("rename", &old, &text(&new)),
        whole("readlink", &root.join("absent"), ""),
        ("unlink".to_owned(), text(&long)[..255].to_owned(), String::new(), 2),
        whole("unlink", &new, ""),
    ];
    // Files that the test harness works on meanwhile are elsewhere.
    expected.retain(|row| !seen.contains(row));
    assert!(expected.is_empty(), "not there: {expected:?}, seen: {seen:?}");
    assert_eq!(pipes, 1, "a pipe has no path");
}

#[test]
fn the_recorder_is_left_out() {
    let mut options = only("syscall");
    options.leave_out = std::process::id();
    // SAFETY: takes no pointers, changes nothing.
    let work = || (0..100).for_each(|_| _ = unsafe { libc::syscall(libc::SYS_getegid) });
    let Some((captured, ())) = capture(&options, work) else { return };
    assert_eq!(sums(&captured, libc::SYS_getegid).0, 0);
}
