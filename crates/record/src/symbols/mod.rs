//! Names of the addresses that were seen, looked up once at the end and carried in the bundle.
//!
//! Only what was seen is named: a slice of the symbol tables, not the tables. Kernel addresses come from
//! `/proc/kallsyms`, those of files from the symbol table of the file with that build-id, and those of code that was
//! made at run time from the `perf-PID.map` that its runtime may write.

mod files;
mod jit;
mod kernel;
mod seen;
mod vdso;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use coldcase_model::events::Symbol;

pub(crate) use self::kernel::are_told as kernel_names_are_told;
pub use self::seen::Seen;
use crate::clock;
use crate::host::maps::{Maps, Module};

/// Looking up names ends after this long: the seal must not wait for a gigabyte of symbols.
const PATIENCE: Duration = Duration::from_secs(10);

/// A named range.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Named {
    /// First address: file offset for files, address for the kernel.
    pub(crate) start: u64,
    /// Length; 0 when not known.
    pub(crate) size: u64,
    /// Demangled.
    pub(crate) name: String,
}

/// The offsets seen in a module, and a process that has it mapped, to find the file through.
type Wanted = BTreeMap<Arc<Module>, (u32, BTreeSet<u64>)>;

/// The rows of `symbols` for what was seen.
pub(crate) fn resolve(seen: &Seen, maps: &Maps) -> Vec<Symbol> {
    let end = Instant::now() + PATIENCE;
    let time = clock::boottime().0;
    let (kernel, user) = seen.take();
    let mut rows = Vec::new();
    let mut put = |module: &str, named: BTreeSet<Named>| {
        rows.extend(named.into_iter().map(|n| Symbol {
            time,
            start: n.start,
            size: n.size,
            module: module.to_owned(),
            name: n.name,
        }));
    };
    put("kernel", kernel::names(&kernel));
    let (mut files, mut made): (Wanted, BTreeMap<u32, BTreeSet<u64>>) = Default::default();
    let mut in_vdso = BTreeSet::new();
    for (pid, address) in user {
        match maps.find(pid, address) {
            Some((module, offset)) if module.path.starts_with('/') && !module.path.starts_with("/memfd:") => {
                files.entry(module).or_insert_with(|| (pid, BTreeSet::new())).1.insert(offset);
            }
            Some((module, offset)) if module.path == vdso::PATH => _ = in_vdso.insert(offset),
            Some(_) => _ = made.entry(pid).or_default().insert(address),
            None => {}
        }
    }
    if !in_vdso.is_empty() {
        put(&format!("path:{}", vdso::PATH), vdso::names(&in_vdso));
    }
    for (pid, addresses) in made {
        put(&format!("jit:{pid}"), jit::names(pid, &addresses));
    }
    // The modules with most addresses first: when patience ends, little is missing.
    let mut files: Vec<_> = files.into_iter().collect();
    files.sort_by_key(|(module, (_, offsets))| (std::cmp::Reverse(offsets.len()), module.clone()));
    for (module, (pid, offsets)) in files {
        if Instant::now() >= end {
            tracing::warn!("{}: its symbols are not carried: looking them up took too long", module.path);
            continue;
        }
        put(&module.key(), files::names(pid, &module, &offsets));
    }
    rows
}
