//! One file per foreign format: Parquet.

pub mod parquet;
