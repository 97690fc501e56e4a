//! OTLP messages of our own: attributes, and the spans of documents that are no OTLP.

use coldcase_decode::otlp::{Attributes, Span, SpanKind, SpanStatus, Value as Decoded};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{self, ResourceSpans, ScopeSpans, Status};
use prost::Message as _;

/// What the value of an attribute of ours can be.
pub(crate) trait Attribute {
    /// The value in a message.
    fn value(&self) -> Value;
}

impl Attribute for &str {
    fn value(&self) -> Value {
        Value::StringValue((*self).to_owned())
    }
}

/// Counts and nanoseconds.
impl Attribute for u64 {
    fn value(&self) -> Value {
        Value::IntValue(i64::try_from(*self).unwrap_or(i64::MAX))
    }
}

/// An attribute.
pub(crate) fn attribute(key: &str, value: impl Attribute) -> KeyValue {
    key_value(key, value.value())
}

fn key_value(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// Spans as a request, those of one sender and one library together.
pub(super) fn request(spans: impl Iterator<Item = Span>) -> Vec<u8> {
    let mut parts: Vec<ResourceSpans> = Vec::new();
    let mut last = None;
    for span in spans {
        let of = (span.resource.clone(), span.scope.clone());
        if last.as_ref() != Some(&of) {
            let scope = InstrumentationScope { name: of.1.to_string(), ..InstrumentationScope::default() };
            parts.push(ResourceSpans {
                resource: Some(Resource { attributes: attributes(&of.0.attributes), ..Resource::default() }),
                scope_spans: vec![ScopeSpans { scope: Some(scope), ..ScopeSpans::default() }],
                ..ResourceSpans::default()
            });
            last = Some(of);
        }
        if let Some(part) = parts.last_mut().and_then(|p| p.scope_spans.first_mut()) {
            part.spans.push(made(span));
        }
    }
    ExportTraceServiceRequest { resource_spans: parts }.encode_to_vec()
}

fn attributes(of: &Attributes) -> Vec<KeyValue> {
    let value = |v: &Decoded| match v {
        Decoded::Text(t) | Decoded::Json(t) => Value::StringValue(t.clone()),
        Decoded::Bool(b) => Value::BoolValue(*b),
        Decoded::Int(i) => Value::IntValue(*i),
        Decoded::Float(f) => Value::DoubleValue(*f),
    };
    of.0.iter().map(|(key, v)| key_value(key, value(v))).collect()
}

fn made(s: Span) -> v1::Span {
    let nanos = |t: i64| u64::try_from(t).unwrap_or(0);
    let kind = match s.kind {
        SpanKind::Unspecified => v1::span::SpanKind::Unspecified,
        SpanKind::Internal => v1::span::SpanKind::Internal,
        SpanKind::Server => v1::span::SpanKind::Server,
        SpanKind::Client => v1::span::SpanKind::Client,
        SpanKind::Producer => v1::span::SpanKind::Producer,
        SpanKind::Consumer => v1::span::SpanKind::Consumer,
    };
    let code = match s.status {
        SpanStatus::Unset => v1::status::StatusCode::Unset,
        SpanStatus::Ok => v1::status::StatusCode::Ok,
        SpanStatus::Error => v1::status::StatusCode::Error,
    };
    let event = |e: &coldcase_decode::otlp::SpanEvent| v1::span::Event {
        time_unix_nano: e.time.map_or(0, nanos),
        name: e.name.clone(),
        attributes: attributes(&e.attributes),
        ..v1::span::Event::default()
    };
    let link = |&(trace, span): &(coldcase_decode::otlp::TraceId, coldcase_decode::otlp::SpanId)| v1::span::Link {
        trace_id: trace.0.to_vec(),
        span_id: span.0.to_vec(),
        ..v1::span::Link::default()
    };
    v1::Span {
        trace_id: s.trace.map(|t| t.0.to_vec()).unwrap_or_default(),
        span_id: s.id.map(|i| i.0.to_vec()).unwrap_or_default(),
        parent_span_id: s.parent.map(|i| i.0.to_vec()).unwrap_or_default(),
        name: s.name,
        kind: kind.into(),
        start_time_unix_nano: nanos(s.start),
        end_time_unix_nano: nanos(s.end),
        attributes: attributes(&s.attributes),
        events: s.events.iter().map(event).collect(),
        links: s.links.iter().map(link).collect(),
        status: Some(Status { message: s.message, code: code.into() }),
        ..v1::Span::default()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn spans_of_another_format_are_the_same_when_they_are_read_back() {
        let document = br#"{"data":[{"traceID":"5b8efff798038103d269b633813fc60c","spans":[
            {"traceID":"5b8efff798038103d269b633813fc60c","spanID":"eee19b7ec3c1b174","operationName":"GET","processID":"p1","startTime":1700000000000000,
             "duration":2500,"tags":[{"key":"span.kind","type":"string","value":"server"},{"key":"n","type":"int64","value":7},{"key":"error","type":"bool","value":true}],
             "logs":[{"timestamp":1700000000001000,"fields":[{"key":"event","type":"string","value":"packed"}]}]},
            {"traceID":"5b8efff798038103d269b633813fc60c","spanID":"eee19b7ec3c1b175","operationName":"SELECT","processID":"p2","startTime":1700000000000500,
             "duration":100,"references":[{"refType":"CHILD_OF","traceID":"5b8efff798038103d269b633813fc60c","spanID":"eee19b7ec3c1b174"}]}],
            "processes":{"p1":{"serviceName":"web"},"p2":{"serviceName":"db"}}}]}"#;
        let spans = coldcase_decode::spans::jaeger(document).unwrap();
        assert_eq!(spans.len(), 2);
        let request = request(spans.clone().into_iter());
        assert_eq!(coldcase_decode::otlp::traces(&request).unwrap(), spans);
    }
}
