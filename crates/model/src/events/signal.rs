//! Signals.

use crate::Comm;

crate::event! {
    /// A signal was sent or taken (tracepoints `signal/signal_generate`, `signal_deliver`). Of the signals that programs
    /// send all the time (SIGCHLD, SIGALRM, SIGURG, real-time ones, …) at most some hundreds per CPU and second are told;
    /// the rest are counted as lost, reason `rate-limited`.
    kernel Signal: kind 21, stream "kernel.signal", class Signal {
        /// When.
        time: u64 [BootNs],
        /// The thread it is for.
        tid: u32 [Id],
        /// Its process.
        pid: u32 [Id],
        /// Thread that sent it; 0 when the kernel did (a timer, a fault), and in rows of what is taken.
        sender_tid: u32 [Id],
        /// Process that sent it, likewise.
        sender_pid: u32 [Id],
        /// 1 sent, 2 taken.
        what: u32 [Flags],
        /// Its number.
        signal: u32 [Flags],
        /// `si_code` as in sigaction(2): 0 kill(2), -6 tgkill(2), 128 the kernel.
        code: i32 [Flags],
        /// What became of it when it was sent: 0 it waits to be taken, 1 ignored, 2 one waited already, 3 and 4 no memory.
        result: u32 [Flags],
        /// Bit 0: sent to the whole process. Bit 1: taken and ignored. Bit 2: taken by a handler of the program.
        flags: u32 [Flags],
        /// Zero.
        reserved: u32 [None],
        /// Name of the thread it is for.
        comm: Comm [None],
    }
}
