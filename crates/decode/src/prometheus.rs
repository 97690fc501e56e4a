//! Prometheus pages: text exposition 0.0.4 and OpenMetrics 1.0, line by line.
//!
//! Lenient on purpose: a page is evidence, so a line that is wrong is counted and the others are read.

use std::sync::Arc;

/// One sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Name of the sample, e.g. `http_requests_total` or `latency_bucket`.
    pub name: Arc<str>,
    /// Labels in the order of the page, unescaped.
    pub labels: Vec<(String, String)>,
    /// The value.
    pub value: f64,
    /// The time that the page gives, UTC nanoseconds; `None` where it gives none: then the scrape's time holds.
    pub time: Option<i64>,
    /// The type that the page declares for its family: `counter`, `gauge`, …; `untyped` where it declares none.
    pub kind: Arc<str>,
    /// Line of the page, from 1.
    pub line: u32,
}

impl Sample {
    /// Labels as in the exposition format, without braces.
    pub fn label_text(&self) -> String {
        let mut out = String::new();
        for (k, v) in &self.labels {
            if !out.is_empty() {
                out.push(',');
            }
            out.push_str(k);
            out.push_str("=\"");
            for c in v.chars() {
                match c {
                    '\\' => out.push_str("\\\\"),
                    '"' => out.push_str("\\\""),
                    '\n' => out.push_str("\\n"),
                    c => out.push(c),
                }
            }
            out.push('"');
        }
        out
    }
}

/// A page.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Page {
    /// Its samples, in order.
    pub samples: Vec<Sample>,
    /// Lines that could not be read: number from 1, and why.
    pub errors: Vec<(u32, &'static str)>,
    /// Units by family name, where the page tells (OpenMetrics).
    pub units: Vec<(Arc<str>, String)>,
    /// Whether it ended with `# EOF`, as OpenMetrics demands.
    pub eof: bool,
}

/// Whether a content type is OpenMetrics, where timestamps are seconds rather than milliseconds.
pub fn is_openmetrics(content_type: &str) -> bool {
    content_type.trim_start().to_ascii_lowercase().starts_with("application/openmetrics-text")
}

/// Reads a page.
pub fn parse(page: &[u8], content_type: &str) -> Page {
    let open = is_openmetrics(content_type);
    let mut out = Page::default();
    let mut family: (Arc<str>, Arc<str>) = ("".into(), "untyped".into());
    let mut name: Arc<str> = "".into();
    for (i, line) in page.split(|&b| b == b'\n').enumerate() {
        let number = i as u32 + 1;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Ok(line) = std::str::from_utf8(line) else {
            out.errors.push((number, "not UTF-8"));
            continue;
        };
        let trimmed = line.trim_matches([' ', '\t']);
        if trimmed.is_empty() {
            continue;
        }
        if out.eof {
            out.errors.push((number, "text after # EOF"));
            continue;
        }
        if let Some(comment) = trimmed.strip_prefix('#') {
            metadata(comment, open, number, &mut family, &mut out);
            continue;
        }
        match sample(trimmed, open) {
            Ok((n, labels, value, time)) => {
                if *name != *n {
                    name = n.as_ref().into();
                }
                let kind = if belongs(&n, &family.0) { family.1.clone() } else { "untyped".into() };
                out.samples.push(Sample { name: name.clone(), labels, value, time, kind, line: number });
            }
            Err(why) => out.errors.push((number, why)),
        }
    }
    if open && !out.eof {
        out.errors.push((0, "no # EOF at the end"));
    }
    out
}

/// Whether a sample's name is of a family: the name itself, or with one of the suffixes of its type.
fn belongs(name: &str, family: &str) -> bool {
    name.strip_prefix(family).is_some_and(|suffix| {
        matches!(suffix, "" | "_total" | "_created" | "_bucket" | "_count" | "_sum" | "_gcount" | "_gsum" | "_info")
    }) && !family.is_empty()
}

fn metadata(comment: &str, open: bool, number: u32, family: &mut (Arc<str>, Arc<str>), out: &mut Page) {
    let mut words = comment.trim_start().splitn(3, [' ', '\t']);
    match (words.next(), words.next(), words.next()) {
        (Some("EOF"), None, None) => out.eof = true,
        (Some("TYPE"), Some(name), Some(kind)) => {
            let kind = kind.trim();
            if !is_kind(kind) {
                out.errors.push((number, "unknown type"));
            }
            *family = (unquoted(name).into(), kind.into());
        }
        (Some("TYPE"), _, _) => out.errors.push((number, "a TYPE line without name or type")),
        (Some("UNIT"), Some(name), unit) => out.units.push((unquoted(name).into(), unit.unwrap_or("").into())),
        (Some("HELP" | "UNIT"), None, _) if open => out.errors.push((number, "metadata without a name")),
        _ => {}
    }
}

fn unquoted(name: &str) -> &str {
    name.strip_prefix('"').and_then(|n| n.strip_suffix('"')).unwrap_or(name)
}

fn is_kind(kind: &str) -> bool {
    matches!(
        kind,
        "counter" | "gauge" | "histogram" | "gaugehistogram" | "summary" | "info" | "stateset" | "unknown" | "untyped"
    )
}

type Parsed<'a> = (std::borrow::Cow<'a, str>, Vec<(String, String)>, f64, Option<i64>);

fn sample(line: &str, open: bool) -> Result<Parsed<'_>, &'static str> {
    let end = line.find(['{', ' ', '\t']).ok_or("no value")?;
    let mut name = std::borrow::Cow::Borrowed(&line[..end]);
    let mut labels = Vec::new();
    let mut rest = &line[end..];
    let after_name = rest.trim_start_matches([' ', '\t']);
    if let Some(inside) = after_name.strip_prefix('{') {
        let (quoted_name, parsed, tail) = label_set(inside)?;
        labels = parsed;
        rest = tail;
        if let Some(q) = quoted_name {
            if !name.is_empty() {
                return Err("two names");
            }
            name = q.into();
        } else if !is_name(&name) {
            return Err("not a metric name");
        }
    } else if !is_name(&name) {
        return Err("not a metric name");
    }
    // An exemplar stands behind ` # `; it is not a sample of its own.
    let rest = rest.split_once(" # ").map_or(rest, |(before, _)| before);
    let mut words = rest.split([' ', '\t']).filter(|w| !w.is_empty());
    let value = number(words.next().ok_or("no value")?).ok_or("not a number")?;
    let time = words.next().map(|t| timestamp(t, open).ok_or("not a timestamp")).transpose()?;
    if words.next().is_some() {
        return Err("text after the timestamp");
    }
    Ok((name, labels, value, time))
}

fn is_name(name: &str) -> bool {
    let mut chars = name.bytes();
    chars.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_' || b == b':')
        && chars.all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b':')
}

type LabelSet<'a> = (Option<String>, Vec<(String, String)>, &'a str);

/// The labels behind `{`, and what follows `}`. A lone quoted string at the front is the metric's name (UTF-8 names).
fn label_set(mut rest: &str) -> Result<LabelSet<'_>, &'static str> {
    let (mut name, mut labels) = (None, Vec::new());
    loop {
        rest = rest.trim_start_matches([' ', '\t']);
        if let Some(tail) = rest.strip_prefix('}') {
            return Ok((name, labels, tail));
        }
        let key;
        if let Some(inside) = rest.strip_prefix('"') {
            let (text, tail) = quoted(inside)?;
            rest = tail.trim_start_matches([' ', '\t']);
            if !rest.starts_with('=') {
                if name.is_some() || !labels.is_empty() {
                    return Err("a label without a value");
                }
                name = Some(text);
                rest = separator(rest)?;
                continue;
            }
            key = text;
        } else {
            let end = rest.find(['=', '}', ',', ' ', '\t', '"']).ok_or("labels without an end")?;
            key = rest[..end].to_owned();
            if !is_name(&key) || key.contains(':') {
                return Err("not a label name");
            }
            rest = rest[end..].trim_start_matches([' ', '\t']);
        }
        rest = rest.strip_prefix('=').ok_or("a label without a value")?.trim_start_matches([' ', '\t']);
        let (value, tail) = quoted(rest.strip_prefix('"').ok_or("a label value without quotes")?)?;
        labels.push((key, value));
        rest = separator(tail.trim_start_matches([' ', '\t']))?;
    }
}

/// Behind a label: a comma, or the closing brace, which stays.
fn separator(rest: &str) -> Result<&str, &'static str> {
    match rest.as_bytes().first() {
        Some(b',') => Ok(&rest[1..]),
        Some(b'}') => Ok(rest),
        _ => Err("labels without a comma between them"),
    }
}

/// The text up to the closing quote, unescaped, and what follows it.
fn quoted(text: &str) -> Result<(String, &str), &'static str> {
    let mut out = String::new();
    let mut chars = text.char_indices();
    while let Some((i, c)) = chars.next() {
        match c {
            '"' => return Ok((out, &text[i + 1..])),
            '\\' => match chars.next() {
                Some((_, 'n')) => out.push('\n'),
                Some((_, c @ ('\\' | '"'))) => out.push(c),
                // Both formats let an unknown escape stand as it is.
                Some((_, c)) => out.extend(['\\', c]),
                None => break,
            },
            c => out.push(c),
        }
    }
    Err("a label value without an end")
}

fn number(word: &str) -> Option<f64> {
    let plain = word.strip_prefix(['+', '-']).unwrap_or(word);
    match plain.to_ascii_lowercase().as_str() {
        "inf" | "infinity" => Some(if word.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY }),
        "nan" => Some(f64::NAN),
        _ if plain.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-')) => {
            word.parse().ok()
        }
        _ => None,
    }
}

/// A page's timestamp: milliseconds as an integer, in OpenMetrics seconds with a fraction.
fn timestamp(word: &str, open: bool) -> Option<i64> {
    if !open {
        return word.parse::<i64>().ok()?.checked_mul(1_000_000);
    }
    let seconds = number(word).filter(|s| s.is_finite())?;
    // Read digit by digit where it is a plain decimal: a double has no nanoseconds left at 1.7e9.
    if let Some((whole, fraction)) = word.split_once('.')
        && let (Ok(whole), true) = (whole.parse::<i64>(), fraction.bytes().all(|b| b.is_ascii_digit()))
    {
        let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
        let nanos = digits.parse::<i64>().ok()?;
        let sign = if word.starts_with('-') { -1 } else { 1 };
        return whole.checked_mul(1_000_000_000)?.checked_add(sign * nanos);
    }
    let ns = seconds * 1e9;
    (ns.abs() < 9.2e18).then_some(ns as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_becomes_samples_with_type_labels_and_time() {
        let page = b"# HELP http_requests_total Requests.\n# TYPE http_requests_total counter\n\
            http_requests_total{method=\"get\",path=\"/a\\\"b\\n\"} 3 1700000000123\nup 1\n";
        let p = parse(page, "text/plain; version=0.0.4");
        assert_eq!(p.errors, vec![]);
        assert_eq!(p.samples[0].labels[1], ("path".into(), "/a\"b\n".into()));
        assert_eq!(p.samples[0].label_text(), "method=\"get\",path=\"/a\\\"b\\n\"");
        assert_eq!(
            (p.samples[0].value, p.samples[0].time, &*p.samples[0].kind),
            (3.0, Some(1_700_000_000_123_000_000), "counter")
        );
        assert_eq!((&*p.samples[1].name, &*p.samples[1].kind), ("up", "untyped"));
    }

    #[test]
    fn openmetrics_seconds_keep_their_nanoseconds_and_exemplars_are_not_samples() {
        let page = b"# TYPE a histogram\na_bucket{le=\"1.0\"} 17 1520879607.789123456 # {id=\"x\"} 0.5\n# EOF\n";
        let p = parse(page, "application/openmetrics-text; version=1.0.0");
        assert_eq!(p.errors, vec![]);
        assert_eq!(p.samples.len(), 1);
        assert_eq!(p.samples[0].time, Some(1_520_879_607_789_123_456));
        assert!(p.eof);
    }

    #[test]
    fn a_bad_line_is_counted_and_the_others_are_read() {
        let p = parse(b"a 1\nb{x=1} 2\nc\nd{x=\"y\" 3\n\xff\xff 1\ne 5\nf 1 2 3\n9x 1\n{\"utf.8\",x=\"y\"} 4\n", "");
        assert_eq!(p.samples.iter().map(|s| &*s.name).collect::<Vec<_>>(), ["a", "e", "utf.8"]);
        assert_eq!(p.errors.iter().map(|e| e.0).collect::<Vec<_>>(), [2, 3, 4, 5, 7, 8]);
    }
}
