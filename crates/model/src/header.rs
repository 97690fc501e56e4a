//! The C header of the kernel events, generated from the catalogue.

use std::fmt::Write;

use crate::catalogue::CATALOGUE;
use crate::event::Layout;
use crate::field::FieldType;

/// The text of `bpf/include/events.h`.
pub fn generate() -> String {
    let mut out = String::from(
        "/* Generated from crates/model/src/events by `cargo run -p xtask -- generate`. Do not edit. */\n\
         #pragma once\n\n\
         /* The common head of every kernel event (coldcase_model::event::KernelHead). */\n\
         struct cc_head {\n\t__u16 kind;\n\t__u16 cpu;\n\t__u32 seq;\n\t__u64 reserved;\n};\n\
         _Static_assert(sizeof(struct cc_head) == 16, \"cc_head\");\n",
    );
    for def in CATALOGUE {
        let Layout::Kernel { size } = def.layout else { continue };
        let snake = snake_case(def.name);
        let _ = writeln!(out, "\n/* {} */", def.doc.trim().replace('\n', "\n *"));
        let _ = writeln!(out, "#define CC_KIND_{} {}", snake.to_uppercase(), def.kind);
        let _ = writeln!(out, "struct cc_{snake} {{\n\tstruct cc_head head;");
        for f in def.fields {
            let declaration = f.ty.c_declaration(f.name).unwrap_or_default();
            let tail = match f.ty {
                FieldType::Stack => " (frames; they follow the struct, in order)",
                FieldType::Text => " (bytes; they follow the struct and its frames, in order)",
                _ => "",
            };
            let doc = f.doc.split_whitespace().collect::<Vec<_>>().join(" ");
            let _ = writeln!(out, "\t{declaration}; /* {doc}{tail} */");
        }
        let _ = writeln!(out, "}};");
        let _ = writeln!(out, "_Static_assert(sizeof(struct cc_{snake}) == {size}, \"cc_{snake}\");");
        for f in def.fields {
            let _ = writeln!(
                out,
                "_Static_assert(__builtin_offsetof(struct cc_{snake}, {}) == {}, \"cc_{snake}.{}\");",
                f.name, f.offset, f.name
            );
        }
    }
    out
}

/// `OffCpu` → `off_cpu`.
pub fn snake_case(camel: &str) -> String {
    let mut out = String::new();
    for (i, c) in camel.char_indices() {
        if c.is_uppercase() && i > 0 {
            out.push('_');
        }
        out.extend(c.to_lowercase());
    }
    out
}
