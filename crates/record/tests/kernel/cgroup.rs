//! The CPU controller's cgroup of a thread, before and after it is moved.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use coldcase_model::events::ThreadCgroup;

use crate::captured::{capture, only, tid};

#[test]
fn a_thread_is_told_in_the_cgroup_it_is_in_and_again_when_it_is_moved() {
    let root = Path::new("/sys/fs/cgroup/cpu");
    let made = ["a", "b"].map(|n| root.join(format!("coldcase-kernel-test-{}-{n}", std::process::id())));
    if !root.join("cpu.shares").exists() || made.iter().any(|folder| std::fs::create_dir(folder).is_err()) {
        eprintln!("skipped: no v1 CPU controller in which a cgroup can be made");
        return;
    }
    let ids = made.each_ref().map(|folder| std::fs::metadata(folder).unwrap().ino());
    let captured = {
        let made = made.clone();
        // A thread of its own: it goes with its cgroups.
        std::thread::spawn(move || {
            let move_to = |folder: &Path| std::fs::write(folder.join("tasks"), tid().to_string()).unwrap();
            move_to(&made[0]);
            let captured = capture(&only("sched"), || {
                std::thread::sleep(Duration::from_millis(5));
                move_to(&made[1]);
                std::thread::sleep(Duration::from_millis(5));
                move_to(root);
                std::thread::sleep(Duration::from_millis(5));
                tid()
            });
            move_to(root);
            captured
        })
        .join()
        .unwrap()
    };
    made.iter().for_each(|folder| std::fs::remove_dir(folder).unwrap());
    let Some((captured, thread)) = captured else { return };
    let mut seen = Vec::new();
    captured.each::<ThreadCgroup>(|c, rows| {
        seen.extend((0..rows).filter(|&i| c.tid[i] == thread).map(|i| (c.time[i], c.cgroup[i])));
    });
    seen.sort_unstable();
    assert_eq!(seen.iter().map(|s| s.1).collect::<Vec<_>>(), [ids[0], ids[1], 1]);
}
