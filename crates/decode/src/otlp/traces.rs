//! ExportTraceServiceRequest to spans.

use std::sync::Arc;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span as RawSpan;
use prost::Message;

use super::value::time;
use super::{Attributes, OtlpError, Resource, SpanId, TraceId, Value};

/// What a span is in a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[allow(missing_docs)] // the names are OTLP's
pub enum SpanKind {
    #[default]
    Unspecified,
    Internal,
    Server,
    Client,
    Producer,
    Consumer,
}

impl SpanKind {
    /// The name in lowercase.
    pub const fn name(self) -> &'static str {
        match self {
            SpanKind::Unspecified => "unspecified",
            SpanKind::Internal => "internal",
            SpanKind::Server => "server",
            SpanKind::Client => "client",
            SpanKind::Producer => "producer",
            SpanKind::Consumer => "consumer",
        }
    }
}

/// How a span ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[allow(missing_docs)] // the names are OTLP's
pub enum SpanStatus {
    #[default]
    Unset,
    Ok,
    Error,
}

impl SpanStatus {
    /// The name in lowercase.
    pub const fn name(self) -> &'static str {
        match self {
            SpanStatus::Unset => "unset",
            SpanStatus::Ok => "ok",
            SpanStatus::Error => "error",
        }
    }
}

/// Something that happened in a span.
#[derive(Debug, Clone, PartialEq)]
pub struct SpanEvent {
    /// When, by the sender's clock; `None` when it was not told.
    pub time: Option<i64>,
    /// Its name.
    pub name: String,
    /// Its attributes.
    pub attributes: Attributes,
}

/// A span.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// Number of the span in its request, from 0.
    pub index: u32,
    /// Its trace; `None` when the id is missing or invalid.
    pub trace: Option<TraceId>,
    /// Its id; `None` when the id is missing or invalid.
    pub id: Option<SpanId>,
    /// Its parent; `None` for a root.
    pub parent: Option<SpanId>,
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: SpanKind,
    /// Start: UTC nanoseconds by the sender's clock. 0 when it was not told.
    pub start: i64,
    /// End, likewise; never before `start` in [`Span::duration`].
    pub end: i64,
    /// How it ended.
    pub status: SpanStatus,
    /// What the sender said of the status.
    pub message: String,
    /// Thread that started it, from the attribute `thread.id`, as the sender sees it.
    pub thread: Option<u32>,
    /// Its attributes.
    pub attributes: Attributes,
    /// Its events.
    pub events: Vec<SpanEvent>,
    /// Ids of linked spans.
    pub links: Vec<(TraceId, SpanId)>,
    /// Name of the instrumentation scope.
    pub scope: Arc<str>,
    /// Who sent it.
    pub resource: Arc<Resource>,
}

impl Span {
    /// How long it took, in nanoseconds; 0 when it ends before it starts.
    pub fn duration(&self) -> u64 {
        u64::try_from(self.end.saturating_sub(self.start)).unwrap_or(0)
    }

    /// Its service; empty when it was not told.
    pub fn service(&self) -> &str {
        &self.resource.service
    }
}

/// The spans of a request, in order.
pub fn traces(request: &[u8]) -> Result<Vec<Span>, OtlpError> {
    let raw =
        ExportTraceServiceRequest::decode(request).map_err(|e| OtlpError { what: "trace", why: e.to_string() })?;
    Ok(rows(raw))
}

pub(super) fn rows(raw: ExportTraceServiceRequest) -> Vec<Span> {
    let mut out = Vec::new();
    for part in raw.resource_spans {
        let resource = Arc::new(Resource::of(part.resource));
        for scope in part.scope_spans {
            let name: Arc<str> = scope.scope.map(|s| s.name).unwrap_or_default().into();
            for s in scope.spans {
                out.push(span(s, out.len() as u32, &name, &resource));
            }
        }
    }
    out
}

fn span(s: RawSpan, index: u32, scope: &Arc<str>, resource: &Arc<Resource>) -> Span {
    let attributes = Attributes::of(s.attributes);
    let status = s.status.unwrap_or_default();
    Span {
        index,
        trace: TraceId::from_bytes(&s.trace_id),
        id: SpanId::from_bytes(&s.span_id),
        parent: SpanId::from_bytes(&s.parent_span_id),
        name: s.name,
        kind: match s.kind {
            1 => SpanKind::Internal,
            2 => SpanKind::Server,
            3 => SpanKind::Client,
            4 => SpanKind::Producer,
            5 => SpanKind::Consumer,
            _ => SpanKind::Unspecified,
        },
        start: time(s.start_time_unix_nano).unwrap_or(0),
        end: time(s.end_time_unix_nano).unwrap_or(0),
        status: match status.code {
            1 => SpanStatus::Ok,
            2 => SpanStatus::Error,
            _ => SpanStatus::Unset,
        },
        message: status.message,
        thread: attributes.get("thread.id").and_then(Value::int).and_then(|t| u32::try_from(t).ok()),
        attributes,
        events: s
            .events
            .into_iter()
            .map(|e| SpanEvent { time: time(e.time_unix_nano), name: e.name, attributes: Attributes::of(e.attributes) })
            .collect(),
        links: s
            .links
            .iter()
            .filter_map(|l| Some((TraceId::from_bytes(&l.trace_id)?, SpanId::from_bytes(&l.span_id)?)))
            .collect(),
        scope: scope.clone(),
        resource: resource.clone(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, any_value};
    use opentelemetry_proto::tonic::resource::v1::Resource as RawResource;
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Status};

    fn attribute(key: &str, value: any_value::Value) -> KeyValue {
        KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
    }

    #[test]
    fn a_span_keeps_its_ids_times_thread_and_service() {
        use any_value::Value as V;
        let request = ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                resource: Some(RawResource {
                    attributes: vec![
                        attribute("service.name", V::StringValue("orders".into())),
                        attribute("process.pid", V::IntValue(42)),
                    ],
                    ..RawResource::default()
                }),
                scope_spans: vec![ScopeSpans {
                    spans: vec![RawSpan {
                        trace_id: vec![1; 16],
                        span_id: vec![2; 8],
                        name: "insert".into(),
                        kind: 2,
                        start_time_unix_nano: 1_000,
                        end_time_unix_nano: 4_000,
                        attributes: vec![
                            attribute("thread.id", V::IntValue(77)),
                            attribute(
                                "tags",
                                V::ArrayValue(ArrayValue {
                                    values: vec![AnyValue { value: Some(V::StringValue("a\"b".into())) }],
                                }),
                            ),
                        ],
                        status: Some(Status { code: 2, message: "no".into() }),
                        ..RawSpan::default()
                    }],
                    ..ScopeSpans::default()
                }],
                ..ResourceSpans::default()
            }],
        };
        let spans = traces(&request.encode_to_vec()).unwrap();
        let s = &spans[0];
        assert_eq!(s.trace.map(|t| t.to_string()).as_deref(), Some("01010101010101010101010101010101"));
        assert_eq!((s.parent, s.thread, s.duration(), s.service()), (None, Some(77), 3_000, "orders"));
        assert_eq!((s.kind, s.status, s.resource.pid), (SpanKind::Server, SpanStatus::Error, Some(42)));
        assert_eq!(s.attributes.text("tags").as_deref(), Some("[\"a\\\"b\"]"));
        assert_eq!(TraceId::from_hex(&"01".repeat(16)), s.trace);
    }

    #[test]
    fn what_is_not_protobuf_is_an_error_with_its_reason() {
        assert!(traces(b"not protobuf").unwrap_err().to_string().starts_with("not an OTLP trace request: "));
        assert_eq!(traces(b"").unwrap(), vec![]);
    }
}
