//! From columns to the bytes of a batch and back.

mod batch;
mod column;
pub(crate) mod ints;
pub(crate) mod packed;

pub(crate) use batch::decode_batch;
pub use batch::encode_batch;

/// Why bytes are not a batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// MessagePack that does not parse.
    #[error("not a batch: {0}")]
    Framing(String),
    /// A batch of another version.
    #[error("a batch of version {0}, this build reads version 1")]
    Version(u32),
    /// A part whose length or content contradicts the rest.
    #[error("column {column}: {reason}")]
    Column {
        /// The column.
        column: String,
        /// What contradicts.
        reason: &'static str,
    },
    /// More than a reader accepts.
    #[error("{0}")]
    Limit(&'static str),
}

/// What decoding may still take in memory. Bundles come from strangers, and a block of equal values is tiny.
#[derive(Debug)]
pub(crate) struct Budget(u64);

impl Budget {
    /// `bytes` to spend.
    pub(crate) fn new(bytes: u64) -> Budget {
        Budget(bytes)
    }

    /// Spends `count` values of `size` bytes.
    pub(crate) fn take(&mut self, count: usize, size: usize) -> Result<(), CodecError> {
        let bytes = (count as u64).saturating_mul(size as u64);
        self.0 =
            self.0.checked_sub(bytes).ok_or(CodecError::Limit("the decoded rows take more memory than allowed"))?;
        Ok(())
    }
}
