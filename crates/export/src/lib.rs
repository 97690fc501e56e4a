//! One file per foreign format: Parquet, pcapng, OTLP, OTLP/JSON, Perfetto, pprof, speedscope.

pub mod otlp;
pub mod otlp_json;
pub mod parquet;
pub mod pcapng;
pub mod perfetto;
pub mod pprof;
mod sink;
pub mod speedscope;
pub mod stacks;

pub use sink::{Sink, SinkError};
