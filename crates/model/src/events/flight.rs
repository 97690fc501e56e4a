//! What fires in a flight recording.

crate::event! {
    /// A trigger of a flight recording fired. It stands in the segment that was written then, and so in its dump.
    host Trigger: kind 58, stream "recorder.trigger", class Recorder {
        /// When its condition was met.
        time: u64 [BootNs],
        /// How much before it the dump holds.
        before: u64 [DurNs],
        /// How much after it the dump holds.
        after: u64 [DurNs],
        /// The value that was measured, in the unit of its threshold: ns for a latency, percent for pressure, a metric's
        /// own (for a rise: per second), an exit code, kills.
        value: f64 [None],
        /// What it was measured against; 0 where the trigger has none.
        threshold: f64 [None],
        /// Times that it was met since the row before, this one included: those between are not told one by one.
        count: u64 [Count],
        /// User who asked; 0 for a trigger of the configuration.
        uid: u32 [Id],
        /// Process that asked, or that is the cause; 0 where there is none.
        pid: u32 [Id],
        /// Its name.
        name: String [None],
        /// Its kind: `log`, `metric`, `psi`, `span`, `oom`, `exit`, `signal`, `command`.
        kind: String [None],
        /// What it saw: the log line, the series, the span's name, the process, the reason that was given.
        text: Vec<u8> [None],
        /// What came of it: `dump`; or why none was made: `busy`, `cooldown`, `limit`, `disk`.
        outcome: String [None],
    }
}
