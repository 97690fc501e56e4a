//! Binaries and debug files that name what a bundle does not: in a folder, or from debuginfod servers. Both by build-id.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Where to look for binaries and debug files.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DebugFiles {
    /// In this folder, and the folders in it.
    pub dir: Option<PathBuf>,
    /// At the servers of the variable `DEBUGINFOD_URLS`, through `debuginfod-find` and its cache. The servers learn the
    /// build-ids, nothing else is sent.
    pub debuginfod: bool,
}

/// Why debug files cannot be looked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DebugFilesError {
    /// The folder cannot be read.
    #[error("{}: cannot read the folder of debug files: {why}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
    /// The program that asks the servers cannot be run.
    #[error("debuginfod is asked through the program debuginfod-find, which cannot be run: {why}")]
    NoProgram {
        /// What the system said.
        why: String,
    },
    /// No server is named.
    #[error("no debuginfod server is named: DEBUGINFOD_URLS is not set")]
    NoServers,
}

/// How deep folders are searched.
const DEPTH: usize = 8;

impl DebugFiles {
    /// Whether what is asked for can be had at all.
    pub(crate) fn check(&self) -> Result<(), DebugFilesError> {
        if !self.debuginfod {
            return Ok(());
        }
        if std::env::var("DEBUGINFOD_URLS").unwrap_or_default().trim().is_empty() {
            return Err(DebugFilesError::NoServers);
        }
        let version = Command::new(FIND).arg("--version").stdin(Stdio::null()).output();
        version.map(drop).map_err(|e| DebugFilesError::NoProgram { why: e.to_string() })
    }
}

/// Files in a folder, and in the folders in it, by build-id (lowercase hexadecimal). Of several with the same, the first by name.
pub(crate) fn in_folder(dir: &Path) -> Result<HashMap<String, PathBuf>, DebugFilesError> {
    let mut found = HashMap::new();
    let mut folders = vec![(dir.to_path_buf(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(e) if depth == 0 => return Err(DebugFilesError::Folder { path: folder, why: e.to_string() }),
            Err(_) => continue,
        };
        let mut paths: Vec<PathBuf> = entries.filter_map(|e| e.ok().map(|e| e.path())).collect();
        paths.sort();
        for path in paths {
            if path.is_dir() && depth < DEPTH && !path.is_symlink() {
                folders.push((path, depth + 1));
            } else if path.is_file()
                && let Ok(Some(id)) = blazesym::helper::read_elf_build_id(&path)
            {
                found.entry(id.iter().map(|b| format!("{b:02x}")).collect()).or_insert(path);
            }
        }
    }
    Ok(found)
}

/// Of elfutils: asks the servers in turn, holds what they gave in its cache, and keeps to the limits of `DEBUGINFOD_TIMEOUT`.
const FIND: &str = "debuginfod-find";

/// Modules that servers are asked for at most: a bundle may name any number.
const MODULES: usize = 300;
/// After so many failures in a row that are not "no such file" they are not asked again.
const FAILURES: usize = 3;

/// Asks the servers, within bounds.
#[derive(Debug, Default)]
pub(crate) struct Servers {
    asked: AtomicUsize,
    failed: AtomicUsize,
}

impl Servers {
    /// Fetches the debug file of a build-id, or says why there is none.
    pub(crate) fn fetch(&self, build_id: &str) -> Result<PathBuf, String> {
        // It comes from the bundle: nothing else may reach a command line.
        if !(8..=64).contains(&build_id.len()) || !build_id.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err("not a build-id".to_owned());
        }
        if self.failed.load(Ordering::Relaxed) >= FAILURES {
            return Err("not asked again: the servers do not answer".to_owned());
        }
        if self.asked.fetch_add(1, Ordering::Relaxed) >= MODULES {
            return Err(format!("not asked: {MODULES} others were"));
        }
        let found = Command::new(FIND).args(["debuginfo", build_id]).stdin(Stdio::null()).output();
        let found = found.map_err(|e| e.to_string())?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if found.status.success() {
            self.failed.store(0, Ordering::Relaxed);
            return Ok(PathBuf::from(text(&found.stdout)));
        }
        let why = text(&found.stderr);
        let why = why.lines().next_back().unwrap_or("no server has it");
        match why.contains("No such file") {
            true => self.failed.store(0, Ordering::Relaxed),
            false => _ = self.failed.fetch_add(1, Ordering::Relaxed),
        }
        Err(why.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hexadecimal_reaches_the_command_line() {
        for id in ["", "--help", "../../etc/passwd", "ab cd", "deadbeef; rm", "abc"] {
            assert_eq!(Servers::default().fetch(id), Err("not a build-id".to_owned()), "{id:?}");
        }
    }
}
