//! Log lines: what a line tells of itself, and the formats that lines and whole logs have. The line itself is never
//! changed.
//!
//! [`parse`] takes any line and reads time, severity, trace and span wherever they stand. The modules read one format
//! each, strictly: [`syslog`], [`cri`], [`docker`], [`journal`], [`json`], [`logfmt`]. [`template`] groups lines by what
//! is constant in them.

pub mod container;
pub mod cri;
pub mod docker;
pub mod encoding;
pub mod journal;
pub mod json;
pub mod logfmt;
mod mask;
pub mod message;
mod severity;
pub mod syslog;
pub mod template;
pub mod time;

pub use severity::Severity;
pub use time::Stamp;

use crate::otlp::{Attributes, SpanId, TraceId, Value};

/// What a line tells of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogFields {
    /// The time it carries, UTC nanoseconds.
    pub time: Option<i64>,
    /// Whether that time names its zone. Without one it was read as UTC, and may be hours off.
    pub zoned: bool,
    /// What the last digit of that time counts, in nanoseconds; 0 where there is no time.
    pub precision: u32,
    /// Its severity.
    pub severity: Option<Severity>,
    /// The trace it belongs to.
    pub trace: Option<TraceId>,
    /// The span it belongs to.
    pub span: Option<SpanId>,
}

impl LogFields {
    /// What the fields of a line tell, as [`json::fields`] and [`logfmt::fields`] read them.
    pub fn of(fields: &Attributes) -> LogFields {
        let mut out = LogFields::default();
        for (key, value) in &fields.0 {
            match value {
                Value::Text(text) => field(&Pair { key, value: text, loose: false }, &mut out),
                other => field(&Pair { key, value: &other.to_string(), loose: false }, &mut out),
            }
        }
        out
    }

    /// Takes over what is not told yet.
    fn fill(&mut self, other: LogFields) {
        if self.time.is_none() {
            (self.time, self.zoned, self.precision) = (other.time, other.zoned, other.precision);
        }
        self.severity = self.severity.or(other.severity);
        self.trace = self.trace.or(other.trace);
        self.span = self.span.or(other.span);
    }

    fn set_time(&mut self, stamp: Option<Stamp>) {
        if let (None, Some(stamp)) = (self.time, stamp) {
            (self.time, self.zoned, self.precision) = (Some(stamp.utc), stamp.zoned, stamp.precision);
        }
    }
}

/// Bytes of a line that are looked at: what a line tells of itself stands near its front.
const LOOK: usize = 4096;

/// Reads what a line tells of itself.
pub fn parse(line: &[u8]) -> LogFields {
    parse_at(line, None)
}

/// Reads what a line tells of itself. `near` is when it was read, UTC nanoseconds: it gives times without a year, as
/// syslog and klog write them, their year; without it they are not read.
pub fn parse_at(line: &[u8], near: Option<i64>) -> LogFields {
    let mut out = plain(line, near);
    match line.first() {
        Some(b'{') => match line.starts_with(b"{\"log\":\"").then(|| docker::parse(line)) {
            // The text inside has its own quotes, which are escaped here.
            Some(Ok(entry)) => {
                out.fill(plain(&entry.text, near));
                nested(&entry.text, &mut out);
                out.set_time(Some(entry.time));
            }
            _ => nested(line, &mut out),
        },
        Some(b'0'..=b'9') => {
            if let Ok(entry) = cri::parse(line) {
                nested(&entry.text, &mut out);
            }
        }
        Some(b'<') => {
            if let Ok(message) = syslog::parse(line, near) {
                out.set_time(message.time);
                out.severity = out.severity.or(message.priority.and_then(syslog::Priority::severity));
            }
        }
        Some(&letter) if out.severity.is_none() && time::klog(line, near.unwrap_or(0)).is_some() => {
            out.severity = Some(match letter {
                b'W' => Severity::Warn,
                b'E' => Severity::Error,
                b'F' => Severity::Fatal,
                _ => Severity::Info,
            });
        }
        _ => {}
    }
    out
}

/// What only a parser of JSON sees of a line: fields of objects inside (`{"trace":{"id":…}}`), and those beyond the first
/// bytes of a long line. Others are not parsed again.
fn nested(line: &[u8], out: &mut LogFields) {
    if line.first() != Some(&b'{') {
        return;
    }
    // A line is parsed only where something that is missing may be in it.
    let has = |words: &[&[u8]]| words.iter().any(|w| line.windows(w.len()).any(|at| at == *w));
    let has_more = line.len() > LOOK || has(&[b"\":{", b": {"]);
    let wanted = (out.trace.is_none() && has(&[b"trace"]))
        || (out.severity.is_none() && has(&[b"level", b"severity"]))
        || (out.time.is_none() && has(&[b"time"]));
    if has_more && wanted {
        out.fill(json::fields(line).map(|fields| LogFields::of(&fields)).unwrap_or_default());
    }
}

/// What the text itself tells, whatever its format.
fn plain(line: &[u8], near: Option<i64>) -> LogFields {
    let text = String::from_utf8_lossy(&line[..line.len().min(LOOK)]);
    let mut out = LogFields::default();
    for pair in pairs(&text) {
        field(&pair, &mut out);
    }
    if out.time.is_none() {
        out.set_time(time::leading(&text, near));
    }
    if out.severity.is_none() {
        out.severity = text
            .split(|c: char| !c.is_ascii_alphabetic())
            .filter(|w| !w.is_empty())
            .take(8)
            // Only whole words in capitals: `error` in a sentence is not a level.
            .find_map(|w| w.bytes().all(|b| b.is_ascii_uppercase()).then(|| Severity::from_name(w)).flatten());
    }
    out
}

/// A key and its value, wherever they stand.
struct Pair<'a> {
    key: &'a str,
    value: &'a str,
    /// `key: value` without quotes: in a sentence too, so only values that nothing else looks like are taken.
    loose: bool,
}

/// Whether a key is one of the names, whatever its case and however its words are joined.
fn is_one_of(key: &str, names: &[&str]) -> bool {
    let letters = || key.bytes().filter(|b| !matches!(b, b'_' | b'-' | b'.')).map(|b| b.to_ascii_lowercase());
    names.iter().any(|n| letters().eq(n.bytes()))
}

fn field(pair: &Pair<'_>, out: &mut LogFields) {
    let Pair { key, value, loose } = *pair;
    if is_one_of(key, &["traceid", "ddtraceid", "oteltraceid", "trace"]) {
        out.trace = out.trace.or_else(|| TraceId::from_hex(value));
    } else if is_one_of(key, &["spanid", "ddspanid", "otelspanid", "span"]) {
        out.span = out.span.or_else(|| SpanId::from_hex(value));
    } else if is_one_of(key, &["traceparent"]) {
        let mut parts = value.split('-');
        if let (Some(_), Some(trace), Some(span)) = (parts.next(), parts.next(), parts.next()) {
            out.trace = out.trace.or_else(|| TraceId::from_hex(trace));
            out.span = out.span.or_else(|| SpanId::from_hex(span));
        }
    } else if !loose && is_one_of(key, &["level", "severity", "lvl", "loglevel", "levelname", "severitytext"]) {
        out.severity = out.severity.or_else(|| Severity::from_level(value));
    } else if !loose
        && out.time.is_none()
        && is_one_of(key, &["time", "timestamp", "ts", "@timestamp", "datetime", "asctime"])
    {
        out.set_time(time::of_field(value));
    }
}

/// `key=value`, `key="value"`, `"key":"value"` and `"key":value`, wherever they stand. No grammar: JSON, logfmt and
/// key-value tails of plain lines are all read by it, and none needs to be whole. `key: value` is handed out as loose.
fn pairs(text: &str) -> impl Iterator<Item = Pair<'_>> {
    let is_key = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '@');
    let mut at = 0;
    std::iter::from_fn(move || {
        while let Some(found) = text.get(at..)?.find(['=', ':']) {
            let sign = at + found;
            at = sign + 1;
            let before = text[..sign].trim_end();
            let json = before.ends_with('"');
            let before = before.strip_suffix('"').unwrap_or(before);
            let key_at =
                before.rfind(|c| !is_key(c)).map_or(0, |i| i + text[i..].chars().next().map_or(1, char::len_utf8));
            let key = &before[key_at..];
            if key.is_empty() {
                continue;
            }
            let loose = text.as_bytes()[sign] == b':' && !json;
            let rest = text[sign + 1..].trim_start_matches(' ');
            let value = match rest.strip_prefix('"') {
                Some(inside) => &inside[..inside.find('"').unwrap_or(inside.len())],
                None => &rest[..rest.find([' ', ',', '}', ']', '\t', ')', ';']).unwrap_or(rest.len())],
            };
            return Some(Pair { key, value, loose });
        }
        None
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn times_of_common_formats_are_found() {
        const T: i64 = 1_704_164_645_000_000_000; // 2024-01-02T03:04:05Z
        for (line, nanos, zoned) in [
            ("2024-01-02T03:04:05.678Z INFO hello", 678_000_000, true),
            ("2024-01-02 03:04:05,678 ERROR x", 678_000_000, false),
            ("2024/01/02 03:04:05 [error] 7#7: *1 connect() failed", 0, false),
            ("127.0.0.1 - - [02/Jan/2024:05:04:05 +0200] \"GET / HTTP/1.1\" 200 1", 0, true),
            ("{\"ts\":1704164645.25,\"msg\":\"a\"}", 250_000_000, true),
            ("{\"time\":\"2024-01-02T04:04:05+01:00\",\"level\":\"warn\"}", 0, true),
            ("time=2024-01-02T03:04:05Z level=info msg=\"x y\"", 0, true),
            ("[2024-01-02T03:04:05.000000001Z] x", 1, true),
        ] {
            let f = parse(line.as_bytes());
            assert_eq!((f.time, f.zoned), (Some(T + nanos), zoned), "{line}");
        }
        assert_eq!(parse(b"no time in 10.0.0.1:8080 here").time, None);
    }

    #[test]
    fn severity_and_trace_are_found_in_json_logfmt_and_plain_lines() {
        let trace = "0af7651916cd43dd8448eb211c80319c";
        let span = "b7ad6b7169203331";
        for line in [
            format!("{{\"level\":\"ERROR\",\"trace_id\":\"{trace}\",\"spanId\":\"{span}\"}}"),
            format!("level=error msg=\"it broke\" trace_id={trace} span_id={span}"),
            format!("2024-01-02T03:04:05Z ERROR orders: it broke traceparent=00-{trace}-{span}-01"),
        ] {
            let f = parse(line.as_bytes());
            assert_eq!(f.severity, Some(Severity::Error), "{line}");
            assert_eq!(f.trace, TraceId::from_hex(trace), "{line}");
            assert_eq!(f.span, SpanId::from_hex(span), "{line}");
        }
        assert_eq!(parse(b"there was an error in it").severity, None);
        assert_eq!(parse(b"the level: error is high").severity, None);
        for line in [
            format!("took 5ms traceparent: 00-{trace}-{span}-01"),
            format!("[trace: {trace}, span: {span}] x"),
            format!("{{\"otelTraceID\":\"{trace}\",\"otelSpanID\":\"{span}\"}}"),
            format!(
                "{{\"log\":\"{{\\\"traceId\\\":\\\"{trace}\\\",\\\"spanId\\\":\\\"{span}\\\"}}\\n\",\
                 \"stream\":\"stdout\",\"time\":\"2024-01-02T03:04:05Z\"}}"
            ),
        ] {
            let f = parse(line.as_bytes());
            assert_eq!((f.trace, f.span), (TraceId::from_hex(trace), SpanId::from_hex(span)), "{line}");
        }
    }

    #[test]
    fn fields_inside_of_objects_and_at_the_end_of_long_lines_are_found() {
        let trace = "0af7651916cd43dd8448eb211c80319c";
        let nested = format!("{{\"log\":{{\"level\":\"warn\"}},\"trace\":{{\"id\":\"{trace}\"}}}}");
        let long = format!("{{\"msg\":\"{}\",\"level\":\"warn\",\"trace_id\":\"{trace}\"}}", "x".repeat(2 * LOOK));
        for line in [nested.clone(), long, format!("2024-01-02T03:04:05Z stdout F {nested}")] {
            let f = parse(line.as_bytes());
            assert_eq!((f.severity, f.trace), (Some(Severity::Warn), TraceId::from_hex(trace)), "{line}");
        }
        let f = LogFields::of(&json::fields(b"{\"level\":50,\"time\":1704164645000}").unwrap());
        assert_eq!((f.severity, f.time), (Some(Severity::Error), Some(1_704_164_645_000_000_000)));
    }

    #[test]
    fn syslog_and_klog_lines_tell_their_severity_and_with_a_reading_time_their_own() {
        const T: i64 = 1_704_164_645_000_000_000; // 2024-01-02T03:04:05Z
        for (line, severity) in [
            ("<11>Jan  2 03:04:05 host app[1]: it broke", Some(Severity::Error)),
            ("<12>1 2024-01-02T03:04:05Z host app 1 - - it broke", Some(Severity::Warn)),
            ("E0102 03:04:05.000000    1 a.go:1] it broke", Some(Severity::Error)),
            ("Jan  2 03:04:05 host app[1]: it broke", None),
            ("{\"level\":50,\"time\":1704164645000,\"msg\":\"it broke\"}", Some(Severity::Error)),
        ] {
            let f = parse_at(line.as_bytes(), Some(T + 3_000_000_000));
            assert_eq!((f.severity, f.time), (severity, Some(T)), "{line}");
            assert_eq!(parse(line.as_bytes()).severity, severity, "{line}");
        }
        assert_eq!(parse(b"Jan  2 03:04:05 host app[1]: x").time, None);
    }
}
