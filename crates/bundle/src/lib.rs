//! The container: writes, reads, verifies and recovers bundles. The only place that knows bytes, zstd and CRC.
//!
//! A bundle is an MCAP file of the profile [`PROFILE`]; `formats/bundle.md` is its normative description.
//! [`Writer`] appends rows and raw messages and seals; [`Bundle`] maps a file and reads its chunks one by one;
//! [`verify`] says whether a file is what was sealed; [`recover`] makes a whole bundle of what is left of one.

mod codec;
mod error;
mod gate;
mod limits;
mod mark;
mod reader;
mod recover;
mod schema;
mod verify;
mod wire;
mod writer;

pub use error::{ChunkError, OpenError, RecoverError, WriteError};
pub use gate::{Gate, Identity};
pub use reader::{Batch, BatchBody, Bundle, ChunkInfo, ChunkStream, Problem, StreamInfo};
pub use recover::{Recovery, recover};
pub use schema::{Schema, SchemaField};
pub use verify::{Verification, verify};
pub use writer::{ClassBacklog, RawMessage, Writer, WriterOptions, WriterStats};

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
}
