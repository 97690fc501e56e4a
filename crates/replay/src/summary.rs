//! What a replay did.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use coldcase_model::Utc;

use crate::pace::{Speed, Timing};
use crate::shift::Offset;
use crate::sink::SinkReport;

/// What a replay did.
#[derive(Debug, Clone)]
pub struct Summary {
    /// The part of the recording that was played.
    pub window: (Utc, Utc),
    /// The speed at the start.
    pub speed: Speed,
    /// What times were moved by, round by round.
    pub offsets: Vec<Offset>,
    /// Rounds that were played to their end.
    pub rounds: u32,
    /// Whether it was ended before its end.
    pub interrupted: bool,
    /// How long it took.
    pub elapsed: Duration,
    /// Events that went out, by stream.
    pub streams: BTreeMap<Arc<str>, u64>,
    /// How late they were.
    pub timing: Timing,
    /// What the sinks did, in the order in which they were given.
    pub sinks: Vec<SinkReport>,
    /// What could not be read of the bundle, in one line each.
    pub problems: Vec<String>,
}

impl Summary {
    /// Events that went out.
    pub fn events(&self) -> u64 {
        self.streams.values().sum()
    }

    /// Whether something did not arrive where it was to go.
    pub fn is_flawed(&self) -> bool {
        self.sinks.iter().any(SinkReport::is_flawed)
    }
}
