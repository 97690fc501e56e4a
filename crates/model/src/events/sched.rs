//! Scheduler: intervals in which a thread did not run, one by one and in sums.

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
        /// Bit 5: the wait of a new thread for its first turn. Bit 6: the switch back was not traced (some machines trace
        /// nothing at the switches of their controlling process); its time is the wake-up plus the run-queue delay that the kernel charged.
        /// Bit 7: the waker ran in a hard IRQ. Bit 8: in a soft IRQ. Bit 2 without either: not known which.
        /// Bit 9: the waker was in a futex call that wakes. Bit 10: one on the word that this thread waited on: it
        /// released it. Bits 11 and 12: what stands in the program's memory around that word: 1 a mutex, 2 a
        /// condition variable, 3 a semaphore, of glibc; 0 nothing that is known. Bit 13: `ran` and `delayed` are told.
        /// Bit 14: the user stack is that of a wait up to 10 ms before, by the same registers (instruction, stack and frame
        /// pointer): threads that switch often are not walked each time.
        flags: u32 [Flags],
        /// In a futex wait: the thread that holds it by the word itself (priority-inheriting and robust mutexes) or by
        /// glibc's mutex around it, at switch-out, as numbered in the PID namespace of the process; 0: not told.
        owner: u32 [Id],
        /// Kernel stack at switch-out, for intervals of at least the stack threshold (1 ms by default).
        kernel_stack: StackDepth [None],
        /// User stack at switch-out, likewise.
        user_stack: StackDepth [None],
        /// First argument of the system call that it is blocked in, from the registers it entered the kernel with;
        /// 0 when in none or preempted. Pointers are not followed.
        arg0: u64 [Id],
        /// Second argument, likewise.
        arg1: u64 [Id],
        /// Third argument, likewise.
        arg2: u64 [Id],
        /// CPU time that the kernel charged the thread (`se.sum_exec_runtime`) up to this switch-out, since the last of
        /// its rows that told it (flag bit 13). What it lacks of the wall time between the intervals was steal
        /// or interrupts. Told for intervals from 1 ms on, and ten times a second.
        ran: u64 [DurNs],
        /// Run-queue delay that the kernel charged the thread (`sched_info.run_delay`), over the same time as `ran`.
        delayed: u64 [DurNs],
    }
}

crate::event! {
    /// The off-CPU intervals of one thread in one system call and state that were shorter than the row threshold, and
    /// hence are no rows of `kernel.offcpu`: their sums, once a second while there are any.
    kernel OffCpuSum: kind 7, stream "kernel.offcpu_sum", class Sched {
        /// When the first of the intervals ended, or the last sums of this thread were taken.
        time: u64 [BootNs],
        /// From there to when these sums were taken. The intervals ended in this time.
        duration: u64 [DurNs],
        /// Sum of the durations of the intervals.
        off_cpu: u64 [DurNs],
        /// The part of `off_cpu` in which the thread was runnable and waited for a CPU.
        run_queue: u64 [DurNs],
        /// As in `kernel.offcpu`: CPU time since the last row that told it; in the first of the rows taken together.
        ran: u64 [DurNs],
        /// As in `kernel.offcpu`: run-queue delay since the last row that told it.
        delayed: u64 [DurNs],
        /// The thread.
        tid: u32 [Id],
        /// Its process.
        pid: u32 [Id],
        /// How many intervals.
        count: u32 [Count],
        /// Task state at switch-out; 0: preempted, or a new thread before its first turn.
        state: u32 [Flags],
        /// System call number; -1 in none, -2 for a kernel thread.
        syscall: i32 [Id],
        /// Zero.
        reserved: u32 [None],
    }
}
