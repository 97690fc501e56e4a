//! One file per foreign format: Parquet, pcapng.

pub mod parquet;
pub mod pcapng;
