//! One file per foreign format: Parquet.
