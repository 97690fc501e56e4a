//! The reader: maps a file, finds its chunks, and decodes them one by one, independently.

mod bundle;
pub(crate) mod chunk;
mod definitions;
pub(crate) mod index;
pub(crate) mod scan;

use std::ops::Range;
use std::sync::Arc;

pub use bundle::Bundle;
pub(crate) use bundle::map;
use coldcase_model::manifest::Manifest;
use coldcase_model::{Boottime, Class, Columns, Utc};
pub(crate) use definitions::Definitions;

use crate::mark::Mark;
use crate::schema::SchemaField;

/// A chunk, as it was found while opening.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkInfo {
    /// Its index in [`Bundle::chunks`].
    pub index: usize,
    /// Where its record begins in the file.
    pub offset: u64,
    /// Bytes of its record.
    pub bytes: u64,
    /// Its signal class.
    pub class: Class,
    /// The streams in it.
    pub streams: Vec<ChunkStream>,
}

/// One stream's part of a chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkStream {
    /// The stream.
    pub stream: Arc<str>,
    /// Rows, or messages of a raw stream.
    pub rows: u64,
    /// Number of its first row in the stream.
    pub first_row: u64,
    /// Smallest start of a row.
    pub start: Boottime,
    /// Largest end of a row.
    pub end: Boottime,
    /// Bytes before compression.
    pub bytes: u64,
}

/// A stream, summed over the chunks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamInfo {
    /// Its name.
    pub name: Arc<str>,
    /// Its kind's number; 0 for raw streams.
    pub kind: u16,
    /// Rows, or messages of a raw stream.
    pub events: u64,
    /// Bytes before compression.
    pub bytes: u64,
    /// Smallest start of a row.
    pub first: Boottime,
    /// Largest end of a row.
    pub last: Boottime,
    /// Its fields as its writer knew them; empty for raw streams.
    pub fields: Vec<SchemaField>,
    /// MCAP `message_encoding`.
    pub encoding: String,
}

/// One message of a chunk.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// The stream.
    pub stream: Arc<str>,
    /// Number of its first row (of the message, in a raw stream).
    pub first_row: u64,
    /// When the recorder wrote or received it.
    pub log_time: Utc,
    /// Smallest event time in it, as far as the recorder knew.
    pub publish_time: Utc,
    /// The content.
    pub body: BatchBody,
}

/// The content of a [`Batch`].
#[derive(Debug, Clone, PartialEq)]
pub enum BatchBody {
    /// Rows.
    Columns(Columns),
    /// A message of a raw stream, byte for byte.
    Raw(Vec<u8>),
}

/// Part of a file that cannot be read, or is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The bytes.
    pub range: Range<u64>,
    /// What is wrong with them.
    pub what: String,
}

/// What a file holds, found through its summary or by scanning it.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) id: Option<String>,
    pub(crate) manifest: Option<Manifest>,
    /// What the writer knew of the manifest at the start.
    pub(crate) preface: Option<Manifest>,
    pub(crate) chunks: Vec<ChunkInfo>,
    /// The mark of each chunk, where it has one.
    pub(crate) marks: Vec<Option<Mark>>,
    pub(crate) definitions: Definitions,
    pub(crate) problems: Vec<Problem>,
    /// Whether the end of the file is that of a sealed bundle.
    pub(crate) sealed: bool,
}

impl Found {
    /// Adds a chunk that its mark describes.
    pub(crate) fn push_marked(&mut self, offset: u64, mark: Mark) {
        let class = Class::ALL.into_iter().find(|c| c.name() == mark.class).unwrap_or(Class::Recorder);
        let streams = mark
            .streams
            .iter()
            .map(|s| ChunkStream {
                stream: s.name.as_str().into(),
                rows: s.rows,
                first_row: s.first_row,
                start: Boottime(s.start),
                end: Boottime(s.end),
                bytes: s.bytes,
            })
            .collect();
        self.chunks.push(ChunkInfo { index: self.chunks.len(), offset, bytes: mark.length, class, streams });
        self.marks.push(Some(mark));
    }

    /// Adds a chunk without a mark, after decoding it to learn what it holds.
    pub(crate) fn push_surveyed(&mut self, offset: u64, bytes: u64, survey: chunk::Survey) {
        let class = survey.streams.first().and_then(|s| crate::writer::class_of(&s.stream)).unwrap_or(Class::Recorder);
        self.chunks.push(ChunkInfo { index: self.chunks.len(), offset, bytes, class, streams: survey.streams });
        self.marks.push(None);
        self.definitions.merge(survey.definitions);
    }

    /// Notes bytes that are not as they should be.
    pub(crate) fn problem(&mut self, range: Range<u64>, what: impl Into<String>) {
        self.problems.push(Problem { range, what: what.into() });
    }

    /// Takes in a metadata record.
    pub(crate) fn metadata(&mut self, metadata: mcap::records::Metadata) {
        use crate::writer::{META_BUNDLE, META_DOCS, META_MANIFEST};
        match metadata.name.as_str() {
            META_BUNDLE => {
                self.id = metadata.metadata.get("id").cloned();
                self.preface = metadata.metadata.get("preface").and_then(|json| serde_json::from_str(json).ok());
            }
            META_MANIFEST => {
                self.manifest = metadata.metadata.get("json").and_then(|json| serde_json::from_str(json).ok());
            }
            META_DOCS => self.definitions.docs = metadata.metadata,
            _ => {}
        }
    }
}
