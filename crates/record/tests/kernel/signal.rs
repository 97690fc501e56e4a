//! Signals by construction: each kill that the test makes is a row, and a flood is counted.

use std::process::{Command, Stdio};

use coldcase_model::events::{Signal, Task};

use crate::captured::{capture, only};

const SENT: u32 = 1;
const TAKEN: u32 = 2;

fn kill(pid: u32, signal: i32) {
    // SAFETY: a signal to a child of ours that was not waited for.
    assert_eq!(unsafe { libc::kill(pid as i32, signal) }, 0);
}

#[test]
fn stops_and_continues_are_rows_with_sender_and_target() {
    const TIMES: usize = 7;
    let Some((captured, pid)) = capture(&only("signal"), || {
        let mut child = Command::new("sleep").arg("30").spawn().unwrap();
        for _ in 0..TIMES {
            kill(child.id(), libc::SIGSTOP);
            kill(child.id(), libc::SIGCONT);
        }
        kill(child.id(), libc::SIGKILL);
        child.wait().unwrap();
        child.id()
    }) else {
        return;
    };
    let count = |what: u32, signal: i32| {
        let mut n = 0;
        captured.each::<Signal>(|c, rows| {
            for i in (0..rows).filter(|&i| c.pid[i] == pid && c.what[i] == what && c.signal[i] == signal as u32) {
                n += 1;
                let sender = if what == SENT { std::process::id() } else { 0 };
                assert_eq!((c.tid[i], c.sender_pid[i], c.code[i]), (pid, sender, 0), "{signal}");
                assert_eq!(c.flags[i] & 1, u32::from(what == SENT), "to the whole process");
            }
        });
        n
    };
    assert_eq!((count(SENT, libc::SIGSTOP), count(SENT, libc::SIGCONT), count(SENT, libc::SIGKILL)), (TIMES, TIMES, 1));
    // Several stops can come to be one before the child takes them; it takes at least one.
    assert!((0..=TIMES).contains(&count(TAKEN, libc::SIGSTOP)));
}

#[test]
fn a_flood_of_common_signals_is_cut_and_counted() {
    const FLOOD: u64 = 20_000;
    let mut child = Command::new("sleep").arg("30").stdout(Stdio::null()).spawn().unwrap();
    let pid = child.id();
    let result = capture(&only("signal"), || {
        // Not SIGUSR1 itself: the default of SIGWINCH is to be ignored, the child lives on.
        for _ in 0..FLOOD {
            kill(pid, libc::SIGWINCH);
        }
        kill(pid, libc::SIGSTOP);
    });
    kill(pid, libc::SIGKILL);
    child.wait().unwrap();
    let Some((captured, ())) = result else { return };
    let (mut told, mut stops) = (0, 0);
    captured.each::<Signal>(|c, rows| {
        for i in (0..rows).filter(|&i| c.pid[i] == pid && c.what[i] == SENT) {
            told += u64::from(c.signal[i] == libc::SIGWINCH as u32);
            stops += u64::from(c.signal[i] == libc::SIGSTOP as u32);
        }
    });
    let cut: u64 = captured.polled.iter().map(|p| p.change.rate_limited).sum();
    assert!(told < FLOOD && told > 0, "{told} rows");
    // Others' signals are cut as well.
    assert!(told + cut >= FLOOD, "{told} told, {cut} cut of {FLOOD}");
    assert_eq!(stops, 1, "what stops a process is told in a flood too");
}

#[test]
fn exits_tell_status_signal_and_core_dump() {
    use coldcase_model::signal::Ending;
    let folder = std::path::PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("core");
    std::fs::create_dir_all(&folder).unwrap();
    let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap_or_default();
    let core = !pattern.trim().is_empty() && !pattern.starts_with('|');
    let Some((captured, pids)) = capture(&only("task"), || {
        ["exit 3", "kill -TERM $$", "ulimit -c unlimited; kill -SEGV $$"].map(|script| {
            let mut child = Command::new("sh").args(["-c", script]).current_dir(&folder).spawn().unwrap();
            child.wait().unwrap();
            child.id()
        })
    }) else {
        return;
    };
    let _ = std::fs::remove_dir_all(&folder);
    let mut endings = Vec::new();
    captured.each::<Task>(|c, rows| {
        for i in (0..rows).filter(|&i| c.what[i] == 3 && pids.contains(&c.tid[i])) {
            endings.push((c.time[i], Ending::of(c.exit_code[i])));
        }
    });
    endings.sort();
    let endings: Vec<String> = endings.into_iter().map(|(_, e)| e.to_string()).collect();
    if !core {
        eprintln!("skipped: no core file is written here (core_pattern {})", pattern.trim());
        assert_eq!(endings[..2], ["exited 3", "killed by SIGTERM"]);
        return;
    }
    assert_eq!(endings, ["exited 3", "killed by SIGTERM", "killed by SIGSEGV (core dumped)"]);
}
