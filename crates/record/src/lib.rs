//! Linux only: loads BPF, drains rings, taps packets, receives OTLP, tails logs, scrapes.
//!
//! A [`source::Source`] produces evidence; the [`session`] starts the sources, keeps the recorder's own streams
//! (anchors, losses, cost, source states, marks) and seals the bundle.
#![cfg(target_os = "linux")]

pub mod caps;
pub mod clock;
pub mod config;
pub mod logs;
pub mod loss;
pub mod mask;
pub mod metrics;
pub mod otlp;
pub mod packets;
pub mod source;
