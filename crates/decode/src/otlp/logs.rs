//! ExportLogsServiceRequest to log records.

use std::sync::Arc;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use prost::Message;

use super::value::{time, value};
use super::{Attributes, OtlpError, Resource, SpanId, TraceId};
use crate::log::Severity;

/// A log record.
#[derive(Debug, Clone, PartialEq)]
pub struct LogRecord {
    /// Number of the record in its request, from 0.
    pub index: u32,
    /// When it happened, by the sender's clock; `None` when it was not told.
    pub time: Option<i64>,
    /// When the sender's collector saw it; `None` when it was not told.
    pub observed: Option<i64>,
    /// How bad, by its severity number; `None` when it was not told.
    pub severity: Option<Severity>,
    /// The severity as the source wrote it.
    pub severity_text: String,
    /// The name of the event that it is; empty where it is none.
    pub event: String,
    /// What it says; a structured body as JSON.
    pub body: String,
    /// Its trace.
    pub trace: Option<TraceId>,
    /// Its span.
    pub span: Option<SpanId>,
    /// Its attributes.
    pub attributes: Attributes,
    /// Name of the instrumentation scope: the logger.
    pub scope: Arc<str>,
    /// Who sent it.
    pub resource: Arc<Resource>,
}

/// The log records of a request, in order.
pub fn logs(request: &[u8]) -> Result<Vec<LogRecord>, OtlpError> {
    let raw = ExportLogsServiceRequest::decode(request).map_err(|e| OtlpError { what: "logs", why: e.to_string() })?;
    Ok(rows(raw))
}

pub(super) fn rows(raw: ExportLogsServiceRequest) -> Vec<LogRecord> {
    let mut out = Vec::new();
    for part in raw.resource_logs {
        let resource = Arc::new(Resource::of(part.resource));
        for scope in part.scope_logs {
            let name: Arc<str> = scope.scope.map(|s| s.name).unwrap_or_default().into();
            for r in scope.log_records {
                out.push(LogRecord {
                    index: out.len() as u32,
                    time: time(r.time_unix_nano),
                    observed: time(r.observed_time_unix_nano),
                    severity: Severity::from_otlp(r.severity_number),
                    severity_text: r.severity_text,
                    event: r.event_name,
                    body: if r.body.is_some() { value(r.body).to_string() } else { String::new() },
                    trace: TraceId::from_bytes(&r.trace_id),
                    span: SpanId::from_bytes(&r.span_id),
                    attributes: Attributes::of(r.attributes),
                    scope: name.clone(),
                    resource: resource.clone(),
                });
            }
        }
    }
    out
}
