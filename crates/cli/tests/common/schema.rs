//! Holds a document against one of the schemas in `formats/`: the part of JSON Schema that those use.

use serde_json::Value;

/// Fails the test unless the document is what `formats/<name>.schema.json` says.
#[track_caller]
pub fn check(name: &str, document: &Value) {
    let path = format!("{}/../../formats/{name}.schema.json", env!("CARGO_MANIFEST_DIR"));
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut wrong = Vec::new();
    compare(&schema, document, name, &mut wrong);
    assert!(wrong.is_empty(), "{}\n{document:#}", wrong.join("\n"));
}

fn compare(schema: &Value, value: &Value, at: &str, wrong: &mut Vec<String>) {
    if let Some(constant) = schema.get("const")
        && constant != value
    {
        wrong.push(format!("{at}: {value} is not {constant}"));
    }
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        wrong.push(format!("{at}: {value} is none of {allowed:?}"));
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if !types.is_empty() && !types.iter().any(|t| is(t, value)) {
        wrong.push(format!("{at}: {value} is no {}", types.join(" or ")));
    }
    if let Some(least) = schema["minimum"].as_i64()
        && value.as_i64().is_some_and(|n| n < least)
    {
        wrong.push(format!("{at}: {value} is below {least}"));
    }
    if let Some(object) = value.as_object() {
        for key in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !object.contains_key(key) {
                wrong.push(format!("{at}: no {key}"));
            }
        }
        for (key, value) in object {
            match schema["properties"].get(key) {
                Some(property) => compare(property, value, &format!("{at}.{key}"), wrong),
                None if schema["additionalProperties"] == false => {
                    wrong.push(format!("{at}: {key} is not in the schema"))
                }
                None => {}
            }
        }
    }
    if let Some(items) = value.as_array()
        && !schema["items"].is_null()
    {
        items.iter().enumerate().for_each(|(i, item)| compare(&schema["items"], item, &format!("{at}[{i}]"), wrong));
    }
}

fn is(name: &str, value: &Value) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        _ => false,
    }
}
