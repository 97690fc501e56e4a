//! How a recording goes, and how it went.

use std::path::PathBuf;
use std::time::Duration;

use coldcase_model::analysis::Reduction;
use coldcase_model::loss::{LossTotal, Reason};
use coldcase_model::manifest::Manifest;

/// A recording under way.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// Since time zero.
    pub elapsed: Duration,
    /// Events taken in.
    pub events: u64,
    /// Events in the last second.
    pub events_per_second: u64,
    /// Bytes in the file.
    pub bytes: u64,
    /// Resident memory of the recorder, bytes.
    pub resident: u64,
    /// What was lost; empty when nothing was.
    pub losses: Vec<LossTotal>,
}

/// Why a recording ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// `--for`.
    TimeLimit,
    /// `--max-size`.
    SizeLimit,
    /// A signal.
    Interrupted,
    /// The command that was recorded ended.
    CommandEnded,
    /// The input that was read as a log ended.
    InputEnded,
    /// `--max-memory`, with nothing left to take off.
    MemoryLimit,
    /// The kill switch's file is there.
    KillSwitch,
    /// The watchdog took the programs off a recorder that was stuck.
    Stalled,
    /// The disk was full.
    DiskFull,
    /// The bundle could not be written on.
    WriteError,
}

impl Ended {
    /// In words, as in the manifest.
    pub const fn words(self) -> &'static str {
        match self {
            Ended::TimeLimit => "time limit",
            Ended::SizeLimit => "size limit",
            Ended::Interrupted => "interrupted",
            Ended::CommandEnded => "command ended",
            Ended::InputEnded => "input ended",
            Ended::MemoryLimit => "memory limit",
            Ended::KillSwitch => "kill switch",
            Ended::Stalled => "stalled",
            Ended::DiskFull => "disk full",
            Ended::WriteError => "write error",
        }
    }
}

/// A recording that was sealed.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// The bundle; `None` when it went to a stream.
    pub bundle: Option<PathBuf>,
    /// Its size in bytes.
    pub bytes: u64,
    /// UTC of time zero, nanoseconds.
    pub started: i64,
    /// From time zero to the end.
    pub elapsed: Duration,
    /// Events taken in.
    pub events: u64,
    /// Why it ended.
    pub ended: Ended,
    /// Where less was taken in than was asked for, and more again: the steps of the ladder.
    pub reductions: Vec<Reduction>,
    /// Whether a limit or the watchdog kept evidence out altogether: a source was off.
    pub left_out: bool,
    /// Exit code of the command, if one was recorded.
    pub child_code: Option<i32>,
    /// The manifest as sealed; of a flight recording, that of its last segment.
    pub manifest: Manifest,
    /// What a flight recording left.
    pub flight: Option<FlightSummary>,
    /// What sources said at their end.
    pub remarks: Vec<String>,
}

/// What a flight recording left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlightSummary {
    /// Its folder.
    pub folder: PathBuf,
    /// Sealed segments in it.
    pub segments: usize,
    /// Dumps that were made.
    pub dumps: Vec<PathBuf>,
    /// Whether anything was lost since the start.
    pub lost: bool,
}

impl Summary {
    /// What was lost; empty when nothing was.
    pub fn lost(&self) -> Vec<&LossTotal> {
        self.manifest.losses.iter().filter(|l| l.count > 0 || l.bytes > 0).collect()
    }

    /// Whether the recorder lost something: not what the kernel never traced.
    pub fn lost_ours(&self) -> bool {
        self.lost().iter().any(|l| l.reason != Reason::Untraced.name())
    }
}
