//! Scheduler: intervals in which a thread did not run.

use crate::StackDepth;

crate::event! {
    /// One off-CPU interval of one thread, from the switch that took it off a CPU to the switch that put it back
    /// (tracepoint `sched/sched_switch`, both ends; woken at `sched/sched_waking`). A new thread has one from its fork.
    kernel OffCpu: kind 1, stream "kernel.offcpu", class Sched {
        /// When the thread was switched out.
        time: u64 [BootNs],
        /// How long it was off the CPU: switch-in minus switch-out.
        duration: u64 [DurNs],
        /// The last part of `duration`, in which it was runnable and waited for a CPU. Equal to `duration` when
        /// it was preempted.
        run_queue: u64 [DurNs],
        /// The thread (kernel pid, initial PID namespace).
        tid: u32 [Id],
        /// Its process (kernel tgid).
        pid: u32 [Id],
        /// Task state at switch-out: TASK_* bits as in `include/linux/sched.h`; 0 is runnable, hence preempted.
        state: u32 [Flags],
        /// System call number that the thread was in; -1 when in none (preempted or faulting in user code), -2 for a
        /// kernel thread.
        syscall: i32 [Id],
        /// Thread that woke it; 0 when it was preempted or the wake-up was not seen.
        waker_tid: u32 [Id],
        /// CPU that it left.
        cpu_out: u16 [Id],
        /// CPU that it came back on.
        cpu_in: u16 [Id],
        /// Bit 0: preempted. Bit 1: kernel thread. Bit 2: woken from interrupt context. Bit 3: the switch-out was
        /// before the capture began (`time` is then the start of the capture). Bit 4: still off-CPU when the capture ended.
        /// Bit 5: the wait of a new thread for its first turn. Bit 6: the switch back was not traced (the kernel leaves out
        /// some in a thousand); `duration` reaches to the wake-up, and the time waited for a CPU behind it is not known.
        flags: u32 [Flags],
        /// Zero.
        reserved: u32 [None],
        /// Kernel stack at switch-out, for intervals of at least the stack threshold (1 ms by default).
        kernel_stack: StackDepth [None],
        /// User stack at switch-out, likewise.
        user_stack: StackDepth [None],
    }
}
