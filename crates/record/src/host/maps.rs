//! Executable mappings: read from `/proc/PID/maps`, and remembered for as long as names may be looked up through them.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use coldcase_model::events::Mapping;

use super::build_id::BuildIds;

/// A file or anonymous region that code comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Module {
    /// Build-id in hex, or empty.
    pub(crate) build_id: String,
    /// Path, or a name in brackets, or empty.
    pub(crate) path: String,
}

impl Module {
    /// As the stream `symbols` calls it.
    pub(crate) fn key(&self) -> String {
        if self.build_id.is_empty() { format!("path:{}", self.path) } else { format!("build-id:{}", self.build_id) }
    }

    /// Whether it is a file: not memory that a runtime filled, nor the kernel's own.
    pub(crate) fn is_file(&self) -> bool {
        self.path.starts_with('/') && !self.path.starts_with("/memfd:") && !self.path.starts_with("/dev/zero")
    }
}

#[derive(Debug, Clone)]
struct Map {
    time: u64,
    start: u64,
    end: u64,
    offset: u64,
    module: Arc<Module>,
}

/// Where a pid got a new address space: at a fork (its parent's) or an exec (an empty one).
#[derive(Debug, Clone, Copy)]
struct Beginning {
    time: u64,
    parent: Option<u32>,
}

/// What a pid had mapped, in the order of time. Records of different CPUs come in any order.
#[derive(Debug, Default)]
struct Process {
    begins: Vec<Beginning>,
    maps: Vec<Map>,
}

/// Forks back that mappings are looked for.
const ANCESTORS: usize = 16;
/// Mappings of one process that are remembered; the oldest beyond it are forgotten.
const MOST_MAPS: usize = 65_536;
/// Processes that ended are remembered this long, for the addresses that are still to be looked up.
const REMEMBERED: u64 = 10_000_000_000;

/// Mappings of all processes that were seen.
#[derive(Debug, Default)]
pub(crate) struct Maps {
    of: HashMap<u32, Process>,
    modules: HashMap<Module, Arc<Module>>,
    /// Processes that ended, with the time, in order.
    ended: VecDeque<(u64, u32)>,
}

/// Forks back that mappings are looked for.
const FORKS: usize = 16;

impl Maps {
    /// Adds a mapping. False when it says nothing new: the same was there (a runtime that made its code writable and
    /// executable again).
    pub(crate) fn add(&mut self, row: &Mapping) -> bool {
        let module = Module { build_id: row.build_id.clone(), path: row.path.clone() };
        let module = match self.modules.get(&module) {
            Some(known) => known.clone(),
            None => {
                let new = Arc::new(module.clone());
                self.modules.insert(module, new.clone());
                new
            }
        };
        let process = self.of.entry(row.pid).or_default();
        let began = process.begins.iter().rev().find(|b| b.time <= row.time).map_or(0, |b| b.time);
        let latest = process.maps.iter().rev().find(|m| m.start < row.end && row.start < m.end);
        if latest.is_some_and(|m| {
            (m.start, m.end, m.offset) == (row.start, row.end, row.offset) && m.module == module && m.time >= began
        }) {
            return false;
        }
        if process.maps.len() >= MOST_MAPS {
            process.maps.drain(..MOST_MAPS / 2);
        }
        let map = Map { time: row.time, start: row.start, end: row.end, offset: row.offset, module };
        let after = process.maps.partition_point(|m| m.time <= map.time);
        process.maps.insert(after, map);
        true
    }

    /// `child` starts with the mappings of `parent`.
    pub(crate) fn forked(&mut self, child: u32, parent: u32, time: u64) {
        self.begin(child, Beginning { time, parent: Some(parent) });
    }

    /// `pid` becomes another program.
    pub(crate) fn exec(&mut self, pid: u32, time: u64) {
        self.begin(pid, Beginning { time, parent: None });
    }

    fn begin(&mut self, pid: u32, beginning: Beginning) {
        let begins = &mut self.of.entry(pid).or_default().begins;
        let after = begins.partition_point(|b| b.time <= beginning.time);
        begins.insert(after, beginning);
    }

    /// `pid` ended.
    pub(crate) fn ended(&mut self, pid: u32, time: u64) {
        self.ended.push_back((time, pid));
    }

    /// Forgets what ended long before `now`, unless a process that lives on has its mappings from it.
    pub(crate) fn forget(&mut self, now: u64) {
        if self.ended.front().is_none_or(|&(time, _)| time + REMEMBERED > now) {
            return;
        }
        let inherited: HashSet<u32> = self.of.values().filter_map(|p| p.begins.last().and_then(|b| b.parent)).collect();
        let mut kept = VecDeque::new();
        while let Some(&(time, pid)) = self.ended.front().filter(|(time, _)| time + REMEMBERED <= now) {
            self.ended.pop_front();
            // The pid may be another process by now.
            let reused = self.of.get(&pid).and_then(|p| p.begins.last()).is_some_and(|b| b.time > time);
            if inherited.contains(&pid) {
                kept.push_back((now, pid));
            } else if !reused {
                self.of.remove(&pid);
            }
        }
        self.ended.append(&mut kept);
        let used: HashSet<Arc<Module>> = self.of.values().flat_map(|p| &p.maps).map(|m| m.module.clone()).collect();
        self.modules.retain(|_, m| used.contains(m));
    }

    /// The modules that processes which live on have mapped.
    pub(crate) fn in_use(&self) -> HashSet<Arc<Module>> {
        let ended: HashSet<u32> = self.ended.iter().map(|&(_, pid)| pid).collect();
        let live = self.of.iter().filter(|(pid, _)| !ended.contains(pid));
        live.flat_map(|(_, p)| &p.maps).map(|m| m.module.clone()).collect()
    }

    /// Every mapping that is remembered, by process, those that a fork left it with among them: for a file that is to be
    /// complete of itself.
    pub(crate) fn all(&self, now: u64) -> Vec<Mapping> {
        let mut rows = Vec::new();
        for (&pid, process) in &self.of {
            let (mut owner, mut maps) = (pid, &process.maps);
            for _ in 0..FORKS {
                let Some(parent) = self.parent(owner, now).filter(|_| maps.is_empty()) else { break };
                let Some(process) = self.of.get(&parent) else { break };
                (owner, maps) = (parent, &process.maps);
            }
            rows.extend(maps.iter().map(|m| Mapping {
                time: m.time,
                pid,
                start: m.start,
                end: m.end,
                offset: m.offset,
                build_id: m.module.build_id.clone(),
                path: m.module.path.clone(),
            }));
        }
        rows.sort_by_key(|r| (r.pid, r.time, r.start));
        rows
    }

    /// When the process or program that had `pid` at a time began; 0 when it was there before us.
    pub(crate) fn began(&self, pid: u32, at: u64) -> u64 {
        let begins = self.of.get(&pid).map_or(&[][..], |p| &p.begins);
        begins.iter().rev().find(|b| b.time <= at).map_or(0, |b| b.time)
    }

    /// The process that `pid` was forked from, if it has been no other program since.
    pub(crate) fn parent(&self, pid: u32, at: u64) -> Option<u32> {
        self.of.get(&pid)?.begins.iter().rev().find(|b| b.time <= at)?.parent
    }

    /// Module and file offset of an address in a process at a time: by the latest mapping before it, else by the
    /// first one after it.
    pub(crate) fn find(&self, pid: u32, address: u64, at: u64) -> Option<(Arc<Module>, u64)> {
        let (mut pid, mut at) = (pid, at);
        for _ in 0..ANCESTORS {
            let process = self.of.get(&pid)?;
            let after = process.begins.partition_point(|b| b.time <= at);
            let began = after.checked_sub(1).and_then(|i| process.begins.get(i));
            let (from, until) = (began.map_or(0, |b| b.time), process.begins.get(after).map_or(u64::MAX, |b| b.time));
            let holds = |m: &&Map| m.start <= address && address < m.end && m.time >= from && m.time < until;
            let split = process.maps.partition_point(|m| m.time <= at);
            let found = process.maps[..split].iter().rev().find(holds);
            if let Some(map) = found.or_else(|| process.maps[split..].iter().find(holds)) {
                return Some((map.module.clone(), (address - map.start).wrapping_add(map.offset)));
            }
            // What a parent mapped after the fork is not the child's.
            (pid, at) = (began?.parent?, from);
        }
        None
    }
}

/// The executable mappings of a process, as `/proc` has them now.
pub(crate) fn of_process(pid: u32, time: u64, ids: &mut BuildIds) -> Vec<Mapping> {
    // Gone, or not ours to see.
    let Ok(text) = std::fs::read(format!("/proc/{pid}/maps")) else { return Vec::new() };
    let text = String::from_utf8_lossy(&text);
    text.lines().filter_map(parse).map(|line| line.row(pid, time, ids)).collect()
}

/// A file of which a process has code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExecutableFile {
    /// Where it is mapped.
    pub(crate) start: u64,
    /// End of the mapping.
    pub(crate) end: u64,
    /// Inode number.
    pub(crate) inode: u64,
    /// As the process sees it; ends with ` (deleted)` when the file is gone.
    pub(crate) path: String,
}

/// The files of which a process has code.
pub(crate) fn executable_files(pid: u32) -> std::io::Result<Vec<ExecutableFile>> {
    let text = std::fs::read(format!("/proc/{pid}/maps"))?;
    let text = String::from_utf8_lossy(&text);
    let files = text.lines().filter_map(parse).filter(|l| l.inode != 0 && l.path.starts_with('/'));
    let file = |l: Line<'_>| ExecutableFile { start: l.start, end: l.end, inode: l.inode, path: l.path.to_owned() };
    Ok(files.map(file).collect())
}

/// An executable line of `/proc/PID/maps`.
#[derive(Debug, PartialEq, Eq)]
struct Line<'a> {
    start: u64,
    end: u64,
    offset: u64,
    device: u64,
    inode: u64,
    path: &'a str,
}

impl Line<'_> {
    fn row(&self, pid: u32, time: u64, ids: &mut BuildIds) -> Mapping {
        let build_id = ids.of((self.device, self.inode), pid, self.path);
        let path = self.path.to_owned();
        Mapping { time, pid, start: self.start, end: self.end, offset: self.offset, build_id, path }
    }
}

fn parse(line: &str) -> Option<Line<'_>> {
    let mut parts = line.splitn(6, ' ');
    let (start, end) = parts.next()?.split_once('-')?;
    if !parts.next()?.contains('x') {
        return None;
    }
    let offset = parts.next()?;
    let (major, minor) = parts.next()?.split_once(':')?;
    let inode = parts.next()?.parse().ok()?;
    let hex = |s: &str| u64::from_str_radix(s, 16).ok();
    Some(Line {
        start: hex(start)?,
        end: hex(end)?,
        offset: hex(offset)?,
        device: hex(major)? << 32 | hex(minor)?,
        inode,
        path: parts.next().unwrap_or("").trim_start(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn executable_lines_are_parsed_and_others_left_out() {
        let line = "7f00-7f10 r-xp 00001000 fe:00 123                        /usr/lib/with space.so";
        let parsed = parse(line).unwrap();
        assert_eq!((parsed.start, parsed.end, parsed.offset, parsed.inode), (0x7f00, 0x7f10, 0x1000, 123));
        assert_eq!(parsed.path, "/usr/lib/with space.so");
        assert_eq!(parse("7f00-7f10 rw-p 00001000 fe:00 123 /x"), None);
        assert_eq!(parse("7f00-7f10 r-xp 00000000 00:00 0").unwrap().path, "");
        assert_eq!(parse("nonsense"), None);
    }

    fn row(time: u64, pid: u32, path: &str) -> Mapping {
        Mapping { time, pid, start: 0x1000, end: 0x2000, offset: 0x500, path: path.into(), ..Default::default() }
    }

    fn path_at(maps: &Maps, pid: u32, at: u64) -> Option<String> {
        maps.find(pid, 0x1010, at).map(|(m, _)| m.path.clone())
    }

    #[test]
    fn an_address_of_a_child_is_found_in_its_parents_mappings_until_it_execs() {
        let mut maps = Maps::default();
        assert!(maps.add(&row(10, 1, "/bin/a")));
        assert!(!maps.add(&row(11, 1, "/bin/a")), "nothing new");
        // In the order of CPUs, not of time.
        maps.exec(2, 30);
        maps.add(&row(31, 2, "/bin/c"));
        maps.forked(2, 1, 20);
        assert_eq!(path_at(&maps, 2, 25).as_deref(), Some("/bin/a"));
        assert_eq!(maps.find(2, 0x1010, 25).unwrap().1, 0x510);
        assert_eq!(path_at(&maps, 2, 40).as_deref(), Some("/bin/c"));
        maps.add(&row(50, 1, "/bin/b"));
        assert_eq!(path_at(&maps, 1, 60).as_deref(), Some("/bin/b"), "the latest wins");
        assert_eq!(path_at(&maps, 1, 40).as_deref(), Some("/bin/a"), "at its time");
        assert!(maps.find(1, 0x3000, 60).is_none() && maps.find(9, 0x1010, 60).is_none());
    }

    #[test]
    fn what_ended_is_forgotten_unless_a_child_needs_it() {
        let mut maps = Maps::default();
        for pid in [1, 2] {
            maps.add(&row(10, pid, "/bin/a"));
            maps.ended(pid, 100);
        }
        maps.forked(3, 1, 50);
        maps.forget(100);
        assert!(path_at(&maps, 2, 20).is_some(), "not yet");
        assert_eq!(maps.in_use().len(), 0);
        maps.forget(101 + REMEMBERED);
        assert!(path_at(&maps, 2, 20).is_none());
        assert!(path_at(&maps, 3, 60).is_some());
    }

    #[test]
    fn our_own_code_is_in_our_mappings() {
        let me = std::process::id();
        let rows = of_process(me, 7, &mut BuildIds::default());
        let code = our_own_code_is_in_our_mappings as *const () as u64;
        let row = rows.iter().find(|r| r.start <= code && code < r.end).unwrap();
        assert_eq!(row.path, std::env::current_exe().unwrap().to_string_lossy());
    }
}
