//! The definition of a stream as it travels in the bundle, so that a reader can list and export kinds it does not know.

use coldcase_model::{EventDef, FieldType, Unit};
use serde::{Deserialize, Serialize};

/// MCAP `encoding` of the schema records that hold a [`Schema`] as JSON.
pub(crate) const ENCODING: &str = "x-coldcase-event";

/// A kind of event as its writer knew it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schema {
    /// Its name, CamelCase.
    pub name: String,
    /// Its number.
    pub kind: u16,
    /// What it means.
    #[serde(default)]
    pub doc: String,
    /// Its fields, in order.
    pub fields: Vec<SchemaField>,
}

/// One field of a [`Schema`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaField {
    /// Its name.
    pub name: String,
    /// Its type; as text, so that types that this build does not know can be listed.
    #[serde(rename = "type")]
    pub ty: String,
    /// Its unit, likewise.
    pub unit: String,
    /// What it means.
    #[serde(default)]
    pub doc: String,
}

impl Schema {
    /// The schema of a definition.
    pub fn of(def: &EventDef) -> Schema {
        Schema {
            name: def.name.to_owned(),
            kind: def.kind,
            doc: def.doc.trim().to_owned(),
            fields: def
                .fields
                .iter()
                .map(|f| SchemaField {
                    name: f.name.to_owned(),
                    ty: type_name(f.ty).to_owned(),
                    unit: unit_name(f.unit).to_owned(),
                    doc: f.doc.trim().to_owned(),
                })
                .collect(),
        }
    }
}

impl Schema {
    /// The JSON of a schema record: without the docs, which stand once in the metadata `coldcase.docs`, since every
    /// chunk repeats this.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        let fields: Vec<_> =
            self.fields.iter().map(|f| serde_json::json!({"name": f.name, "type": f.ty, "unit": f.unit})).collect();
        serde_json::json!({"name": self.name, "kind": self.kind, "fields": fields}).to_string().into_bytes()
    }

    /// The docs alone, JSON: that of the kind under the empty name, then by field.
    pub(crate) fn docs(&self) -> String {
        let mut docs = serde_json::Map::new();
        docs.insert(String::new(), self.doc.clone().into());
        docs.extend(self.fields.iter().map(|f| (f.name.clone(), f.doc.clone().into())));
        serde_json::Value::Object(docs).to_string()
    }

    /// Puts docs in their places.
    pub(crate) fn take_docs(&mut self, docs: &str) {
        let Ok(docs) = serde_json::from_str::<std::collections::HashMap<String, String>>(docs) else { return };
        self.doc = docs.get("").cloned().unwrap_or_default();
        for f in &mut self.fields {
            f.doc = docs.get(&f.name).cloned().unwrap_or_default();
        }
    }

    /// Reads the JSON of a schema record.
    pub(crate) fn from_json(json: &[u8]) -> Option<Schema> {
        serde_json::from_slice(json).ok()
    }
}

/// The name of a field type in the format.
pub(crate) fn type_name(ty: FieldType) -> &'static str {
    match ty {
        FieldType::U8 => "u8",
        FieldType::U16 => "u16",
        FieldType::U32 => "u32",
        FieldType::U64 => "u64",
        FieldType::I32 => "i32",
        FieldType::I64 => "i64",
        FieldType::F64 => "f64",
        FieldType::Comm => "comm",
        FieldType::Ip => "ip",
        FieldType::Text => "text",
        FieldType::Stack => "stack",
    }
}

fn unit_name(unit: Unit) -> &'static str {
    match unit {
        Unit::BootNs => "boot_ns",
        Unit::RealNs => "real_ns",
        Unit::DurNs => "dur_ns",
        Unit::Bytes => "bytes",
        Unit::Count => "count",
        Unit::Id => "id",
        Unit::Flags => "flags",
        Unit::None => "none",
    }
}
