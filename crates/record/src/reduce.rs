//! What a running source can be asked to take in less of: the rungs of the ladder.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How much a rung takes away, mildest first: the order in which the ladder goes down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Short intervals are summed instead of being rows.
    Rows,
    /// Rows without stacks.
    Stacks,
    /// Packets without payload.
    Payload,
    /// No packets.
    Packets,
    /// A source takes in nothing.
    Off,
}

/// One thing that a source can be asked to leave out, and to take up again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rung {
    /// How much it takes away.
    pub stage: Stage,
    /// The source's name.
    pub source: &'static str,
    /// What is then missing, for people: `off`, `intervals below 1ms only as sums`.
    pub what: String,
    /// For the source itself, to tell its rungs apart.
    pub key: u64,
}

impl Rung {
    /// The source takes in nothing. `key` tells it from the source's other rungs.
    pub fn off(source: &'static str, key: u64) -> Rung {
        Rung { stage: Stage::Off, source, what: "off".into(), key }
    }

    /// Whether evidence is then missing altogether.
    pub fn loses(&self) -> bool {
        matches!(self.stage, Stage::Packets | Stage::Off)
    }

    /// In words, with its source: `kernel.sched: off`.
    pub fn words(&self) -> String {
        format!("{}: {}", self.source, self.what)
    }
}

/// Takes off everything that a source has attached to the kernel, from any thread and without waiting for the source's
/// own: for the watchdog, when the recorder itself is stuck. Returns what it took off, for people.
pub type Brake = Box<dyn FnMut() -> Vec<String> + Send>;

/// Says to a source's own thread whether it is to take in nothing. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Paused(Arc<AtomicBool>);

impl Paused {
    /// From now on (not).
    pub fn set(&self, paused: bool) {
        self.0.store(paused, Ordering::Release);
    }

    /// Whether nothing is to be taken in.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
