//! Names of offsets in a file, from its symbol table: not its DWARF, which can be gigabytes; the laptop has that.

use std::collections::BTreeSet;
use std::path::PathBuf;

use blazesym::symbolize::source::{Elf, Source};
use blazesym::symbolize::{Input, Symbolized, Symbolizer};

use super::Named;
use crate::host::build_id::{self, in_root};
use crate::host::maps::Module;

/// The functions that hold these offsets. Empty when the file is gone, was replaced, or is stripped.
pub(crate) fn names(pid: u32, module: &Module, offsets: &BTreeSet<u64>) -> BTreeSet<Named> {
    let Some(path) = find(pid, module) else { return BTreeSet::new() };
    let symbolizer = Symbolizer::builder().enable_code_info(false).enable_inlined_fns(false).build();
    let mut elf = Elf::new(path);
    elf.debug_syms = false;
    let offsets: Vec<u64> = offsets.iter().copied().collect();
    let Ok(symbolized) = symbolizer.symbolize(&Source::Elf(elf), Input::FileOffset(&offsets)) else {
        return BTreeSet::new();
    };
    let mut found = BTreeSet::new();
    for (offset, symbolized) in offsets.iter().zip(symbolized) {
        if let Symbolized::Sym(sym) = symbolized {
            // blazesym says where the address stands in the function: so the function begins that far before.
            let start = offset.saturating_sub(sym.offset as u64);
            let size = sym.size.unwrap_or(0) as u64;
            found.insert(Named { start, size, name: sym.name.into_owned() });
        }
    }
    found
}

/// The file, if it is still the one that was mapped.
fn find(pid: u32, module: &Module) -> Option<PathBuf> {
    let candidates = [in_root(pid, &module.path), PathBuf::from(&module.path)];
    candidates.into_iter().find(|path| {
        if module.build_id.is_empty() {
            std::fs::metadata(path).is_ok_and(|m| m.is_file())
        } else {
            build_id::read(path).is_some_and(|id| id == module.build_id)
        }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::host::build_id::BuildIds;
    use crate::host::maps;

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
        let mut maps = maps::Maps::default();
        maps::of_process(me, 0, &mut BuildIds::default()).iter().for_each(|row| maps.add(row));
        let (module, offset) = maps.find(me, address + 1).unwrap();
        let found = names(me, &module, &BTreeSet::from([offset]));
        let named = found.first().unwrap();
        assert!(named.name.contains("a_function_with_a_name"), "{named:?}");
        assert_eq!(named.start, offset - 1);
        assert!(named.size > 0);
    }

    #[test]
    fn a_file_that_was_replaced_gives_no_names() {
        let module = Module { build_id: "00".into(), path: "/bin/sh".into() };
        assert!(names(std::process::id(), &module, &BTreeSet::from([0x5000])).is_empty());
    }
}
