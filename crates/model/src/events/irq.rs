//! Interrupts.

use crate::Comm;

crate::event! {
    /// The interrupts of one number on one CPU since the row before it (tracepoints `irq/irq_handler_entry` and
    /// `irq_handler_exit`, `softirq_entry` and `softirq_exit`; summed in the kernel, taken about twice a second). Those
    /// that came when nothing was attached, and those without a handler of a device (timer, rescheduling), are not in it.
    kernel InterruptSum: kind 42, stream "kernel.irq", class Irq {
        /// When the sum was taken.
        time: u64 [BootNs],
        /// How many.
        count: u64 [Count],
        /// Their time. That of a soft interrupt holds the hard ones that interrupted it.
        total: u64 [DurNs],
        /// The longest.
        longest: u64 [DurNs],
        /// Interrupt number as in `/proc/interrupts`, or vector of a soft interrupt as in `/proc/softirqs`.
        number: u32 [Id],
        /// 1 hard, 2 soft.
        what: u16 [Flags],
        /// The CPU.
        cpu: u16 [Id],
        /// Name of its first handler, or of the vector.
        name: Comm [None],
    }
}

crate::event! {
    /// A single interrupt of at least 1 ms (the same tracepoints); it is in the sum as well.
    kernel LongInterrupt: kind 43, stream "kernel.irq_long", class Irq {
        /// When it began.
        time: u64 [BootNs],
        /// How long it took.
        duration: u64 [DurNs],
        /// Interrupt number, or vector of a soft interrupt.
        number: u32 [Id],
        /// 1 hard, 2 soft.
        what: u16 [Flags],
        /// The CPU.
        cpu: u16 [Id],
        /// The thread that it interrupted; 0 for the idle task.
        tid: u32 [Id],
        /// Its process.
        pid: u32 [Id],
        /// Name of its handler, or of the vector.
        name: Comm [None],
    }
}
