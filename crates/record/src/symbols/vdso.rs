//! Names in the vDSO, the code that the kernel maps into every process: from our own copy of it.

use std::collections::BTreeSet;

use object::read::elf::ElfFile64;
use object::{Object, ObjectSymbol};

use super::Named;
use crate::host::build_id::BuildIds;
use crate::host::maps;

/// The path of its mappings.
pub(crate) const PATH: &str = "[vdso]";

/// The functions that hold these offsets. Empty where the process has another vDSO than we: a 32-bit one.
pub(crate) fn names(offsets: &BTreeSet<u64>) -> BTreeSet<Named> {
    let rows = maps::of_process(std::process::id(), 0, &mut BuildIds::default());
    let Some(own) = rows.iter().find(|m| m.path == PATH) else { return BTreeSet::new() };
    // SAFETY: the kernel mapped these pages readable for as long as we live, and nobody writes to them.
    let image = unsafe { std::slice::from_raw_parts(own.start as *const u8, (own.end - own.start) as usize) };
    let Ok(file) = ElfFile64::<object::Endianness>::parse(image) else { return BTreeSet::new() };
    let mut found = BTreeSet::new();
    for symbol in file.dynamic_symbols().filter(|s| s.is_definition() && s.size() > 0) {
        let (start, size) = (symbol.address(), symbol.size());
        if let (Ok(name), Some(_)) = (symbol.name(), offsets.range(start..start.saturating_add(size)).next()) {
            // Of aliases (`clock_gettime`, `__vdso_clock_gettime`) the last in order remains.
            found.retain(|n: &Named| n.start != start);
            found.insert(Named { start, size, name: name.to_owned() });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_in_the_vdso() {
        let found = names(&(0..8192).collect());
        if found.is_empty() {
            eprintln!("skipped: this process has no vDSO");
            return;
        }
        assert!(found.iter().any(|n| n.name.contains("clock_gettime")), "{found:?}");
    }
}
