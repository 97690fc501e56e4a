//! Attribute values, resources and ids of OTLP.

use std::fmt;
use std::fmt::Write as _;

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource as RawResource;

/// A trace id: 16 bytes, shown as 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TraceId(pub [u8; 16]);

/// A span id: 8 bytes, shown as 16 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SpanId(pub [u8; 8]);

macro_rules! hex_id {
    ($name:ident, $len:literal) => {
        impl $name {
            /// The id of bytes as they arrived: `None` for the wrong length or all zeros, which OTLP calls invalid.
            pub fn from_bytes(bytes: &[u8]) -> Option<$name> {
                let id: [u8; $len] = bytes.try_into().ok()?;
                id.iter().any(|&b| b != 0).then_some($name(id))
            }

            /// The id of its hex digits, in either case.
            pub fn from_hex(hex: &str) -> Option<$name> {
                let hex = hex.as_bytes();
                if hex.len() != 2 * $len {
                    return None;
                }
                let digit = |b: u8| (b as char).to_digit(16).map(|d| d as u8);
                let mut id = [0; $len];
                for (out, pair) in id.iter_mut().zip(hex.chunks_exact(2)) {
                    *out = digit(pair[0])? << 4 | digit(pair[1])?;
                }
                $name::from_bytes(&id)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}
hex_id!(TraceId, 16);
hex_id!(SpanId, 8);

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Text; hostile, like all that was captured.
    Text(String),
    /// Yes or no.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A number.
    Float(f64),
    /// An array, map or bytes, written as JSON (bytes as a hex string).
    Json(String),
}

impl Value {
    /// The integer it is, or that its text spells.
    pub fn int(&self) -> Option<i64> {
        match self {
            Value::Int(i) => Some(*i),
            Value::Text(t) => t.parse().ok(),
            _ => None,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(t) | Value::Json(t) => f.write_str(t),
            Value::Bool(b) => write!(f, "{b}"),
            Value::Int(i) => write!(f, "{i}"),
            Value::Float(x) => write!(f, "{x}"),
        }
    }
}

/// Attributes in the order in which they arrived.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Attributes(pub Vec<(String, Value)>);

impl Attributes {
    /// The value of a key; the first, where a sender repeated it.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.iter().find(|(k, _)| k == key).map(|(_, v)| v)
    }

    /// The text of a key, whatever its type.
    pub fn text(&self, key: &str) -> Option<String> {
        self.get(key).map(Value::to_string)
    }

    pub(super) fn of(raw: Vec<KeyValue>) -> Attributes {
        Attributes(raw.into_iter().map(|kv| (kv.key, value(kv.value))).collect())
    }
}

impl fmt::Display for Attributes {
    /// `key=value key=value`, values with spaces or quotes quoted.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (k, v)) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_char(' ')?;
            }
            let v = v.to_string();
            if v.is_empty() || v.contains([' ', '"', '=']) {
                write!(f, "{k}={v:?}")?;
            } else {
                write!(f, "{k}={v}")?;
            }
        }
        Ok(())
    }
}

/// Who sent: the resource of a request, shared by its rows.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Resource {
    /// `service.name`; empty when it was not told.
    pub service: String,
    /// `process.pid` as the sender sees itself: in its own PID namespace.
    pub pid: Option<u32>,
    /// `host.name`; empty when it was not told.
    pub host: String,
    /// All attributes.
    pub attributes: Attributes,
}

impl Resource {
    pub(super) fn of(raw: Option<RawResource>) -> Resource {
        Resource::of_attributes(Attributes::of(raw.map(|r| r.attributes).unwrap_or_default()))
    }

    /// The resource with these attributes.
    pub(crate) fn of_attributes(attributes: Attributes) -> Resource {
        Resource {
            service: attributes.text("service.name").unwrap_or_default(),
            pid: attributes.get("process.pid").and_then(Value::int).and_then(|p| u32::try_from(p).ok()),
            host: attributes.text("host.name").unwrap_or_default(),
            attributes,
        }
    }
}

/// UTC nanoseconds as protobuf has them; 0 is "not told".
pub(super) fn time(unix_nano: u64) -> Option<i64> {
    i64::try_from(unix_nano).ok().filter(|&t| t != 0)
}

pub(super) fn value(raw: Option<AnyValue>) -> Value {
    use any_value::Value as V;
    match raw.and_then(|v| v.value) {
        None => Value::Json("null".into()),
        Some(V::StringValue(s)) => Value::Text(s),
        Some(V::BoolValue(b)) => Value::Bool(b),
        Some(V::IntValue(i)) => Value::Int(i),
        Some(V::DoubleValue(x)) => Value::Float(x),
        Some(other) => {
            let mut out = String::new();
            json(&other, &mut out);
            Value::Json(out)
        }
    }
}

/// Nested values as JSON. The protobuf decoder bounds the nesting (100 levels), and so this recursion.
fn json(v: &any_value::Value, out: &mut String) {
    use any_value::Value as V;
    let inner = |v: &Option<AnyValue>, out: &mut String| match v.as_ref().and_then(|v| v.value.as_ref()) {
        Some(v) => json(v, out),
        None => out.push_str("null"),
    };
    match v {
        V::StringValue(s) => quoted(s, out),
        V::BoolValue(b) => out.push_str(if *b { "true" } else { "false" }),
        V::IntValue(i) => _ = write!(out, "{i}"),
        V::DoubleValue(x) if x.is_finite() => _ = write!(out, "{x}"),
        V::DoubleValue(_) => out.push_str("null"),
        V::StringValueStrindex(i) => _ = write!(out, "{i}"),
        V::BytesValue(b) => {
            out.push('"');
            b.iter().for_each(|b| _ = write!(out, "{b:02x}"));
            out.push('"');
        }
        V::ArrayValue(a) => {
            out.push('[');
            for (i, v) in a.values.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                match &v.value {
                    Some(v) => json(v, out),
                    None => out.push_str("null"),
                }
            }
            out.push(']');
        }
        V::KvlistValue(m) => {
            out.push('{');
            for (i, kv) in m.values.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                quoted(&kv.key, out);
                out.push(':');
                inner(&kv.value, out);
            }
            out.push('}');
        }
    }
}

/// A JSON string.
fn quoted(s: &str, out: &mut String) {
    out.push('"');
    for c in s.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c < ' ' => _ = write!(out, "\\u{:04x}", c as u32),
            c => out.push(c),
        }
    }
    out.push('"');
}
