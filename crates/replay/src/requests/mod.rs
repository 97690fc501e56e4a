//! The HTTP requests of a recording: read from its packets as they were sent, sent again, or summed up as a load.

pub mod extract;
mod head;
pub mod profile;

pub mod send;
pub mod server;

pub use head::Framing;
