//! Spans of tools that do not speak OTLP, in the rows that OTLP's have: what Jaeger's and Zipkin's interfaces give.

mod jaeger;
mod zipkin;

use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

use crate::otlp::{Attributes, SpanId, SpanKind, SpanStatus, TraceId, Value};

pub use jaeger::{is_jaeger, jaeger};
pub use zipkin::{is_zipkin, zipkin};

/// Why spans could not be decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not {what}: {why}")]
pub struct SpansError {
    /// `traces of Jaeger` or `spans of Zipkin`.
    pub what: &'static str,
    /// What is wrong, with the place.
    pub why: String,
}

/// A trace id of up to 32 hex digits: 64-bit ids, and those whose leading zeros were left out, are filled up.
fn trace_id(hex: &str) -> Option<TraceId> {
    (!hex.is_empty() && hex.len() <= 32).then(|| TraceId::from_hex(&format!("{hex:0>32}")))?
}

/// A span id of up to 16 hex digits.
fn span_id(hex: &str) -> Option<SpanId> {
    (!hex.is_empty() && hex.len() <= 16).then(|| SpanId::from_hex(&format!("{hex:0>16}")))?
}

/// Nanoseconds of microseconds; 0 for "not told", as for OTLP.
fn nanos(micros: i64) -> i64 {
    micros.checked_mul(1000).filter(|&t| t > 0).unwrap_or(0)
}

fn kind(name: &str) -> SpanKind {
    [SpanKind::Internal, SpanKind::Server, SpanKind::Client, SpanKind::Producer, SpanKind::Consumer]
        .into_iter()
        .find(|k| k.name().eq_ignore_ascii_case(name))
        .unwrap_or_default()
}

/// Status and its message by the tags that the OpenTelemetry exporters set (specification, "SDK exporters"), else by
/// `error`, which both tools' own clients set.
fn status(tags: &Attributes) -> (SpanStatus, String) {
    let told = |key: &str| tags.text(key).unwrap_or_default();
    let message = told("otel.status_description");
    match told("otel.status_code").as_str() {
        code if code.eq_ignore_ascii_case("error") => return (SpanStatus::Error, message_or(message, tags)),
        code if code.eq_ignore_ascii_case("ok") => return (SpanStatus::Ok, message),
        _ => {}
    }
    match tags.text("error") {
        Some(e) if !e.eq_ignore_ascii_case("false") => (SpanStatus::Error, message_or(message, tags)),
        _ => (SpanStatus::Unset, message),
    }
}

/// The message, else what the tag `error` says beyond being there.
fn message_or(message: String, tags: &Attributes) -> String {
    let said = || tags.text("error").filter(|e| !e.eq_ignore_ascii_case("true")).unwrap_or_default();
    if message.is_empty() { said() } else { message }
}

fn thread(tags: &Attributes) -> Option<u32> {
    tags.get("thread.id").and_then(Value::int).and_then(|t| u32::try_from(t).ok())
}

fn scope(tags: &Attributes) -> String {
    tags.text("otel.scope.name").or_else(|| tags.text("otel.library.name")).unwrap_or_default()
}

/// Looks at the beginning of a document for an object with one of these keys: at its top, in the list that it is, or, with
/// `below`, in the list of that key. What is read may end anywhere.
struct Looking<'a> {
    keys: &'a [&'a str],
    below: Option<&'a str>,
    found: &'a mut bool,
    /// Lists within lists that may still be entered.
    lists: u8,
}

impl<'de> Visitor<'de> for Looking<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("spans")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            if self.keys.iter().any(|k| *k == key) {
                *self.found = true;
                return Ok(());
            }
            if self.below == Some(&*key) {
                let below = Looking { keys: self.keys, below: None, found: self.found, lists: 1 };
                return map.next_value_seed(below);
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Some(lists) = self.lists.checked_sub(1) else { return Ok(()) };
        // The first tells.
        list.next_element_seed(Looking { lists, ..self })?;
        Ok(())
    }
}

impl<'de> serde::de::DeserializeSeed<'de> for Looking<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        d.deserialize_any(self)
    }
}

/// Whether a document that begins with `head` holds an object with one of these keys.
fn looks_like(head: &[u8], keys: &[&str], below: Option<&str>, lists: u8) -> bool {
    let mut found = false;
    // Its error says nothing: the visitor leaves the document before its end.
    let _ =
        serde_json::Deserializer::from_slice(head).deserialize_any(Looking { keys, below, found: &mut found, lists });
    found
}
