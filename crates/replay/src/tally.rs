//! The report of a sink that sends from a thread of its own, counted from both sides.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::sink::SinkReport;

/// A [`SinkReport`] that threads share. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Tally(Arc<Mutex<SinkReport>>);

impl Tally {
    /// Counts on from `report`.
    pub(crate) fn new(report: SinkReport) -> Tally {
        Tally(Arc::new(Mutex::new(report)))
    }

    /// The report as it stands, to count in.
    pub(crate) fn lock(&self) -> MutexGuard<'_, SinkReport> {
        // Whoever panicked with it left plain values behind.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something that this sink cannot carry.
    pub(crate) fn unsupported(&self, why: impl Into<String>) {
        let mut report = self.lock();
        report.unsupported += 1;
        report.reason(why);
    }
}
