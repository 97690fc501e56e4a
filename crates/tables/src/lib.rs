//! Columns to polars frames: the one place that compiles polars.
