//! What the handle, the workers and the appender share.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use coldcase_model::Class;

use crate::error::WriteError;

/// Progress and failure of a writer.
#[derive(Debug, Default)]
pub(crate) struct Shared(Mutex<Progress>);

/// See [`Shared`].
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Bytes in the files before.
    pub(crate) bytes_before: u64,
    /// Bytes in the file.
    pub(crate) bytes: u64,
    /// Whether the last chunk did not fit the disk, where that ends nothing.
    pub(crate) full: bool,
    /// Chunks in the file.
    pub(crate) chunks: u64,
    /// Cut, not yet in the file: by the order of cuts, the class and since when its oldest row waits.
    pub(crate) in_flight: BTreeMap<u64, (Class, Instant)>,
    /// What ended the writing; nothing is taken in after it.
    pub(crate) failed: Option<WriteError>,
}

impl Shared {
    /// The progress. A panic elsewhere does not make it unreadable.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Progress> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The failure, if there was one.
    pub(crate) fn check(&self) -> Result<(), WriteError> {
        match &self.lock().failed {
            Some(e) => Err(e.clone()),
            None => Ok(()),
        }
    }

    /// Notes a failure; the first one stays.
    pub(crate) fn fail(&self, e: WriteError) {
        self.lock().failed.get_or_insert(e);
    }
}
