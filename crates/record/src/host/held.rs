//! Mapped files held open while they may be needed for names: their process may end, and they may be deleted, before
//! an address in them is looked up.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use coldcase_model::events::Mapping;

use super::build_id::{self, in_root};
use super::maps::Module;

/// Files that are held at most, where `ulimit -n` allows.
const MOST: usize = 1024;
/// A file that no process has mapped any more is held this long: what was seen in it is looked up by then.
const LINGER: Duration = Duration::from_secs(8);

#[derive(Debug)]
struct Held {
    file: Arc<File>,
    /// When it was last known to be mapped.
    used: Instant,
}

/// The files.
#[derive(Debug)]
pub(crate) struct HeldFiles {
    by_key: HashMap<String, Held>,
    most: usize,
    /// Mapped files that could not be opened, or for which there was no room.
    pub(crate) missed: u64,
}

impl HeldFiles {
    /// None yet. A quarter of the descriptors that we may have is left for this.
    pub(crate) fn new() -> HeldFiles {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(1024);
        HeldFiles { by_key: HashMap::new(), most: MOST.min(limit as usize / 4), missed: 0 }
    }

    /// Holds the file of a mapping that was just made.
    pub(crate) fn hold(&mut self, row: &Mapping) {
        let module = Module { build_id: row.build_id.clone(), path: row.path.clone() };
        if !module.is_file() {
            return;
        }
        let key = module.key();
        if let Some(held) = self.by_key.get_mut(&key) {
            held.used = Instant::now();
            return;
        }
        let file = if self.by_key.len() < self.most { open(row) } else { None };
        match file {
            Some(file) => _ = self.by_key.insert(key, Held { file: Arc::new(file), used: Instant::now() }),
            None => self.missed += 1,
        }
    }

    /// The file of a module.
    pub(crate) fn get(&self, module: &Module) -> Option<Arc<File>> {
        self.by_key.get(&module.key()).map(|h| h.file.clone())
    }

    /// Lets go of those that nothing has mapped for a while, so that no file system is kept from being unmounted.
    pub(crate) fn release(&mut self, in_use: &HashSet<Arc<Module>>) {
        let (now, in_use) = (Instant::now(), in_use.iter().map(|m| m.key()).collect::<HashSet<_>>());
        self.by_key.retain(|key, held| {
            if in_use.contains(key) {
                held.used = now;
            }
            now.duration_since(held.used) < LINGER
        });
    }
}

/// Opens the file behind a mapping: by the mapping itself, which works for deleted files too; else by its path, first
/// as the process sees it, if the file there is still the one that was mapped.
fn open(row: &Mapping) -> Option<File> {
    let mapped = format!("/proc/{}/map_files/{:x}-{:x}", row.pid, row.start, row.end);
    if let Some(file) = regular(Path::new(&mapped)) {
        return Some(file);
    }
    let program = std::fs::read_link(format!("/proc/{}/exe", row.pid));
    let program = program.is_ok_and(|p| p == Path::new(&row.path)).then(|| format!("/proc/{}/exe", row.pid).into());
    let paths = program.into_iter().chain([in_root(row.pid, &row.path), row.path.clone().into()]);
    paths
        .filter_map(|path| regular(&path))
        .find(|file| row.build_id.is_empty() || build_id::of_file(file).is_some_and(|id| id == row.build_id))
}

/// Opens a regular file. A pipe or device under this name must not stop us.
pub(crate) fn regular(path: &Path) -> Option<File> {
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC).open(path).ok()?;
    file.metadata().is_ok_and(|m| m.is_file()).then_some(file)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::print_stderr)]
    use super::*;
    use crate::host::build_id::BuildIds;
    use crate::host::maps;

    #[test]
    fn a_program_that_was_deleted_while_it_ran_is_held_until_nothing_maps_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sleeper");
        std::fs::copy("/bin/sleep", &path).unwrap();
        let mut child = std::process::Command::new(&path).arg("30").spawn().unwrap();
        std::thread::sleep(Duration::from_millis(100));
        std::fs::remove_file(&path).unwrap();
        let rows = maps::of_process(child.id(), 1, &mut BuildIds::default());
        let mut row = rows.into_iter().find(|r| r.path.contains("sleeper")).unwrap();
        // As the kernel tells it when the mapping is made: before the file was deleted.
        row.path = path.to_string_lossy().into_owned();
        row.build_id = build_id::read(Path::new("/bin/sleep")).unwrap_or_default();
        let mut held = HeldFiles::new();
        held.hold(&row);
        child.kill().unwrap();
        child.wait().unwrap();
        let module = Module { build_id: row.build_id.clone(), path: row.path.clone() };
        let Some(file) = held.get(&module) else {
            eprintln!("skipped: no right to open the files of mappings");
            return;
        };
        assert_eq!(build_id::of_file(&file).unwrap_or_default(), row.build_id);
        held.release(&HashSet::new());
        assert!(held.get(&module).is_some(), "lingers");
        held.by_key.values_mut().for_each(|h| h.used = Instant::now().checked_sub(LINGER).unwrap());
        held.release(&HashSet::from([Arc::new(module.clone())]));
        assert!(held.get(&module).is_some(), "in use");
        held.by_key.values_mut().for_each(|h| h.used = Instant::now().checked_sub(LINGER).unwrap());
        held.release(&HashSet::new());
        assert!(held.get(&module).is_none());
    }

    #[test]
    fn another_file_under_the_same_path_is_not_held() {
        let mut held = HeldFiles::new();
        let row = Mapping { pid: u32::MAX, path: "/bin/sh".into(), build_id: "00".into(), ..Default::default() };
        held.hold(&row);
        assert_eq!((held.by_key.len(), held.missed), (0, 1));
    }
}
