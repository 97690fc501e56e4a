//! What a writer can be told, and what it tells.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use coldcase_model::manifest::Manifest;
use coldcase_model::{Boottime, Class, Utc};

use crate::gate::{Gate, Identity};
use crate::tap::Tap;

/// How a bundle is written. Construct with `..WriterOptions::default()`.
#[derive(Clone)]
pub struct WriterOptions {
    /// A chunk is cut when its rows take this many bytes in memory.
    pub chunk_bytes: usize,
    /// A chunk is cut when its oldest row has waited this long.
    pub chunk_time: Duration,
    /// How often the file is synced to the disk.
    pub sync_every: Duration,
    /// zstd level; packets are compressed at 1 at most.
    pub level: i32,
    /// Threads that encode and compress; at least 1.
    pub workers: usize,
    /// What captured text passes before it is written.
    pub gate: Arc<dyn Gate>,
    /// Id of the bundle that this one is made from.
    pub parent: Option<String>,
    /// The id, 16 hex digits; random when `None`.
    pub id: Option<String>,
    /// What is known of the manifest at the start (host, command, policies): written first, for bundles that are never
    /// sealed.
    pub preface: Option<Manifest>,
    /// The clock for `log_time`.
    pub now: Arc<dyn Fn() -> Utc + Send + Sync>,
    /// Number of the first row, by stream, where the numbering of other bundles goes on; 0 for those not named.
    pub first_rows: BTreeMap<String, u64>,
    /// Sees everything that is taken in, before it is.
    pub tap: Option<Arc<dyn Tap>>,
    /// A full disk ends nothing: what does not fit is counted, and the next chunk is tried again.
    pub outlast_full_disk: bool,
}

impl Default for WriterOptions {
    fn default() -> Self {
        WriterOptions {
            chunk_bytes: 1 << 20,
            // Leaves more than a second of the two that a kill may cost for rings, queues and a starved recorder.
            chunk_time: Duration::from_millis(700),
            sync_every: Duration::from_secs(5),
            level: 3,
            workers: 1,
            gate: Arc::new(Identity),
            parent: None,
            id: None,
            preface: None,
            now: Arc::new(system_now),
            first_rows: BTreeMap::new(),
            tap: None,
            outlast_full_disk: false,
        }
    }
}

/// UTC by the system's clock.
pub(crate) fn system_now() -> Utc {
    match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
        Ok(d) => Utc(i64::try_from(d.as_nanos()).unwrap_or(i64::MAX)),
        Err(e) => Utc(i64::try_from(e.duration().as_nanos()).map_or(i64::MIN, |n| -n)),
    }
}

/// A random id: 16 hex digits.
pub(crate) fn random_id() -> String {
    use std::hash::{BuildHasher, Hasher};
    // The keys of the standard library's hash maps come from the operating system's randomness.
    let mut hasher = std::collections::hash_map::RandomState::new().build_hasher();
    hasher.write_i64(system_now().0);
    hasher.write_u32(std::process::id());
    format!("{:016x}", hasher.finish())
}

/// A message of a raw stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawMessage {
    /// The bytes as they arrived.
    pub bytes: Vec<u8>,
    /// When the recorder received them.
    pub log_time: Utc,
    /// Smallest event time in them; the time of receipt where that is not known.
    pub publish_time: Utc,
    /// The same, BOOTTIME: by these a reader skips chunks.
    pub first: Boottime,
    /// Largest event time in them, BOOTTIME.
    pub last: Boottime,
}

/// How far a writer is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WriterStats {
    /// Bytes written, to all files of it.
    pub bytes_written: u64,
    /// Bytes in the file that is being written.
    pub file_bytes: u64,
    /// Chunks in that file.
    pub chunks: u64,
    /// Rows (messages of raw streams) taken in, by stream.
    pub rows: BTreeMap<String, u64>,
    /// For each class with something not yet in the file, how long its oldest row has waited.
    pub backlog: Vec<ClassBacklog>,
    /// Whether the disk was full: nothing more is taken in; or, for a writer that outlasts it, whether it is.
    pub disk_full: bool,
}

/// What a class waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClassBacklog {
    /// The class.
    pub class: Class,
    /// Age of the oldest row that is not yet in the file.
    pub age: Duration,
}
