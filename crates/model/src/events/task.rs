//! Tasks: fork, exec, exit and rename.

use crate::{Comm, TextLen};

crate::event! {
    /// A thread or process began, became another program, changed its name, or ended (tracepoints
    /// `sched/sched_process_fork`, `sched_process_exec`, `sched_process_exit`, `task/task_rename`).
    kernel Task: kind 6, stream "kernel.task", class Task {
        /// When.
        time: u64 [BootNs],
        /// What happened: 1 fork, 2 exec, 3 exit, 4 rename.
        what: u32 [Flags],
        /// The thread (for a fork: the new one).
        tid: u32 [Id],
        /// Its process; equal to `tid` for the first thread.
        pid: u32 [Id],
        /// Parent process.
        ppid: u32 [Id],
        /// Start time of the process: with `pid` it is unique even when pids are reused.
        started: u64 [BootNs],
        /// Cgroup id (cgroup v2 id; 1 is the root).
        cgroup: u64 [Id],
        /// On exit: the code as in `wait(2)` (status << 8 | signal).
        exit_code: i32 [Flags],
        /// Bit 1: kernel thread.
        flags: u32 [Flags],
        /// The name after the event.
        comm: Comm [None],
        /// The pid of the process as it knows itself, in its own PID namespace.
        inner_pid: u32 [Id],
        /// Inode number of that namespace.
        pid_namespace: u32 [Id],
    }
}

crate::event! {
    /// The arguments of a program that was started, read as the kernel has just put them in place, so that a program which
    /// lives for milliseconds has them too (tracepoint `sched/sched_process_exec`). Masked before they are written.
    kernel Exec: kind 67, stream "kernel.exec", class Task {
        /// When: that of the row of `kernel.task`.
        time: u64 [BootNs],
        /// The process.
        pid: u32 [Id],
        /// Bytes of arguments that were cut off: the first 256 are read.
        cut: u32 [Bytes],
        /// Start time of the process.
        started: u64 [BootNs],
        /// The arguments, masked (`argv-mask/1`), separated by spaces.
        argv: TextLen [None],
        /// Zero.
        reserved: u32 [None],
    }
}
