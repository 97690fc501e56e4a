//! The manifest: who, when, where and how a bundle was made, and its table of contents. Written by the seal.

use serde::{Deserialize, Serialize};

use crate::loss::LossTotal;

/// State of a source at the end of a capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceStatus {
    /// It ran until the end.
    Recorded,
    /// It never started; the reason says why.
    Skipped,
    /// It started and ended before its time.
    Failed,
}

/// A source in the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceEntry {
    /// Its name: `kernel.sched`, `packets`, `otlp`, `log`, `metrics`, `host`.
    pub name: String,
    /// Its state.
    pub status: SourceStatus,
    /// Why it was skipped or failed; empty otherwise.
    #[serde(default)]
    pub reason: String,
    /// What would make it run; empty when nothing would.
    #[serde(default)]
    pub hint: String,
}

/// A stream in the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StreamEntry {
    /// Its name.
    pub name: String,
    /// Its kind's number, 0 for raw streams.
    pub kind: u16,
    /// Rows (events) or, for raw streams, messages.
    pub events: u64,
    /// Of a raw stream: the items in its messages (packets), by its receipts; absent where the recorder does not look into them, and
    /// where chunks were taken over from other bundles unread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<u64>,
    /// Bytes before compression.
    pub bytes: u64,
    /// Smallest time of a row, BOOTTIME.
    pub first: Option<u64>,
    /// Largest end of a row, BOOTTIME.
    pub last: Option<u64>,
}

/// The host that was recorded.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HostEntry {
    /// Host name.
    pub name: String,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
    /// `uname -sr`.
    pub kernel: String,
    /// Machine architecture.
    pub arch: String,
    /// CPUs online.
    pub cpus: u32,
    /// Model of the first CPU.
    pub cpu_model: String,
    /// Physical memory in bytes.
    pub memory: u64,
}

/// The manifest, JSON in an MCAP metadata record `coldcase.manifest`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Manifest {
    /// `coldcase/1`.
    pub format: String,
    /// The bundle's id: 16 hex digits, random.
    pub id: String,
    /// Name and version of the program that wrote it.
    pub tool: String,
    /// The host.
    pub host: HostEntry,
    /// The command line of the recorder, masked.
    pub command: Vec<String>,
    /// User id and name of who recorded.
    pub user: String,
    /// Sources and their state.
    pub sources: Vec<SourceEntry>,
    /// Streams.
    pub streams: Vec<StreamEntry>,
    /// The sum of the loss ledger.
    pub losses: Vec<LossTotal>,
    /// Policies applied to what was captured: `argv-mask/1`, `packet-headers/1`.
    pub policies: Vec<String>,
    /// Clock state at the end: `synchronised`, `not synchronised`, `unknown`.
    pub clock: String,
    /// Why the capture ended: `time limit`, `size limit`, `interrupted`, `command ended`, `disk full`.
    pub ended: String,
    /// The command that was recorded, if one was, and its exit code.
    #[serde(default)]
    pub child: Option<ChildEntry>,
    /// Id of the bundle that this was made from, if it was.
    #[serde(default)]
    pub parent: Option<String>,
    /// BLAKE3 chain over all chunks, hex.
    pub root: String,
    /// What part of a flight recording this is, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flight: Option<FlightEntry>,
}

/// A part of a flight recording: one of its segments, or a dump that was made of them. Its rows are numbered on from
/// those of the segments before.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct FlightEntry {
    /// The number of the segment in its folder; in a dump, of its first one.
    pub segment: u64,
    /// What the dump was made for; absent in a segment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dump: Option<DumpEntry>,
}

/// Why a dump was made, and of what.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct DumpEntry {
    /// Name of the trigger; `signal` and `command` for those of people.
    pub trigger: String,
    /// Its kind: `log`, `metric`, `psi`, `span`, `oom`, `exit`, `signal`, `command`.
    pub kind: String,
    /// What it saw: a log line, a span's name, a process, a reason that was given.
    pub text: String,
    /// The value that was measured, in the unit of the trigger's threshold.
    pub value: f64,
    /// What it was measured against.
    pub threshold: f64,
    /// When it fired, BOOTTIME.
    pub fired: u64,
    /// Start of the window that was asked for, BOOTTIME.
    pub from: u64,
    /// End of the window, BOOTTIME.
    pub to: u64,
    /// From when on there is evidence, BOOTTIME: after `from` where the recording is younger, or space was short.
    pub held_from: u64,
    /// The bundles that its chunks are copied from, in order.
    pub segments: Vec<SegmentEntry>,
    /// What was left out of the window, and why, one line each.
    #[serde(default)]
    pub left_out: Vec<String>,
}

/// A segment that a dump was made of.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SegmentEntry {
    /// The id of the segment's bundle.
    pub id: String,
    /// Its number in the folder.
    pub segment: u64,
    /// Smallest time of a row of what it recorded, BOOTTIME.
    pub first: u64,
    /// Largest time, BOOTTIME.
    pub last: u64,
}

/// The command that was recorded.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ChildEntry {
    /// Its arguments, masked.
    pub command: Vec<String>,
    /// Its exit code, 128 + n for a signal.
    pub exit_code: i32,
}
