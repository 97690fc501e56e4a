//! Going on in another file: what it is told, and the wait for the old one's seal.

use std::path::PathBuf;
use std::time::Duration;

use coldcase_model::manifest::Manifest;
use crossbeam_channel::{Receiver, RecvTimeoutError};

use crate::error::WriteError;

/// The file that a writer goes on in.
#[derive(Debug, Clone, Default)]
pub struct NextFile {
    /// Its path; it must not exist.
    pub path: PathBuf,
    /// Its id, 16 hex digits; random when `None`.
    pub id: Option<String>,
    /// What is known of its manifest at its start.
    pub preface: Option<Manifest>,
}

/// A file that is being sealed while its writer goes on in the next one.
#[derive(Debug)]
pub struct Rotation {
    id: String,
    answer: Receiver<Result<Manifest, WriteError>>,
}

impl Rotation {
    pub(crate) fn new(id: String, answer: Receiver<Result<Manifest, WriteError>>) -> Rotation {
        Rotation { id, answer }
    }

    /// The id of the new file.
    pub fn next_id(&self) -> &str {
        &self.id
    }

    /// The old file's manifest, as sealed and synced, or why it could not be; `None` while it is not known within
    /// `patience`.
    pub fn wait(&self, patience: Duration) -> Option<Result<Manifest, WriteError>> {
        match self.answer.recv_timeout(patience) {
            Ok(sealed) => Some(sealed),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Err(WriteError::Closed)),
        }
    }
}
