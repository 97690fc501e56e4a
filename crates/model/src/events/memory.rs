//! Memory: major faults, reclaim, kills for want of memory.

use crate::{Comm, StackDepth};

crate::event! {
    /// A page fault that had to read from a disk or swap, when it was done (software event `major-faults`).
    kernel MajorFault: kind 23, stream "kernel.major_fault", class Memory {
        /// When the page was there. The wait before it is an off-CPU interval of the thread.
        time: u64 [BootNs],
        /// The address that was touched.
        address: u64 [Id],
        /// The process.
        pid: u32 [Id],
        /// The thread.
        tid: u32 [Id],
        /// Bit 0: the kernel touched it, in a system call.
        flags: u32 [Flags],
        /// User stack.
        user_stack: StackDepth [None],
        /// Name of the thread.
        comm: Comm [None],
    }
}

crate::event! {
    /// A thread had to make room in memory itself, or kswapd did (tracepoints `vmscan/mm_vmscan_direct_reclaim_begin`, `_end`,
    /// `mm_vmscan_memcg_reclaim_begin`, `_end`, `mm_vmscan_kswapd_wake`, `_sleep`, `compaction/mm_compaction_begin`, `_end`).
    kernel Reclaim: kind 24, stream "kernel.reclaim", class Memory {
        /// When it began.
        time: u64 [BootNs],
        /// How long it took.
        duration: u64 [DurNs],
        /// Pages freed, where known (direct and cgroup).
        reclaimed: u64 [Count],
        /// 1 direct: the host is short of memory; 2 cgroup: its limit is reached; 3 compaction: no large piece is free;
        /// 4 kswapd was awake.
        what: u32 [Flags],
        /// Size asked for: 2^order pages.
        order: u32 [Flags],
        /// The process.
        pid: u32 [Id],
        /// The thread.
        tid: u32 [Id],
        /// Its name.
        comm: Comm [None],
    }
}

crate::event! {
    /// The kernel chose a process to be killed for want of memory (tracepoint `oom/mark_victim`).
    kernel OomKill: kind 25, stream "kernel.oom_kill", class Memory {
        /// When.
        time: u64 [BootNs],
        /// Cgroup that limits its memory (of the v1 hierarchy `memory`, or v2); 0 when unknown (before Linux 6.8).
        cgroup: u64 [Id],
        /// The victim.
        pid: u32 [Id],
        /// Process that asked for memory when there was none.
        by_pid: u32 [Id],
        /// Its thread.
        by_tid: u32 [Id],
        /// Zero.
        reserved: u32 [None],
        /// Name of the victim; empty when unknown (before Linux 6.8).
        comm: Comm [None],
    }
}
