//! Block I/O requests.

use crate::Comm;

crate::event! {
    /// One block request from its insertion to its completion (tracepoints `block/block_rq_insert`,
    /// `block_rq_issue`, `block_rq_complete`).
    kernel BlockIo: kind 3, stream "kernel.block", class Block {
        /// When it was inserted into the queue; equal to the issue time when it was issued directly.
        time: u64 [BootNs],
        /// Insertion to completion.
        duration: u64 [DurNs],
        /// Insertion to issue: the part of `duration` spent in the queue.
        queue: u64 [DurNs],
        /// First sector, in units of 512 bytes.
        sector: u64 [Id],
        /// Cgroup id of the issuing thread (cgroup v2 id; 1 is the root).
        cgroup: u64 [Id],
        /// Bytes asked for.
        bytes: u32 [Bytes],
        /// The device: major << 20 | minor.
        dev: u32 [Id],
        /// `cmd_flags`: operation in the low 8 bits (REQ_OP_*: 0 read, 1 write, 2 flush, 3 discard), flags above.
        op: u32 [Flags],
        /// Error of the completion as a negative errno; 0 when fine.
        error: i32 [Flags],
        /// Process that was running at insertion: the one that caused it, unless it is writeback.
        pid: u32 [Id],
        /// Thread, likewise.
        tid: u32 [Id],
        /// Its name.
        comm: Comm [None],
    }
}
