//! Who looks on: everything that a writer takes in passes here first.

use coldcase_model::Columns;
use coldcase_model::events::Receipt;

use crate::writer::RawMessage;

/// Sees what a writer takes in. Called on the sources' own threads: it must be quick, and must not wait.
pub trait Tap: Send + Sync {
    /// Rows of a stream.
    fn rows(&self, stream: &str, rows: &Columns);
    /// A message of a raw stream with its receipt.
    fn raw(&self, stream: &str, message: &RawMessage, receipt: &Receipt);
}
