//! An opened bundle.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use coldcase_model::catalogue::by_stream;
use coldcase_model::manifest::Manifest;
use mcap::records::Record;
use memmap2::Mmap;

use super::{Batch, ChunkInfo, Definitions, Found, Problem, StreamInfo, chunk, index, scan};
use crate::PROFILE;
use crate::error::{ChunkError, OpenError};
use crate::mark::Mark;
use crate::schema::Schema;
use crate::wire::record_at;

/// A bundle, mapped. Opening decodes no chunk; chunks are read one by one, from any thread.
#[derive(Debug)]
pub struct Bundle {
    path: PathBuf,
    map: Mmap,
    found: Found,
    id: String,
}

/// Maps a file and checks its first bytes.
pub(crate) fn map(path: &Path) -> Result<Mmap, OpenError> {
    let io = |source| OpenError::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(io)?;
    let metadata = file.metadata().map_err(io)?;
    if metadata.is_dir() {
        return Err(io(std::io::ErrorKind::IsADirectory.into()));
    }
    if metadata.is_file() && metadata.len() == 0 {
        return Err(OpenError::Empty { path: path.to_owned() });
    }
    // SAFETY: the map is read only and private to us. A file that another process cuts while it is mapped ends this
    // process with SIGBUS, as with every tool that maps; the writer never cuts below what it wrote whole.
    let map = unsafe { Mmap::map(&file) }.map_err(io)?;
    check_header(path, &map)?;
    Ok(map)
}

/// Whether the file is ours, of this version.
fn check_header(path: &Path, bytes: &[u8]) -> Result<(), OpenError> {
    let path = path.to_owned();
    if bytes.is_empty() {
        return Err(OpenError::Empty { path });
    }
    if !bytes.starts_with(mcap::MAGIC) {
        return Err(OpenError::NotABundle { path });
    }
    let damaged = |reason: &str| OpenError::Damaged { path: path.clone(), reason: reason.to_owned() };
    let record = record_at(bytes, mcap::MAGIC.len() as u64, 1 << 20).map_err(|e| damaged(e.reason()))?;
    let Ok(Record::Header(header)) = mcap::parse_record(record.opcode, record.body) else {
        return Err(damaged("no header record"));
    };
    match header.profile.as_str() {
        PROFILE => Ok(()),
        other if other.starts_with("coldcase/") => Err(OpenError::Version { path, profile: other.to_owned() }),
        other => Err(OpenError::Profile { path, profile: other.to_owned() }),
    }
}

impl Bundle {
    /// Opens a bundle: through its summary when it is sealed, otherwise by scanning its records.
    ///
    /// # Errors
    /// When the file cannot be read, is empty, is no bundle, or is one of another major version. Damage inside is no
    /// error: see [`Bundle::problems`].
    pub fn open(path: &Path) -> Result<Bundle, OpenError> {
        let map = map(path)?;
        let found = index::read(&map).unwrap_or_else(|| scan::read(&map));
        let id = found.id.clone().or_else(|| found.manifest.as_ref().map(|m| m.id.clone())).unwrap_or_default();
        Ok(Bundle { path: path.to_owned(), map, found, id })
    }

    /// Its id, 16 hex digits; empty where the record that holds it is destroyed.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether it was sealed and its end is there.
    pub fn complete(&self) -> bool {
        self.found.sealed
    }

    /// The manifest, when it was sealed and the manifest can be read.
    pub fn manifest(&self) -> Option<&Manifest> {
        self.found.manifest.as_ref()
    }

    /// What the writer knew of the manifest when it began (host, command, policies): for bundles that were never sealed.
    pub fn preface(&self) -> Option<&Manifest> {
        self.found.preface.as_ref()
    }

    /// Bytes of the file.
    #[allow(clippy::len_without_is_empty)] // an empty file is no bundle
    pub fn len(&self) -> u64 {
        self.map.len() as u64
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The chunks, in file order.
    pub fn chunks(&self) -> &[ChunkInfo] {
        &self.found.chunks
    }

    /// Parts that cannot be read, found while opening.
    pub fn problems(&self) -> &[Problem] {
        &self.found.problems
    }

    /// The file's bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// The mark of a chunk, where it has one.
    pub(crate) fn mark(&self, index: usize) -> Option<&Mark> {
        self.found.marks.get(index).and_then(Option::as_ref)
    }

    /// What the numbers in it mean.
    pub(crate) fn definitions(&self) -> &Definitions {
        &self.found.definitions
    }

    /// The streams, by name: sums over the chunks.
    pub fn streams(&self) -> Vec<StreamInfo> {
        let mut streams: BTreeMap<Arc<str>, StreamInfo> = BTreeMap::new();
        for s in self.found.chunks.iter().flat_map(|c| &c.streams) {
            let info = streams.entry(s.stream.clone()).or_insert_with(|| self.describe(&s.stream));
            info.events = info.events.saturating_add(s.rows);
            info.bytes = info.bytes.saturating_add(s.bytes);
            info.first = info.first.min(s.start);
            info.last = info.last.max(s.end);
        }
        streams.into_values().collect()
    }

    fn describe(&self, stream: &Arc<str>) -> StreamInfo {
        let schema = self.found.definitions.schema(stream).or_else(|| by_stream(stream).map(Schema::of));
        StreamInfo {
            name: stream.clone(),
            kind: schema.as_ref().map_or(0, |s| s.kind),
            events: 0,
            bytes: 0,
            first: coldcase_model::Boottime(u64::MAX),
            last: coldcase_model::Boottime(0),
            fields: schema.map(|s| s.fields).unwrap_or_default(),
            encoding: self.found.definitions.channel(stream).map_or_else(String::new, |c| c.message_encoding.clone()),
        }
    }

    /// Reads a chunk's messages whose stream is wanted. Chunks are independent of each other: call it from many
    /// threads.
    ///
    /// # Errors
    /// When the chunk is damaged, or exceeds the limits: a gap, the other chunks can be read.
    pub fn read_chunk(&self, index: usize, want: &dyn Fn(&str) -> bool) -> Result<Vec<Batch>, ChunkError> {
        let Some(info) = self.found.chunks.get(index) else {
            return Err(ChunkError { index, offset: 0, reason: "no such chunk".into() });
        };
        if !info.streams.iter().any(|s| want(&s.stream)) {
            return Ok(Vec::new());
        }
        let failed = |reason: String| ChunkError { index, offset: info.offset, reason };
        let record = chunk::record(&self.map, info).map_err(failed)?;
        let ours = self.found.marks.get(index).is_some_and(Option::is_some);
        chunk::read(&record, ours, &self.found.definitions, want).map_err(failed)
    }
}
