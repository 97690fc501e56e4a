//! Names of code made at run time, from the map that its runtime writes for perf: `/tmp/perf-PID.map`.
//!
//! The map is opened while its process lives and read again as it grows: its end may be deleted with it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::sync::Arc;
use std::time::Instant;

use super::Named;
use crate::host::build_id::in_root;

/// Larger maps are cut.
const MOST_BYTES: u64 = 256 << 20;
/// Longer lines are not names.
const MOST_LINE: u64 = 4096;
/// Maps that are open at most, and processes whose map is looked for.
const MOST_OPEN: usize = 128;
/// Looks for the map of a process before it is believed to write none; then only now and then.
const EAGER: u32 = 50;
/// One in so many looks is made for those.
const NOW_AND_THEN: u32 = 32;

/// The maps of processes that have code made at run time.
#[derive(Debug, Default)]
pub(crate) struct JitMaps {
    open: HashMap<u32, JitMap>,
    sought: HashMap<u32, u32>,
}

/// One map.
#[derive(Debug)]
struct JitMap {
    file: Arc<File>,
    /// Its size when it was last read to its end.
    read: u64,
    /// When its process ended.
    ended: Option<Instant>,
}

impl JitMaps {
    /// A process has executable memory that is no file's: its runtime may write a map.
    pub(crate) fn seek(&mut self, pid: u32) {
        if self.open.get(&pid).is_none_or(|map| map.ended.is_some()) && self.sought.len() < MOST_OPEN {
            self.sought.entry(pid).or_insert(0);
        }
    }

    /// Looks for the maps that are sought.
    pub(crate) fn look(&mut self) {
        let (open, room) = (&mut self.open, MOST_OPEN);
        self.sought.retain(|&pid, looks| {
            *looks += 1;
            if *looks > EAGER && *looks % NOW_AND_THEN != 0 {
                return true;
            }
            if let Some(file) = find(pid) {
                if open.len() < room {
                    open.insert(pid, JitMap { file: Arc::new(file), read: 0, ended: None });
                }
                return false;
            }
            std::fs::metadata(format!("/proc/{pid}")).is_ok()
        });
    }

    /// A process became another program, or ended: its map stays open for what was seen of it. A new one of this pid has
    /// its own.
    pub(crate) fn ended(&mut self, pid: u32) {
        self.sought.remove(&pid);
        if let Some(map) = self.open.get_mut(&pid) {
            map.ended.get_or_insert_with(Instant::now);
        }
    }

    /// Closes the maps of processes that ended more than `linger` ago.
    pub(crate) fn release(&mut self, linger: std::time::Duration) {
        self.open.retain(|_, map| map.ended.is_none_or(|at| at.elapsed() < linger));
    }

    /// Whether a process has a map, and whether it grew since it was last read.
    pub(crate) fn state(&self, pid: u32) -> Option<bool> {
        let map = self.open.get(&pid)?;
        Some(map.file.metadata().is_ok_and(|m| m.len() != map.read))
    }

    /// The map of a process, to be read as far as it is now.
    pub(crate) fn read(&mut self, pid: u32) -> Option<Arc<File>> {
        let map = self.open.get_mut(&pid)?;
        map.read = map.file.metadata().map_or(0, |m| m.len());
        Some(map.file.clone())
    }
}

/// The names of these addresses by a map. Gives up at `end`.
pub(crate) fn names(map: &File, addresses: &BTreeSet<u64>, end: Instant) -> BTreeSet<Named> {
    within(BufReader::new(Read::take(FromStart { map, at: 0 }, MOST_BYTES)), addresses, end)
}

/// Reads a file whose position is shared.
struct FromStart<'a> {
    map: &'a File,
    at: u64,
}

impl Read for FromStart<'_> {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        let read = self.map.read_at(to, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// The map of a process, if it is its own: in its file system, under the pid by which it knows itself.
fn find(pid: u32) -> Option<File> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let inner = status.lines().find_map(|l| l.strip_prefix("NSpid:")?.split_whitespace().last());
    let path = in_root(pid, &format!("/tmp/perf-{}.map", inner?));
    let flags = libc::O_NONBLOCK | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    let file = File::options().read(true).custom_flags(flags).open(path).ok()?;
    let meta = file.metadata().ok()?;
    // Anyone may write to /tmp: what another user left under this name is not the runtime's.
    let owner = std::fs::metadata(format!("/proc/{pid}")).ok()?.uid();
    (meta.is_file() && (meta.uid() == owner || meta.uid() == 0)).then_some(file)
}

/// Lines are `START SIZE name`, in hex. Memory is used again for other code: of lines for the same place the last holds.
fn within(mut lines: impl BufRead, addresses: &BTreeSet<u64>, end: Instant) -> BTreeSet<Named> {
    let hex = |s: &str| u64::from_str_radix(s.trim_start_matches("0x"), 16).ok();
    let mut of: HashMap<u64, Named> = HashMap::new();
    let mut line = Vec::new();
    for n in 0.. {
        line.clear();
        let read = Read::take(&mut lines, MOST_LINE).read_until(b'\n', &mut line).unwrap_or(0);
        // A line without its end is still being written.
        if read == 0 || line.last() != Some(&b'\n') || (n % 4096 == 0 && Instant::now() >= end) {
            break;
        }
        let text = String::from_utf8_lossy(&line);
        let mut parts = text.trim_end().splitn(3, ' ');
        let (Some(start), Some(size), Some(name)) =
            (parts.next().and_then(hex), parts.next().and_then(hex), parts.next())
        else {
            continue;
        };
        for &address in addresses.range(start..start.saturating_add(size)) {
            of.insert(address, Named { start, size, name: name.to_owned() });
        }
    }
    of.into_values().collect::<HashSet<_>>().into_iter().collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Write;
    use std::time::Duration;

    use super::*;

    fn named(start: u64, size: u64, name: &str) -> Named {
        Named { start, size, name: name.into() }
    }

    #[test]
    fn only_what_was_seen_is_taken_and_the_last_line_holds() {
        let text = "1000 20 LazyCompile:a b\n2000 10 c\nbroken\n0x1000 20 *LazyCompile:a b\n1010 10 half";
        let end = Instant::now() + Duration::from_secs(9);
        let found = within(text.as_bytes(), &BTreeSet::from([0x1010]), end);
        assert_eq!(found, BTreeSet::from([named(0x1000, 0x20, "*LazyCompile:a b")]));
    }

    #[test]
    fn a_map_is_read_again_after_its_process_and_its_file_are_gone() {
        let mut child = std::process::Command::new("sleep").arg("30").spawn().unwrap();
        let pid = child.id();
        let path = format!("/tmp/perf-{pid}.map");
        let mut map = File::create(&path).unwrap();
        let mut maps = JitMaps::default();
        maps.seek(pid);
        maps.look();
        assert_eq!(maps.state(pid), Some(false));
        map.write_all(b"1000 20 made\n").unwrap();
        assert_eq!(maps.state(pid), Some(true), "it grew");
        child.kill().unwrap();
        child.wait().unwrap();
        std::fs::remove_file(&path).unwrap();
        maps.ended(pid);
        let end = Instant::now() + Duration::from_secs(9);
        let found = names(&maps.read(pid).unwrap(), &BTreeSet::from([0x1001]), end);
        assert_eq!(found, BTreeSet::from([named(0x1000, 0x20, "made")]));
        assert_eq!(maps.state(pid), Some(false));
        maps.release(Duration::from_secs(60));
        assert!(maps.state(pid).is_some());
        maps.release(Duration::ZERO);
        assert!(maps.state(pid).is_none());
    }

    #[test]
    fn a_process_without_a_map_is_no_longer_sought_once_it_is_gone() {
        let mut maps = JitMaps::default();
        maps.seek(u32::MAX);
        maps.look();
        assert!(maps.sought.is_empty() && maps.open.is_empty());
    }
}
