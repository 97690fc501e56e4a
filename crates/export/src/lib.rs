//! One file per foreign format: Parquet, pcapng, OTLP.

pub mod otlp;
pub mod parquet;
pub mod pcapng;
