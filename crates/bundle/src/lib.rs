//! The container: writes, reads, verifies and recovers bundles. The only place that knows bytes, zstd and CRC.
//!
//! A bundle is an MCAP file of the profile [`PROFILE`]; `formats/bundle.md` is its normative description.
//! [`Writer`] appends rows and raw messages and seals; [`Bundle`] maps a file and reads its chunks one by one;
//! [`verify`] says whether a file is what was sealed; [`recover`] makes a whole bundle of what is left of one.

mod codec;
mod error;
mod gate;
mod join;
mod limits;
mod mark;
mod reader;
mod recover;
mod schema;
mod tap;
mod verify;
mod wire;
mod writer;

pub use error::{ChunkError, OpenError, RecoverError, WriteError};
pub use gate::{Gate, Identity};
pub use join::{Join, JoinError, Taken};
pub use reader::{Batch, BatchBody, Bundle, ChunkInfo, ChunkStream, Problem, StreamInfo};
pub use recover::{Recovery, recover};
pub use schema::{Schema, SchemaField};
pub use tap::Tap;
pub use verify::{Verification, verify};
pub use writer::{ClassBacklog, Commits, NextFile, RawMessage, Rotation, Writer, WriterOptions, WriterStats};

/// The MCAP profile of the bundles that this build writes, and the manifest's `format`.
pub const PROFILE: &str = "coldcase/1";

/// The parts of the format, for measuring and for tests. Not an API.
#[doc(hidden)]
pub mod internals {
    pub use crate::codec::{CodecError, encode_batch};

    /// Decodes a batch with the budget of a chunk.
    ///
    /// # Errors
    /// When the bytes are no batch.
    pub fn decode(bytes: &[u8]) -> Result<(u64, coldcase_model::Columns), CodecError> {
        crate::codec::decode_batch(bytes, &mut crate::codec::Budget::new(crate::limits::BATCH_DECODED))
    }

    /// The "ints" encoding of a column of `u64`.
    pub fn encode_ints(values: &[u64]) -> Vec<u8> {
        let mut out = Vec::new();
        crate::codec::ints::encode(values.iter().copied(), &mut out);
        out
    }

    /// The reverse of [`encode_ints`].
    ///
    /// # Errors
    /// When the bytes are not `count` values.
    pub fn decode_ints(bytes: &[u8], count: usize) -> Result<Vec<u64>, &'static str> {
        crate::codec::ints::decode(bytes, count)
    }

    /// The "packed" encoding of ids.
    pub fn encode_packed(ids: &[u32]) -> Vec<u8> {
        let mut out = Vec::new();
        crate::codec::packed::encode(ids.iter().copied(), &mut out);
        out
    }
}
