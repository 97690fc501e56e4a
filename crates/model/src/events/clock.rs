//! Clock anchors.

crate::event! {
    /// Simultaneous readings of the host's clocks. The readings stand between two readings of CLOCK_BOOTTIME.
    host Anchor: kind 48, stream "recorder.anchor", class Recorder {
        /// CLOCK_BOOTTIME: the middle of the bracket.
        time: u64 [BootNs],
        /// Width of the bracket: the readings are simultaneous within it.
        width: u64 [DurNs],
        /// CLOCK_MONOTONIC.
        monotonic: u64 [None],
        /// CLOCK_REALTIME.
        realtime: i64 [RealNs],
        /// CLOCK_TAI.
        tai: i64 [None],
        /// `adjtimex(2)` state: 0 synchronised, 5 not (TIME_ERROR), -1 not readable.
        ntp_state: i32 [Flags],
        /// `adjtimex(2)` estimated error.
        ntp_error: u64 [DurNs],
        /// Why it was taken: `start`, `periodic`, `step`, `segment` (between two
        /// files of a flight recording), `end`.
        reason: String [None],
    }
}
