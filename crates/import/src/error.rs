//! Why an import failed.

use std::path::PathBuf;

use coldcase_bundle::WriteError;

/// Why an import failed.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A file could not be opened or read.
    #[error("{path}: {source}")]
    #[allow(missing_docs)]
    Io { path: PathBuf, source: std::io::Error },
    /// A file is of no format that is known.
    #[error("{0}: not a file that can be imported")]
    Format(PathBuf),
    /// A file is not of the format that was asked for.
    #[error("{path}: not {wanted}")]
    #[allow(missing_docs)]
    Other { path: PathBuf, wanted: &'static str },
    /// A file of systemd's journal is read by systemd's own tool, which failed or is not there.
    #[error("{path}: a file of systemd's journal, and journalctl cannot read it: {why}")]
    #[allow(missing_docs)]
    Journalctl { path: PathBuf, why: String },
    /// The bundle could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}
