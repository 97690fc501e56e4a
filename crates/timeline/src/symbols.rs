//! Names of addresses: through the mappings of the process at that time to build-id and offset, and from there to the
//! symbol slices that the bundle carries, or to debug files of the same build-id. No host is needed.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use blazesym::symbolize::source::{Elf, Source};
use blazesym::symbolize::{Input, Symbolizer};
use coldcase_model::{Boottime, Event, events};

use crate::debug_files::{self, DebugFiles, DebugFilesError, Servers};
use crate::made::MadeCode;
use crate::segment::Segment;
use crate::space::{Map, Space};

/// One frame of a stack.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Frame {
    /// The function; `module+0xoffset` where it has no name.
    pub name: Arc<str>,
    /// Its module: file name of the binary or library, `[kernel]`, or `[unknown]`.
    pub module: Arc<str>,
    /// Whether `name` is a function's.
    pub named: bool,
    /// Whether it was inlined into the frame that follows: no call was made.
    pub inlined: bool,
}

/// Where a user address is in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// Number of the module, the same for the same file throughout the bundle.
    pub module: u32,
    /// Its file name.
    pub name: &'a str,
    /// Its build-id in hexadecimal; `None` where it has none.
    pub build_id: Option<&'a str>,
    /// File offset of the instruction; of a return address that of the call's last byte.
    pub offset: u64,
}

/// Named ranges of one module, by start.
#[derive(Debug, Default)]
struct Names {
    ranges: Vec<(u64, u64, Arc<str>)>,
}

impl Names {
    fn find(&self, at: u64) -> Option<&Arc<str>> {
        let after = self.ranges.partition_point(|r| r.0 <= at);
        let (start, size, name) = self.ranges.get(after.checked_sub(1)?)?;
        (*size == 0 || at - start < *size).then_some(name)
    }
}

/// A module that mappings name.
#[derive(Debug)]
struct Module {
    /// As in the stream `symbols`: `build-id:<hex>` or `path:<path>`.
    key: String,
    /// File name.
    short: Arc<str>,
    /// A debug file of the same build-id, from a folder.
    debug: Option<PathBuf>,
    /// The same from a server, which is asked at the first address that has no name.
    fetched: OnceLock<Result<PathBuf, String>>,
    /// Address of its code minus file offset, where the recorder told it.
    bias: Option<u64>,
}

impl Module {
    fn new(key: String, short: Arc<str>) -> Module {
        Module { key, short, debug: None, fetched: OnceLock::new(), bias: None }
    }

    /// Lowercase hexadecimal; `None` where it has none.
    fn build_id(&self) -> Option<&str> {
        self.key.strip_prefix("build-id:")
    }

    /// Its debug file from a server, asked once.
    fn fetch(&self, servers: &Servers) -> Option<&Path> {
        let id = self.build_id()?;
        // In a debug file alone the code is not, and only the recorder could tell where it would be.
        self.bias?;
        self.fetched.get_or_init(|| servers.fetch(id)).as_deref().ok()
    }
}

/// Names for addresses.
#[derive(Debug, Default)]
pub struct Symbols {
    names: HashMap<String, Names>,
    made: MadeCode,
    modules: Vec<Module>,
    spaces: HashMap<u32, Vec<Space>>,
    /// Who asks servers for debug files; `None` when they are not to be asked.
    servers: Option<Servers>,
    /// Names from debug files, by module, whether it is one from a server, and offset.
    from_debug: Mutex<HashMap<(u32, bool, u64), Functions>>,
}

/// The functions at one address, innermost first: more than one where some were inlined.
type Functions = Arc<[Arc<str>]>;

const KERNEL: &str = "kernel";
/// How many forks back mappings are looked for.
const ANCESTORS: usize = 16;
/// `exec` renames the task, maps the new program, and only then reports itself; all within this, on a slow disk too.
const EXEC_TAKES: u64 = 10_000_000_000;

impl Symbols {
    /// Learns from segments of `symbols`, `symbols.modules`, `host.mapping` and `kernel.task`, and debug files.
    pub(crate) fn new(
        symbols: &[Segment],
        modules: &[Segment],
        mappings: &[Segment],
        tasks: &[Segment],
        files: &DebugFiles,
    ) -> Result<Symbols, DebugFilesError> {
        files.check()?;
        let mut out = Symbols { servers: files.debuginfod.then(Servers::default), ..Symbols::default() };
        for cols in symbols.iter().filter_map(|s| events::Symbol::cols(&s.columns).ok()) {
            for i in 0..cols.start.len() {
                let module = cols.module.text(i).into_owned();
                let name: Arc<str> = cols.name.text(i).into();
                if out.made.add(&module, cols.time[i], cols.start[i], cols.size[i], &name) {
                    continue;
                }
                out.names.entry(module).or_default().ranges.push((cols.start[i], cols.size[i], name));
            }
        }
        for names in out.names.values_mut() {
            names.ranges.sort();
            names.ranges.dedup_by_key(|r| r.0);
        }
        out.made.sort();
        out.learn_spaces(tasks);
        out.learn_mappings(mappings);
        out.learn_biases(modules);
        if let Some(dir) = &files.dir {
            let mut found = debug_files::in_folder(dir)?;
            for module in &mut out.modules {
                module.debug = module.build_id().and_then(|id| found.remove(id));
            }
        }
        Ok(out)
    }

    /// Where the address spaces of each pid begin: at forks and execs.
    fn learn_spaces(&mut self, tasks: &[Segment]) {
        let mut facts: Vec<(u64, u32, u32, u32, u32)> = Vec::new();
        for cols in tasks.iter().filter_map(|s| events::Task::cols(&s.columns).ok()) {
            for i in 0..cols.time.len() {
                if cols.tid[i] == cols.pid[i] || cols.what[i] == 2 {
                    facts.push((cols.time[i], cols.what[i], cols.pid[i], cols.ppid[i], cols.tid[i]));
                }
            }
        }
        facts.sort_unstable();
        let mut renamed: HashMap<u32, u64> = HashMap::new();
        for (time, what, pid, ppid, _) in facts {
            let spaces = self.spaces.entry(pid).or_default();
            match what {
                1 => spaces.push(Space { from: Boottime(time), parent: Some(ppid), ..Space::default() }),
                2 => {
                    // The new program's mappings are made between the rename and the report.
                    let began = renamed.get(&pid).copied().filter(|r| time - r <= EXEC_TAKES);
                    spaces.push(Space { from: Boottime(began.unwrap_or(time)), ..Space::default() });
                }
                4 => _ = renamed.insert(pid, time),
                _ => {}
            }
        }
    }

    fn learn_mappings(&mut self, mappings: &[Segment]) {
        let mut known: HashMap<String, u32> = HashMap::new();
        for cols in mappings.iter().filter_map(|s| events::Mapping::cols(&s.columns).ok()) {
            for i in 0..cols.time.len() {
                let (build_id, path) = (cols.build_id.text(i), cols.path.text(i));
                let key = if build_id.is_empty() { format!("path:{path}") } else { format!("build-id:{build_id}") };
                let next = self.modules.len() as u32;
                let module = *known.entry(key).or_insert_with_key(|key| {
                    let short = path.rsplit('/').next().unwrap_or("");
                    let short = if short.is_empty() { "[anonymous]" } else { short };
                    self.modules.push(Module::new(key.clone(), short.into()));
                    next
                });
                let time = Boottime(cols.time[i]);
                let spaces = self.spaces.entry(cols.pid[i]).or_default();
                let map = Map { time, start: cols.start[i], end: cols.end[i], offset: cols.offset[i], module };
                let after = spaces.partition_point(|s| s.from <= time);
                match after.checked_sub(1) {
                    Some(at) => spaces[at].maps.push(map),
                    None => {
                        // Before anything that was seen of this pid: it was there at the start.
                        spaces.insert(0, Space { maps: vec![map], ..Space::default() });
                    }
                }
            }
        }
        for space in self.spaces.values_mut().flatten() {
            space.maps.sort_by_key(|m| (m.start, m.time));
            let mut reach = 0;
            space.reach = space
                .maps
                .iter()
                .map(|m| {
                    reach = reach.max(m.end);
                    reach
                })
                .collect();
        }
    }

    /// Where the code of modules stands in separate debug files.
    fn learn_biases(&mut self, modules: &[Segment]) {
        let mut biases: HashMap<String, u64> = HashMap::new();
        for cols in modules.iter().filter_map(|s| events::SymbolModule::cols(&s.columns).ok()) {
            for i in (0..cols.time.len()).filter(|&i| !matches!(&*cols.state.text(i), "gone" | "unreadable")) {
                biases.insert(cols.module.text(i).into_owned(), cols.bias[i]);
            }
        }
        for module in &mut self.modules {
            module.bias = biases.get(&module.key).copied();
        }
    }

    /// The frames of a whole stack, innermost first: kernel, then user. Addresses that no executable mapping holds
    /// are dropped: they are no frames (a function without frame pointer left data in their place).
    pub fn stack(&self, pid: u32, at: Boottime, kernel: &[u64], user: &[u64]) -> Vec<Frame> {
        self.stack_and_dropped(pid, at, kernel, user).0
    }

    /// The same, and how many addresses were dropped.
    pub fn stack_and_dropped(&self, pid: u32, at: Boottime, kernel: &[u64], user: &[u64]) -> (Vec<Frame>, usize) {
        let mut out = Vec::with_capacity(kernel.len() + user.len());
        for (i, &addr) in kernel.iter().enumerate() {
            self.kernel(addr, i == 0, &mut out);
        }
        let mut dropped = 0;
        for (i, &addr) in user.iter().enumerate() {
            let before = out.len();
            self.user(pid, at, addr, i == 0, &mut out);
            dropped += usize::from(out.len() == before);
        }
        (out, dropped)
    }

    /// Where a user address of a process at a time is; `None` where no mapping is known, or it is code made at run time. `leaf`: as
    /// in [`Symbols::user`].
    pub fn place(&self, pid: u32, at: Boottime, addr: u64, leaf: bool) -> Option<Place<'_>> {
        let look = if leaf { addr } else { addr.saturating_sub(1) };
        let map = self.mapping(pid, at, look)?.0?;
        let module = &self.modules[map.module as usize];
        let offset = (look - map.start).wrapping_add(map.offset);
        Some(Place { module: map.module, name: &module.short, build_id: module.build_id(), offset })
    }

    /// The frame of a kernel address. `leaf`: the address is the instruction itself, not where a call returns to.
    pub fn kernel(&self, addr: u64, leaf: bool, out: &mut Vec<Frame>) {
        let at = if leaf { addr } else { addr.saturating_sub(1) };
        out.push(match self.names.get(KERNEL).and_then(|n| n.find(at)) {
            Some(name) => Frame { name: name.clone(), module: "[kernel]".into(), named: true, inlined: false },
            None => Frame {
                name: format!("[kernel]+{addr:#x}").into(),
                module: "[kernel]".into(),
                named: false,
                inlined: false,
            },
        });
    }

    /// The frames of a user address of a process at a time: several where functions were inlined (innermost first),
    /// none where the address is in no executable mapping.
    pub fn user(&self, pid: u32, at: Boottime, addr: u64, leaf: bool, out: &mut Vec<Frame>) {
        let look = if leaf { addr } else { addr.saturating_sub(1) };
        let Some((map, known)) = self.mapping(pid, at, look) else {
            if let Some(name) = self.jit(pid, at, look) {
                out.push(Frame { name, module: "[jit]".into(), named: true, inlined: false });
            }
            return;
        };
        let Some(map) = map else {
            if !known {
                out.push(match self.jit(pid, at, look) {
                    Some(name) => Frame { name, module: "[jit]".into(), named: true, inlined: false },
                    None => {
                        Frame { name: "[unknown]".into(), module: "[unknown]".into(), named: false, inlined: false }
                    }
                });
            }
            return;
        };
        let module = &self.modules[map.module as usize];
        // A bundle may claim any offset: what wraps around finds no name.
        let offset = (look - map.start).wrapping_add(map.offset);
        if let Some(path) = &module.debug
            && self.push_debug((map.module, false), path, offset, out)
        {
            return;
        }
        let found =
            self.names.get(&module.key).and_then(|n| n.find(offset)).cloned().or_else(|| self.jit(pid, at, look));
        if found.is_none()
            && let Some(path) = self.servers.as_ref().and_then(|s| module.fetch(s))
            && self.push_debug((map.module, true), path, offset, out)
        {
            return;
        }
        out.push(match found {
            Some(name) => Frame { name, module: module.short.clone(), named: true, inlined: false },
            None => {
                let shown = offset.wrapping_add(u64::from(!leaf));
                Frame {
                    name: format!("{}+{shown:#x}", module.short).into(),
                    module: module.short.clone(),
                    named: false,
                    inlined: false,
                }
            }
        });
    }

    /// The frames that a debug file gives for an offset in a module; false when it names none.
    fn push_debug(&self, file: (u32, bool), path: &Path, offset: u64, out: &mut Vec<Frame>) -> bool {
        let Module { short, bias, .. } = &self.modules[file.0 as usize];
        let functions = self.debug(file, path, offset, *bias);
        let inlined = functions.len().saturating_sub(1);
        out.extend(functions.iter().enumerate().map(|(i, f)| Frame {
            name: f.clone(),
            module: short.clone(),
            named: true,
            inlined: i < inlined,
        }));
        !functions.is_empty()
    }

    /// The modules that no server had, and why, a line each, in the order in which mappings name them.
    pub fn not_fetched(&self) -> Vec<String> {
        let failed = |m: &Module| Some(format!("{}: {}", m.short, m.fetched.get()?.as_ref().err()?));
        self.modules.iter().filter_map(failed).collect()
    }

    fn jit(&self, pid: u32, at: Boottime, addr: u64) -> Option<Arc<str>> {
        let spaces = self.spaces.get(&pid).map_or(&[][..], Vec::as_slice);
        let after = spaces.partition_point(|s| s.from <= at);
        let from = after.checked_sub(1).map_or(Boottime(0), |i| spaces[i].from);
        let until = spaces.get(after).map_or(Boottime(u64::MAX), |s| s.from);
        self.made.find(pid, addr, at, (from, until)).cloned()
    }

    /// The mapping of an address, and whether any mapping of the process is known. `None`: known, but none fits.
    fn mapping(&self, pid: u32, at: Boottime, addr: u64) -> Option<(Option<&Map>, bool)> {
        let (mut pid, mut known) = (pid, false);
        for _ in 0..ANCESTORS {
            let Some(spaces) = self.spaces.get(&pid) else { break };
            let after = spaces.partition_point(|s| s.from <= at);
            let Some(space) = spaces.get(after.saturating_sub(1)) else { break };
            known |= !space.maps.is_empty();
            if let Some(map) = space.find(addr, at) {
                return Some((Some(map), true));
            }
            match space.parent {
                Some(parent) if parent != pid => pid = parent,
                _ => break,
            }
        }
        if known { None } else { Some((None, false)) }
    }

    /// Functions at a file offset by a debug file, innermost first; empty when it names none.
    fn debug(&self, (module, fetched): (u32, bool), path: &Path, offset: u64, bias: Option<u64>) -> Functions {
        if let Ok(cache) = self.from_debug.lock()
            && let Some(found) = cache.get(&(module, fetched, offset))
        {
            return found.clone();
        }
        let found: Functions = SYMBOLIZER.with_borrow_mut(|s| {
            let symbolizer = s.get_or_insert_with(Symbolizer::new);
            let source = Source::Elf(Elf::new(path));
            let input = match bias {
                Some(bias) => Input::VirtOffset(offset.wrapping_add(bias)),
                None => Input::FileOffset(offset),
            };
            match symbolizer.symbolize_single(&source, input) {
                Ok(symbolized) => match symbolized.as_sym() {
                    Some(sym) => {
                        sym.inlined.iter().rev().map(|f| Arc::from(&*f.name)).chain([Arc::from(&*sym.name)]).collect()
                    }
                    None => Arc::from([]),
                },
                Err(_) => Arc::from([]),
            }
        });
        if let Ok(mut cache) = self.from_debug.lock() {
            cache.insert((module, fetched, offset), found.clone());
        }
        found
    }
}

thread_local! {
    /// blazesym's symbolizer keeps its files open in cells of one thread.
    static SYMBOLIZER: RefCell<Option<Symbolizer>> = const { RefCell::new(None) };
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use coldcase_model::Columns;

    fn symbols(rows: &[(&str, u64, u64, &str)]) -> Vec<Segment> {
        let mut c = Columns::new(&events::Symbol::DEF);
        for &(module, start, size, name) in rows {
            events::Symbol { time: 1, start, size, module: module.into(), name: name.into() }.push(&mut c);
        }
        vec![Segment::new(0, c)]
    }

    fn mappings(rows: &[(u64, u32, u64, u64, u64, &str, &str)]) -> Vec<Segment> {
        let mut c = Columns::new(&events::Mapping::DEF);
        for &(time, pid, start, end, offset, build_id, path) in rows {
            let (build_id, path) = (build_id.into(), path.into());
            events::Mapping { time, pid, start, end, offset, build_id, path }.push(&mut c);
        }
        vec![Segment::new(0, c)]
    }

    fn names(frames: &[Frame]) -> Vec<&str> {
        frames.iter().map(|f| &*f.name).collect()
    }

    #[test]
    fn an_address_is_named_through_the_mapping_of_its_time() {
        let s = Symbols::new(
            &symbols(&[
                ("build-id:aa", 0x1100, 0x100, "old_function"),
                ("build-id:bb", 0x1100, 0x100, "new_function"),
                ("kernel", 0xffff_0000, 0, "do_syscall_64"),
            ]),
            &[],
            &mappings(&[
                (10, 7, 0x40_0000, 0x40_2000, 0x1000, "aa", "/lib/a.so"),
                (20, 7, 0x40_0000, 0x40_2000, 0x1000, "bb", "/lib/b.so"),
            ]),
            &[],
            &DebugFiles::default(),
        )
        .unwrap();
        let at = |t, user: &[u64]| s.stack(7, Boottime(t), &[0xffff_0010], user);
        assert_eq!(names(&at(15, &[0x40_0150])), ["do_syscall_64", "old_function"]);
        assert_eq!(names(&at(25, &[0x40_0150])), ["do_syscall_64", "new_function"]);
        assert_eq!(names(&at(25, &[0x40_0900, 0x1234])), ["do_syscall_64", "b.so+0x1900"], "bogus frames are dropped");
        // A return address right behind a function belongs to that function.
        assert_eq!(names(&at(25, &[0x40_0150, 0x40_0200])), ["do_syscall_64", "new_function", "new_function"]);
        assert_eq!(names(&s.stack(8, Boottime(5), &[], &[0x40_0150])), ["[unknown]"]);
    }

    #[test]
    fn a_forked_child_has_its_parents_mappings_until_it_execs() {
        let mut tasks = Columns::new(&events::Task::DEF);
        let task = |time, what, pid, ppid| events::Task { time, what, tid: pid, pid, ppid, ..Default::default() };
        task(20, 1, 9, 7).push(&mut tasks);
        task(30, 4, 9, 7).push(&mut tasks);
        task(35, 2, 9, 7).push(&mut tasks);
        let s = Symbols::new(
            &symbols(&[("path:/bin/parent", 0, 0x1000, "parent"), ("path:/bin/child", 0, 0x1000, "child")]),
            &[],
            &mappings(&[(10, 7, 0x1000, 0x2000, 0, "", "/bin/parent"), (32, 9, 0x1000, 0x2000, 0, "", "/bin/child")]),
            &[Segment::new(0, tasks)],
            &DebugFiles::default(),
        )
        .unwrap();
        assert_eq!(names(&s.stack(9, Boottime(25), &[], &[0x1500])), ["parent"]);
        assert_eq!(names(&s.stack(9, Boottime(40), &[], &[0x1500])), ["child"]);
    }

    #[inline(never)]
    fn somewhere_in_this_test(n: u64) -> u64 {
        std::hint::black_box(n) * 3
    }

    #[cfg(target_os = "linux")]
    #[test]
    #[allow(clippy::print_stderr)]
    fn a_debug_file_of_the_same_build_id_names_what_the_bundle_does_not() {
        let exe = std::env::current_exe().unwrap();
        let Ok(Some(id)) = blazesym::helper::read_elf_build_id(&exe) else {
            eprintln!("skipped: this test binary has no build-id");
            return;
        };
        let id: String = id.iter().map(|b| format!("{b:02x}")).collect();
        let addr = somewhere_in_this_test as fn(u64) -> u64 as usize as u64 + 1;
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let (start, end, offset) = maps
            .lines()
            .filter_map(|l| {
                let mut words = l.split_whitespace();
                let (range, _, offset) = (words.next()?, words.next()?, words.next()?);
                let (start, end) = range.split_once('-')?;
                let hex = |s: &str| u64::from_str_radix(s, 16).ok();
                Some((hex(start)?, hex(end)?, hex(offset)?))
            })
            .find(|&(start, end, _)| (start..end).contains(&addr))
            .unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(&exe, dir.path().join("any-name")).unwrap();
        let mapped = mappings(&[(1, 7, start, end, offset, &id, "/gone/program")]);
        let by = |dir: Option<&Path>| {
            let files = DebugFiles { dir: dir.map(Path::to_path_buf), debuginfod: false };
            Symbols::new(&[], &[], &mapped, &[], &files)
        };
        let named = |dir| by(dir).unwrap().stack(7, Boottime(2), &[], &[addr]);
        assert!(!named(None)[0].named, "{:?}", named(None));
        let with = named(Some(dir.path()));
        assert!(with.iter().any(|f| f.named && f.name.contains("somewhere_in_this_test")), "{with:?}");
        assert_eq!(&*with[0].module, "program");
        assert!(by(Some(Path::new("/nowhere"))).is_err());
    }
}
