//! Locks of the kernel.

use crate::StackDepth;

crate::event! {
    /// One wait for a lock inside the kernel that took at least the lock threshold (100 µs by default; tracepoints
    /// `lock/contention_begin` and `contention_end`, Linux 5.19).
    kernel LockContention: kind 8, stream "kernel.lock", class Lock {
        /// When the wait began.
        time: u64 [BootNs],
        /// How long it took.
        duration: u64 [DurNs],
        /// The lock: a number that is the same for the same lock throughout the capture, not its address.
        lock: u64 [Id],
        /// The thread that waited, or that was interrupted by what waited.
        tid: u32 [Id],
        /// Its process.
        pid: u32 [Id],
        /// What kind of lock and wait: LCB_F_* of `include/trace/events/lock.h`. Bit 0: it spins. Bit 1: for reading.
        /// Bit 2: for writing. Bit 3: real-time mutex. Bit 4: per-CPU semaphore. Bit 5: mutex.
        flags: u32 [Flags],
        /// 0 when it got the lock, else an error number, negative (-EINTR).
        result: i32 [Id],
        /// The CPU on which the wait ended.
        cpu: u16 [Id],
        /// Zero.
        reserved: u16 [None],
        /// Kernel stack of the wait.
        kernel_stack: StackDepth [None],
    }
}
