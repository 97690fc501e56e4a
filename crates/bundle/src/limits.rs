//! Bounds on what a reader accepts: bundles come from strangers. The writer stays within them.

/// Largest decompressed chunk, in bytes.
pub(crate) const CHUNK_DECOMPRESSED: u64 = 64 << 20;
/// Largest record in the data section, in bytes: a chunk that zstd could not compress, and its header.
pub(crate) const RECORD: u64 = (64 << 20) + (1 << 20);
/// Largest raw message, in bytes.
pub(crate) const MESSAGE: usize = 32 << 20;
/// Largest summary section, in bytes.
pub(crate) const SUMMARY: u64 = 1 << 30;
/// Most rows of one batch.
pub(crate) const BATCH_ROWS: u64 = 1 << 20;
/// Most columns of one batch.
pub(crate) const BATCH_COLUMNS: usize = 512;
/// Most bytes that one batch may take in memory when decoded.
pub(crate) const BATCH_DECODED: u64 = 512 << 20;
