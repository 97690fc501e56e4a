//! System calls: sums by length, and the slow ones.

use crate::{StackDepth, TextLen};

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
        /// Bit 0: a 32-bit call, whose numbers are others. Bit 1: `path` is cut, bit 2: `to` is. Bit 3: `path` is that of a
        /// descriptor when the call returned: of a cut one the beginning is missing; of one that the program gave, the end.
        flags: u32 [Flags],
        /// The file that it was about: for a call that takes a path, as the program gave it (maybe relative); for one that takes a
        /// descriptor, and one that opened the file, from the root. Empty where there is none (sockets, pipes), where it could
        /// not be read when the call returned, and for 32-bit calls.
        path: TextLen [None],
        /// The second path of a call that takes two (`rename`, `link`).
        to: TextLen [None],
        /// Zero.
        reserved: u32 [None],
        /// User stack.
        user_stack: StackDepth [None],
    }
}
