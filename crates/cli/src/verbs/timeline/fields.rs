//! An entry as a JSON object: raw fields, UTC, evidence.

use coldcase_model::{Boottime, Column, Columns};
use coldcase_timeline::decode::otlp;
use coldcase_timeline::{Body, Entry, Timeline};
use serde_json::{Map, Value, json};

/// The object of an entry. `text` is its line for people.
pub(super) fn json(t: &Timeline, e: &Entry, text: &str) -> Value {
    let fields = match &e.body {
        Body::Row { columns, at } => row(t, columns, *at),
        Body::Span(s) => span(&s.span),
        Body::Record(r) => json!({
            "severity": r.record.severity.map(|s| s.name()),
            "severity_text": r.record.severity_text,
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
    };
    json!({
        "schema": { "name": "coldcase.timeline", "version": 1 },
        "utc": e.utc.0,
        "end": e.end.0,
        "offset": e.utc.0.saturating_sub(t.start().0),
        "stream": &*e.stream,
        "row": e.row,
        "index": e.index,
        "evidence": t.evidence(&e.stream, e.row).to_string(),
        "text": text,
        "fields": fields,
    })
}

/// All columns as they are in the bundle, and the names of the frames beside the addresses.
fn row(t: &Timeline, columns: &Columns, at: usize) -> Value {
    let mut out = Map::new();
    for (name, column) in columns.names.iter().zip(&columns.columns) {
        if name == "reserved" {
            continue;
        }
        let value = match column {
            Column::F64(v) => json!(v.get(at)),
            Column::Ip(v) => json!(v.get(at).map(|ip| ip.addr().to_string())),
            Column::Text(c) => json!(c.text(at)),
            Column::Stack(c) => json!(c.get(at)),
            c => match c.int(at) {
                Some(n) if n < 0 => json!(n as i64),
                Some(n) => json!(n as u64),
                None => Value::Null,
            },
        };
        out.insert(name.to_string(), value);
    }
    frames(t, columns, at, &mut out);
    Value::Object(out)
}

fn frames(t: &Timeline, columns: &Columns, at: usize, out: &mut Map<String, Value>) {
    let stack = |name: &str| match columns.get(name) {
        Some(Column::Stack(c)) => Some(c.get(at)),
        _ => None,
    };
    let number = |name: &str| columns.get(name).and_then(|c| c.int(at)).unwrap_or(0);
    if let (Some(kernel), Some(user)) = (stack("kernel_stack"), stack("user_stack"))
        && !(kernel.is_empty() && user.is_empty())
    {
        let (pid, time) = (number("pid") as u32, Boottime(number("time") as u64));
        let names: Vec<_> = t.symbols().stack(pid, time, kernel, user).into_iter().map(|f| f.name.to_string()).collect();
        out.insert("frames".into(), json!(names));
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
    Value::Object(a.0.iter().map(|(k, v)| (k.clone(), value(v))).collect())
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

fn packet(t: &Timeline, p: &coldcase_timeline::Packet) -> Value {
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
