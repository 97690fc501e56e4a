//! Symbol slices: the names of the addresses that were seen, carried in the bundle.

crate::event! {
    /// The name of a range of code: in a file by build-id, or in the kernel.
    host Symbol: kind 64, stream "symbols", class Symbol {
        /// When it was looked up.
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
