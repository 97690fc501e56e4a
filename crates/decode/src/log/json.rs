//! Lines that are one JSON object: their fields.

use std::fmt;

use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::Value as Json;

use crate::otlp::{Attributes, Value};

/// Fields of a line that are read; further ones are left out.
pub const FIELDS: usize = 256;

/// The fields of a line that is one JSON object, in order; `None` for anything else. Objects inside have their names
/// joined by dots (`http.status`), arrays stay JSON. serde_json refuses what is nested deeper than 128 levels.
pub fn fields(line: &[u8]) -> Option<Attributes> {
    let mut out = Vec::new();
    let mut reader = serde_json::Deserializer::from_slice(line);
    reader.deserialize_map(Fields(&mut out)).ok()?;
    reader.end().ok()?;
    Some(Attributes(out))
}

struct Fields<'a>(&'a mut Vec<(String, Value)>);

impl<'de> Visitor<'de> for Fields<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some((key, value)) = map.next_entry::<String, Json>()? {
            add(key, value, self.0);
        }
        Ok(())
    }
}

fn add(key: String, value: Json, out: &mut Vec<(String, Value)>) {
    /// Bytes of a joined name: without a bound, nested names would add up to the square of the line.
    const NAME: usize = 256;
    if out.len() >= FIELDS || key.len() > NAME {
        return;
    }
    let value = match value {
        Json::Object(inner) if !inner.is_empty() => {
            for (name, value) in inner {
                add(format!("{key}.{name}"), value, out);
            }
            return;
        }
        Json::String(text) => Value::Text(text),
        Json::Bool(b) => Value::Bool(b),
        Json::Number(n) => match (n.as_i64(), n.as_f64()) {
            (Some(i), _) => Value::Int(i),
            (None, Some(x)) if n.is_f64() => Value::Float(x),
            // An integer beyond 64 bits with a sign stays as it is written.
            _ => Value::Json(n.to_string()),
        },
        other => Value::Json(other.to_string()),
    };
    out.push((key, value));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fields_keep_their_order_and_types() {
        let line =
            b"{\"z\":\"a\\nb\",\"http\":{\"status\":500,\"tags\":[1,{}]},\"ok\":true,\"x\":1.5,\"n\":null,\"e\":{}}\n";
        let fields = fields(line).unwrap();
        let names: Vec<_> = fields.0.iter().map(|(k, _)| &**k).collect();
        assert_eq!(names, ["z", "http.status", "http.tags", "ok", "x", "n", "e"]);
        assert_eq!(fields.get("http.status"), Some(&Value::Int(500)));
        assert_eq!(fields.get("http.tags"), Some(&Value::Json("[1,{}]".into())));
        assert_eq!((fields.get("ok"), fields.get("x")), (Some(&Value::Bool(true)), Some(&Value::Float(1.5))));
        for not in ["", "[]", "1", "{} x", "{\"a\":1", "text"] {
            assert_eq!(super::fields(not.as_bytes()), None, "{not}");
        }
    }

    #[test]
    fn the_number_of_fields_and_their_nesting_are_bounded() {
        let many = format!("{{{}\"z\":1}}", "\"a\":1,".repeat(1000));
        assert_eq!(fields(many.as_bytes()).unwrap().0.len(), FIELDS);
        assert_eq!(fields(format!("{}1{}", "{\"a\":".repeat(5000), "}".repeat(5000)).as_bytes()), None);
    }

    proptest! {
        #[test]
        fn never_panics_on_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..100), text in "[{}\\[\\]\":,a1e.-]{0,40}") {
            let _ = (fields(&bytes), fields(text.as_bytes()));
        }
    }
}
