//! Control of a replay while it runs: what can be said to it, and what it tells.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use coldcase_model::Utc;

use crate::pace::Speed;

/// What can be said to a running replay, on the channel that [`crate::play()`] was given.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Control {
    /// Nothing more goes out until it is resumed.
    Pause,
    /// It goes on, at the pace it had.
    Resume,
    /// Go on from this time of the recording, back or forth. Times are still moved by the offset of the round.
    Seek(Utc),
    /// One event, while it is paused or goes in steps.
    Step,
    /// Another speed.
    Speed(Speed),
    /// End in good order.
    Quit,
}

/// Asks a replay and its sinks to end, from anywhere: a sink that waits for a receiver looks at it. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Asks.
    pub fn set(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether it was asked.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// The flag, for a signal's handler to set.
    pub fn flag(&self) -> Arc<AtomicBool> {
        self.0.clone()
    }
}

/// How a replay stands.
#[derive(Debug, Clone, Default)]
pub struct Status {
    /// The part of the recording that is played.
    pub window: (Utc, Utc),
    /// Where it is.
    pub position: Utc,
    /// Nanoseconds that times are moved by.
    pub offset: i64,
    /// How fast; `None` before the start.
    pub speed: Option<Speed>,
    /// Whether it waits to be resumed.
    pub paused: bool,
    /// The round, from 0.
    pub round: u32,
    /// Events that went out, by stream.
    pub events: BTreeMap<Arc<str>, u64>,
    /// How late the last one was.
    pub late: Duration,
    /// Whether it is over.
    pub over: bool,
}

/// A [`Status`] that a view can look at from its own thread. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Shared(Arc<Mutex<Status>>);

impl Shared {
    /// The status as it stands.
    pub fn get(&self) -> Status {
        self.lock().clone()
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Status> {
        // Whoever panicked with it left plain values behind.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
