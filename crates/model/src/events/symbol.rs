//! Symbol slices: the names of the addresses that were seen, carried in the bundle, and what became of each module's.

crate::event! {
    /// The name of a range of code: in a file by build-id, or in the kernel.
    host Symbol: kind 64, stream "symbols", class Symbol {
        /// When it was looked up; for code made at run time (`jit:`) when it was seen, which tells one process of this
        /// pid from another.
        time: u64 [BootNs],
        /// First address: file offset for files, address for the kernel.
        start: u64 [Id],
        /// Length in bytes; 0 when not known (it then ends where the next begins).
        size: u64 [Bytes],
        /// Where: `build-id:<hex>`, `path:<path>` for files without one, `kernel`, or `jit:<pid>`.
        module: String [None],
        /// The name, demangled.
        name: String [None],
    }
}

crate::event! {
    /// What became of the names of a module: written each time that new addresses in it were looked up. The last row
    /// of a module holds.
    host SymbolModule: kind 65, stream "symbols.modules", class Symbol {
        /// When.
        time: u64 [BootNs],
        /// Different addresses in it that were seen in stacks.
        wanted: u64 [Count],
        /// Of these, how many have a name in the bundle.
        named: u64 [Count],
        /// Address of its code minus the file offset of it, modulo 2^64: leads to the right place in a separate debug file,
        /// where nothing stands at its own offset. 0 for what is no file.
        bias: u64 [None],
        /// Which: as in `symbols`.
        module: String [None],
        /// Its path; empty for the kernel and for code made at run time.
        path: String [None],
        /// Where its names came from, or why they are missing: `symbol-table`; `debug-file` (a separate one installed on
        /// the host); `stripped` (only exported functions have names); `no-symbols`; `unreadable`; `gone` (deleted, or in
        /// the root of a process that had ended, before it could be opened); `out-of-time`; `kallsyms`; `vdso`;
        /// `perf-map`; `no-perf-map`.
        state: String [None],
    }
}
