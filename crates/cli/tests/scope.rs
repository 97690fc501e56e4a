//! A scope holds for everything that knows processes: what is outside of it is not in the bundle.
#![cfg(target_os = "linux")]
#![cfg(feature = "full")]
#![allow(clippy::unwrap_used, clippy::print_stderr, clippy::expect_used)]

mod common;

use std::process::Command;

use common::{folder, is_root, run_in};

#[test]
fn the_snapshot_of_a_recording_in_scope_shows_no_other_process() {
    if !is_root("the_snapshot_of_a_recording_in_scope_shows_no_other_process") {
        return;
    }
    let dir = folder();
    let mut wanted = Command::new("sleep").arg("60").spawn().unwrap();
    let mut other = Command::new("sleep").args(["61"]).spawn().unwrap();
    let pid = wanted.id().to_string();
    let sources = "host.snapshot,host.mapping";
    for (file, scope) in [("all.case", &[][..]), ("one.case", &["--pid", &pid][..])] {
        run_in(dir.path(), &[&["record", "-o", file, "--for", "1s", "--only", sources], scope].concat()).code(0);
    }
    let (theirs, ours) = (other.id(), wanted.id());
    for child in [&mut wanted, &mut other] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let pids = |file: &str, stream: &str| -> Vec<u64> {
        let lines = run_in(dir.path(), &["timeline", file, "--stream", stream, "--json"]).code(0).stdout;
        let rows = lines.lines().map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap());
        rows.map(|row| row["fields"]["pid"].as_u64().unwrap()).collect()
    };
    for stream in ["host.process", "host.mapping"] {
        assert!(pids("all.case", stream).contains(&u64::from(theirs)), "without a scope all are in {stream}");
        let found = pids("one.case", stream);
        assert!(!found.is_empty() && found.iter().all(|&pid| pid == u64::from(ours)), "{stream}: {found:?}");
    }
    assert!(pids("one.case", "host.socket").is_empty(), "it has no sockets");
}

/// A cgroup of this test's own in some hierarchy, if one can be made. Its processes must be gone before it.
struct Cgroup(std::path::PathBuf);

impl Cgroup {
    fn new(name: &str) -> Option<Cgroup> {
        let tops = ["/sys/fs/cgroup", "/sys/fs/cgroup/pids", "/sys/fs/cgroup/freezer", "/sys/fs/cgroup/unified"];
        let made = tops.iter().map(|top| std::path::Path::new(top).join(name)).find(|folder| {
            // The folder that stands for v1's hierarchies is none of them.
            std::fs::create_dir(folder).is_ok()
                && (folder.join("cgroup.procs").exists() || std::fs::remove_dir(folder).is_err())
        });
        made.map(Cgroup)
    }

    /// A shell in it that makes short-lived children, each of which switches.
    fn spawn(&self) -> std::process::Child {
        let script = format!("echo $$ > {}/cgroup.procs && while :; do sleep 0.02; done", self.0.display());
        Command::new("sh").args(["-c", &script]).spawn().unwrap()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[test]
fn a_recording_of_a_cgroup_or_a_container_has_its_processes_and_no_others() {
    if !is_root("a_recording_of_a_cgroup_or_a_container_has_its_processes_and_no_others") {
        return;
    }
    let id = format!("{:064x}", u128::from(std::process::id()) << 64 | 0xc01d);
    let Some(cgroup) = Cgroup::new(&format!("docker-{id}.scope")) else {
        eprintln!("skipped: no cgroup can be made here");
        return;
    };
    let dir = folder();
    let (mut inside, mut outside) =
        (cgroup.spawn(), Command::new("sh").args(["-c", "while :; do sleep 0.02; done"]).spawn().unwrap());
    std::thread::sleep(std::time::Duration::from_millis(300));
    let path = cgroup.0.display().to_string();
    let start = &id[..60];
    for (file, scope) in [("path.case", ["--cgroup", &path]), ("id.case", ["--container", start])] {
        let args =
            [&["record", "-o", file, "--for", "2s", "--only", "kernel.sched,kernel.task,host.snapshot"], &scope[..]];
        let run = run_in(dir.path(), &args.concat());
        assert!(run.code == 0 || run.code == 3, "{}", run.stderr);
    }
    for child in [&mut inside, &mut outside] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    for file in ["path.case", "id.case"] {
        let lines =
            run_in(dir.path(), &["timeline", file, "--stream", "kernel.offcpu,kernel.task,host.process", "--json"])
                .code(0)
                .stdout;
        let rows: Vec<serde_json::Value> = lines.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        let of = |stream: &str| {
            rows.iter().filter(|r| r["stream"] == stream).map(|r| r["fields"].clone()).collect::<Vec<_>>()
        };
        let pids = |stream: &str| {
            of(stream).iter().map(|f| f["pid"].as_u64().unwrap()).collect::<std::collections::BTreeSet<_>>()
        };
        let shell = u64::from(inside.id());
        assert!(pids("kernel.offcpu").contains(&shell) && pids("host.process").contains(&shell), "{file}");
        assert!(!pids("kernel.offcpu").contains(&u64::from(outside.id())), "{file}");
        // Its children live too short to be looked up; each is known by its parent.
        let children = of("kernel.task").iter().filter(|f| f["what"] == 1 && f["ppid"] == shell).count();
        assert!(children > 20, "{file}: {children} children");
        assert!(of("kernel.task").iter().all(|f| f["ppid"] == shell || f["pid"] == shell), "{file}: others are in it");
        let strangers = pids("host.process").into_iter().filter(|&pid| pid != shell).count();
        assert!(strangers <= 1, "{file}: {strangers} others in the snapshot");
    }
}
