//! Memory by construction: faults on a file that is not cached, and a process that outgrows its cgroup.

use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use coldcase_model::events::{MajorFault, OomKill, Reclaim};

use crate::captured::{capture, only};

/// Major faults of this thread so far: field 12 of its stat.
fn majflt() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
    let rest = &stat[stat.rfind(')').unwrap() + 2..];
    rest.split(' ').nth(9).unwrap().parse().unwrap()
}

#[test]
fn major_faults_are_as_many_as_the_kernel_counts_for_the_thread() {
    const PAGES: usize = 64;
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("mapped.bin");
    let file = std::fs::File::create_new(&path).or_else(|_| std::fs::File::create(&path)).unwrap();
    (&file).write_all(&vec![3; PAGES * 1024 * 1024 / 16]).unwrap();
    file.sync_all().unwrap();
    let file = std::fs::File::open(&path).unwrap();
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    let length = file.metadata().unwrap().len() as usize;
    // SAFETY: a new mapping of a file that nobody changes.
    let map = unsafe {
        rustix::mm::mmap(
            std::ptr::null_mut(),
            length,
            rustix::mm::ProtFlags::READ,
            rustix::mm::MapFlags::PRIVATE,
            &file,
            0,
        )
    }
    .unwrap() as *const u8;
    // No readahead: each page is a fault of its own.
    // SAFETY: the whole mapping.
    unsafe { rustix::mm::madvise(map as *mut _, length, rustix::mm::Advice::Random) }.unwrap();
    let result = capture(&only("memory"), || {
        let before = majflt();
        let step = length / PAGES;
        // SAFETY: inside the mapping.
        let sum: u64 = (0..PAGES).map(|n| u64::from(unsafe { map.add(n * step).read_volatile() })).sum();
        assert_eq!(sum, 3 * PAGES as u64);
        majflt() - before
    });
    // SAFETY: the mapping made above; nothing points into it any more.
    unsafe { rustix::mm::munmap(map as *mut _, length) }.unwrap();
    let _ = std::fs::remove_file(&path);
    let Some((captured, counted)) = result else { return };
    if counted == 0 {
        eprintln!("skipped: pages of {} cannot be dropped from the cache", path.display());
        return;
    }
    let (mut inside, mut all) = (0, 0);
    captured.each::<MajorFault>(|c, rows| {
        for i in (0..rows).filter(|&i| c.tid[i] == crate::captured::tid()) {
            all += 1;
            let address = c.address[i];
            inside += usize::from(address >= map as u64 && address < map as u64 + length as u64);
            assert!(!c.user_stack.get(i).is_empty());
        }
    });
    assert!(inside >= PAGES / 2, "{inside} faults in the mapping");
    // The thread may fault on something else before and after the counter is read.
    assert!(all >= counted && all <= counted + 20, "{all} against {counted}");
}

#[test]
fn a_process_that_outgrows_its_cgroup_is_named_as_the_victim() {
    let group = PathBuf::from(format!("/sys/fs/cgroup/memory/coldcase-test-{}", std::process::id()));
    if !group.parent().unwrap().join("memory.limit_in_bytes").exists() {
        eprintln!("skipped: no memory limits (cgroup v1)");
        return;
    }
    std::fs::create_dir(&group).unwrap();
    use std::os::unix::fs::MetadataExt;
    let id = std::fs::metadata(&group).unwrap().ino();
    std::fs::write(group.join("memory.limit_in_bytes"), (24 << 20).to_string()).unwrap();
    let script = format!("echo $$ > {}/tasks && exec dd if=/dev/zero of=/dev/null bs=200M count=1", group.display());
    let result = capture(&only("memory"), || {
        let mut child = Command::new("sh").args(["-c", &script]).stdout(std::process::Stdio::null()).spawn().unwrap();
        let status = child.wait().unwrap();
        (child.id(), status)
    });
    let count = std::fs::read_to_string(group.join("memory.oom_control")).unwrap_or_default();
    let gone = (0..50).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(20));
        std::fs::remove_dir(&group).is_ok()
    });
    assert!(gone, "{} stays", group.display());
    let Some((captured, (pid, status))) = result else { return };
    use std::os::unix::process::ExitStatusExt;
    assert_eq!(status.signal(), Some(libc::SIGKILL));
    let mut kills = Vec::new();
    captured.each::<OomKill>(|c, rows| {
        for i in (0..rows).filter(|&i| c.pid[i] == pid) {
            kills.push((c.cgroup[i], c.comm.text(i).into_owned(), c.by_pid[i]));
        }
    });
    // Before 6.8 the kernel told the pid alone.
    let known = kills == [(id, "dd".to_owned(), pid)];
    assert!(known || kills == [(0, String::new(), pid)], "{kills:?}");
    assert!(count.contains("oom_kill 1"), "{count}");
    let mut reclaims = 0;
    captured.each::<Reclaim>(|c, rows| {
        for i in (0..rows).filter(|&i| c.pid[i] == pid && c.what[i] == 2) {
            reclaims += 1;
            assert!(c.duration[i] > 0);
        }
    });
    assert!(reclaims > 0, "the cgroup was emptied before the kill");
}
