//! The same changes in OTLP/JSON. Keys of the protocol stand nowhere else in a request: what senders name are values there.

use serde_json::{Value, json};

use super::{MARK, Patch};

/// Lists of things that can be left out alone.
const ITEMS: [&str; 3] = ["spans", "logRecords", "dataPoints"];
const TIMES: [&str; 4] = ["startTimeUnixNano", "endTimeUnixNano", "timeUnixNano", "observedTimeUnixNano"];
const IDS: [&str; 3] = ["traceId", "spanId", "parentSpanId"];

/// A request, changed.
///
/// # Errors
/// When the bytes are no JSON.
pub(crate) fn patch(bytes: &[u8], patch: &mut Patch<'_>) -> Result<Vec<u8>, serde_json::Error> {
    let mut request: Value = serde_json::from_slice(bytes)?;
    if let Some(mark) = patch.mark {
        for key in ["resourceSpans", "resourceLogs", "resourceMetrics"] {
            let parts = request.get_mut(key).and_then(Value::as_array_mut);
            parts.into_iter().flatten().for_each(|part| mark_resource(part, mark));
        }
    }
    walk(&mut request, patch);
    serde_json::to_vec(&request)
}

fn mark_resource(part: &mut Value, mark: &str) {
    let Some(part) = part.as_object_mut() else { return };
    let resource = part.entry("resource").or_insert_with(|| json!({}));
    if resource.is_null() {
        *resource = json!({});
    }
    let Some(resource) = resource.as_object_mut() else { return };
    let attributes = resource.entry("attributes").or_insert_with(|| json!([]));
    if attributes.is_null() {
        *attributes = json!([]);
    }
    if let Some(attributes) = attributes.as_array_mut() {
        attributes.retain(|a| a.get("key").and_then(Value::as_str) != Some(MARK));
        attributes.push(json!({ "key": MARK, "value": { "stringValue": mark } }));
    }
}

/// serde_json refuses what is nested deeper than 128 levels.
fn walk(value: &mut Value, patch: &mut Patch<'_>) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(|v| walk(v, patch)),
        Value::Object(map) => {
            for (key, value) in map.iter_mut() {
                match (key.as_str(), &mut *value) {
                    (key, Value::Array(items)) if ITEMS.contains(&key) => items.retain(|_| patch.next_is_wanted()),
                    (key, time) if TIMES.contains(&key) => {
                        if let Some(nanos) = nanos(time) {
                            *time = Value::String(patch.offset.unix_nanos(nanos).to_string());
                        }
                    }
                    (key, Value::String(id)) if IDS.contains(&key) => {
                        if let Some(new) = patch.ids.and_then(|ids| ids.replace_hex(id)) {
                            *id = new;
                        }
                    }
                    _ => {}
                }
                walk(value, patch);
            }
        }
        _ => {}
    }
}

/// 64-bit integers are strings in proto3's JSON; senders write numbers too.
fn nanos(value: &Value) -> Option<u64> {
    match value {
        Value::String(text) => text.parse().ok(),
        Value::Number(n) => n.as_u64(),
        _ => None,
    }
}
