//! Captured text made safe for each place it goes to, and numbers in the form people read.

use std::borrow::Cow;

use coldcase_model::text::{is_hidden, visible};
use coldcase_model::time::Nanos;

/// Text for an HTML or XML text node or a double-quoted attribute: hidden characters made visible, markup escaped.
pub(crate) fn escape(text: &str) -> String {
    let text = visible(text);
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// JSON whose text holds no hidden character: they are written as `\uXXXX`, so that printing the file to a terminal
/// does nothing. The value is unchanged.
pub(crate) fn plain_json(json: &str) -> Cow<'_, str> {
    if !json.chars().any(|c| is_hidden(c) && c != '\n') {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len() + 64);
    for c in json.chars() {
        if is_hidden(c) && c != '\n' { push_escape(&mut out, c) } else { out.push(c) }
    }
    Cow::Owned(out)
}

/// JSON for a `<script type="application/json">`: nothing in it can end the element or open a comment.
pub(crate) fn island(json: &str) -> String {
    let mut out = String::with_capacity(json.len() + 64);
    for c in json.chars() {
        match c {
            '<' | '>' | '&' => push_escape(&mut out, c),
            c if is_hidden(c) => push_escape(&mut out, c),
            c => out.push(c),
        }
    }
    out
}

fn push_escape(out: &mut String, c: char) {
    for unit in c.encode_utf16(&mut [0; 2]) {
        out.push_str(&format!("\\u{unit:04x}"));
    }
}

/// The text cut to `max` characters, the last of which is then `…`.
pub(crate) fn shorten(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    let mut out: String = text.chars().take(max.saturating_sub(1)).collect();
    out.push('…');
    out
}

/// `1,234,567`.
pub(crate) fn count(n: u64) -> String {
    coldcase_model::quantity::format_count(n)
}

/// `1 reset`, `3 resets`.
pub(crate) fn plural(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(n), if n == 1 { one } else { many })
}

/// `512 B`, `12.3 MiB`.
pub(crate) fn bytes(n: u64) -> String {
    coldcase_model::quantity::format_size(n)
}

/// `1.23ms`.
pub(crate) fn duration(ns: u64) -> String {
    Nanos(ns).to_string()
}

/// `12.3%`.
pub(crate) fn share(part: f64) -> String {
    let percent = part * 100.0;
    if percent > 0.0 && percent < 0.1 {
        "<0.1%".to_owned()
    } else if percent > 0.0 && percent < 10.0 {
        format!("{percent:.1}%")
    } else {
        format!("{percent:.0}%")
    }
}

/// `+12.34s`, from the bundle's start.
pub(crate) fn offset(time: i64, start: i64) -> String {
    let seconds = time.saturating_sub(start) as f64 / 1e9;
    format!("{seconds:+.2}s")
}

/// `2026-11-22 12:31:21` (UTC); empty when there is no such time.
pub(crate) fn utc(time: i64) -> String {
    if time == 0 {
        return String::new();
    }
    jiff::Timestamp::from_nanosecond(i128::from(time))
        .map(|t| jiff::fmt::strtime::format("%Y-%m-%d %H:%M:%S", t).unwrap_or_default())
        .unwrap_or_default()
}

/// A measured value with at most four significant digits: `0.0123`, `12.3`, `1,235`, `12.3M`.
pub(crate) fn number(v: f64) -> String {
    let a = v.abs();
    let sign = if v < 0.0 { "-" } else { "" };
    if !v.is_finite() {
        return "–".to_owned();
    }
    if a == 0.0 {
        return "0".to_owned();
    }
    for (limit, unit) in [(1e12, "T"), (1e9, "G"), (1e6, "M")] {
        if a >= limit {
            let scaled = a / limit;
            return if scaled >= 1e6 {
                format!("{v:.2e}")
            } else {
                format!("{sign}{}{unit}", trim_zeros(format!("{scaled:.2}")))
            };
        }
    }
    if a >= 1000.0 {
        return format!("{sign}{}", count(a.round() as u64));
    }
    if a < 1e-4 {
        return format!("{v:.1e}");
    }
    let places = if a >= 100.0 {
        1
    } else if a >= 1.0 {
        2
    } else {
        4
    };
    format!("{sign}{}", trim_zeros(format!("{a:.places$}")))
}

fn trim_zeros(text: String) -> String {
    if !text.contains('.') {
        return text;
    }
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A value of a metric with its unit, as people write it: bytes with a binary unit, seconds as a duration.
pub(crate) fn measured(v: f64, unit: &str) -> String {
    let whole = if v.is_finite() && v >= 0.0 { v } else { 0.0 };
    match unit {
        _ if !v.is_finite() => "–".to_owned(),
        "bytes" | "B" if v >= 0.0 => bytes(whole as u64),
        "bytes/s" | "B/s" if v >= 0.0 => format!("{}/s", bytes(whole as u64)),
        "ns" if v >= 0.0 => duration(whole as u64),
        "s" | "seconds" if v >= 0.0 => duration((whole * 1e9) as u64),
        "%" | "percent" => format!("{}%", number(v)),
        "" | "1" => number(v),
        _ if unit.starts_with('/') => format!("{}{unit}", number(v)),
        _ => format!("{} {unit}", number(v)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn markup_and_hidden_characters_are_escaped() {
        assert_eq!(escape("<b a='\"'>&\x1b[0m\u{202e}"), "&lt;b a=&#39;&quot;&#39;&gt;&amp;\\x1b[0m\\u{202e}");
    }

    #[test]
    fn json_in_a_script_element_cannot_end_it_and_keeps_its_value() {
        let hostile = "</script><!--\u{202e}\u{9b}\x1b \u{e0001}&";
        let json = serde_json::to_string(hostile).unwrap();
        let safe = island(&json);
        assert!(!safe.contains('<') && !safe.contains('\u{9b}') && !safe.contains('\u{202e}'));
        assert_eq!(serde_json::from_str::<String>(&safe).unwrap(), hostile);
        let plain = plain_json(&json);
        assert!(!plain.contains('\u{9b}') && !plain.contains('\u{202e}'));
        assert_eq!(serde_json::from_str::<String>(&plain).unwrap(), hostile);
    }

    #[test]
    fn numbers_are_short_and_keep_their_size() {
        for (v, text) in [
            (0.0, "0"),
            (0.01234, "0.0123"),
            (12.345, "12.35"),
            (1234.6, "1,235"),
            (12_300_000.0, "12.3M"),
            (-3.5, "-3.5"),
        ] {
            assert_eq!(number(v), text);
        }
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(bytes(12_900_000), "12.3 MiB");
        assert_eq!(measured(2.5e-3, "s"), "2.50ms");
        assert_eq!(measured(1.4, "/s"), "1.4/s");
        assert_eq!(measured(f64::NAN, "s"), "–");
        assert_eq!(offset(2_500_000_000, 1_000_000_000), "+1.50s");
        assert_eq!(utc(1_700_000_000_000_000_000), "2023-11-14 22:13:20");
    }
}
