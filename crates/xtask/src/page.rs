//! The event reference page, `formats/events.md`, from the catalogue.

use std::fmt::Write;

use coldcase_model::catalogue::{CATALOGUE, RAW_STREAMS};
use coldcase_model::{EventDef, FieldType, Layout, Unit};

/// The text of `formats/events.md`.
pub fn generate() -> String {
    let mut out = String::from(
        "<!-- Generated from crates/model/src/events by `cargo run -p xtask -- generate`. Do not edit. -->\n\
         # Events\n\n\
         Every kind of event of the profile `coldcase/1`, its stream and its fields. Numbers are append-only and never\n\
         reused. The same schema travels in each bundle. Times are nanoseconds of CLOCK_BOOTTIME unless the unit says\n\
         otherwise; the first such field places a row on the timeline, and a field `duration` makes it an interval.\n\n\
         | kind | event | stream | table | class | laid out by |\n|---|---|---|---|---|---|\n",
    );
    let mut defs: Vec<&EventDef> = CATALOGUE.iter().collect();
    defs.sort_by_key(|d| d.kind);
    for def in &defs {
        let by = match def.layout {
            Layout::Kernel { size } => format!("kernel, {size} bytes"),
            Layout::Host => "recorder".into(),
        };
        let _ = writeln!(
            out,
            "| {} | [{}](#{}) | `{}` | `{}` | {} | {by} |",
            def.kind,
            def.name,
            def.name.to_lowercase(),
            def.stream,
            def.table(),
            def.class.name()
        );
    }
    for def in &defs {
        event(&mut out, def);
    }
    raw_streams(&mut out);
    out
}

fn event(out: &mut String, def: &EventDef) {
    let _ = writeln!(out, "\n## {}\n\nKind {}, stream `{}`. {}\n", def.name, def.kind, def.stream, one_line(def.doc));
    let _ = writeln!(out, "| field | type | unit | meaning |\n|---|---|---|---|");
    for f in def.fields {
        let _ = writeln!(out, "| `{}` | {} | {} | {} |", f.name, type_name(f.ty), unit_name(f.unit), one_line(f.doc));
    }
}

fn raw_streams(out: &mut String) {
    let _ = writeln!(
        out,
        "\n## Raw streams\n\nMessages are bytes as their source spoke them; row n of the receipts belongs to message n.\n\n\
         | stream | class | receipts | `message_encoding` | what |\n|---|---|---|---|---|"
    );
    for r in RAW_STREAMS {
        let _ = writeln!(
            out,
            "| `{}` | {} | `{}` | `{}` | {} |",
            r.stream,
            r.class.name(),
            r.receipts,
            r.message_encoding,
            one_line(r.doc)
        );
    }
}

fn one_line(doc: &str) -> String {
    doc.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

fn type_name(ty: FieldType) -> &'static str {
    match ty {
        FieldType::U8 => "u8",
        FieldType::U16 => "u16",
        FieldType::U32 => "u32",
        FieldType::U64 => "u64",
        FieldType::I32 => "i32",
        FieldType::I64 => "i64",
        FieldType::F64 => "f64",
        FieldType::Comm => "comm (16 bytes)",
        FieldType::Ip => "ip (16 bytes)",
        FieldType::Text => "text",
        FieldType::Stack => "stack",
    }
}

fn unit_name(unit: Unit) -> &'static str {
    match unit {
        Unit::BootNs => "ns, BOOTTIME",
        Unit::RealNs => "ns, UTC",
        Unit::DurNs => "ns",
        Unit::Bytes => "bytes",
        Unit::Count => "count",
        Unit::Id => "id",
        Unit::Flags => "flags",
        Unit::None => "",
    }
}
