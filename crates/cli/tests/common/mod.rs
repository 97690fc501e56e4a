//! Runs the built binary.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, unreachable_pub)]

pub mod schema;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

/// The binary under test.
pub const COLDCASE: &str = env!("CARGO_BIN_EXE_coldcase");

/// A run that ended.
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Run {
    fn from(o: Output) -> Run {
        Run {
            code: o.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&o.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&o.stderr).into_owned(),
        }
    }
}

impl Run {
    /// Fails the test unless it ended with this code.
    #[track_caller]
    pub fn code(self, code: i32) -> Run {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    /// Its stdout as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {}", self.stdout))
    }
}

/// Runs with these arguments, in this folder.
pub fn run_in(folder: &Path, args: &[&str]) -> Run {
    Command::new(COLDCASE).args(args).current_dir(folder).stdin(Stdio::null()).output().unwrap().into()
}

/// A recording that runs in the background.
pub struct Recording {
    pub child: Child,
    pub said: Vec<String>,
    lines: std::io::Lines<BufReader<std::process::ChildStderr>>,
}

impl Recording {
    /// Starts one and waits until it is live.
    pub fn start(folder: &Path, args: &[&str]) -> Recording {
        let mut child = Command::new(COLDCASE)
            .arg("record")
            .args(args)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = Vec::new();
        for line in lines.by_ref() {
            let line = line.unwrap();
            let live = line.starts_with("recording ");
            said.push(line);
            if live {
                return Recording { child, said, lines };
            }
        }
        panic!("never live: {said:?} {:?}", child.wait());
    }

    pub fn signal(&self, name: &str) {
        let done = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(done.success());
    }

    /// Waits for its end; fails the test when that takes longer than 20 s.
    pub fn wait(mut self) -> (ExitStatus, Vec<String>) {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                self.said.extend(self.lines.map_while(Result::ok));
                return (status, self.said);
            }
            assert!(Instant::now() < end, "still running: {:?}", self.said);
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A folder of this test's own, gone when dropped.
pub fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// Whether this test runs as root; prints why not when it does not.
pub fn is_root(test: &str) -> bool {
    let root = std::fs::metadata("/proc/self").map(|m| std::os::unix::fs::MetadataExt::uid(&m)).is_ok_and(|u| u == 0);
    if !root {
        eprintln!("skipped: {test}: needs root");
    }
    root
}

/// A copy of the binary that any user can run.
pub fn public_copy(folder: &Path) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder, PermissionsExt::from_mode(0o777)).unwrap();
    let copy = folder.join("coldcase");
    std::fs::copy(COLDCASE, &copy).unwrap();
    std::fs::set_permissions(&copy, PermissionsExt::from_mode(0o755)).unwrap();
    copy
}
