//! Plays a bundle again: its timeline at the pace it happened to live receivers, its requests to a server, its packets
//! onto an interface.
//!
//! [`play::play`] reads a bundle in order with bounded memory, waits until each event is due ([`pace`]), and hands it to one or several
//! [`Sink`]s. What has entries of its own (kernel events, log lines, what a terminal shows) comes from the merged timeline, in the order in which
//! it happened; what was received as a message (OTLP requests, scraped pages, Remote-Write requests) goes out as a message, when it was received.

pub mod control;
pub mod enrich;
pub mod ids;
mod lane;
mod message;
pub mod metrics;
mod net;
pub mod otlp;
pub mod pace;
pub mod packets;
mod patch;
pub mod plain;
pub mod play;
pub mod quantiles;
pub mod requests;
pub mod shift;
pub mod sink;
pub mod summary;
mod tally;
mod urgency;

pub use control::{Control, Status, Stop};
pub use message::Message;
pub use pace::{Pacer, Speed, Timing};
pub use patch::MARK;
pub use play::{Filter, Options, ReplayError, play};
pub use shift::{Offset, Shift};
pub use sink::{Event, Item, Round, Sink, SinkError, SinkReport, Wants};
pub use summary::Summary;
