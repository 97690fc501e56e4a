//! OTLP requests (protobuf or JSON) to rows: spans, log records, metric points.
//!
//! Row k of request n is cited as `otlp.traces#n`; k stays in the row as `index`.

mod exponential;
mod json;
mod logs;
mod metrics;
mod traces;
mod value;
mod wire;

pub use json::{Signal, logs_json, metrics_json, signal_of, to_protobuf, traces_json};
pub use logs::{LogRecord, logs};
pub use metrics::{Exemplar, MetricKind, MetricPoint, PointValue, metrics};
pub use traces::{Span, SpanEvent, SpanKind, SpanStatus, traces};
pub use value::{Attributes, Resource, SpanId, TraceId, Value};
pub use wire::signal_of_protobuf;

/// Why a request could not be decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an OTLP {what} request: {why}")]
pub struct OtlpError {
    /// `trace`, `metrics` or `logs`.
    pub what: &'static str,
    /// What the decoder said, in JSON with the place.
    pub why: String,
}
