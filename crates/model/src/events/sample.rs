//! CPU samples.

use crate::StackDepth;

crate::event! {
    /// A sample of what a CPU ran (perf event: hardware cycles where there is a PMU, else `cpu-clock`). The idle
    /// task is not sampled.
    kernel CpuSample: kind 2, stream "kernel.cpu_sample", class Sample {
        /// When.
        time: u64 [BootNs],
        /// The thread that ran.
        tid: u32 [Id],
        /// Its process.
        pid: u32 [Id],
        /// The CPU.
        cpu: u16 [Id],
        /// Bit 0: the CPU was in the kernel. Bit 1: kernel thread.
        flags: u16 [Flags],
        /// Zero.
        reserved: u32 [None],
        /// Kernel stack; empty when in user code.
        kernel_stack: StackDepth [None],
        /// User stack; empty for kernel threads.
        user_stack: StackDepth [None],
    }
}
