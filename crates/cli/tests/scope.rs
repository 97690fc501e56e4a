//! A scope holds for everything that knows processes: what is outside of it is not in the bundle.
#![cfg(target_os = "linux")]
#![cfg(feature = "full")]
#![allow(clippy::unwrap_used, clippy::print_stderr)]

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
