//! The CPU controller's cgroups: which threads are in which, and what each may use.

crate::event! {
    /// The cgroup in which the CPU controller counts a thread, told at the first switch-out at which it differs from what
    /// was told before (tracepoint `sched/sched_switch`). A thread without a row is in the root, or never left a CPU.
    kernel ThreadCgroup: kind 40, stream "kernel.thread_cgroup", class Sched {
        /// When it was seen there.
        time: u64 [BootNs],
        /// The cgroup: the `id` of `host.cgroup_cpu`; 1 is the root.
        cgroup: u64 [Id],
        /// The thread.
        tid: u32 [Id],
        /// Its process.
        pid: u32 [Id],
    }
}

crate::event! {
    /// What a cgroup may use of the CPUs: of each below the root at the start of the capture and when it appears, and again
    /// when it changes (read every few seconds from `cpu.max` and `cpu.weight`, or `cpu.cfs_quota_us`,
    /// `cpu.cfs_period_us` and `cpu.shares` of version 1).
    host CgroupCpu: kind 41, stream "host.cgroup_cpu", class Task {
        /// When it was read.
        time: u64 [BootNs],
        /// Its id: inode number of its directory, in the hierarchy that has the CPU controller.
        id: u64 [Id],
        /// CPU time that its threads may use in each period, all CPUs together; 0 for no limit.
        quota: u64 [DurNs],
        /// The period.
        period: u64 [DurNs],
        /// CPU time beyond the quota that it may have saved up.
        burst: u64 [DurNs],
        /// Its weight against its siblings: `cpu.weight` (100 by default), or `cpu.shares` (1024 by default).
        weight: u32 [Count],
        /// Version of the hierarchy: 1 or 2.
        version: u32 [Flags],
        /// Path below the hierarchy's mount.
        path: String [None],
    }
}
