//! A cut chunk becomes bytes: batches encoded, compressed, indexed. Runs on the worker threads.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use coldcase_model::{Class, Column, Columns, EventDef, Utc};
use mcap::records::{self, op};

use super::options::RawMessage;
use super::registry::StreamDef;
use crate::codec::encode_batch;
use crate::gate::Gate;
use crate::mark::MarkStream;
use crate::wire;

/// One message to be.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) def: Arc<StreamDef>,
    pub(crate) first_row: u64,
    pub(crate) log_time: Utc,
    pub(crate) body: Body,
}

impl Item {
    /// Rows, or one message.
    pub(crate) fn rows(&self) -> u64 {
        match &self.body {
            Body::Rows(rows) => rows.len() as u64,
            Body::Raw(_) => 1,
        }
    }
}

/// Its content.
#[derive(Debug)]
pub(crate) enum Body {
    Rows(Columns),
    Raw(RawMessage),
}

/// A cut chunk on its way to a worker.
#[derive(Debug)]
pub(crate) struct Job {
    /// Its place in the order of cuts.
    pub(crate) number: u64,
    pub(crate) class: Class,
    /// UTC minus BOOTTIME by the last anchor, if there was one.
    pub(crate) offset: Option<i64>,
    pub(crate) items: Vec<Item>,
}

/// A chunk as it will stand in the file.
#[derive(Debug)]
pub(crate) struct Packed {
    pub(crate) class: String,
    /// The chunk record with its frame.
    pub(crate) chunk: Vec<u8>,
    /// The message index records with their frames.
    pub(crate) indexes: Vec<u8>,
    /// The chunk's entry in the summary; offsets relative to the chunk's start.
    pub(crate) index: records::ChunkIndex,
    /// Schema and channel records of its streams, as (number, record), for the data section and the summary.
    pub(crate) schemas: BTreeMap<u16, Vec<u8>>,
    pub(crate) channels: BTreeMap<u16, Vec<u8>>,
    /// Messages by channel.
    pub(crate) messages: BTreeMap<u16, u64>,
    pub(crate) streams: Vec<MarkStream>,
    /// Kinds by stream.
    pub(crate) kinds: BTreeMap<String, u16>,
    /// Items in the messages of each raw stream, by its receipts.
    pub(crate) items: BTreeMap<String, u64>,
}

/// Compresses chunk after chunk with one context: a new one for each would clear its tables each time.
pub(crate) struct Compressor {
    zstd: zstd::bulk::Compressor<'static>,
    level: i32,
}

impl Compressor {
    pub(crate) fn new(level: i32) -> std::io::Result<Compressor> {
        Ok(Compressor { zstd: zstd::bulk::Compressor::new(level)?, level })
    }

    fn compress(&mut self, class: Class, content: &[u8]) -> std::io::Result<Vec<u8>> {
        // Headers of packets repeat in short steps: level 1 takes a third of the time of level 3 and leaves fewer bytes.
        self.zstd.set_compression_level(if class == Class::Packet { self.level.min(1) } else { self.level })?;
        self.zstd.compress(content)
    }
}

/// Encodes and compresses a cut chunk.
pub(crate) fn pack(job: Job, gate: &dyn Gate, compressor: &mut Compressor) -> Result<Packed, String> {
    let mut content = Vec::with_capacity(1 << 20);
    let mut packed = Draft::default();
    let mut defined = BTreeSet::new();
    for item in &job.items {
        if defined.insert(item.def.channel) {
            if packed.schemas.insert(item.def.schema, item.def.schema_record.clone()).is_none() {
                content.extend_from_slice(&item.def.schema_record);
            }
            content.extend_from_slice(&item.def.channel_record);
            packed.channels.insert(item.def.channel, item.def.channel_record.clone());
        }
    }
    packed.schemas.remove(&0);
    for item in job.items {
        packed.message(item, job.offset, gate, &mut content)?;
    }
    packed.finish(job.class, &content, compressor)
}

#[derive(Debug, Default)]
struct Draft {
    schemas: BTreeMap<u16, Vec<u8>>,
    channels: BTreeMap<u16, Vec<u8>>,
    entries: BTreeMap<u16, Vec<records::MessageIndexEntry>>,
    streams: Vec<MarkStream>,
    kinds: BTreeMap<String, u16>,
    items: BTreeMap<String, u64>,
    times: Option<(u64, u64)>,
}

impl Draft {
    fn message(&mut self, item: Item, offset: Option<i64>, gate: &dyn Gate, out: &mut Vec<u8>) -> Result<(), String> {
        let def = &item.def;
        let log_time = unsigned(item.log_time);
        let (rows, start, end, publish_time, sequence, body) = match item.body {
            Body::Rows(rows) => {
                if let Some((stream, items)) = received(&def.name, &rows) {
                    *self.items.entry(stream.to_owned()).or_default() += items;
                }
                let (start, end) = def.event.map_or((0, u64::MAX), |event| span(event, &rows));
                let publish = offset.map_or(log_time, |o| unsigned(Utc((start as i64).saturating_add(o))));
                let bytes = encode_batch(&def.name, item.first_row, &rows, gate).map_err(|e| e.to_string())?;
                // A batch's number is its first row; rows beyond 2^32 are told apart by the batch itself.
                (rows.len() as u64, start, end, publish, item.first_row as u32, bytes)
            }
            Body::Raw(raw) => {
                let bytes = match gate.pass(&def.name, "", &raw.bytes) {
                    std::borrow::Cow::Borrowed(_) => raw.bytes,
                    std::borrow::Cow::Owned(changed) => changed,
                };
                (1, raw.first.0, raw.last.0.max(raw.first.0), unsigned(raw.publish_time), item.first_row as u32, bytes)
            }
        };
        let entry = records::MessageIndexEntry { log_time, offset: out.len() as u64 };
        self.entries.entry(def.channel).or_default().push(entry);
        self.times = Some(self.times.map_or((log_time, log_time), |(a, b)| (a.min(log_time), b.max(log_time))));
        let header = records::MessageHeader { channel_id: def.channel, sequence, log_time, publish_time };
        wire::put_raw(out, op::MESSAGE, &[&wire::body(&header), &body]);
        self.kinds.insert(def.name.to_string(), def.event.map_or(0, |e| e.kind));
        let bytes = body.len() as u64;
        match self.streams.iter_mut().find(|s| s.name == *def.name) {
            Some(s) => {
                s.rows += rows;
                s.start = s.start.min(start);
                s.end = s.end.max(end);
                s.bytes += bytes;
            }
            None => self.streams.push(MarkStream {
                name: def.name.to_string(),
                rows,
                first_row: item.first_row,
                start,
                end,
                bytes,
            }),
        }
        Ok(())
    }

    fn finish(self, class: Class, content: &[u8], compressor: &mut Compressor) -> Result<Packed, String> {
        if content.len() as u64 > crate::limits::CHUNK_DECOMPRESSED {
            return Err(format!("a chunk of {} bytes is larger than a reader accepts", content.len()));
        }
        let compressed = compressor.compress(class, content).map_err(|e| e.to_string())?;
        let (start, end) = self.times.unwrap_or_default();
        let header = records::ChunkHeader {
            message_start_time: start,
            message_end_time: end,
            uncompressed_size: content.len() as u64,
            uncompressed_crc: crc32fast::hash(content),
            compression: "zstd".to_owned(),
            compressed_size: compressed.len() as u64,
        };
        let mut chunk = Vec::new();
        wire::put_raw(&mut chunk, op::CHUNK, &[&wire::body(&header), &compressed]);
        let mut indexes = Vec::new();
        let mut offsets = BTreeMap::new();
        let mut messages = BTreeMap::new();
        for (channel_id, records) in self.entries {
            offsets.insert(channel_id, (chunk.len() + indexes.len()) as u64);
            messages.insert(channel_id, records.len() as u64);
            wire::put(&mut indexes, op::MESSAGE_INDEX, &records::MessageIndex { channel_id, records });
        }
        let index = records::ChunkIndex {
            message_start_time: start,
            message_end_time: end,
            chunk_start_offset: 0,
            chunk_length: chunk.len() as u64,
            message_index_offsets: offsets,
            message_index_length: indexes.len() as u64,
            compression: "zstd".to_owned(),
            compressed_size: compressed.len() as u64,
            uncompressed_size: content.len() as u64,
        };
        Ok(Packed {
            class: class.name().to_owned(),
            chunk,
            indexes,
            index,
            schemas: self.schemas,
            channels: self.channels,
            messages,
            streams: self.streams,
            kinds: self.kinds,
            items: self.items,
        })
    }
}

/// Of the receipts of a raw stream: that stream, and the items in its messages; nothing where they were not all counted.
pub(crate) fn received<'a>(stream: &'a str, rows: &Columns) -> Option<(&'a str, u64)> {
    let raw = stream.strip_suffix(".receipts")?;
    let Some(Column::U64(items)) = rows.get("items") else { return None };
    (!items.contains(&0)).then(|| (raw, items.iter().fold(0, |sum: u64, &n| sum.saturating_add(n))))
}

/// MCAP times are unsigned; a clock before 1970 is told as 1970.
fn unsigned(t: Utc) -> u64 {
    u64::try_from(t.0).unwrap_or(0)
}

/// Smallest start and largest end of the rows, BOOTTIME.
pub(crate) fn span(def: &EventDef, rows: &Columns) -> (u64, u64) {
    let u64s = |at: Option<usize>| match at.and_then(|i| rows.columns.get(i)) {
        Some(Column::U64(v)) => Some(v.as_slice()),
        _ => None,
    };
    let Some(starts) = u64s(def.time_field()).filter(|s| !s.is_empty()) else { return (0, u64::MAX) };
    let start = starts.iter().copied().min().unwrap_or(0);
    let end = match u64s(def.duration_field()) {
        Some(durations) => starts.iter().zip(durations).map(|(t, d)| t.saturating_add(*d)).max(),
        None => starts.iter().copied().max(),
    };
    (start, end.unwrap_or(u64::MAX))
}
