//! The loss ledger's words.

use serde::{Deserialize, Serialize};

/// Why evidence was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// A kernel ring had no room.
    RingFull,
    /// A kernel map had no room.
    MapFull,
    /// A stack could not be walked.
    StackFault,
    /// A value was cut.
    Truncated,
    /// A limit that the user set was reached.
    RateLimited,
    /// The packet socket dropped packets.
    PacketDrop,
    /// A scrape target did not answer.
    ScrapeMiss,
    /// An OTLP request was refused.
    OtlpRejected,
    /// A Prometheus Remote-Write request was refused.
    RemoteWriteRejected,
    /// Log bytes were overwritten before they were read.
    LogGap,
    /// The disk was full.
    DiskFull,
    /// Part of a bundle could not be read.
    Unreadable,
    /// The kernel did not trace the end of what it had begun: some machines run no tracing program while a thread of
    /// their controlling process is on the CPU, whoever's interrupt it is.
    Untraced,
    /// A step that is bounded in time had not finished.
    OutOfTime,
}

impl Reason {
    /// All reasons.
    pub const ALL: [Reason; 14] = [
        Reason::RingFull,
        Reason::MapFull,
        Reason::StackFault,
        Reason::Truncated,
        Reason::RateLimited,
        Reason::PacketDrop,
        Reason::ScrapeMiss,
        Reason::OtlpRejected,
        Reason::RemoteWriteRejected,
        Reason::LogGap,
        Reason::DiskFull,
        Reason::Unreadable,
        Reason::Untraced,
        Reason::OutOfTime,
    ];

    /// The name, as in the bundle and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Reason::RingFull => "ring-full",
            Reason::MapFull => "map-full",
            Reason::StackFault => "stack-fault",
            Reason::Truncated => "truncated",
            Reason::RateLimited => "rate-limited",
            Reason::PacketDrop => "packet-drop",
            Reason::ScrapeMiss => "scrape-miss",
            Reason::OtlpRejected => "otlp-rejected",
            Reason::RemoteWriteRejected => "remote-write-rejected",
            Reason::LogGap => "log-gap",
            Reason::DiskFull => "disk-full",
            Reason::Unreadable => "unreadable",
            Reason::Untraced => "untraced",
            Reason::OutOfTime => "out-of-time",
        }
    }
}

/// A sum over the ledger: one source, class and reason.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LossTotal {
    /// The source.
    pub source: String,
    /// The signal class.
    pub class: String,
    /// Why.
    pub reason: String,
    /// Things lost.
    pub count: u64,
    /// Bytes lost, where known.
    pub bytes: u64,
}
