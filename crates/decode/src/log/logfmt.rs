//! Lines of `key=value` pairs, as logfmt has them: values bare or in quotes, with Go's escapes inside.

use crate::otlp::{Attributes, Value};

/// Fields of a line that are read; further ones are left out.
pub const FIELDS: usize = 256;

/// The fields of a line that is logfmt from its first word on, in order; `None` for anything else. A key alone is true.
/// All other values are text: the format has no types.
pub fn fields(line: &str) -> Option<Attributes> {
    let mut rest = line.trim_matches([' ', '\t', '\r', '\n']);
    let mut out = Vec::new();
    while !rest.is_empty() && out.len() < FIELDS {
        let end = rest.find(['=', ' ', '\t']).unwrap_or(rest.len());
        let key = &rest[..end];
        if key.is_empty() || key.contains('"') {
            return None;
        }
        rest = &rest[end..];
        let value = match rest.strip_prefix('=') {
            Some(behind) => {
                let (value, tail) = value(behind)?;
                rest = tail;
                Value::Text(value)
            }
            // What begins with a lone word is a sentence.
            None if out.is_empty() => return None,
            None => Value::Bool(true),
        };
        out.push((key.to_owned(), value));
        rest = rest.trim_start_matches([' ', '\t']);
    }
    (!out.is_empty()).then_some(Attributes(out))
}

/// A value, and what follows it; `None` for quotes without an end, or with text right behind them.
fn value(text: &str) -> Option<(String, &str)> {
    let Some(inside) = text.strip_prefix('"') else {
        let end = text.find([' ', '\t']).unwrap_or(text.len());
        return Some((text[..end].to_owned(), &text[end..]));
    };
    let mut out = String::new();
    let mut chars = inside.char_indices();
    while let Some((i, c)) = chars.next() {
        match c {
            '"' => {
                let tail = &inside[i + 1..];
                return (tail.is_empty() || tail.starts_with([' ', '\t'])).then_some((out, tail));
            }
            '\\' => match chars.next()?.1 {
                'n' => out.push('\n'),
                't' => out.push('\t'),
                'r' => out.push('\r'),
                'u' => {
                    let at = i + 2;
                    let code = inside.get(at..at + 4).and_then(|hex| u32::from_str_radix(hex, 16).ok());
                    match code.and_then(char::from_u32) {
                        Some(c) => {
                            out.push(c);
                            chars.nth(3);
                        }
                        None => out.push_str("\\u"),
                    }
                }
                c @ ('"' | '\\') => out.push(c),
                c => out.extend(['\\', c]),
            },
            c => out.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pairs_are_read_with_their_quotes_and_escapes() {
        let f = fields("level=info msg=\"a \\\"b\\\"\\n\\u00e9 c\" empty= url=/a?b=c flag took=5ms\n").unwrap();
        assert_eq!(f.text("msg").as_deref(), Some("a \"b\"\n\u{e9} c"));
        assert_eq!((f.text("empty").as_deref(), f.text("url").as_deref()), (Some(""), Some("/a?b=c")));
        assert_eq!((f.get("flag"), f.text("took").as_deref()), (Some(&Value::Bool(true)), Some("5ms")));
        for not in ["", "it failed with code=5", "=x", "a=\"b", "a=\"b\"c", "\"a\"=b"] {
            assert_eq!(fields(not), None, "{not}");
        }
    }

    proptest! {
        #[test]
        fn never_panics_on_any_text(text in "\\PC{0,60}", almost in "[a=\" \\\\u0é]{0,30}") {
            let _ = (fields(&text), fields(&almost));
        }
    }
}
