//! A whole bundle of what is left of a damaged one.

use std::collections::BTreeMap;
use std::path::Path;

use coldcase_model::events::{Loss, SourceState};
use coldcase_model::loss::{LossTotal, Reason};
use coldcase_model::manifest::{Manifest, SourceEntry, SourceStatus};
use coldcase_model::{Columns, Event};
use memmap2::Mmap;

use crate::error::RecoverError;
use crate::gate::Identity;
use crate::mark::Mark;
use crate::reader::{self, Batch, BatchBody, ChunkInfo, Found, Problem, chunk, index, scan};
use crate::wire;
use crate::writer::{
    Assembler, Body, Compressor, Item, Job, Packed, Sink, StreamDef, pack, random_id, received, repack, system_now,
};

/// What [`recover`] kept and lost.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    /// The new bundle's id.
    pub id: String,
    /// The id of the bundle that was recovered; empty where it is destroyed.
    pub parent: String,
    /// Chunks copied.
    pub chunks_kept: u64,
    /// Chunks known of that could not be read.
    pub chunks_lost: u64,
    /// Bytes of the file that could not be read.
    pub bytes_lost: u64,
    /// Rows kept, by stream.
    pub rows: BTreeMap<String, u64>,
    /// Rows known to be lost, by stream: gaps between row numbers.
    pub rows_lost: BTreeMap<String, u64>,
    /// What was wrong, and where.
    pub problems: Vec<Problem>,
}

impl Recovery {
    /// Whether everything was there.
    pub fn complete(&self) -> bool {
        self.chunks_lost == 0 && self.bytes_lost == 0 && self.rows_lost.is_empty()
    }
}

/// Writes a new, sealed bundle with everything that can be read of `from`. Rows keep their numbers; what is lost is
/// counted in its loss ledger.
///
/// # Errors
/// When `from` cannot be opened as a bundle at all, or `to` cannot be written.
pub fn recover(from: &Path, to: &Path, force: bool) -> Result<Recovery, RecoverError> {
    let same = |a: &Path, b: &Path| matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b);
    if same(from, to) {
        return Err(RecoverError::SameFile { path: to.to_owned() });
    }
    let map = reader::map(from)?;
    let found = index::read(&map).unwrap_or_else(|| scan::read(&map));
    let parent = found.id.clone().or_else(|| found.manifest.as_ref().map(|m| m.id.clone())).unwrap_or_default();
    let id = random_id();
    let mut work = Work {
        map: &map,
        found: &found,
        out: Assembler::start(
            Sink::create(to, force)?,
            &id,
            Some(parent.clone()).filter(|p| !p.is_empty()),
            found.preface.as_ref(),
        )?,
        recovery: Recovery { id, parent, problems: found.problems.clone(), ..Recovery::default() },
        kept: Vec::new(),
        sources: BTreeMap::new(),
        losses: BTreeMap::new(),
    };
    work.copy()?;
    work.finish()?;
    Ok(work.recovery)
}

struct Work<'a> {
    map: &'a Mmap,
    found: &'a Found,
    out: Assembler,
    recovery: Recovery,
    kept: Vec<ChunkInfo>,
    /// Last state of each source.
    sources: BTreeMap<String, SourceEntry>,
    /// Sums of the loss ledger.
    losses: BTreeMap<(String, String, String), (u64, u64)>,
}

impl<'a> Work<'a> {
    /// Copies every chunk that can be read, byte for byte.
    fn copy(&mut self) -> Result<(), RecoverError> {
        let found = self.found;
        for (info, mark) in found.chunks.iter().zip(&found.marks) {
            match read_one(self.map, found, info, mark.as_ref()) {
                Ok((info, batches, packed)) => {
                    self.out.append(packed)?;
                    self.recovery.chunks_kept += 1;
                    for s in &info.streams {
                        *self.recovery.rows.entry(s.stream.to_string()).or_default() += s.rows;
                    }
                    self.kept.push(info);
                    batches.iter().for_each(|b| self.note(b));
                }
                Err(what) => {
                    self.recovery.chunks_lost += 1;
                    self.recovery.problems.push(Problem { range: info.offset..info.offset + info.bytes, what });
                }
            }
        }
        self.recovery.problems.sort_by_key(|p| (p.range.start, p.range.end));
        self.recovery.bytes_lost = self.recovery.problems.iter().map(|p| p.range.end - p.range.start).sum();
        Ok(())
    }

    /// Rows that the manifest of an unsealed bundle is made from.
    fn note(&mut self, batch: &Batch) {
        let BatchBody::Columns(rows) = &batch.body else { return };
        if *batch.stream == *SourceState::DEF.stream {
            let Ok(cols) = SourceState::cols(rows) else { return };
            for row in 0..rows.len() {
                let status = match cols.status.get(row) {
                    b"skipped" => SourceStatus::Skipped,
                    b"failed" => SourceStatus::Failed,
                    _ => SourceStatus::Recorded,
                };
                let name = cols.source.text(row).into_owned();
                let reason = cols.reason.text(row).into_owned();
                self.sources.insert(name.clone(), SourceEntry { name, status, reason, hint: String::new() });
            }
        }
        if *batch.stream == *Loss::DEF.stream {
            let Ok(cols) = Loss::cols(rows) else { return };
            for row in 0..rows.len() {
                let text = |c: &coldcase_model::column::TextColumn| c.text(row).into_owned();
                let sum = self.losses.entry((text(cols.source), text(cols.class), text(cols.reason))).or_default();
                sum.0 = sum.0.saturating_add(cols.count[row]);
                sum.1 = sum.1.saturating_add(cols.bytes[row]);
            }
        }
    }

    fn finish(&mut self) -> Result<(), RecoverError> {
        let losses = self.gaps();
        if !losses.is_empty() {
            let mut rows = Columns::new(&Loss::DEF);
            for loss in &losses {
                let key = (loss.source.clone(), loss.class.clone(), loss.reason.clone());
                let sum = self.losses.entry(key).or_default();
                sum.0 = sum.0.saturating_add(loss.count);
                sum.1 = sum.1.saturating_add(loss.bytes);
                loss.clone().push(&mut rows);
            }
            self.append_losses(rows)?;
        }
        let mut manifest = self.found.manifest.clone().unwrap_or_else(|| Manifest {
            tool: concat!("coldcase ", env!("CARGO_PKG_VERSION")).to_owned(),
            sources: self.sources.values().cloned().collect(),
            clock: "unknown".to_owned(),
            ended: "not sealed".to_owned(),
            ..self.found.preface.clone().unwrap_or_default()
        });
        manifest.parent = Some(self.recovery.parent.clone()).filter(|p| !p.is_empty());
        let total = |((source, class, reason), (count, bytes)): (&(String, String, String), &(u64, u64))| LossTotal {
            source: source.clone(),
            class: class.clone(),
            reason: reason.clone(),
            count: *count,
            bytes: *bytes,
        };
        let in_ledger: Vec<LossTotal> = self.losses.iter().map(total).collect();
        // What a full disk kept out of the ledger stands only in the old manifest.
        let apart = |l: &LossTotal| {
            !in_ledger.iter().any(|i| (&i.source, &i.class, &i.reason) == (&l.source, &l.class, &l.reason))
        };
        manifest.losses.retain(apart);
        manifest.losses.extend(in_ledger);
        manifest.losses.sort();
        self.out.seal(manifest, self.found.definitions.docs.clone())?;
        self.out.finish()?;
        Ok(())
    }

    /// What is missing: gaps between row numbers by stream, and bytes in which nothing could be recognised.
    fn gaps(&mut self) -> Vec<Loss> {
        let mut by_stream: BTreeMap<&str, Vec<Part>> = BTreeMap::new();
        for chunk in &self.kept {
            for s in &chunk.streams {
                let end = s.first_row.saturating_add(s.rows);
                let part =
                    Part { first: s.first_row, end, start: s.start.0, until: s.end.0, class: chunk.class.name() };
                by_stream.entry(&s.stream).or_default().push(part);
            }
        }
        let totals = self.found.manifest.iter().flat_map(|m| &m.streams);
        let totals: BTreeMap<&str, u64> = totals.map(|s| (s.name.as_str(), s.events)).collect();
        for stream in totals.keys() {
            by_stream.entry(stream).or_default();
        }
        // The numbers of a flight recording go on from file to file: what is before the first is in another.
        let entry = self.found.manifest.as_ref().or(self.found.preface.as_ref());
        let goes_on = entry.is_some_and(|m| m.flight.is_some());
        let mut losses = Vec::new();
        for (stream, parts) in by_stream {
            // Numbers that were missing before the seal are in the ledger already.
            if totals.get(stream) == Some(&parts.iter().map(|p| p.end - p.first).sum()) {
                continue;
            }
            let class = parts.first().map_or("", |p| p.class);
            for (count, from, to) in missing(parts, totals.get(stream).copied(), goes_on) {
                *self.recovery.rows_lost.entry(stream.to_owned()).or_default() += count;
                losses.push(loss(stream, class, count, 0, from, to));
            }
        }
        if self.recovery.bytes_lost > 0 {
            losses.push(loss("bundle", "", 0, self.recovery.bytes_lost, 0, 0));
        }
        losses
    }

    /// Adds rows to the loss ledger, numbered on from those that are there.
    fn append_losses(&mut self, rows: Columns) -> Result<(), RecoverError> {
        let stream = Loss::DEF.stream;
        let parts = self.found.chunks.iter().flat_map(|c| &c.streams).filter(|s| &*s.stream == stream);
        let first_row = parts.map(|s| s.first_row.saturating_add(s.rows)).max().unwrap_or(0);
        let def = StreamDef::beside(stream, &self.found.definitions)?;
        let item = Item { def: def.into(), first_row, log_time: system_now(), body: Body::Rows(rows) };
        let job = Job { number: 0, class: Loss::DEF.class, offset: None, items: vec![item] };
        let packed = Compressor::new(3).map_err(|e| e.to_string()).and_then(|mut zstd| pack(job, &Identity, &mut zstd));
        match packed {
            Ok(packed) => Ok(self.out.append(packed)?),
            Err(reason) => Err(crate::WriteError::Columns { stream: stream.to_owned(), reason }.into()),
        }
    }
}

/// A chunk, decoded and ready to be appended, and what is in it. Decoding every batch is the judge, not the hash: a
/// chunk may be readable though its header is not as it was; then its mark is not believed either.
fn read_one(
    map: &Mmap,
    found: &Found,
    info: &ChunkInfo,
    mark: Option<&Mark>,
) -> Result<(ChunkInfo, Vec<Batch>, Packed), String> {
    let record = chunk::record(map, info)?;
    let batches = chunk::read(&record, mark.is_some(), &found.definitions, &|_| true)?;
    let mut bytes = Vec::new();
    wire::put_raw(&mut bytes, record.opcode, &[record.body]);
    let sure = mark.filter(|m| blake3::hash(&bytes) == m.chunk_hash);
    let mut info = info.clone();
    if mark.is_some() && sure.is_none() {
        info.streams = chunk::survey(&record, &found.definitions)?.streams;
    }
    let mut packed = repack(bytes, &record, &info, sure, &found.definitions)?;
    for batch in &batches {
        if let BatchBody::Columns(rows) = &batch.body
            && let Some((stream, items)) = received(&batch.stream, rows)
        {
            *packed.items.entry(stream.to_owned()).or_default() += items;
        }
    }
    Ok((info, batches, packed))
}

/// One chunk's part of a stream: row numbers, times, class.
struct Part {
    first: u64,
    end: u64,
    start: u64,
    until: u64,
    class: &'static str,
}

/// The gaps between the row numbers of a stream that should have `total` rows: how many rows, between which times. With
/// `goes_on` the first number that is there is where it begins.
fn missing(mut parts: Vec<Part>, total: Option<u64>, goes_on: bool) -> Vec<(u64, u64, u64)> {
    parts.sort_unstable_by_key(|p| (p.first, p.end));
    let mut gaps = Vec::new();
    let begin = parts.first().filter(|_| goes_on).map_or(0, |p| p.first);
    let total = total.map(|t| t.saturating_add(begin));
    let (mut next, mut last) = (begin, parts.first().map_or(0, |p| p.start));
    for p in parts {
        if p.first > next {
            gaps.push((p.first - next, last.min(p.start), p.start));
        }
        next = next.max(p.end);
        // Unknown times say nothing.
        last = if p.until == u64::MAX { last } else { last.max(p.until) };
    }
    if let Some(total) = total.filter(|t| *t > next) {
        gaps.push((total - next, last, last));
    }
    gaps
}

fn loss(stream: &str, class: &str, count: u64, bytes: u64, from: u64, to: u64) -> Loss {
    Loss {
        time: from,
        duration: to.saturating_sub(from),
        count,
        bytes,
        cpu: -1,
        source: stream.to_owned(),
        class: class.to_owned(),
        reason: Reason::Unreadable.name().to_owned(),
    }
}
