//! Sinks: where a replay goes.

use coldcase_model::Utc;
use coldcase_timeline::{Entry, StreamSet, Timeline};
use serde::Serialize;
use std::sync::Arc;

use crate::ids::NewIds;
use crate::message::Message;
use crate::shift::Offset;

/// What a sink takes. Of a raw stream that is taken both ways come both, each in its own time.
#[derive(Debug, Clone)]
pub struct Wants {
    /// Streams whose entries it takes: decoded, in the order in which they happened.
    pub entries: StreamSet,
    /// Raw streams whose messages it takes: whole, in the order in which they were received.
    pub messages: StreamSet,
}

/// One round through the recording.
#[derive(Debug, Clone, Copy)]
pub struct Round {
    /// Its number, from 0.
    pub number: u32,
    /// What all times are moved by.
    pub offset: Offset,
    /// New ids, where they were asked for.
    pub ids: Option<NewIds>,
    /// What began before this time of the recording does not come.
    pub from: Option<Utc>,
}

/// What goes out.
#[derive(Debug, Clone)]
pub enum Item {
    /// An entry of the timeline.
    Entry(Entry),
    /// A message as it was received. Shared: sinks may keep it until it is sent.
    Message(Arc<Message>),
}

impl Item {
    /// When it is due, on the clock of the recording.
    pub fn utc(&self) -> Utc {
        match self {
            Item::Entry(e) => e.utc,
            Item::Message(m) => m.utc,
        }
    }

    /// Its stream.
    pub fn stream(&self) -> &Arc<str> {
        match self {
            Item::Entry(e) => &e.stream,
            Item::Message(m) => &m.stream,
        }
    }
}

/// What a sink is told.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    /// Where it comes from.
    pub timeline: &'a Timeline,
    /// The round that is played.
    pub round: &'a Round,
    /// What goes out.
    pub item: &'a Item,
}

/// Why a replay cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// It could not be written.
    #[error("{to}: {source}")]
    Io {
        /// The sink.
        to: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The receiver cannot be spoken to.
    #[error("{to}: {why}")]
    Unreachable {
        /// The sink.
        to: String,
        /// Why not.
        why: String,
    },
}

/// What a sink did, for the summary.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SinkReport {
    /// What kind of sink.
    pub sink: String,
    /// Where it went.
    pub to: String,
    /// Events and messages that it took.
    pub taken: u64,
    /// Messages or requests that went out and were accepted; lines or samples that were written.
    pub sent: u64,
    /// What those are.
    pub unit: &'static str,
    /// Bytes of them.
    pub bytes: u64,
    /// Requests that were sent again because the receiver asked for time, or did not answer.
    pub retries: u64,
    /// Messages that the receiver refused for good, or that were given up.
    pub rejected: u64,
    /// Things in accepted messages that the receiver says it left out (OTLP partial success).
    pub partly_rejected: u64,
    /// Messages that were left when it was asked to stop.
    pub not_sent: u64,
    /// Messages that this sink cannot carry.
    pub unsupported: u64,
    /// Spans that evidence of the kernel or the network was added to.
    pub enriched: u64,
    /// Why, the first of each kind.
    pub reasons: Vec<String>,
}

impl SinkReport {
    /// Notes a reason, once, and not endlessly many.
    pub fn reason(&mut self, why: impl Into<String>) {
        const TOLD: usize = 8;
        let why = why.into();
        if self.reasons.len() < TOLD && !self.reasons.contains(&why) {
            self.reasons.push(why);
        }
    }

    /// Whether something did not arrive.
    pub fn is_flawed(&self) -> bool {
        self.rejected + self.partly_rejected + self.unsupported + self.not_sent > 0
    }
}

/// Where a replay goes. Everything is called from the thread that paces: what takes long belongs on a thread of the sink's own.
pub trait Sink {
    /// What it takes.
    fn wants(&self) -> Wants;

    /// A round begins.
    fn begin(&mut self, _round: &Round) -> Result<(), SinkError> {
        Ok(())
    }

    /// Something is due. Waits while the receiver is behind, and no longer than it is allowed to run.
    fn event(&mut self, event: Event<'_>) -> Result<(), SinkError>;

    /// Nothing is due for a moment, or still is not: what was held back to go out together goes out. Called often.
    fn flush(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    /// It is over: everything is sent, as long as the receiver takes it and nobody asks to stop.
    fn finish(self: Box<Self>) -> Result<SinkReport, SinkError>;
}
