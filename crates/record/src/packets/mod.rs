//! Packets: AF_PACKET taps on the interfaces, cut behind the headers.

mod config;

pub use config::PacketsConfig;
