//! Names of offsets in a file, from its symbol table: not its DWARF, which can be gigabytes; the laptop has that.
//!
//! The file is read, never mapped: another process may cut it short while we look. The table is passed over once and
//! not kept, so that a browser's costs no memory.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Instant;

use object::read::ReadCache;
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader, Sym};
use object::{Endianness, elf, pod};

use super::Named;
use super::pick::{Pick, Picked};

/// What a file's symbol tables gave.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    /// The functions that hold wanted offsets.
    pub(super) named: BTreeSet<Named>,
    /// How many of the wanted offsets they hold.
    pub(super) held: usize,
    /// Address minus file offset of the code.
    pub(super) bias: u64,
    /// Where they came from, or why there are none.
    pub(super) state: State,
}

/// What became of a module's names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum State {
    /// It has a full symbol table.
    Table,
    /// It is stripped, but its separate debug file is installed here.
    DebugFile,
    /// It is stripped: only what it exports has names.
    Stripped,
    /// No symbols at all.
    Bare,
    /// Not a file that we can read: no ELF file of 64 bits.
    #[default]
    Unreadable,
    /// Gone before it could be opened.
    Gone,
    /// There was no time to look.
    OutOfTime,
}

impl State {
    /// As the stream `symbols.modules` calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            State::Table => "symbol-table",
            State::DebugFile => "debug-file",
            State::Stripped => "stripped",
            State::Bare => "no-symbols",
            State::Unreadable => "unreadable",
            State::Gone => "gone",
            State::OutOfTime => "out-of-time",
        }
    }
}

type Header = elf::FileHeader64<Endianness>;
type Symbol = elf::Sym64<Endianness>;

/// Symbols read at once.
const PART: usize = 32_768;
/// Bytes of a name that are kept.
const NAME: usize = 1024;
/// Sections and segments that are looked at.
const MOST: usize = 65_536;

/// The functions that hold these file offsets. Gives up at `end`.
pub(super) fn names(file: &File, build_id: &str, offsets: &BTreeSet<u64>, end: Instant) -> Names {
    let Some(tables) = Tables::read(file) else { return Names::default() };
    let mut out = Names { state: State::Bare, ..Names::default() };
    let open: BTreeSet<u64> = offsets.iter().filter_map(|&o| tables.address(o)).collect();
    out.bias = offsets.iter().find_map(|&o| Some(tables.address(o)?.wrapping_sub(o))).unwrap_or(0);
    let mut open: Vec<u64> = open.into_iter().collect();
    let mut full = false;
    for table in &tables.symbols {
        full |= table.full;
        out.state = if full { State::Table } else { State::Stripped };
        out.take(file, &tables, table, &mut open, end);
    }
    if !full
        && !open.is_empty()
        && let Some(debug) = debug_file(build_id)
        && let Some(apart) = Tables::read(&debug)
    {
        out.state = State::DebugFile;
        for table in &apart.symbols {
            out.take(&debug, &tables, table, &mut open, end);
        }
    }
    if Instant::now() >= end {
        out.state = State::OutOfTime;
    }
    out
}

impl Names {
    /// Names what this table has of the addresses that are still open. `tables` are those of the mapped file.
    fn take(&mut self, file: &File, tables: &Tables, table: &Table, open: &mut Vec<u64>, end: Instant) {
        let before = open.len();
        let mut pick = Pick::new(std::mem::take(open));
        table.each(file, end, |start, size, name| pick.offer(start, size, name));
        let (picked, left) = pick.finish();
        self.held += before - left.len();
        *open = left;
        for Picked { start, size, name } in picked {
            if let Some(at) = tables.offset(start) {
                let name = super::demangle(&table.name(file, name));
                self.named.insert(Named { start: at, size, name });
            }
        }
    }
}

/// The separate debug file of a build-id, where distributions install it.
fn debug_file(build_id: &str) -> Option<File> {
    let (first, rest) = (build_id.get(..2)?, build_id.get(2..)?);
    let file = crate::host::held::regular(format!("/usr/lib/debug/.build-id/{first}/{rest}.debug").as_ref())?;
    (crate::host::build_id::of_file(&file)? == build_id).then_some(file)
}

/// Where a file's symbols are.
struct Tables {
    /// Address, file offset and length of each loaded segment.
    segments: Vec<(u64, u64, u64)>,
    /// The full table first.
    symbols: Vec<Table>,
}

/// One table: where its symbols and their names are in the file.
struct Table {
    endian: Endianness,
    full: bool,
    at: u64,
    bytes: u64,
    names_at: u64,
    names_bytes: u64,
}

impl Tables {
    fn read(file: &File) -> Option<Tables> {
        let cache = ReadCache::new(file);
        let header = Header::parse(&cache).ok()?;
        let endian = header.endian().ok()?;
        let segments = header.program_headers(endian, &cache).ok()?.iter().take(MOST);
        let loaded = segments.filter(|s| s.p_type(endian) == elf::PT_LOAD);
        let segments = loaded.map(|s| (s.p_vaddr(endian), s.p_offset(endian), s.p_filesz(endian))).collect();
        let sections = header.section_headers(endian, &cache).unwrap_or(&[]);
        let mut symbols = Vec::new();
        for section in sections.iter().take(MOST) {
            let full = match section.sh_type(endian) {
                elf::SHT_SYMTAB => true,
                elf::SHT_DYNSYM => false,
                _ => continue,
            };
            let Some(names) = sections.get(section.sh_link(endian) as usize) else { continue };
            symbols.push(Table {
                endian,
                full,
                at: section.sh_offset(endian),
                bytes: section.sh_size(endian),
                names_at: names.sh_offset(endian),
                names_bytes: names.sh_size(endian),
            });
        }
        symbols.sort_by_key(|t| !t.full);
        Some(Tables { segments, symbols })
    }

    /// The address that a file offset is loaded at.
    fn address(&self, offset: u64) -> Option<u64> {
        let within = |s: &&(u64, u64, u64)| offset.checked_sub(s.1).is_some_and(|d| d < s.2);
        self.segments.iter().find(within).map(|s| (offset - s.1).wrapping_add(s.0))
    }

    /// The file offset that is loaded at an address.
    fn offset(&self, address: u64) -> Option<u64> {
        let within = |s: &&(u64, u64, u64)| address.checked_sub(s.0).is_some_and(|d| d < s.2);
        self.segments.iter().find(within).map(|s| (address - s.0).wrapping_add(s.1))
    }
}

impl Table {
    /// Each function: address, size, and where its name begins.
    fn each(&self, file: &File, end: Instant, mut take: impl FnMut(u64, u64, u32)) {
        let size = std::mem::size_of::<Symbol>();
        // Words, so that symbols stand aligned in them.
        let mut part = vec![0u64; PART * size / 8];
        let mut at = 0;
        while at < self.bytes && Instant::now() < end {
            let part = pod::bytes_of_slice_mut(&mut part);
            let want = part.len().min((self.bytes - at) as usize);
            let Ok(read) = file.read_at(&mut part[..want], self.at + at) else { return };
            let whole = read / size;
            let Ok((symbols, _)) = pod::slice_from_bytes::<Symbol>(part, whole) else { return };
            for s in symbols {
                let function = matches!(s.st_type(), elf::STT_FUNC | elf::STT_GNU_IFUNC)
                    || s.st_type() == elf::STT_NOTYPE && s.st_size(self.endian) > 0;
                if function && s.st_shndx(self.endian) != elf::SHN_UNDEF && s.st_name(self.endian) != 0 {
                    take(s.st_value(self.endian), s.st_size(self.endian), s.st_name(self.endian));
                }
            }
            if whole == 0 {
                return;
            }
            at += (whole * size) as u64;
        }
    }

    fn name(&self, file: &File, at: u32) -> String {
        let mut bytes = vec![0; NAME.min(self.names_bytes.saturating_sub(u64::from(at)) as usize)];
        let read = file.read_at(&mut bytes, self.names_at + u64::from(at)).unwrap_or(0);
        let end = bytes[..read].iter().position(|&b| b == 0).unwrap_or(read);
        String::from_utf8_lossy(&bytes[..end]).into_owned()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::print_stderr)]
    use std::time::Duration;

    use super::*;
    use crate::host::build_id::BuildIds;
    use crate::host::maps::{self, Maps};

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    /// What is looked for below.
    #[inline(never)]
    fn a_function_with_a_name() -> u64 {
        std::hint::black_box(42)
    }

    #[test]
    fn a_function_of_this_program_is_named() {
        assert_eq!(a_function_with_a_name(), 42);
        let me = std::process::id();
        let address = a_function_with_a_name as *const () as u64;
        let mut all = Maps::default();
        maps::of_process(me, 0, &mut BuildIds::default()).iter().for_each(|row| _ = all.add(row));
        let (_, offset) = all.find(me, address + 1, 1).unwrap();
        let file = File::open("/proc/self/exe").unwrap();
        let found = names(&file, "", &BTreeSet::from([offset]), soon());
        let named = found.named.first().unwrap();
        assert!(named.name.ends_with("a_function_with_a_name"), "{named:?}");
        assert_eq!((named.start, found.held, found.state), (offset - 1, 1, State::Table));
        assert!(named.size > 0);
        assert_eq!(names(&file, "", &BTreeSet::from([offset]), Instant::now()).state, State::OutOfTime);
    }

    #[test]
    fn what_is_exported_agrees_with_nm() {
        let Ok(output) = std::process::Command::new("nm").args(["-D", "--defined-only", "/bin/bash"]).output() else {
            eprintln!("skipped: no nm");
            return;
        };
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let Some(main) = text.lines().find_map(|l| l.strip_suffix(" T main")) else {
            eprintln!("skipped: this bash exports no main");
            return;
        };
        let file = File::open("/bin/bash").unwrap();
        let tables = Tables::read(&file).unwrap();
        let offset = tables.offset(u64::from_str_radix(main, 16).unwrap()).unwrap();
        let found = names(&file, "", &BTreeSet::from([offset + 4, 0]), soon());
        assert_eq!(found.named.first().map(|n| (n.start, n.name.as_str())), Some((offset, "main")));
        assert_eq!(found.held, 1, "the header is no function");
    }

    #[test]
    fn what_is_no_elf_file_has_no_names_and_does_no_harm() {
        let mut file = tempfile::tempfile().unwrap();
        assert_eq!(names(&file, "", &BTreeSet::from([1]), soon()), Names::default());
        // Every truncation of a real one.
        let whole = std::fs::read("/bin/true").unwrap();
        for cut in (0..whole.len()).step_by(97) {
            use std::io::{Seek, Write};
            file.set_len(0).unwrap();
            file.rewind().unwrap();
            file.write_all(&whole[..cut]).unwrap();
            let _ = names(&file, "", &BTreeSet::from([0x2000]), soon());
        }
    }
}
