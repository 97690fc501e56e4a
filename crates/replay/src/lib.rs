//! Plays a bundle again: its timeline at the pace it happened to live receivers, its requests to a server, its packets
//! onto an interface.

pub mod packets;
pub mod quantiles;
pub mod requests;
mod urgency;
