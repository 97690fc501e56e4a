//! The state of a flight recording: its folder, its shelf, the segment that is written, the dump that is awaited.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use coldcase_bundle::{Rotation, WriterOptions};
use coldcase_model::manifest::{DumpEntry, FlightEntry, Manifest};
use crossbeam_channel::Sender;

use super::config::{DEFAULT_CAP, FlightConfig, SMALLEST_CAP};
use super::dump::Made;
use super::folder::{Folder, Taken};
use super::rule::{Rule, RuleKind};
use super::segment::Segment;
use super::shelf::{Reserved, Shelf};
use super::{adopt, watch};
use crate::config::RecordConfig;
use crate::error::RecordError;
use crate::session::Wake;
use crate::source::StopToken;

/// A flight recording under way.
pub(crate) struct Flight {
    pub(super) config: FlightConfig,
    pub(super) window: Duration,
    /// Bytes that the folder may take.
    pub(super) cap: u64,
    pub(super) folder: Folder,
    pub(super) shelf: Shelf,
    /// The boot of this host.
    pub(super) boot: String,
    /// The segment that is written.
    pub(super) number: u64,
    /// Since when.
    pub(super) begun: Instant,
    pub(super) stage: Stage,
    /// The dump that is awaited or made: one at a time.
    pub(super) pending: Option<Pending>,
    pub(super) rules: Vec<RuleState>,
    pub(super) made: Vec<Made>,
    /// Bytes of dumps in the folder.
    pub(super) dump_bytes: u64,
    pub(super) wake: Sender<Wake>,
    /// What flowed by faster than it could be judged.
    pub(super) unjudged: Arc<AtomicU64>,
    pub(super) unjudged_told: u64,
    /// Whether it was said that the disk is short.
    pub(super) short: bool,
}

/// Between two segments.
pub(super) enum Stage {
    /// Nothing is going on.
    Recording,
    /// Sources make the segment complete.
    Closing(Instant),
    /// The next one is written, this one is being sealed.
    Sealing { rotation: Rotation, number: u64 },
}

/// A dump to be.
pub(super) struct Pending {
    pub(super) entry: DumpEntry,
    /// Where to, when somebody said so.
    pub(super) output: Option<PathBuf>,
    /// Who waits for it.
    pub(super) reply: Option<Sender<String>>,
    pub(super) phase: Phase,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The window is not over.
    Waiting,
    /// This segment holds its end, and is being sealed.
    Cutting(u64),
    /// It is written.
    Writing,
}

/// What a rule did so far.
#[derive(Debug, Default)]
pub(super) struct RuleState {
    pub(super) last: Option<Instant>,
    pub(super) made: u32,
    /// Times that it was met and not told.
    pub(super) untold: u64,
    /// When it was told last, and with what outcome.
    pub(super) told: Option<(Instant, &'static str)>,
}

/// What the session's writer is begun with.
pub(crate) struct Begun {
    pub(crate) flight: Flight,
    pub(crate) options: WriterOptions,
    pub(crate) path: PathBuf,
    /// What there is to say of what a run before left.
    pub(crate) remarks: Vec<String>,
}

impl Flight {
    /// Takes the folder, and what a run before left in it.
    pub(crate) fn begin(
        path: &Path,
        config: &RecordConfig,
        preface: &Manifest,
        wake: &Sender<Wake>,
        stop: &StopToken,
    ) -> Result<Begun, RecordError> {
        let fail = |reason: String| RecordError::Flight { path: path.to_owned(), reason };
        let cap = config.max_size.unwrap_or(DEFAULT_CAP);
        if cap < SMALLEST_CAP {
            return Err(fail(format!("--max-size: at least {} MiB for a flight recording", SMALLEST_CAP >> 20)));
        }
        if let Some(fault) = config.flight.fault() {
            return Err(fail(fault));
        }
        let io = |e: std::io::Error| fail(e.to_string());
        let folder = Folder::take(path).map_err(|e| match e {
            Taken::By(pid) => fail(format!("process {pid} records into it")),
            Taken::Io(e) => io(e),
        })?;
        let adopted = adopt::adopt(&folder).map_err(io)?;
        let (tap, unjudged) = watch::start(&config.flight.triggers, wake.clone(), stop.clone()).map_err(io)?;
        let made = |rule: &Rule| RuleState { made: folder.dumps_of(rule.name()), ..RuleState::default() };
        let number = adopted.next;
        let options = WriterOptions {
            preface: Some(Manifest { flight: Some(entry(number)), ..preface.clone() }),
            first_rows: adopted.next_rows,
            tap: Some(tap),
            outlast_full_disk: true,
            ..WriterOptions::default()
        };
        let mut remarks = adopted.remarks;
        if !adopted.segments.is_empty() {
            remarks.push(format!("{} segments of a run before are taken over", adopted.segments.len()));
        }
        let path = folder.open(number);
        let flight = Flight {
            rules: config.flight.triggers.iter().map(made).collect(),
            config: config.flight.clone(),
            window: config.flight.window.unwrap_or_default(),
            cap,
            dump_bytes: folder.dump_bytes(),
            folder,
            shelf: Shelf { segments: adopted.segments, reserved: Reserved::default() },
            boot: preface.host.boot_id.clone(),
            number,
            begun: Instant::now(),
            stage: Stage::Recording,
            pending: None,
            made: Vec::new(),
            wake: wake.clone(),
            unjudged,
            unjudged_told: 0,
            short: false,
        };
        Ok(Begun { flight, options, path, remarks })
    }

    /// What the manifest of the segment that is written says of it.
    pub(crate) fn entry(&self) -> FlightEntry {
        entry(self.number)
    }

    /// How long a segment is: a tenth of the window, so that little more than the window is held.
    pub(super) fn segment_time(&self) -> Duration {
        (self.window / 10).clamp(Duration::from_secs(1), Duration::from_secs(60))
    }

    /// What segments may take: half of what dumps have left of the folder, so that a dump of all of them has room.
    pub(super) fn share(&self) -> u64 {
        self.cap.saturating_sub(self.dump_bytes) / 2
    }

    /// What may be in files before the oldest must go: what is in memory, and written until the next look, is to come.
    pub(super) fn limit(&self) -> u64 {
        let share = self.share();
        share - (share / 8).clamp(share.min(512 << 10), 32 << 20)
    }

    /// Whether the segment that is written is long or large enough.
    pub(super) fn is_full(&self, file_bytes: u64) -> bool {
        self.begun.elapsed() >= self.segment_time() || file_bytes >= (self.share() / 8).max(256 << 10)
    }

    /// Rules whose source is not among `live`, with its name.
    pub(super) fn unwatched(&self, live: &[String]) -> Vec<(String, &'static str)> {
        let needs = |rule: &Rule| match rule.kind {
            Some(RuleKind::Log) => "log",
            Some(RuleKind::Span) => "otlp",
            Some(RuleKind::Exit) => "kernel.task",
            Some(RuleKind::Metric) if rule.pattern.as_deref().is_some_and(|p| p.starts_with("node_")) => "host",
            Some(RuleKind::Metric) => "metrics",
            Some(RuleKind::Psi | RuleKind::Oom) | None => "",
        };
        let rules = self.config.triggers.iter().map(|r| (r.name().to_owned(), needs(r)));
        rules.filter(|(_, needs)| !needs.is_empty() && !live.iter().any(|l| l == needs)).collect()
    }

    /// Puts a sealed segment on the shelf.
    pub(super) fn shelve(&mut self, number: u64) -> Result<(), String> {
        let (open, sealed) = (self.folder.open(number), self.folder.sealed(number));
        std::fs::rename(&open, &sealed).map_err(|e| format!("{}: {e}", open.display()))?;
        super::dump::sync_folder(&sealed);
        let (segment, _) = Segment::read(number, &sealed).map_err(|e| e.to_string())?;
        self.shelf.segments.push(segment);
        Ok(())
    }
}

fn entry(segment: u64) -> FlightEntry {
    FlightEntry { segment, dump: None }
}
