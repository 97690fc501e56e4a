//! A dump: one bundle made of the segments of a window, chunk by chunk as they are.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use coldcase_bundle::{Bundle, Join, JoinError};
use coldcase_model::loss::LossTotal;
use coldcase_model::manifest::{DumpEntry, FlightEntry, Manifest, SegmentEntry};
use coldcase_model::{Class, Nanos};

use super::segment::Segment;
use super::shelf::Reserved;

/// A dump that was made.
#[derive(Debug, Clone, PartialEq)]
pub struct Made {
    /// Where it is.
    pub path: PathBuf,
    /// Its bundle's id.
    pub id: String,
    /// Its size.
    pub bytes: u64,
    /// Why, and of what.
    pub entry: DumpEntry,
}

/// What is to be made.
#[derive(Debug)]
pub(super) struct Job {
    /// Of these, the oldest first.
    pub(super) segments: Vec<Segment>,
    /// Why, and of which window.
    pub(super) entry: DumpEntry,
    /// Where to.
    pub(super) path: PathBuf,
    /// Where it is made.
    pub(super) part: PathBuf,
    /// It may become this large; the oldest segments are left out where it would be larger.
    pub(super) room: u64,
    /// Given back one by one.
    pub(super) reserved: Reserved,
}

/// Names and addresses are told a moment before or after the rows that need them: so much more is looked at.
const SLACK: u64 = 1_000_000_000;
/// Times between two segments up to this are no gap: the first anchor comes a moment after the last row.
const NO_GAP: u64 = 3_000_000_000;
/// Classes that are taken whole: identities (among the drops, the names of their reasons), and what the recorder says of
/// itself.
const WHOLE: [Class; 4] = [Class::Recorder, Class::Task, Class::Drop, Class::Symbol];
/// What a chunk adds beside its own bytes, and what the manifest and definitions take.
const PER_CHUNK: u64 = 1024;
const BASE: u64 = 256 << 10;

/// The segments of a window (BOOTTIME of `boot`).
pub(super) fn choose(segments: &[Segment], boot: &str, from: u64, to: u64) -> Vec<Segment> {
    let within = |s: &&Segment| s.boot == boot && s.last.saturating_add(SLACK) >= from && s.first <= to;
    segments.iter().filter(within).cloned().collect()
}

/// Makes it. On an error nothing is left behind.
pub(super) fn make(mut job: Job) -> Result<Made, String> {
    let numbers: Vec<u64> = job.segments.iter().map(|s| s.number).collect();
    let made = attempts(&mut job);
    numbers.into_iter().for_each(|n| job.reserved.release(n));
    let made = made.and_then(|manifest| publish(&job, manifest));
    made.inspect_err(|_| _ = std::fs::remove_file(&job.part))
}

/// Segments of another version of the recorder cannot stand beside the later ones: then it begins after them.
fn attempts(job: &mut Job) -> Result<Manifest, String> {
    let mut left_out = Vec::new();
    loop {
        let window = Window::open(job, &mut left_out)?;
        match window.write(job, &left_out) {
            Err(Stop::Otherwise { at, stream }) => {
                let gone: Vec<String> = job.segments.drain(..at).map(|s| s.number.to_string()).collect();
                let which = gone.join(", ");
                left_out.push(format!("segments {which}: another version of the recorder defined {stream} otherwise"));
            }
            Err(Stop::Failed(e)) => return Err(e),
            Ok(manifest) => return Ok(manifest),
        }
    }
}

enum Stop {
    /// The segment at this place does not fit those before it.
    Otherwise {
        at: usize,
        stream: String,
    },
    Failed(String),
}

impl From<JoinError> for Stop {
    fn from(e: JoinError) -> Stop {
        Stop::Failed(e.to_string())
    }
}

/// The segments, opened, and which of their chunks are wanted.
struct Window {
    parts: Vec<(Segment, Bundle, Vec<bool>)>,
}

impl Window {
    fn open(job: &mut Job, left_out: &mut Vec<String>) -> Result<Window, String> {
        let mut parts = Vec::new();
        let mut begun = BTreeSet::new();
        for segment in &job.segments {
            match Bundle::open(&segment.path) {
                Ok(bundle) => {
                    let keep = wanted(&bundle, job.entry.from, job.entry.to, &mut begun);
                    parts.push((segment.clone(), bundle, keep));
                }
                Err(e) => left_out.push(format!("segment {}: {e}", segment.number)),
            }
        }
        let size = |parts: &[(Segment, Bundle, Vec<bool>)]| -> u64 {
            let chunks = parts.iter().flat_map(|(_, b, keep)| b.chunks().iter().filter(|c| keep[c.index]));
            chunks.map(|c| c.bytes + PER_CHUNK).sum::<u64>() + BASE
        };
        while size(&parts) > job.room && !parts.is_empty() {
            let (segment, ..) = parts.remove(0);
            left_out.push(format!("segment {}: no room for it under --max-size", segment.number));
        }
        job.segments = parts.iter().map(|(s, ..)| s.clone()).collect();
        if parts.is_empty() {
            let why = left_out.first().map_or(String::new(), |l| format!(" ({l})"));
            return Err(format!("nothing of the window is held{why}"));
        }
        Ok(Window { parts })
    }

    fn write(&self, job: &Job, left_out: &[String]) -> Result<Manifest, Stop> {
        let preface = self.parts.first().and_then(|(_, b, _)| b.manifest().or(b.preface()));
        // A part of another attempt, or of a recorder that was killed.
        let mut join = Join::create(&job.part, true, preface).map_err(|e| Stop::Failed(e.to_string()))?;
        let mut entry = job.entry.clone();
        entry.left_out.extend_from_slice(left_out);
        entry.left_out.extend(self.gaps(entry.from));
        for (at, (segment, bundle, keep)) in self.parts.iter().enumerate() {
            let taken = match join.take(bundle, &|chunk| keep[chunk]) {
                Err(JoinError::Definitions { stream }) => return Err(Stop::Otherwise { at, stream }),
                taken => taken?,
            };
            for p in taken.problems {
                entry.left_out.push(format!(
                    "segment {}, bytes {} to {}: {}",
                    segment.number, p.range.start, p.range.end, p.what
                ));
            }
            job.reserved.release(segment.number);
        }
        entry.segments = self
            .parts
            .iter()
            .map(|(s, ..)| SegmentEntry { id: s.id.clone(), segment: s.number, first: s.first, last: s.last })
            .collect();
        entry.held_from = self.parts.first().map_or(entry.from, |(s, ..)| s.first.max(entry.from));
        join.seal(self.manifest(entry)).map_err(|e| Stop::Failed(e.to_string()))
    }

    /// Parts of the window that nothing was recorded in.
    fn gaps(&self, from: u64) -> Vec<String> {
        let mut gaps = Vec::new();
        let first = self.parts.first().map_or(from, |(s, ..)| s.first);
        if first > from {
            gaps.push(format!("the first {} of the window are not held", Nanos(first - from)));
        }
        for ((before, ..), (after, ..)) in self.parts.iter().zip(self.parts.iter().skip(1)) {
            let gap = after.first.saturating_sub(before.last);
            if gap > NO_GAP {
                let (a, b) = (before.number, after.number);
                gaps.push(format!("nothing was recorded for {} between segments {a} and {b}", Nanos(gap)));
            }
        }
        gaps
    }

    /// That of the last segment, with the losses and policies of all.
    fn manifest(&self, entry: DumpEntry) -> Manifest {
        let mut manifests = self.parts.iter().filter_map(|(_, b, _)| b.manifest());
        let mut losses: BTreeMap<(String, String, String), (u64, u64)> = BTreeMap::new();
        let mut policies: Vec<String> = Vec::new();
        for m in manifests.clone() {
            for l in &m.losses {
                let sum = losses.entry((l.source.clone(), l.class.clone(), l.reason.clone())).or_default();
                *sum = (sum.0.saturating_add(l.count), sum.1.saturating_add(l.bytes));
            }
            let new: Vec<String> = m.policies.iter().filter(|p| !policies.contains(p)).cloned().collect();
            policies.extend(new);
        }
        let total = |((source, class, reason), (count, bytes))| LossTotal { source, class, reason, count, bytes };
        let segment = self.parts.first().map_or(0, |(s, ..)| s.number);
        Manifest {
            losses: losses.into_iter().map(total).collect(),
            policies,
            ended: "dump".to_owned(),
            child: None,
            parent: None,
            flight: Some(FlightEntry { segment, dump: Some(entry) }),
            ..manifests.next_back().cloned().unwrap_or_default()
        }
    }
}

/// Which chunks of a segment belong to the window. Those of one class are taken without a gap, so that row numbers have
/// none; `begun` are the classes that an earlier segment gave something of.
fn wanted(bundle: &Bundle, from: u64, to: u64, begun: &mut BTreeSet<Class>) -> Vec<bool> {
    let mut keep = vec![false; bundle.chunks().len()];
    for class in Class::ALL {
        let of_class: Vec<_> = bundle.chunks().iter().filter(|c| c.class == class).collect();
        let start = |c: &coldcase_bundle::ChunkInfo| c.streams.iter().map(|s| s.start.0).min().unwrap_or(0);
        let end = |c: &coldcase_bundle::ChunkInfo| c.streams.iter().map(|s| s.end.0).max().unwrap_or(u64::MAX);
        let (first, last) = if WHOLE.contains(&class) {
            (Some(0), of_class.len().checked_sub(1))
        } else {
            let first = if begun.contains(&class) { Some(0) } else { of_class.iter().position(|c| end(c) >= from) };
            (first, of_class.iter().rposition(|c| start(c) <= to))
        };
        if let (Some(first), Some(last)) = (first, last)
            && first <= last
        {
            begun.insert(class);
            of_class[first..=last].iter().for_each(|c| keep[c.index] = true);
        }
    }
    keep
}

/// Gives the finished bundle its name, which nobody may have.
fn publish(job: &Job, manifest: Manifest) -> Result<Made, String> {
    let name = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::AlreadyExists => format!("{} exists already", job.path.display()),
        _ => format!("{}: {e}", job.path.display()),
    };
    // A link never replaces; where a file system has none, a look before must do.
    if std::fs::hard_link(&job.part, &job.path).map_err(|e| e.kind()) == Err(std::io::ErrorKind::AlreadyExists) {
        return Err(name(std::io::ErrorKind::AlreadyExists.into()));
    }
    if job.path.exists() {
        // The name stands; a part that cannot be removed is removed by the next run.
        let _ = std::fs::remove_file(&job.part);
    } else {
        std::fs::rename(&job.part, &job.path).map_err(name)?;
    }
    sync_folder(&job.path);
    let bytes = std::fs::metadata(&job.path).map_or(0, |m| m.len());
    let entry = manifest.flight.and_then(|f| f.dump).unwrap_or_default();
    Ok(Made { path: job.path.clone(), id: manifest.id, bytes, entry })
}

/// Makes a file's name durable.
pub(super) fn sync_folder(file: &Path) {
    let folder = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // A file system that cannot sync folders has nothing to sync.
    if let Ok(folder) = std::fs::File::open(folder) {
        let _ = folder.sync_all();
    }
}
