//! All streams in one order, with bounded memory: chunks are decoded when their turn comes and dropped when it is over.
//!
//! The order is by UTC, then by stream (in the catalogue's order), then by row: it depends neither on how the bundle
//! was cut into chunks nor on the number of threads.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::sync::Arc;

use coldcase_bundle::{Batch, ChunkInfo, ChunkStream};
use coldcase_model::catalogue::SPAN_STREAMS;
use coldcase_model::{CATALOGUE, Columns, Utc, catalogue};
use rayon::prelude::*;

use crate::decoded::{LogRow, MetricRow, Packet, RecordRow, SpanRow};
use crate::load::{Decoder, Loaded, TimeFields};
use crate::options::StreamSet;
use crate::segment::{Segment, gather};
use crate::timeline::Timeline;

/// How streams of OTLP/JSON end.
const JSON: &str = ".json";

/// One event on the timeline.
#[derive(Debug, Clone)]
pub struct Entry {
    /// When it began.
    pub utc: Utc,
    /// When it ended; the same for what has no length.
    pub end: Utc,
    /// Its stream.
    pub stream: Arc<str>,
    /// Its row, or the number of the message it was decoded from.
    pub row: u64,
    /// Its place in that message; 0 for rows.
    pub index: u32,
    /// What it is.
    pub body: Body,
    order: u32,
}

/// What an entry is.
#[derive(Debug, Clone)]
pub enum Body {
    /// A row of columns.
    Row {
        /// The columns of its batch.
        columns: Arc<Columns>,
        /// Its place in them.
        at: usize,
    },
    /// A span.
    Span(Box<SpanRow>),
    /// An OTLP log record.
    Record(Box<RecordRow>),
    /// An OTLP metric point.
    Metric(Box<MetricRow>),
    /// A packet.
    Packet(Box<Packet>),
    /// A log line.
    Line(Box<LogRow>),
    /// A scraped page.
    Page {
        /// The target's URL.
        target: Arc<str>,
        /// Samples on it.
        samples: usize,
    },
    /// A Remote-Write request that has samples, at the time of its first.
    Written {
        /// Samples in it.
        samples: usize,
    },
}

type Key = (Utc, u32, u64, u32);

impl Entry {
    fn key(&self) -> Key {
        (self.utc, self.order, self.row, self.index)
    }
}

/// A chunk that was not decoded yet, or not all of it.
struct Pending {
    /// No entry of it is earlier.
    start: Utc,
    chunk: usize,
    /// Entries up to this one have had their turn.
    after: Option<Key>,
}

/// An iterator over the entries of a bundle, in order.
pub struct Merge<'a> {
    timeline: &'a Timeline,
    window: (Option<Utc>, Option<Utc>),
    streams: Vec<Arc<str>>,
    pages: HashMap<u64, (Arc<str>, String)>,
    /// Latest start first: the next one is at the end.
    pending: Vec<Pending>,
    runs: Vec<std::vec::IntoIter<Entry>>,
    heads: BinaryHeap<Reverse<(Key, usize)>>,
    /// The entry at the head of each run.
    waiting: Vec<Option<Entry>>,
    free: Vec<usize>,
    problems: Vec<String>,
}

/// A chunk's earliest entries are taken out of it, and the rest decoded again later, when they are this much earlier
/// than the bulk: a thread that slept for an hour must not hold an hour of chunks in memory.
const SPREAD: i64 = 2_000_000_000;
/// The share of a chunk that counts as its earliest entries.
const HEAD: usize = 16;

impl<'a> Merge<'a> {
    /// The entries of the streams, within the window of the timeline.
    pub fn new(timeline: &'a Timeline, streams: &StreamSet) -> Merge<'a> {
        Merge::between(timeline, streams, timeline.window())
    }

    /// The entries of the streams that touch a window: start and end where it has them.
    pub fn between(timeline: &'a Timeline, streams: &StreamSet, window: (Option<Utc>, Option<Utc>)) -> Merge<'a> {
        let names: Vec<Arc<str>> = in_order(
            timeline.bundle().streams().iter().map(|s| Arc::from(&*s.name)).filter(|s: &Arc<str>| streams.has(s)),
        );
        let mut out = Merge::unread(timeline, names, window);
        let starts: Vec<(Option<Pending>, Vec<String>)> =
            timeline.install(|| timeline.bundle().chunks().par_iter().map(|c| out.pending_of(c)).collect());
        for (pending, problems) in starts {
            out.pending.extend(pending);
            out.problems.extend(problems);
        }
        out.pending.sort_by_key(|p| (Reverse(p.start), Reverse(p.chunk)));
        out
    }

    /// Without its chunks.
    fn unread(timeline: &'a Timeline, names: Vec<Arc<str>>, window: (Option<Utc>, Option<Utc>)) -> Merge<'a> {
        let pages = match names.iter().any(|n| &**n == "metrics.pages") {
            true => timeline.pages(),
            false => Default::default(),
        };
        Merge {
            timeline,
            window,
            streams: names,
            pages,
            pending: Vec::new(),
            runs: Vec::new(),
            heads: BinaryHeap::new(),
            waiting: Vec::new(),
            free: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// What one message of a raw stream holds, as entries in the order of their index. A message that cannot be decoded holds nothing.
    pub fn of_message(&self, batch: Batch) -> Vec<Entry> {
        let mut out = Vec::new();
        if &*batch.stream == "metrics.pages" {
            out.push(self.page(batch));
        } else {
            let mut loaded = Loaded::default();
            Decoder::default().batch(batch, &mut loaded);
            self.decoded(loaded, &mut out);
        }
        out.sort_unstable_by_key(|e| e.index);
        out
    }

    /// For [`Merge::of_message`] alone: an iterator without entries.
    pub fn messages(timeline: &'a Timeline, streams: &StreamSet) -> Merge<'a> {
        let names = timeline.bundle().streams().into_iter().map(|s| s.name).filter(|s| streams.has(s));
        Merge::unread(timeline, in_order(names), (None, None))
    }

    /// What could not be read or decoded so far, in one line each.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    fn wanted<'c>(&self, chunk: &'c ChunkInfo) -> impl Iterator<Item = &'c ChunkStream> {
        chunk
            .streams
            .iter()
            .filter(|s| self.streams.iter().any(|n| **n == *s.stream) && self.timeline.near_window(s, self.window))
    }

    /// When the first entry of a chunk is due. Rows that tell their own times must be decoded to know.
    fn pending_of(&self, chunk: &ChunkInfo) -> (Option<Pending>, Vec<String>) {
        let wanted: Vec<&ChunkStream> = self.wanted(chunk).collect();
        if wanted.is_empty() {
            return (None, Vec::new());
        }
        if wanted.iter().any(|s| own_times(&s.stream)) {
            let (entries, _) = self.decode(chunk, None);
            let start = entries.first().map(|e| e.utc);
            return (start.map(|start| Pending { start, chunk: chunk.index, after: None }), Vec::new());
        }
        let clock = self.timeline.clock();
        let start = wanted
            .iter()
            .flat_map(|s| {
                // A clock that was set back makes later rows earlier.
                let steps = clock.steps().into_iter().map(|(at, _)| at).filter(|at| (s.start..=s.end).contains(at));
                steps.chain([s.start]).collect::<Vec<_>>()
            })
            .map(|boot| clock.utc(boot))
            .min();
        (start.map(|start| Pending { start, chunk: chunk.index, after: None }), Vec::new())
    }

    /// The entries of a chunk after `after`, in order.
    fn decode(&self, chunk: &ChunkInfo, after: Option<Key>) -> (Vec<Entry>, Vec<String>) {
        let wanted: Vec<&str> = self.wanted(chunk).map(|s| &*s.stream).collect();
        let mut loaded = Loaded::default();
        let mut out = Vec::new();
        let decoder = Decoder::default();
        match self.timeline.bundle().read_chunk(chunk.index, &|s| wanted.contains(&s)) {
            Ok(batches) => {
                for batch in batches {
                    if &*batch.stream == "metrics.pages" {
                        out.push(self.page(batch));
                    } else {
                        decoder.batch(batch, &mut loaded);
                    }
                }
            }
            Err(e) => loaded.decoded.problems.push(e.to_string()),
        }
        for (stream, segments) in std::mem::take(&mut loaded.segments) {
            // Log lines come as rows and decoded; the decoded ones are shown.
            if &*stream != "log.lines" {
                segments.into_iter().for_each(|s| self.rows(&stream, s, &mut out));
            }
        }
        let problems = std::mem::take(&mut loaded.decoded.problems);
        self.decoded(loaded, &mut out);
        out.retain(|e| after.is_none_or(|a| e.key() > a) && self.in_window(e.utc, e.end));
        out.sort_unstable_by_key(Entry::key);
        (out, problems)
    }

    fn in_window(&self, start: Utc, end: Utc) -> bool {
        self.window.0.is_none_or(|from| end >= from) && self.window.1.is_none_or(|to| start < to)
    }

    fn order(&self, stream: &str) -> u32 {
        self.streams.iter().position(|s| **s == *stream).unwrap_or(usize::MAX) as u32
    }

    fn page(&self, batch: Batch) -> Entry {
        let (target, content_type) = self.pages.get(&batch.first_row).cloned().unwrap_or_default();
        let samples = match &batch.body {
            coldcase_bundle::BatchBody::Raw(bytes) => {
                coldcase_decode::exposition::read(bytes, &content_type).page.samples.len()
            }
            coldcase_bundle::BatchBody::Columns(_) => 0,
        };
        let (utc, order) = (batch.log_time, self.order(&batch.stream));
        let body = Body::Page { target, samples };
        Entry { utc, end: utc, stream: batch.stream, row: batch.first_row, index: 0, body, order }
    }

    fn rows(&self, stream: &Arc<str>, segment: Segment, out: &mut Vec<Entry>) {
        let order = self.order(stream);
        let numbers: Vec<u64> = (0..segment.len()).map(|i| segment.row(i)).collect();
        let columns = Arc::new(segment.columns);
        let Some(times) = TimeFields::of(stream, &columns) else { return };
        let clock = self.timeline.clock();
        out.extend(numbers.into_iter().enumerate().map(|(at, row)| {
            let utc = clock.utc(times.start(at));
            let long = i64::try_from(times.end(at).0 - times.start(at).0).unwrap_or(i64::MAX);
            let end = Utc(utc.0.saturating_add(long));
            let body = Body::Row { columns: columns.clone(), at };
            Entry { utc, end, stream: stream.clone(), row, index: 0, body, order }
        }));
    }

    fn decoded(&self, loaded: Loaded, out: &mut Vec<Entry>) {
        let named = |name: &str| (self.streams.iter().find(|s| ***s == *name).cloned(), self.order(name));
        let mut put = |name: &str, items: Vec<(Utc, Utc, u64, u32, Body)>| {
            if let (Some(stream), order) = named(name) {
                out.extend(items.into_iter().map(|(utc, end, row, index, body)| Entry {
                    utc,
                    end,
                    stream: stream.clone(),
                    row,
                    index,
                    body,
                    order,
                }));
            }
        };
        let d = loaded.decoded;
        let mut spans = SPAN_STREAMS.map(|stream| (stream, Vec::new()));
        for s in d.spans {
            let (start, end) = (Utc(s.span.start), Utc(s.span.end.max(s.span.start)));
            if let Some((_, of)) = spans.iter_mut().find(|(stream, _)| *stream == s.stream) {
                of.push((start, end, s.row, s.span.index, Body::Span(Box::new(s))));
            }
        }
        for (stream, spans) in spans {
            put(stream, spans);
        }
        let (json, protobuf): (Vec<RecordRow>, Vec<RecordRow>) =
            d.records.into_iter().partition(|r| r.stream.ends_with(JSON));
        for (stream, records) in [("otlp.logs", protobuf), ("otlp.logs.json", json)] {
            let entry = |r: RecordRow| (r.utc, r.utc, r.row, r.record.index, Body::Record(Box::new(r)));
            put(stream, records.into_iter().map(entry).collect());
        }
        let (json, protobuf): (Vec<MetricRow>, Vec<MetricRow>) =
            d.metrics.into_iter().partition(|m| m.stream.ends_with(JSON));
        for (stream, points) in [("otlp.metrics", protobuf), ("otlp.metrics.json", json)] {
            let entry = |m: MetricRow| (m.utc, m.utc, m.row, m.point.index, Body::Metric(Box::new(m)));
            put(stream, points.into_iter().map(entry).collect());
        }
        // A request is one entry, as a page is; its rows are those of the table `metrics`.
        let mut requests = BTreeMap::<(&'static str, u64), (Utc, usize)>::new();
        for s in &d.samples {
            let at = requests.entry((s.stream, s.row)).or_insert((s.utc, 0));
            *at = (at.0.min(s.utc), at.1 + 1);
        }
        for ((stream, row), (utc, samples)) in requests {
            put(stream, vec![(utc, utc, row, 0, Body::Written { samples })]);
        }
        let packets = d.packets.into_iter().map(|p| (p.utc, p.utc, p.row, p.packet.index, Body::Packet(Box::new(p))));
        put("packets", packets.collect());
        let lines = d.lines.into_iter().map(|l| (l.utc, l.utc, l.row, 0, Body::Line(Box::new(l))));
        put("log.lines", lines.collect());
    }

    /// Decodes the next chunks, as many side by side as there are threads.
    fn load_next(&mut self) {
        let batch: Vec<Pending> =
            self.pending.drain(self.pending.len().saturating_sub(self.timeline.threads())..).rev().collect();
        let timeline = self.timeline;
        let decoded: Vec<(Vec<Entry>, Vec<String>)> = timeline.install(|| {
            batch
                .par_iter()
                .map(|p| match timeline.bundle().chunks().get(p.chunk) {
                    Some(chunk) => self.decode(chunk, p.after),
                    None => Default::default(),
                })
                .collect()
        });
        for (p, (entries, problems)) in batch.iter().zip(decoded) {
            if p.after.is_none() {
                self.problems.extend(problems);
            }
            let entries = self.postpone(p, entries);
            self.start(entries);
        }
    }

    /// Keeps the early entries of a chunk whose bulk is much later, and puts the chunk back for the rest.
    fn postpone(&mut self, p: &Pending, mut entries: Vec<Entry>) -> Vec<Entry> {
        let split = entries.len() / HEAD;
        let (Some(first), Some(bulk)) = (entries.first(), entries.get(split)) else { return entries };
        if p.after.is_some() || split == 0 || bulk.utc.0.saturating_sub(first.utc.0) < SPREAD {
            return entries;
        }
        let again = Pending { start: bulk.utc, chunk: p.chunk, after: entries.get(split - 1).map(Entry::key) };
        entries.truncate(split);
        let at = self
            .pending
            .partition_point(|q| (Reverse(q.start), Reverse(q.chunk)) < (Reverse(again.start), Reverse(again.chunk)));
        self.pending.insert(at, again);
        detach(&mut entries);
        entries
    }

    fn start(&mut self, entries: Vec<Entry>) {
        let mut run = entries.into_iter();
        let Some(first) = run.next() else { return };
        let key = first.key();
        let slot = self.free.pop().unwrap_or(self.runs.len());
        if slot == self.runs.len() {
            self.runs.push(run);
            self.waiting.push(Some(first));
        } else {
            self.runs[slot] = run;
            self.waiting[slot] = Some(first);
        }
        self.heads.push(Reverse((key, slot)));
    }
}

impl Iterator for Merge<'_> {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        while let Some(next) = self.pending.last() {
            if self.heads.peek().is_some_and(|Reverse((key, _))| key.0 < next.start) {
                break;
            }
            self.load_next();
        }
        let Reverse((_, slot)) = self.heads.pop()?;
        let entry = self.waiting[slot].take();
        match self.runs[slot].next() {
            Some(next) => {
                self.heads.push(Reverse((next.key(), slot)));
                self.waiting[slot] = Some(next);
            }
            None => {
                self.runs[slot] = Vec::new().into_iter();
                self.free.push(slot);
            }
        }
        entry
    }
}

/// Whether rows of a stream tell times of their own, so that the times of its batches do not bound them.
fn own_times(stream: &str) -> bool {
    catalogue::raw_stream(stream).is_some() || stream == "log.lines"
}

/// Streams in the catalogue's order: kinds, then raw streams, then what this build does not know, by name.
fn in_order(streams: impl Iterator<Item = Arc<str>>) -> Vec<Arc<str>> {
    let mut out: Vec<Arc<str>> = streams.collect();
    let place = |s: &str| {
        CATALOGUE
            .iter()
            .position(|d| d.stream == s)
            .or_else(|| catalogue::RAW_STREAMS.iter().position(|r| r.stream == s).map(|i| i + CATALOGUE.len()))
            .unwrap_or(usize::MAX)
    };
    out.sort_by(|a, b| (place(a), a).cmp(&(place(b), b)));
    out.dedup();
    out
}

/// Copies the rows of entries out of their batches, so that the batches can be dropped.
fn detach(entries: &mut [Entry]) {
    // A batch, and of its wanted rows the entry and the place in the batch.
    type Picked = (Arc<Columns>, Vec<(usize, usize)>);
    let mut by_batch: HashMap<*const Columns, Picked> = HashMap::new();
    for (i, e) in entries.iter().enumerate() {
        if let Body::Row { columns, at } = &e.body {
            by_batch.entry(Arc::as_ptr(columns)).or_insert_with(|| (columns.clone(), Vec::new())).1.push((i, *at));
        }
    }
    for (whole, rows) in by_batch.into_values() {
        let ats: Vec<usize> = rows.iter().map(|&(_, at)| at).collect();
        let picked = gather(&whole, &ats);
        // A slice keeps only what its rows use of the dictionaries.
        let small = Arc::new(picked.slice(0..picked.len()));
        for (to, &(i, _)) in rows.iter().enumerate() {
            entries[i].body = Body::Row { columns: small.clone(), at: to };
        }
    }
}
