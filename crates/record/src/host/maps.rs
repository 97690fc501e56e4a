//! Executable mappings: of a process from `/proc/PID/maps`, and the memory of all of them that symbols need at the end.

use std::collections::HashMap;
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
}

#[derive(Debug, Clone)]
struct Map {
    start: u64,
    end: u64,
    offset: u64,
    module: Arc<Module>,
}

/// Forks back that mappings are looked for.
const ANCESTORS: usize = 16;

/// Mappings of all processes that were seen.
#[derive(Debug, Default)]
pub(crate) struct Maps {
    of: HashMap<u32, Vec<Map>>,
    parent: HashMap<u32, u32>,
    modules: HashMap<Module, Arc<Module>>,
}

impl Maps {
    /// Adds a mapping.
    pub(crate) fn add(&mut self, row: &Mapping) {
        let module = Module { build_id: row.build_id.clone(), path: row.path.clone() };
        let module = match self.modules.get(&module) {
            Some(known) => known.clone(),
            None => {
                let new = Arc::new(module.clone());
                self.modules.insert(module, new.clone());
                new
            }
        };
        self.of.entry(row.pid).or_default().push(Map { start: row.start, end: row.end, offset: row.offset, module });
    }

    /// `child` starts with the mappings of `parent`.
    pub(crate) fn forked(&mut self, child: u32, parent: u32) {
        if child != parent {
            self.parent.insert(child, parent);
            self.of.remove(&child);
        }
    }

    /// Module and file offset of an address in a process; the latest mapping wins.
    pub(crate) fn find(&self, pid: u32, address: u64) -> Option<(Arc<Module>, u64)> {
        let mut pid = pid;
        for _ in 0..ANCESTORS {
            let maps = self.of.get(&pid).map_or(&[][..], Vec::as_slice);
            if let Some(map) = maps.iter().rev().find(|m| m.start <= address && address < m.end) {
                return Some((map.module.clone(), address - map.start + map.offset));
            }
            pid = *self.parent.get(&pid)?;
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

    #[test]
    fn an_address_of_a_child_is_found_in_its_parents_mappings() {
        let mut maps = Maps::default();
        let row =
            Mapping { pid: 1, start: 0x1000, end: 0x2000, offset: 0x500, path: "/bin/a".into(), ..Default::default() };
        maps.add(&row);
        maps.forked(2, 1);
        assert_eq!(maps.find(2, 0x1010).map(|(m, o)| (m.path.clone(), o)), Some(("/bin/a".into(), 0x510)));
        maps.add(&Mapping { path: "/bin/b".into(), ..row.clone() });
        assert_eq!(maps.find(1, 0x1010).unwrap().0.path, "/bin/b", "the latest wins");
        assert!(maps.find(1, 0x3000).is_none() && maps.find(9, 0x1010).is_none());
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
