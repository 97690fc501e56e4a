//! Processes and threads as `/proc` shows them.

use coldcase_model::events::Process;

use crate::{clock, mask};

/// Arguments of one process that are kept, in bytes.
const ARGV_BYTES: usize = 4096;

/// The pids in `/proc`.
pub(crate) fn pids() -> Vec<u32> {
    numbers("/proc")
}

fn numbers(folder: &str) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok()).collect()
}

/// The rows of a process: its first thread with program, arguments and cgroups, and its other threads. Empty when it
/// is gone.
pub(crate) fn of_process(pid: u32) -> Vec<Process> {
    let Some(mut first) = first_thread(pid) else { return Vec::new() };
    let mut rows = Vec::new();
    for tid in numbers(&format!("/proc/{pid}/task")) {
        if tid == pid {
            continue;
        }
        if let Some(stat) = stat(&format!("/proc/{pid}/task/{tid}/stat")) {
            rows.push(Process {
                time: clock::boottime().0,
                tid,
                pid,
                ppid: stat.ppid,
                uid: first.uid,
                started: stat.started,
                comm: stat.comm,
                inner_pid: first.inner_pid,
                pid_namespace: first.pid_namespace,
                ..Process::default()
            });
        }
    }
    first.time = clock::boottime().0;
    rows.insert(0, first);
    rows
}

/// The row of the first thread of a process.
pub(crate) fn first_thread(pid: u32) -> Option<Process> {
    let stat = stat(&format!("/proc/{pid}/stat"))?;
    let status = Status::read(pid);
    Some(Process {
        time: clock::boottime().0,
        tid: pid,
        pid,
        ppid: stat.ppid,
        uid: status.uid,
        started: stat.started,
        comm: stat.comm,
        exe: std::fs::read_link(format!("/proc/{pid}/exe")).map_or(String::new(), |p| p.to_string_lossy().into_owned()),
        argv: argv(pid),
        cgroup: std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default().trim_end().to_owned(),
        inner_pid: status.inner_pid,
        pid_namespace: pid_namespace(pid),
    })
}

/// The arguments, masked, separated by spaces.
fn argv(pid: u32) -> String {
    use std::io::Read;
    let mut bytes = Vec::new();
    let Ok(file) = std::fs::File::open(format!("/proc/{pid}/cmdline")) else { return String::new() };
    if file.take(ARGV_BYTES as u64 + 1).read_to_end(&mut bytes).is_err() {
        return String::new();
    }
    let cut = bytes.len() > ARGV_BYTES;
    mask::mask_bytes(&bytes[..bytes.len().min(ARGV_BYTES)], cut)
}

/// What `/proc/PID/status` says: the effective user, and the pid in the innermost namespace.
#[derive(Debug, Default, PartialEq, Eq)]
struct Status {
    uid: u32,
    inner_pid: u32,
}

impl Status {
    fn read(pid: u32) -> Status {
        Status::parse(&std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default())
    }

    fn parse(text: &str) -> Status {
        let words = |key: &str| text.lines().find_map(|l| l.strip_prefix(key)).unwrap_or_default().split_whitespace();
        Status {
            uid: words("Uid:").nth(1).and_then(|w| w.parse().ok()).unwrap_or(0),
            inner_pid: words("NSpid:").next_back().and_then(|w| w.parse().ok()).unwrap_or(0),
        }
    }
}

/// Inode number of the PID namespace; 0 when not readable.
fn pid_namespace(pid: u32) -> u32 {
    let link = std::fs::read_link(format!("/proc/{pid}/ns/pid")).unwrap_or_default();
    let link = link.to_string_lossy();
    link.strip_prefix("pid:[").and_then(|l| l.strip_suffix(']')?.parse().ok()).unwrap_or(0)
}

struct Stat {
    comm: String,
    ppid: u32,
    started: u64,
}

fn stat(path: &str) -> Option<Stat> {
    let bytes = std::fs::read(path).ok()?;
    parse_stat(&String::from_utf8_lossy(&bytes))
}

/// Fields 2, 4 and 22 of `/proc/PID/stat`. The name may hold spaces and parentheses: it ends at the last one.
fn parse_stat(text: &str) -> Option<Stat> {
    let (open, close) = (text.find('(')?, text.rfind(')')?);
    let comm = text.get(open + 1..close)?.to_owned();
    let mut rest = text.get(close + 1..)?.split_whitespace();
    let ppid = rest.nth(1)?.parse().ok()?;
    let ticks: u64 = rest.nth(17)?.parse().ok()?;
    // USER_HZ is 100 on every architecture that is supported.
    Some(Stat { comm, ppid, started: ticks.saturating_mul(10_000_000) })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let text = "77 (a) b (c)) S 5 77 77 0 -1 4194560 1 0 0 0 1 2 0 0 20 0 1 0 12345 1000 10";
        let stat = parse_stat(text).unwrap();
        assert_eq!((stat.comm.as_str(), stat.ppid, stat.started), ("a) b (c)", 5, 123_450_000_000));
        assert!(parse_stat("77 (x").is_none());
    }

    #[test]
    fn the_pid_inside_is_the_last_one() {
        let text = "Name:\tx\nUid:\t0\t1000\t0\t0\nNSpid:\t4242\t17\t1\n";
        assert_eq!(Status::parse(text), Status { uid: 1000, inner_pid: 1 });
        assert_eq!(Status::parse(""), Status::default());
        let me = first_thread(std::process::id()).unwrap();
        let link = std::fs::read_link("/proc/self/ns/pid").unwrap();
        assert_eq!(link.to_string_lossy(), format!("pid:[{}]", me.pid_namespace));
    }

    #[test]
    fn this_process_is_found_with_all_its_threads() {
        let (send, receive) = std::sync::mpsc::channel::<()>();
        let (named, ready) = std::sync::mpsc::channel::<()>();
        // A thread takes its name itself, once it runs.
        let body = move || named.send(()).map(|()| receive.recv());
        let thread = std::thread::Builder::new().name("cc-test".into()).spawn(body).unwrap();
        ready.recv().unwrap();
        let me = std::process::id();
        assert!(pids().contains(&me));
        let rows = of_process(me);
        assert_eq!((rows[0].tid, rows[0].pid), (me, me));
        assert_eq!(rows[0].exe, std::env::current_exe().unwrap().to_string_lossy());
        assert!(rows.iter().any(|r| r.comm == "cc-test" && r.pid == me && r.argv.is_empty()));
        assert!(rows[0].started <= clock::boottime().0);
        drop(send);
        let _ = thread.join();
    }

    #[test]
    fn secrets_on_a_command_line_are_masked() {
        let mut child =
            std::process::Command::new("sh").args(["-c", "sleep 30", "x", "--token=hunter2"]).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(100));
        let row = first_thread(child.id()).unwrap();
        let _ = child.kill();
        let _ = child.wait();
        assert!(row.argv.contains("--token=***") && !row.argv.contains("hunter2"), "{}", row.argv);
    }
}
