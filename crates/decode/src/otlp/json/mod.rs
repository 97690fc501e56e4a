//! OTLP/JSON requests into the rows of their protobuf twins.
//!
//! OTLP specification, "JSON Protobuf Encoding": ids are hex, enums are numbers, keys are lowerCamelCase, unknown keys
//! are ignored; the rest is proto3's JSON mapping (64-bit integers as strings, bytes in base64, `NaN` and `Infinity` as
//! strings, `null` for what is not told). Senders deviate, so numbers may be strings and the reverse, and enums may be
//! names. A value of the wrong type is an error that names its place. An id that is not hex is no id, as one of the
//! wrong length is none in protobuf.
//!
//! The serde derives of `opentelemetry-proto` refuse doubles as strings, enums as names, numbers written as `1.0` or
//! `1e3`, and base64 without padding, so the conversion into its messages is here.
//!
//! serde_json refuses what is nested deeper than 128 levels; that bounds the recursion here and of the rows.

mod fields;
mod signals;

use std::borrow::Cow;
use std::fmt;

use prost::Message;
use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use super::{LogRecord, MetricPoint, OtlpError, Span, logs, metrics, traces};
use fields::{Bad, Map};

/// What a request carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Signal {
    /// `resourceSpans`.
    Traces,
    /// `resourceLogs`.
    Logs,
    /// `resourceMetrics`.
    Metrics,
}

impl Signal {
    /// The signal whose requests have this key at their top.
    fn of_key(key: &str) -> Option<Signal> {
        match key {
            "resourceSpans" => Some(Signal::Traces),
            "resourceLogs" => Some(Signal::Logs),
            "resourceMetrics" => Some(Signal::Metrics),
            _ => None,
        }
    }
}

/// The spans of an OTLP/JSON request, in order.
pub fn traces_json(request: &[u8]) -> Result<Vec<Span>, OtlpError> {
    read("trace", request, signals::traces).map(traces::rows)
}

/// The log records of an OTLP/JSON request, in order.
pub fn logs_json(request: &[u8]) -> Result<Vec<LogRecord>, OtlpError> {
    read("logs", request, signals::logs).map(logs::rows)
}

/// The points of an OTLP/JSON request, in order.
pub fn metrics_json(request: &[u8]) -> Result<Vec<MetricPoint>, OtlpError> {
    read("metrics", request, signals::metrics).map(metrics::rows)
}

/// An OTLP/JSON request as its protobuf twin: the same spans, records or points. What OTLP does not define is left out.
///
/// # Errors
/// When it is no such request.
pub fn to_protobuf(signal: Signal, request: &[u8]) -> Result<Vec<u8>, OtlpError> {
    match signal {
        Signal::Traces => read("trace", request, signals::traces).map(|m| m.encode_to_vec()),
        Signal::Logs => read("logs", request, signals::logs).map(|m| m.encode_to_vec()),
        Signal::Metrics => read("metrics", request, signals::metrics).map(|m| m.encode_to_vec()),
    }
}

fn read<T>(what: &'static str, request: &[u8], message: fn(&Map) -> Result<T, Bad>) -> Result<T, OtlpError> {
    let value: Value = serde_json::from_slice(request).map_err(|e| OtlpError { what, why: e.to_string() })?;
    let object = value.as_object().ok_or_else(|| OtlpError { what, why: "not a JSON object".into() })?;
    message(object).map_err(|e| OtlpError { what, why: e.to_string() })
}

/// What a line of JSON carries, by the first key at its top that tells. The OpenTelemetry collector's file exporter
/// writes one request a line, of any signal. `None`: not an OTLP request. Only the keys before the telling one are
/// read; whether the rest can be is told by the functions above.
pub fn signal_of(line: &[u8]) -> Option<Signal> {
    let mut found = None;
    // Its error says nothing: the visitor leaves the object before its end.
    let _ = serde_json::Deserializer::from_slice(line).deserialize_map(TopKeys(&mut found));
    found
}

struct TopKeys<'a>(&'a mut Option<Signal>);

impl<'de> Visitor<'de> for TopKeys<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an OTLP request")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            *self.0 = Signal::of_key(&key);
            if self.0.is_some() {
                break;
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
