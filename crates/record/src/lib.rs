//! Linux only: loads BPF, drains rings, taps packets, receives OTLP, tails logs, scrapes.
//!
//! A [`source::Source`] produces evidence; the [`session`] starts the sources, keeps the recorder's own streams
//! (anchors, losses, cost, source states, marks) and seals the bundle.
#![cfg(target_os = "linux")]

pub mod caps;
mod child;
pub mod clock;
mod clock_watch;
pub mod config;
pub mod control;
mod cost;
mod dial;
pub mod discover;
pub mod doctor;
pub mod error;
pub mod flight;
pub mod host;
pub mod host_entry;
pub mod kernel;
pub mod ladder;
pub mod limits;
pub mod logs;
pub mod loss;
pub mod mask;
pub mod metrics;
pub mod nat;
pub mod otlp;
pub mod packets;
mod perf;
pub mod reduce;
pub mod remote_write;
mod roster;
pub mod session;
mod signals;
pub mod source;
pub mod sources;
pub mod summary;
pub mod symbols;
pub mod watchdog;

pub use signals::interrupts;
