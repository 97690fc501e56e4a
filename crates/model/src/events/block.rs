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
        /// Cgroup id of the inserting thread (cgroup v2 id; 1 is the root).
        cgroup: u64 [Id],
        /// Bytes asked for.
        bytes: u32 [Bytes],
        /// The device: major << 20 | minor.
        dev: u32 [Id],
        /// `cmd_flags`: operation in the low 8 bits (REQ_OP_*: 0 read, 1 write, 2 flush, 3 discard), flags above.
        op: u32 [Flags],
        /// Error of the completion as a negative errno; 0 when fine.
        error: i32 [Flags],
        /// Process that was running at insertion: the one that caused it where `origin` is 1 or 2.
        pid: u32 [Id],
        /// Thread, likewise.
        tid: u32 [Id],
        /// Its name.
        comm: Comm [None],
        /// Cgroup that the kernel charges for it (`bio->bi_blkg`: of the v1 hierarchy `blkio`, or v2): whose data it is,
        /// whoever inserted it. 0 where the kernel does not say (a flush, no CONFIG_BLK_CGROUP).
        owner_cgroup: u64 [Id],
        /// On whose behalf: 0 unknown; 1 the thread itself; 2 readahead that the thread set off; 3 writeback of dirty pages
        /// by a kernel worker; 4 the file system's journal; 5 swap; 6 a kernel thread for other reasons; 7 released by
        /// blkio throttling: it waited before, unseen by any tracepoint of the block layer, and `owner_cgroup` tells whose
        /// it is.
        origin: u32 [Flags],
        /// How many bios it carries when it is issued: more than one where neighbours were merged; 64 stands for more, 0 for
        /// a request without any (a flush).
        bios: u32 [Count],
        /// What a kernel worker was doing when it inserted it, in its own words: `flush-254:0`, `kthrotld`; else empty.
        work: Comm [None],
    }
}
