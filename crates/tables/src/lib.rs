//! Columns to polars frames: the one place that compiles polars.
//!
//! Each stream is a table of the stream's name with `.` as `_` (`kernel_offcpu`); what is decoded from raw streams
//! are the tables `spans`, `span_events`, `span_links`, `logs`, `log_templates`, `metrics`, `exemplars` and `packets`. Every table begins with `row` (the number
//! that evidence cites) and `utc` (nanoseconds since 1970); raw values stand beside what was derived from them.
//!
//! ```no_run
//! use coldcase_tables::Tables;
//! use polars::prelude::*;
//!
//! let tables = Tables::open("incident.case".as_ref(), &Default::default())?;
//! let worst = tables
//!     .scan("kernel_offcpu")?
//!     .group_by([col("process"), col("syscall_name")])
//!     .agg([col("duration").sum()])
//!     .sort(["duration"], SortMultipleOptions::default().with_order_descending(true))
//!     .collect()?;
//! println!("{worst}");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod counting;
mod decoded;
mod exemplars;
mod flow;
mod frame;
mod sql;
mod stream;
mod tables;

pub use flow::flow_tables;
pub use polars;
pub use sql::{ALIASES, Answer, Cell, QueryError, names_flow, query, tables_in};
pub use tables::{TableError, Tables};
