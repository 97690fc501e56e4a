//! System calls: sums by length, and the slow ones.

use crate::StackDepth;

crate::event! {
    /// The calls of one process, number and length that returned since the row before it (raw tracepoints `sys_enter` and
    /// `sys_exit`; summed in the kernel, taken about twice a second). Only with `--syscalls`. A call that never
    /// returns (`exit`), or began before the capture, is not in it; one that a signal made begin anew counts each time.
    kernel SyscallSum: kind 44, stream "kernel.syscall_histogram", class Syscall {
        /// When the sum was taken.
        time: u64 [BootNs],
        /// How many calls.
        count: u64 [Count],
        /// Their time.
        total: u64 [DurNs],
        /// The longest.
        longest: u64 [DurNs],
        /// How many returned an error.
        failed: u64 [Count],
        /// Lower end of the bucket of lengths: 0 up to 256 ns, then four buckets to each power of two.
        at_least: u64 [DurNs],
        /// The process.
        pid: u32 [Id],
        /// System call number.
        syscall: i32 [Id],
        /// Bit 0: a 32-bit call, whose numbers are others.
        flags: u32 [Flags],
        /// Zero.
        reserved: u32 [None],
    }
}

crate::event! {
    /// A single call that took at least the threshold (`--syscall-threshold`, 10 ms by default); it is in the sum as well.
    kernel SlowSyscall: kind 45, stream "kernel.syscall", class Syscall {
        /// When it began.
        time: u64 [BootNs],
        /// How long it took.
        duration: u64 [DurNs],
        /// What it returned: a negative errno when it failed (-512 to -516: interrupted, and begins anew).
        result: i64 [None],
        /// First argument, as the register held it.
        arg0: u64 [None],
        /// Second argument.
        arg1: u64 [None],
        /// Third argument.
        arg2: u64 [None],
        /// The thread.
        tid: u32 [Id],
        /// Its process.
        pid: u32 [Id],
        /// System call number.
        syscall: i32 [Id],
        /// Bit 0: a 32-bit call, whose numbers are others.
        flags: u32 [Flags],
        /// Zero.
        reserved: u32 [None],
        /// User stack.
        user_stack: StackDepth [None],
    }
}
