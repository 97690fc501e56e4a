//! OTel spans that took too long, or whose status is an error. The request is walked, nothing is built of it.

use super::{Condition, Met, Rule, Seen, cut};
use crate::otlp::protobuf;

/// See the module.
pub(super) struct Spans {
    name: Option<String>,
    longer: Option<u64>,
    error: bool,
}

impl Spans {
    pub(super) fn new(rule: &Rule) -> Spans {
        Spans { name: rule.pattern.clone(), longer: rule.nanos(), error: rule.error }
    }

    fn judge(&self, span: &Span<'_>) -> Option<f64> {
        if self.name.as_ref().is_some_and(|n| n.as_bytes() != span.name) {
            return None;
        }
        let took = span.end.saturating_sub(span.start);
        let slow = self.longer.is_some_and(|limit| took > limit);
        (slow || (self.error && span.status == ERROR)).then_some(took as f64)
    }
}

impl Condition for Spans {
    fn see(&mut self, seen: &Seen, met: &mut dyn FnMut(Met)) {
        let Seen::Traces { bytes, time } = seen else { return };
        each_span(bytes, &mut |span| {
            if let Some(value) = self.judge(span) {
                met(Met { time: *time, value, text: cut(span.name), pid: 0 });
            }
        });
    }
}

/// `STATUS_CODE_ERROR`.
const ERROR: u64 = 2;

#[derive(Debug, Default)]
struct Span<'a> {
    name: &'a [u8],
    start: u64,
    end: u64,
    status: u64,
}

/// The spans of an `ExportTraceServiceRequest`: `resource_spans` (1) → `scope_spans` (2) → `spans` (2).
fn each_span(request: &[u8], take: &mut dyn FnMut(&Span<'_>)) {
    for (number, resource) in messages(request) {
        let scopes = messages(resource).filter(|(n, _)| number == 1 && *n == 2);
        for (_, span) in scopes.flat_map(|(_, scope)| messages(scope)).filter(|(n, _)| *n == 2) {
            take(&parse(span));
        }
    }
}

/// Name (5), start (7) and end (8) as fixed64, status (15) with its code (3).
fn parse(bytes: &[u8]) -> Span<'_> {
    let mut span = Span::default();
    for field in (Fields { bytes }) {
        match field {
            (5, Value::Bytes(name)) => span.name = name,
            (7, Value::Number(n)) => span.start = n,
            (8, Value::Number(n)) => span.end = n,
            (15, Value::Bytes(status)) => {
                span.status = (Fields { bytes: status })
                    .find_map(|f| if let (3, Value::Number(n)) = f { Some(n) } else { None })
                    .unwrap_or(0);
            }
            _ => {}
        }
    }
    span
}

fn messages(bytes: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    (Fields { bytes }).filter_map(|(n, v)| match v {
        Value::Bytes(b) => Some((n, b)),
        Value::Number(_) => None,
    })
}

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message. Ends where it is malformed.
struct Fields<'a> {
    bytes: &'a [u8],
}

impl<'a> Iterator for Fields<'a> {
    type Item = (u64, Value<'a>);

    fn next(&mut self) -> Option<(u64, Value<'a>)> {
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Number(self.varint()?),
            1 => Value::Number(u64::from_le_bytes(*self.take(8)?.first_chunk()?)),
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.take(length)?)
            }
            5 => Value::Number(u64::from(u32::from_le_bytes(*self.take(4)?.first_chunk()?))),
            _ => return None,
        };
        Some((tag >> 3, value))
    }
}

impl<'a> Fields<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.bytes.split_at_checked(length)?;
        self.bytes = rest;
        Some(head)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut at = 0;
        let value = protobuf::varint(self.bytes, &mut at)?;
        self.take(at)?;
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as Sent, Status};
    use prost::Message;

    fn request(name: &str, took: u64, code: i32) -> Vec<u8> {
        let status = Some(Status { code, message: "m".into() });
        let span = Sent {
            name: name.into(),
            start_time_unix_nano: 5,
            end_time_unix_nano: 5 + took,
            status,
            ..Sent::default()
        };
        let spans = ResourceSpans {
            scope_spans: vec![ScopeSpans { spans: vec![Sent::default(), span], ..ScopeSpans::default() }],
            ..ResourceSpans::default()
        };
        ExportTraceServiceRequest { resource_spans: vec![spans] }.encode_to_vec()
    }

    fn met(rule: &str, bytes: Vec<u8>) -> Vec<(f64, Vec<u8>)> {
        let mut out = Vec::new();
        Spans::new(&rule.parse().unwrap()).see(&Seen::Traces { bytes, time: 1 }, &mut |m| out.push((m.value, m.text)));
        out
    }

    #[test]
    fn slow_spans_and_failed_ones_are_told_by_name() {
        let slow = "span=latency>1ms,name=POST /order";
        assert_eq!(met(slow, request("POST /order", 1_000_001, 0)), [(1_000_001.0, b"POST /order".to_vec())]);
        assert_eq!(met(slow, request("POST /order", 1_000_000, 2)), []);
        assert_eq!(met(slow, request("GET /", 9_000_000, 0)), []);
        assert_eq!(met("span=error", request("GET /", 3, 2)), [(3.0, b"GET /".to_vec())]);
        assert_eq!(met("span=error", request("GET /", 3, 1)), []);
    }

    #[test]
    fn what_is_cut_ends_the_walk() {
        let whole = request("GET /", 3, 2);
        for length in 0..whole.len() {
            assert!(met("span=error", whole[..length].to_vec()).len() <= 1);
        }
    }
}
