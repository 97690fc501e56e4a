//! What names are looked up through: mappings, the files behind them, and the maps of code made at run time. The
//! snapshot's thread fills it, the thread that names reads it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::held::HeldFiles;
use super::maps::{Maps, Module};
use crate::symbols::JitMaps;

/// The map of a process that ended stays open this long.
const LINGER: Duration = Duration::from_secs(10);

/// A handle. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    parts: Arc<Mutex<Parts>>,
}

/// The parts.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) maps: Maps,
    pub(crate) held: HeldFiles,
    pub(crate) jit: JitMaps,
}

impl Known {
    /// Nothing yet.
    pub(crate) fn new() -> Known {
        let parts = Parts { maps: Maps::default(), held: HeldFiles::new(), jit: JitMaps::default() };
        Known { parts: Arc::new(Mutex::new(parts)) }
    }

    /// The parts, for a short time: nothing that can take long is done with them locked.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Parts> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Parts {
    /// Forgets what is no longer needed: what has ended, and in which nothing waits to be looked up.
    pub(crate) fn tidy(&mut self, now: u64, waiting: impl Iterator<Item = Arc<Module>>) {
        self.maps.forget(now);
        let mut needed = self.maps.in_use();
        needed.extend(waiting);
        self.held.release(&needed);
        self.jit.release(LINGER);
    }
}
