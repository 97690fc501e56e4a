//! The assembler puts chunks, marks, manifest and summary into the file, and hashes every byte as it goes.

use std::collections::BTreeMap;

use blake3::{Hash, Hasher};
use coldcase_model::manifest::{Manifest, StreamEntry};
use mcap::records::{self, op};

use super::pack::Packed;
use super::sink::{Sink, SinkError, to_write_error};
use crate::PROFILE;
use crate::error::WriteError;
use crate::mark::{self, Mark, MarkStream, Seal};
use crate::reader::Definitions;
use crate::wire;

/// Metadata record at the start of every bundle: its id, its parent's, and what is known of the manifest by then.
pub(crate) const META_BUNDLE: &str = "coldcase.bundle";
/// Metadata record with the manifest.
pub(crate) const META_MANIFEST: &str = "coldcase.manifest";
/// Metadata record with the docs of the event definitions.
pub(crate) const META_DOCS: &str = "coldcase.docs";

/// Writes a bundle front to back, without seeking.
pub(crate) struct Assembler {
    sink: Sink,
    id: String,
    parent: Option<String>,
    position: u64,
    /// Where the bytes begin that the next mark covers.
    from: u64,
    /// Hash of the bytes since `from`, the chunk left out.
    around: Hasher,
    chain: Hash,
    chunks: u32,
    schemas: BTreeMap<u16, Vec<u8>>,
    channels: BTreeMap<u16, Vec<u8>>,
    messages: BTreeMap<u16, u64>,
    times: Option<(u64, u64)>,
    indexes: Vec<records::ChunkIndex>,
    metadata: Vec<records::MetadataIndex>,
    streams: BTreeMap<String, StreamEntry>,
}

impl Assembler {
    /// Writes the start of a bundle.
    pub(crate) fn start(
        sink: Sink,
        id: &str,
        parent: Option<String>,
        preface: Option<&Manifest>,
    ) -> Result<Assembler, WriteError> {
        let mut a = Assembler {
            sink,
            id: id.to_owned(),
            parent: parent.clone(),
            position: 0,
            from: 0,
            around: Hasher::new(),
            chain: mark::no_chain(),
            chunks: 0,
            schemas: BTreeMap::new(),
            channels: BTreeMap::new(),
            messages: BTreeMap::new(),
            times: None,
            indexes: Vec::new(),
            metadata: Vec::new(),
            streams: BTreeMap::new(),
        };
        let mut bytes = mcap::MAGIC.to_vec();
        let library = concat!("coldcase/", env!("CARGO_PKG_VERSION")).to_owned();
        wire::put(&mut bytes, op::HEADER, &records::Header { profile: PROFILE.to_owned(), library });
        let mut about = BTreeMap::from([("id".to_owned(), id.to_owned())]);
        if let Some(parent) = parent {
            about.insert("parent".to_owned(), parent);
        }
        // A manifest is plain text and numbers, which JSON can always hold; without it the bundle is none the worse.
        if let Some(json) = preface.and_then(|p| serde_json::to_string(p).ok()) {
            about.insert("preface".to_owned(), json);
        }
        a.note_metadata(bytes.len() as u64, META_BUNDLE, about, &mut bytes);
        a.write(&[&bytes])?;
        a.around.update(&bytes);
        Ok(a)
    }

    /// Bytes written.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Chunks written.
    pub(crate) fn chunks(&self) -> u64 {
        u64::from(self.chunks)
    }

    /// The target.
    pub(crate) fn sink(&mut self) -> &mut Sink {
        &mut self.sink
    }

    /// Makes everything durable.
    pub(crate) fn finish(&mut self) -> Result<(), WriteError> {
        self.sink.sync().map_err(|e| to_write_error(self.sink.path(), &e))
    }

    fn note_metadata(&mut self, at: u64, name: &str, metadata: BTreeMap<String, String>, out: &mut Vec<u8>) {
        let before = out.len();
        wire::put(out, op::METADATA, &records::Metadata { name: name.to_owned(), metadata });
        let length = (out.len() - before) as u64;
        self.metadata.push(records::MetadataIndex { offset: at, length, name: name.to_owned() });
    }

    fn write(&mut self, parts: &[&[u8]]) -> Result<(), WriteError> {
        match self.sink.write(self.position, parts) {
            Ok(()) => {
                self.position += parts.iter().map(|p| p.len() as u64).sum::<u64>();
                Ok(())
            }
            Err(SinkError::Full) => Err(WriteError::DiskFull { path: self.sink.path().to_owned() }),
            Err(SinkError::Io(e)) => Err(to_write_error(self.sink.path(), &e)),
        }
    }

    /// A stream whose channel or schema has a number that means something else here.
    pub(crate) fn contradiction(&self, other: &Definitions) -> Option<String> {
        let differs = |c: &&records::Channel| {
            let (channel, schema) = (super::channel_bytes(c), other.schema_record(c.schema_id));
            self.channels.get(&c.id).is_some_and(|known| *known != channel)
                || self.schemas.get(&c.schema_id).is_some_and(|known| *known != schema)
        };
        other.channels.values().find(differs).map(|c| c.topic.clone())
    }

    /// Appends a chunk with its definitions, indexes and mark. On an error the file is what it was before.
    pub(crate) fn append(&mut self, packed: Packed) -> Result<(), WriteError> {
        let next = self.chunks.checked_add(1).ok_or_else(|| WriteError::Full("chunks".into()))?;
        let mut before = Vec::new();
        for (known, new) in [(&self.schemas, &packed.schemas), (&self.channels, &packed.channels)] {
            new.iter().filter(|(id, _)| !known.contains_key(id)).for_each(|(_, r)| before.extend_from_slice(r));
        }
        let offset = self.position + before.len() as u64;
        let here = offset + (packed.chunk.len() + packed.indexes.len()) as u64;
        let mut around = self.around.clone();
        around.update(&before).update(&packed.indexes);
        let mark = Mark {
            number: self.chunks,
            from: self.from,
            offset,
            length: packed.chunk.len() as u64,
            here,
            chunk_hash: blake3::hash(&packed.chunk),
            around_hash: around.finalize(),
            before: self.chain,
            class: packed.class,
            streams: packed.streams,
        };
        let mut after = Vec::new();
        let chain = mark.put(&mut after);
        self.write(&[&before, &packed.chunk, &packed.indexes, &after])?;
        self.chain = chain;
        self.chunks = next;
        self.from = self.position;
        self.around = Hasher::new();
        self.schemas.extend(packed.schemas);
        self.channels.extend(packed.channels);
        for (channel, n) in packed.messages {
            *self.messages.entry(channel).or_default() += n;
        }
        let mut index = packed.index;
        index.chunk_start_offset = offset;
        index.message_index_offsets.values_mut().for_each(|o| *o += offset);
        let (start, end) = self.times.unwrap_or((u64::MAX, 0));
        self.times = Some((start.min(index.message_start_time), end.max(index.message_end_time)));
        self.indexes.push(index);
        self.count(&mark.streams, &packed.kinds, &packed.items);
        Ok(())
    }

    fn count(&mut self, streams: &[MarkStream], kinds: &BTreeMap<String, u16>, items: &BTreeMap<String, u64>) {
        for s in streams {
            let entry = self.streams.entry(s.name.clone()).or_default();
            entry.name.clone_from(&s.name);
            entry.kind = kinds.get(&s.name).copied().unwrap_or(0);
            if entry.kind == 0 {
                // Once a part is not known, the sum is not.
                let before = if entry.events == 0 { Some(0) } else { entry.items };
                entry.items = before.zip(items.get(&s.name)).map(|(sum, n)| sum.saturating_add(*n));
            }
            entry.events += s.rows;
            entry.bytes += s.bytes;
            entry.first = Some(entry.first.map_or(s.start, |f| f.min(s.start)));
            entry.last = Some(entry.last.map_or(s.end, |l| l.max(s.end)));
        }
    }

    /// Writes the manifest, the seal, the summary and the footer. On an error the file is what it was before.
    pub(crate) fn seal(
        &mut self,
        mut manifest: Manifest,
        docs: BTreeMap<String, String>,
    ) -> Result<Manifest, WriteError> {
        manifest.format = PROFILE.to_owned();
        manifest.id.clone_from(&self.id);
        manifest.parent = manifest.parent.or_else(|| self.parent.clone());
        manifest.streams = self.streams.values().cloned().collect();
        manifest.root = self.chain.to_hex().to_string();
        let json = serde_json::to_string(&manifest).map_err(|e| WriteError::Io {
            path: self.sink.path().to_owned(),
            os: None,
            message: e.to_string(),
        })?;
        let metadata = self.metadata.len();
        let mut head = Vec::new();
        if !docs.is_empty() {
            self.note_metadata(self.position, META_DOCS, docs, &mut head);
        }
        let at = self.position + head.len() as u64;
        self.note_metadata(at, META_MANIFEST, BTreeMap::from([("json".to_owned(), json)]), &mut head);
        let here = self.position + head.len() as u64;
        let tail = self.tail(here + Seal::LENGTH);
        let mut around = self.around.clone();
        around.update(&head);
        let seal = Seal {
            from: self.from,
            here,
            hash: around.finalize(),
            tail: tail.len() as u64,
            tail_hash: blake3::hash(&tail),
            before: self.chain,
        };
        let mut record = Vec::new();
        seal.put(&mut record);
        self.write(&[&head, &record, &tail]).inspect_err(|_| self.metadata.truncate(metadata))?;
        Ok(manifest)
    }

    /// What follows the seal: end of data, summary, offsets, footer, magic. It begins at `at`.
    fn tail(&self, at: u64) -> Vec<u8> {
        let mut out = Vec::new();
        wire::put(&mut out, op::DATA_END, &records::DataEnd { data_section_crc: 0 });
        let summary_at = out.len();
        let mut groups: Vec<(u8, usize, usize)> = Vec::new();
        let mut group = |out: &mut Vec<u8>, opcode: u8, put: &dyn Fn(&mut Vec<u8>)| {
            let start = out.len();
            put(out);
            if out.len() > start {
                groups.push((opcode, start, out.len() - start));
            }
        };
        group(&mut out, op::SCHEMA, &|out| self.schemas.values().for_each(|r| out.extend_from_slice(r)));
        group(&mut out, op::CHANNEL, &|out| self.channels.values().for_each(|r| out.extend_from_slice(r)));
        group(&mut out, op::STATISTICS, &|out| wire::put(out, op::STATISTICS, &self.statistics()));
        group(&mut out, op::CHUNK_INDEX, &|out| self.indexes.iter().for_each(|i| wire::put(out, op::CHUNK_INDEX, i)));
        group(&mut out, op::METADATA_INDEX, &|out| {
            self.metadata.iter().for_each(|m| wire::put(out, op::METADATA_INDEX, m));
        });
        let offsets_at = out.len();
        for (group_opcode, start, length) in groups {
            let offset =
                records::SummaryOffset { group_opcode, group_start: at + start as u64, group_length: length as u64 };
            wire::put(&mut out, op::SUMMARY_OFFSET, &offset);
        }
        let mut footer = records::Footer {
            summary_start: at + summary_at as u64,
            summary_offset_start: at + offsets_at as u64,
            summary_crc: 0,
        };
        // The CRC covers the summary and the footer up to the CRC itself.
        let mut draft = Vec::new();
        wire::put(&mut draft, op::FOOTER, &footer);
        let mut crc = crc32fast::Hasher::new();
        crc.update(&out[summary_at..]);
        crc.update(&draft[..draft.len() - 4]);
        footer.summary_crc = crc.finalize();
        wire::put(&mut out, op::FOOTER, &footer);
        out.extend_from_slice(mcap::MAGIC);
        out
    }

    fn statistics(&self) -> records::Statistics {
        let (message_start_time, message_end_time) = self.times.unwrap_or_default();
        records::Statistics {
            message_count: self.messages.values().sum(),
            schema_count: self.schemas.len() as u16,
            channel_count: self.channels.len() as u32,
            attachment_count: 0,
            metadata_count: self.metadata.len() as u32,
            chunk_count: self.chunks,
            message_start_time,
            message_end_time,
            channel_message_counts: self.messages.clone(),
        }
    }
}
