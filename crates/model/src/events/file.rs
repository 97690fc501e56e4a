//! Files: calls that took long, and the writing back of what is dirty.

use crate::{Comm, TextLen};

crate::event! {
    /// A sync or removal of a file that took at least the file threshold (1 ms by default), as its file system tells it
    /// (tracepoints `ext4/ext4_sync_file_enter`, `_exit`, `ext4_unlink_enter`, `_exit`, `xfs/xfs_file_fsync`).
    kernel FileCall: kind 20, stream "kernel.file", class File {
        /// When the file system began.
        time: u64 [BootNs],
        /// Until it was done; 0 where flags bit 0 is set.
        duration: u64 [DurNs],
        /// Inode number.
        inode: u64 [Id],
        /// Size of the file.
        size: u64 [Bytes],
        /// Device of the file system: major << 20 | minor.
        dev: u32 [Id],
        /// What was called: 1 fsync, 2 fdatasync, 3 unlink.
        what: u32 [Flags],
        /// The process.
        pid: u32 [Id],
        /// The thread.
        tid: u32 [Id],
        /// Result as a negative errno; 0 when fine.
        result: i32 [Flags],
        /// Bit 0: the file system (XFS) does not tell when it was done. Bit 1: the beginning of the path is cut off. Bit 2:
        /// the path begins at the root of its file system, not of the tree.
        flags: u32 [Flags],
        /// Name of the thread.
        comm: Comm [None],
        /// Path of the file, as its mount namespace has it; at most 256 bytes.
        path: TextLen [None],
        /// Zero.
        reserved: u32 [None],
    }
}

crate::event! {
    /// Dirty pages went to disk, or somebody had to wait for it (tracepoints `writeback/writeback_start`, `_written`,
    /// `balance_dirty_pages`, `jbd2/jbd2_start_commit`, `_end_commit`).
    kernel Writeback: kind 26, stream "kernel.writeback", class File {
        /// When it began.
        time: u64 [BootNs],
        /// How long it took; 0 for a pause, whose length is the off-CPU interval of the thread that follows.
        duration: u64 [DurNs],
        /// Pages written, for what 1.
        pages: u64 [Count],
        /// The device: major << 20 | minor; 0 when unknown.
        dev: u32 [Id],
        /// 1 a kernel worker wrote dirty pages back; 2 a writer is put to sleep because too much is dirty; 3 the journal
        /// committed a transaction.
        what: u32 [Flags],
        /// Process that did it, or is put to sleep.
        pid: u32 [Id],
        /// Thread, likewise.
        tid: u32 [Id],
        /// Why, for what 1: `enum wb_reason` of the kernel (0 background, 2 sync, 3 periodic).
        reason: u32 [Flags],
        /// Zero.
        reserved: u32 [None],
        /// Name of the thread.
        comm: Comm [None],
    }
}
