//! Spans of Zipkin's API, version 2: a list of spans, or a list of traces, each a list of spans.
//!
//! Source: openzipkin/zipkin-api, `zipkin2-api.yaml`. Times are microseconds. Server and client of one call may have one
//! id (`shared`). `localEndpoint` names the service; addresses and ports of both endpoints become the attributes that
//! OpenTelemetry calls them by, where no tag tells these.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use super::{SpansError, kind, looks_like, nanos, scope, span_id, status, thread, trace_id};
use crate::otlp::{Attributes, Resource, Span, SpanEvent, Value};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawSpan {
    #[serde(default)]
    trace_id: String,
    #[serde(default)]
    id: String,
    parent_id: Option<String>,
    kind: Option<String>,
    name: Option<String>,
    timestamp: Option<i64>,
    duration: Option<i64>,
    local_endpoint: Option<Endpoint>,
    remote_endpoint: Option<Endpoint>,
    annotations: Option<Vec<Annotation>>,
    tags: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Endpoint {
    service_name: Option<String>,
    ipv4: Option<String>,
    ipv6: Option<String>,
    port: Option<u16>,
}

#[derive(Deserialize)]
struct Annotation {
    #[serde(default)]
    timestamp: i64,
    #[serde(default)]
    value: String,
}

/// Tags that are of the sender rather than of the span: OpenTelemetry's exporters to Zipkin write both into one list.
const OF_SENDER: [&str; 9] =
    ["host.", "process.", "container.", "k8s.", "service.", "os.", "telemetry.", "cloud.", "deployment."];

/// Whether a file that begins with `head` holds spans of Zipkin.
pub fn is_zipkin(head: &[u8]) -> bool {
    let is_list = head.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'[');
    is_list && looks_like(head, &["traceId"], None, 2)
}

/// The spans of a list, in order.
///
/// # Errors
/// When it is not JSON of that form: a value of the wrong type is an error.
pub fn zipkin(list: &[u8]) -> Result<Vec<Span>, SpansError> {
    let error = |e: serde_json::Error| SpansError { what: "spans of Zipkin", why: e.to_string() };
    let values: Vec<serde_json::Value> = serde_json::from_slice(list).map_err(error)?;
    let mut out = Vec::new();
    // Senders are few, and told with each span.
    let mut resources = BTreeMap::<String, Arc<Resource>>::new();
    for value in values {
        let spans = match value {
            trace @ serde_json::Value::Array(_) => Vec::<RawSpan>::deserialize(trace),
            span => RawSpan::deserialize(span).map(|one| vec![one]),
        };
        let spans = spans.map_err(error)?;
        for s in spans {
            out.push(span(s, out.len() as u32, &mut resources));
        }
    }
    Ok(out)
}

fn span(s: RawSpan, index: u32, resources: &mut BTreeMap<String, Arc<Resource>>) -> Span {
    let (of_sender, tags): (Vec<_>, Vec<_>) =
        s.tags.unwrap_or_default().into_iter().partition(|(key, _)| OF_SENDER.iter().any(|p| key.starts_with(p)));
    let text = |list: Vec<(String, String)>| Attributes(list.into_iter().map(|(k, v)| (k, Value::Text(v))).collect());
    let mut sender = text(of_sender);
    let mut tags = text(tags);
    if let Some(name) = s.local_endpoint.as_ref().and_then(|e| e.service_name.clone()).filter(|n| !n.is_empty()) {
        sender.0.retain(|(key, _)| key != "service.name");
        sender.0.insert(0, ("service.name".to_owned(), Value::Text(name)));
    }
    endpoint(s.local_endpoint, "network.local", None, &mut tags);
    endpoint(s.remote_endpoint, "network.peer", Some("peer.service"), &mut tags);
    let resource = resources.entry(sender.to_string()).or_insert_with(|| Arc::new(Resource::of_attributes(sender)));
    let (status, message) = status(&tags);
    let start = s.timestamp.map_or(0, nanos);
    let events = s.annotations.unwrap_or_default().into_iter().map(|a| SpanEvent {
        time: Some(nanos(a.timestamp)).filter(|&t| t > 0),
        name: a.value,
        attributes: Attributes::default(),
    });
    Span {
        index,
        trace: trace_id(&s.trace_id),
        id: span_id(&s.id),
        parent: s.parent_id.as_deref().and_then(span_id),
        name: s.name.unwrap_or_default(),
        kind: s.kind.map(|k| kind(&k)).unwrap_or_default(),
        start,
        end: s.duration.filter(|&d| d >= 0).map_or(0, |d| start.saturating_add(d.saturating_mul(1000))),
        status,
        message,
        thread: thread(&tags),
        scope: scope(&tags).into(),
        attributes: tags,
        events: events.collect(),
        links: Vec::new(),
        resource: resource.clone(),
    }
}

fn endpoint(e: Option<Endpoint>, prefix: &str, service: Option<&str>, tags: &mut Attributes) {
    let Some(e) = e else { return };
    let mut add = |key: String, value: Option<Value>| {
        if let Some(value) = value.filter(|_| tags.get(&key).is_none()) {
            tags.0.push((key, value));
        }
    };
    add(format!("{prefix}.address"), e.ipv4.or(e.ipv6).filter(|a| !a.is_empty()).map(Value::Text));
    add(format!("{prefix}.port"), e.port.filter(|&p| p != 0).map(|p| Value::Int(i64::from(p))));
    if let Some(key) = service {
        add(key.to_owned(), e.service_name.filter(|n| !n.is_empty()).map(Value::Text));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::otlp::{SpanKind, SpanStatus};

    const SPANS: &str = r#"[{"traceId":"5982fe77008310cc80f1da5e10147517","name":"get","id":"bd7a977555f6b982",
        "timestamp":1458702548467000,"duration":386000,"kind":"CLIENT","localEndpoint":{"serviceName":"zipkin-query",
        "ipv4":"192.168.1.2","port":9411},"remoteEndpoint":{"serviceName":"db","ipv4":"10.0.0.9","port":5432},
        "annotations":[{"timestamp":1458702548467500,"value":"retry"}],"tags":{"error":"timed out","process.pid":"77",
        "thread.id":"78"},"debug":true},
        {"traceId":"80f1da5e10147517","id":"bd7a977555f6b982","shared":true,"kind":"SERVER","parentId":null}]"#;

    #[test]
    fn spans_of_zipkin_give_the_rows_that_otlp_gives() {
        let spans = zipkin(SPANS.as_bytes()).unwrap();
        assert_eq!(spans, zipkin(format!("[{SPANS}]").as_bytes()).unwrap(), "a list of traces holds the same");
        let s = &spans[0];
        assert_eq!((s.kind, s.start, s.duration()), (SpanKind::Client, 1_458_702_548_467_000_000, 386_000_000));
        assert_eq!((s.status, s.message.as_str(), s.thread), (SpanStatus::Error, "timed out", Some(78)));
        assert_eq!((s.service(), s.resource.pid, s.events[0].name.as_str()), ("zipkin-query", Some(77), "retry"));
        let port = |name| s.attributes.get(name).and_then(Value::int);
        assert_eq!((port("network.peer.port"), port("network.local.port")), (Some(5432), Some(9411)));
        assert_eq!(s.attributes.text("peer.service").as_deref(), Some("db"));
        let s = &spans[1];
        assert_eq!(s.trace.unwrap().to_string(), "000000000000000080f1da5e10147517");
        assert_eq!((s.id, s.end, s.duration()), (spans[0].id, 0, 0));
    }

    #[test]
    fn what_is_not_of_zipkin_is_told_so() {
        assert!(is_zipkin(SPANS.as_bytes()) && is_zipkin(b" [[{\"name\":\"\",\"traceId\":\"5"));
        assert!(!is_zipkin(b"[]") && !is_zipkin(b"{\"traceId\":\"5\"}") && !is_zipkin(b"[[[{\"traceId\":1"));
        assert!(zipkin(b"[{\"duration\":\"long\"}]").is_err() && zipkin(b"{}").is_err());
    }
}
