//! Traces as Jaeger's query API and its page give them: `{"data":[{"traceID":…,"spans":[…],"processes":{…}}]}`, or one
//! element of that list by itself.
//!
//! Source: jaegertracing/jaeger, `model/json/model.go`. Times are microseconds. A span's parent is the first reference
//! `CHILD_OF` into its own trace (else the first `FOLLOWS_FROM`); the other references are links. The older `parentSpanID`
//! is taken where there are no references.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use super::{SpansError, kind, looks_like, nanos, scope, span_id, status, thread, trace_id};
use crate::otlp::{Attributes, Resource, Span, SpanEvent, SpanId, TraceId, Value};

#[derive(Deserialize)]
struct Trace {
    spans: Option<Vec<RawSpan>>,
    processes: Option<BTreeMap<String, Process>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Process {
    #[serde(default)]
    service_name: String,
    tags: Option<Vec<Tag>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawSpan {
    #[serde(rename = "traceID", default)]
    trace: String,
    #[serde(rename = "spanID", default)]
    id: String,
    #[serde(rename = "parentSpanID", default)]
    parent: String,
    #[serde(default)]
    operation_name: String,
    references: Option<Vec<Reference>>,
    #[serde(default)]
    start_time: i64,
    duration: Option<i64>,
    tags: Option<Vec<Tag>>,
    logs: Option<Vec<Log>>,
    #[serde(rename = "processID", default)]
    process_id: String,
    process: Option<Process>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reference {
    #[serde(default)]
    ref_type: String,
    #[serde(rename = "traceID", default)]
    trace: String,
    #[serde(rename = "spanID", default)]
    span: String,
}

#[derive(Deserialize)]
struct Tag {
    key: String,
    #[serde(default)]
    value: serde_json::Value,
}

#[derive(Deserialize)]
struct Log {
    #[serde(default)]
    timestamp: i64,
    fields: Option<Vec<Tag>>,
}

/// Whether a file that begins with `head` holds traces of Jaeger.
pub fn is_jaeger(head: &[u8]) -> bool {
    looks_like(head, &["traceID", "processes", "spans"], Some("data"), 0)
}

/// The spans of a document, in order.
///
/// # Errors
/// When it is not JSON of that form: a value of the wrong type is an error.
pub fn jaeger(document: &[u8]) -> Result<Vec<Span>, SpansError> {
    let error = |why: String| SpansError { what: "traces of Jaeger", why };
    let value: serde_json::Value = serde_json::from_slice(document).map_err(|e| error(e.to_string()))?;
    let is_list = value.get("data").is_some();
    if !is_list && value.get("spans").is_none() {
        return Err(error("neither data nor spans in it".to_owned()));
    }
    let traces = if is_list {
        Option::<Vec<Trace>>::deserialize(&value["data"]).map(Option::unwrap_or_default)
    } else {
        Trace::deserialize(value).map(|one| vec![one])
    };
    let traces = traces.map_err(|e| error(e.to_string()))?;
    let mut out = Vec::new();
    for trace in traces {
        let processes = trace.processes.unwrap_or_default();
        let resources: BTreeMap<String, Arc<Resource>> =
            processes.into_iter().map(|(id, p)| (id, Arc::new(resource(p)))).collect();
        for s in trace.spans.unwrap_or_default() {
            out.push(span(s, out.len() as u32, &resources));
        }
    }
    Ok(out)
}

fn resource(p: Process) -> Resource {
    let mut all = Attributes(vec![("service.name".to_owned(), Value::Text(p.service_name))]);
    all.0.extend(attributes(p.tags).0);
    let mut out = Resource::of_attributes(all);
    if out.host.is_empty() {
        // What Jaeger's own clients call it.
        out.host = out.attributes.text("hostname").unwrap_or_default();
    }
    out
}

fn attributes(tags: Option<Vec<Tag>>) -> Attributes {
    let value = |v: serde_json::Value| match v {
        serde_json::Value::String(s) => Value::Text(s),
        serde_json::Value::Bool(b) => Value::Bool(b),
        serde_json::Value::Number(n) => {
            n.as_i64().map_or_else(|| Value::Float(n.as_f64().unwrap_or(f64::NAN)), Value::Int)
        }
        other => Value::Json(other.to_string()),
    };
    Attributes(tags.unwrap_or_default().into_iter().map(|t| (t.key, value(t.value))).collect())
}

fn span(s: RawSpan, index: u32, resources: &BTreeMap<String, Arc<Resource>>) -> Span {
    let tags = attributes(s.tags);
    let trace = trace_id(&s.trace);
    let (parent, links) = references(trace, &s.parent, s.references.unwrap_or_default());
    let (status, message) = status(&tags);
    let start = nanos(s.start_time);
    let own = s.process.map(|p| Arc::new(resource(p)));
    Span {
        index,
        trace,
        id: span_id(&s.id),
        parent,
        name: s.operation_name,
        kind: tags.text("span.kind").map(|k| kind(&k)).unwrap_or_default(),
        start,
        end: s.duration.filter(|&d| d >= 0).map_or(0, |d| start.saturating_add(d.saturating_mul(1000))),
        status,
        message,
        thread: thread(&tags),
        scope: scope(&tags).into(),
        attributes: tags,
        events: s.logs.unwrap_or_default().into_iter().map(event).collect(),
        links,
        resource: own.or_else(|| resources.get(&s.process_id).cloned()).unwrap_or_default(),
    }
}

fn references(trace: Option<TraceId>, old: &str, all: Vec<Reference>) -> (Option<SpanId>, Vec<(TraceId, SpanId)>) {
    let ids: Vec<(bool, TraceId, SpanId)> = all
        .iter()
        .filter_map(|r| Some((r.ref_type.eq_ignore_ascii_case("CHILD_OF"), trace_id(&r.trace)?, span_id(&r.span)?)))
        .collect();
    let here = |child: bool| ids.iter().position(|r| r.0 == child && Some(r.1) == trace);
    let parent = here(true).or_else(|| here(false));
    let links = ids.iter().enumerate().filter(|(i, _)| Some(*i) != parent).map(|(_, r)| (r.1, r.2)).collect();
    (parent.map(|i| ids[i].2).or_else(|| span_id(old)), links)
}

fn event(log: Log) -> SpanEvent {
    let mut attributes = attributes(log.fields);
    // What happened is one of the fields; OpenTracing calls it `event`.
    let name = ["event", "message"].iter().find_map(|key| attributes.0.iter().position(|(k, _)| k == key));
    let name = name.map(|at| attributes.0.remove(at).1.to_string()).unwrap_or_default();
    SpanEvent { time: Some(nanos(log.timestamp)).filter(|&t| t > 0), name, attributes }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::otlp::{SpanKind, SpanStatus};

    const TRACE: &str = r#"{"traceID":"1ef2","spans":[
        {"traceID":"1ef2","spanID":"a1","flags":1,"operationName":"GET /buy","references":[],"startTime":1600000000000001,
         "duration":2500,"tags":[{"key":"span.kind","type":"string","value":"server"},
         {"key":"http.status_code","type":"int64","value":500},{"key":"error","type":"bool","value":true}],
         "logs":[{"timestamp":1600000000000100,"fields":[{"key":"event","type":"string","value":"retry"},
         {"key":"n","type":"int64","value":2}]}],"processID":"p1","warnings":null},
        {"traceID":"1ef2","spanID":"b2","operationName":"query","references":[
         {"refType":"FOLLOWS_FROM","traceID":"77","spanID":"9"},{"refType":"CHILD_OF","traceID":"1ef2","spanID":"a1"}],
         "startTime":1600000000000200,"duration":100,"tags":[],"logs":[],"processID":"p2"}],
        "processes":{"p1":{"serviceName":"gateway","tags":[{"key":"hostname","type":"string","value":"web1"},
         {"key":"process.pid","type":"int64","value":7}]},"p2":{"serviceName":"db","tags":null}},"warnings":null}"#;

    #[test]
    fn a_trace_of_jaeger_gives_the_rows_that_otlp_gives() {
        let document = format!("{{\"data\":[{TRACE}],\"total\":0,\"errors\":null}}");
        let spans = jaeger(document.as_bytes()).unwrap();
        assert_eq!(spans, jaeger(TRACE.as_bytes()).unwrap(), "with and without the list around it");
        let s = &spans[0];
        assert_eq!(s.trace.unwrap().to_string(), "00000000000000000000000000001ef2");
        assert_eq!(
            (s.id.unwrap().to_string().as_str(), s.parent, s.kind),
            ("00000000000000a1", None, SpanKind::Server)
        );
        assert_eq!((s.start, s.duration(), s.status), (1_600_000_000_000_001_000, 2_500_000, SpanStatus::Error));
        assert_eq!((s.service(), s.resource.host.as_str(), s.resource.pid), ("gateway", "web1", Some(7)));
        assert_eq!((s.events[0].name.as_str(), s.events[0].attributes.to_string().as_str()), ("retry", "n=2"));
        let s = &spans[1];
        assert_eq!((s.parent, s.links.len(), s.service(), s.index), (spans[0].id, 1, "db", 1));
        assert_eq!(s.links[0].1, span_id("9").unwrap());
    }

    #[test]
    fn what_is_not_of_jaeger_is_told_so() {
        assert!(is_jaeger(TRACE.as_bytes()) && is_jaeger(br#"{"data":[{"traceID":"1"#));
        assert!(!is_jaeger(br#"{"resourceSpans":[{"spans":1}]}"#) && !is_jaeger(b"[]") && !is_jaeger(b"{\"data\":[1"));
        assert!(jaeger(br#"{"data":[{"spans":[{"startTime":"soon"}]}]}"#).unwrap_err().to_string().contains("soon"));
        assert!(jaeger(b"{}").is_err() && jaeger(b"[]").is_err());
        assert_eq!(jaeger(br#"{"data":null}"#).unwrap(), vec![]);
    }
}
