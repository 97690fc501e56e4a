//! Names of the addresses that were seen, looked up while recording and carried in the bundle.
//!
//! Only what was seen is named: a slice of the symbol tables, not the tables. Kernel addresses come from
//! `/proc/kallsyms`, those of files from the symbol table of the file that was mapped, and those of code that was made at
//! run time from the `perf-PID.map` that its runtime may write.

mod demangle;
mod elf;
mod jit;
mod kernel;
mod module;
mod namer;
mod pick;
mod seen;
mod vdso;

use self::demangle::demangle;
pub(crate) use self::jit::JitMaps;
pub(crate) use self::kernel::are_told as kernel_names_are_told;
pub(crate) use self::namer::{Namer, PATIENCE};
pub use self::seen::Seen;

/// The name of the step, as in the manifest.
pub(crate) const SYMBOLS: &str = "symbols";

/// A named range.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Named {
    /// First address: file offset for files, address for the kernel.
    pub(crate) start: u64,
    /// Length; 0 when not known.
    pub(crate) size: u64,
    /// Demangled.
    pub(crate) name: String,
}
