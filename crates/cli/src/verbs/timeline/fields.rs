//! An entry as a JSON object: raw fields, UTC, evidence. Written field by field: a bundle has millions.

use coldcase_model::{Boottime, Column, Columns};
use coldcase_timeline::decode::otlp;
use coldcase_timeline::{Body, Entry, Packet, Timeline};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::of_trace::Request;

/// The object of an entry.
#[derive(Serialize)]
pub(super) struct Object<'a> {
    schema: Schema,
    utc: i64,
    end: i64,
    offset: i64,
    stream: &'a str,
    row: u64,
    index: u32,
    evidence: Evidence<'a>,
    /// How it was joined to the trace that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    how: Option<&'a str>,
    text: &'a str,
    fields: Fields<'a>,
}

#[derive(Serialize)]
struct Schema {
    name: &'static str,
    version: u32,
}

/// `bundle-id/stream#row`.
struct Evidence<'a>(&'a str, &'a str, u64);

impl Serialize for Evidence<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(&format_args!("{}/{}#{}", self.0, self.1, self.2))
    }
}

/// The object of an entry. `text` is its line for people.
pub(super) fn object<'a>(t: &'a Timeline, e: &'a Entry, how: Option<&'a str>, text: &'a str) -> Object<'a> {
    Object {
        schema: Schema { name: "coldcase.timeline", version: 1 },
        utc: e.utc.0,
        end: e.end.0,
        offset: e.utc.0.saturating_sub(t.start().0),
        stream: &e.stream,
        row: e.row,
        index: e.index,
        evidence: Evidence(t.bundle().id(), &e.stream, e.row),
        how,
        text,
        fields: Fields { t, body: &e.body },
    }
}

/// The object of a request that was seen in packets: its evidence is the message that holds its first packet.
pub(super) fn request(t: &Timeline, r: &Request, text: &str) -> Value {
    let row = r.seen.evidence.as_ref().map_or(0, |e| e.row);
    json!({
        "schema": { "name": "coldcase.timeline", "version": 1 },
        "utc": r.utc.0,
        "end": r.end.0,
        "offset": r.utc.0.saturating_sub(t.start().0),
        "stream": "packets",
        "row": row,
        "index": 0,
        "evidence": format!("{}/packets#{row}", t.bundle().id()),
        "how": r.how,
        "text": text,
        "fields": { "request": r.seen },
    })
}

/// What is in an entry.
struct Fields<'a> {
    t: &'a Timeline,
    body: &'a Body,
}

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self.body {
            Body::Row { columns, at } => row(self.t, columns, *at, s),
            other => decoded(self.t, other).serialize(s),
        }
    }
}

/// All columns as they are in the bundle, and the names of the frames beside the addresses.
fn row<S: Serializer>(t: &Timeline, columns: &Columns, at: usize, s: S) -> Result<S::Ok, S::Error> {
    let mut map = s.serialize_map(None)?;
    for (name, column) in columns.names.iter().zip(&columns.columns) {
        if name == "reserved" {
            continue;
        }
        match column {
            Column::F64(v) => map.serialize_entry(name, &v.get(at))?,
            Column::Ip(v) => map.serialize_entry(name, &v.get(at).map(|ip| ip.addr()))?,
            Column::Text(c) => map.serialize_entry(name, &c.text(at))?,
            Column::Stack(c) => map.serialize_entry(name, c.get(at))?,
            c => match c.int(at) {
                Some(n) if n < 0 => map.serialize_entry(name, &(n as i64))?,
                Some(n) => map.serialize_entry(name, &(n as u64))?,
                None => map.serialize_entry(name, &())?,
            },
        }
    }
    if let Some(frames) = frames(t, columns, at) {
        map.serialize_entry("frames", &frames)?;
    }
    map.end()
}

fn frames(t: &Timeline, columns: &Columns, at: usize) -> Option<Vec<String>> {
    let stack = |name: &str| match columns.get(name) {
        Some(Column::Stack(c)) => Some(c.get(at)),
        _ => None,
    };
    let (kernel, user) = (stack("kernel_stack")?, stack("user_stack")?);
    if kernel.is_empty() && user.is_empty() {
        return None;
    }
    let number = |name: &str| columns.get(name).and_then(|c| c.int(at)).unwrap_or(0);
    let (pid, time) = (number("pid") as u32, Boottime(number("time") as u64));
    Some(t.symbols().stack(pid, time, kernel, user).into_iter().map(|f| f.name.to_string()).collect())
}

fn decoded(t: &Timeline, body: &Body) -> Value {
    match body {
        Body::Span(s) => span(&s.span),
        Body::Record(r) => json!({
            "severity": r.record.severity.map(|s| s.name()),
            "severity_text": r.record.severity_text,
            "event": r.record.event,
            "body": r.record.body,
            "trace": r.record.trace.map(|t| t.to_string()),
            "span": r.record.span.map(|s| s.to_string()),
            "service": r.record.resource.service,
            "scope": &*r.record.scope,
            "attributes": attributes(&r.record.attributes),
            "observed": r.record.observed,
        }),
        Body::Metric(m) => json!({
            "name": &*m.point.name,
            "unit": &*m.point.unit,
            "kind": m.point.kind.name(),
            "service": m.point.resource.service,
            "attributes": attributes(&m.point.attributes),
            "value": point(&m.point),
            "min": m.point.min,
            "max": m.point.max,
            "exemplars": m.point.exemplars.iter().map(exemplar).collect::<Vec<_>>(),
        }),
        Body::Packet(p) => packet(t, p),
        Body::Line(l) => json!({
            "path": &*l.path,
            "line": l.text(),
            "own_time": l.own_time,
            "read": t.utc(l.read).0,
            "severity": l.fields.severity.map(|s| s.name()),
            "trace": l.fields.trace.map(|t| t.to_string()),
            "span": l.fields.span.map(|s| s.to_string()),
        }),
        Body::Page { target, samples } => json!({ "target": &**target, "samples": samples }),
        Body::Written { samples } => json!({ "samples": samples }),
        // Written by `row`.
        Body::Row { .. } => Value::Null,
    }
}

fn attributes(a: &otlp::Attributes) -> Value {
    let value = |v: &otlp::Value| match v {
        otlp::Value::Text(s) => json!(s),
        otlp::Value::Bool(b) => json!(b),
        otlp::Value::Int(i) => json!(i),
        otlp::Value::Float(x) => json!(x),
        otlp::Value::Json(s) => serde_json::from_str(s).unwrap_or_else(|_| json!(s)),
    };
    Value::Object(a.0.iter().map(|(k, v)| (k.clone(), value(v))).collect::<Map<_, _>>())
}

fn span(s: &otlp::Span) -> Value {
    json!({
        "name": s.name,
        "kind": s.kind.name(),
        "status": s.status.name(),
        "message": s.message,
        "start": s.start,
        "end": s.end,
        "duration": s.duration(),
        "trace": s.trace.map(|t| t.to_string()),
        "span": s.id.map(|s| s.to_string()),
        "parent": s.parent.map(|s| s.to_string()),
        "thread": s.thread,
        "service": s.service(),
        "scope": &*s.scope,
        "pid": s.resource.pid,
        "attributes": attributes(&s.attributes),
        "events": s.events.iter()
            .map(|e| json!({ "time": e.time, "name": e.name, "attributes": attributes(&e.attributes) }))
            .collect::<Vec<_>>(),
    })
}

fn exemplar(e: &otlp::Exemplar) -> Value {
    json!({
        "time": e.time,
        "value": e.value,
        "trace": e.trace.map(|t| t.to_string()),
        "span": e.span.map(|s| s.to_string()),
        "attributes": attributes(&e.attributes),
    })
}

fn point(p: &otlp::MetricPoint) -> Value {
    match &p.value {
        None => Value::Null,
        Some(otlp::PointValue::Number(x)) => json!(x),
        Some(otlp::PointValue::Histogram { count, sum, bounds, counts }) => {
            json!({ "count": count, "sum": sum, "bounds": bounds, "counts": counts })
        }
        Some(otlp::PointValue::Summary { count, sum, quantiles }) => {
            json!({ "count": count, "sum": sum, "quantiles": quantiles })
        }
    }
}

/// The value of a metric point in a line for people.
pub(super) fn point_text(p: &otlp::MetricPoint) -> String {
    match &p.value {
        None => "no value".into(),
        Some(otlp::PointValue::Number(x)) => x.to_string(),
        Some(otlp::PointValue::Histogram { count, sum, .. }) => match sum {
            Some(sum) => format!("{count} values, sum {sum}"),
            None => format!("{count} values"),
        },
        Some(otlp::PointValue::Summary { count, sum, .. }) => format!("{count} values, sum {sum}"),
    }
}

fn packet(t: &Timeline, p: &Packet) -> Value {
    let mut out = json!({
        "interface": &*p.interface,
        "original": p.packet.original,
        "captured": p.packet.captured,
        "direction": match p.packet.direction { 1 => "in", 2 => "out", _ => "unknown" },
    });
    if let (Some(h), Some(map)) = (p.headers(), out.as_object_mut()) {
        map.insert("src".into(), json!(h.src.addr().to_string()));
        map.insert("dst".into(), json!(h.dst.addr().to_string()));
        map.insert("src_port".into(), json!(h.src_port));
        map.insert("dst_port".into(), json!(h.dst_port));
        map.insert("protocol".into(), json!(h.protocol));
        map.insert("payload".into(), json!(h.payload));
        map.insert("ttl".into(), json!(h.ttl));
        map.insert("fragment".into(), json!(h.fragment));
        map.insert("vlan".into(), json!(h.vlan));
        if let Some(tcp) = h.tcp {
            let flags = super::line::flags(tcp.flags);
            map.insert("tcp".into(), json!({ "flags": flags, "seq": tcp.seq, "ack": tcp.ack, "window": tcp.window }));
        }
        let [src, dst] = super::filter::owners(t, p, t.boot(p.utc));
        map.insert("src_pid".into(), json!(src));
        map.insert("dst_pid".into(), json!(dst));
    }
    out
}
