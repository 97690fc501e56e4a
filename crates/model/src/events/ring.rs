//! The way of kernel events through the rings, counted on both sides.

crate::event! {
    /// What became of the events of one kernel source on one CPU since the start of the capture. Each event is numbered
    /// on its CPU before the ring may refuse it, so both sides must agree: `emitted` = `received` + `refused`,
    /// and `missing` = `refused`. Written when the capture ends.
    host RingCount: kind 9, stream "recorder.ring", class Recorder {
        /// When.
        time: u64 [BootNs],
        /// The source: `kernel.sched`, ….
        source: String [None],
        /// The CPU that the events were written on.
        cpu: u32 [Id],
        /// Events that the programs offered to the ring: their count in the kernel.
        emitted: u64 [Count],
        /// Of these, refused because the ring was full: their count in the kernel.
        refused: u64 [Count],
        /// Events that arrived.
        received: u64 [Count],
        /// Numbers that did not arrive, seen by the gaps between those that did.
        missing: u64 [Count],
        /// Of those received, left out because their process is not in scope.
        left_out: u64 [Count],
    }
}
