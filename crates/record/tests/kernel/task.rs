//! Fork, exec, exit and rename of a process that the test starts.

use std::process::Command;

use coldcase_model::events::Task;

use crate::captured::{capture, only};

#[test]
fn the_life_of_a_process_is_fork_exec_rename_and_exit_with_its_code() {
    let Some((captured, pid)) = capture(&only("task"), || {
        let mut child = Command::new("sh").args(["-c", "printf renamed > /proc/$$/comm; exit 7"]).spawn().unwrap();
        let pid = child.id();
        assert_eq!(child.wait().unwrap().code(), Some(7));
        pid
    }) else {
        return;
    };
    let mut life = Vec::new();
    captured.each::<Task>(|c, rows| {
        for i in (0..rows).filter(|&i| c.pid[i] == pid) {
            life.push((c.time[i], c.what[i], c.comm.text(i).into_owned(), c.exit_code[i], c.ppid[i], c.started[i]));
        }
    });
    life.sort();
    let find = |what: u32| life.iter().find(|l| l.1 == what).unwrap_or_else(|| panic!("no {what} in {life:#?}"));
    let (fork, exec, exit) = (find(1), find(2), find(3));
    assert!(fork.0 < exec.0 && exec.0 < exit.0);
    assert_eq!((fork.4, exec.2.as_str(), exit.3), (std::process::id(), "sh", 7 << 8));
    assert!(life.iter().any(|l| l.1 == 4 && l.2 == "renamed"), "{life:#?}");
    assert!(life.iter().all(|l| l.5 == fork.5 && l.5 <= fork.0), "one start time: {life:#?}");
}
