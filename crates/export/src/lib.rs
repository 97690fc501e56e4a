//! One file per foreign format: Parquet, pcapng, OTLP, Perfetto.

pub mod otlp;
pub mod parquet;
pub mod pcapng;
pub mod perfetto;
mod sink;

pub use sink::{Sink, SinkError};
