//! Log lines: the time, severity and trace that a line tells of itself. The line itself is never changed.

use crate::otlp::{SpanId, TraceId};

/// How bad a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)] // the names are OTLP's
pub enum Severity {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
    Fatal,
}

impl Severity {
    /// The name in lowercase.
    pub const fn name(self) -> &'static str {
        match self {
            Severity::Trace => "trace",
            Severity::Debug => "debug",
            Severity::Info => "info",
            Severity::Warn => "warn",
            Severity::Error => "error",
            Severity::Fatal => "fatal",
        }
    }

    /// The severity of an OTLP severity number (1 to 24).
    pub fn from_otlp(number: i32) -> Option<Severity> {
        Some(match number {
            1..=4 => Severity::Trace,
            5..=8 => Severity::Debug,
            9..=12 => Severity::Info,
            13..=16 => Severity::Warn,
            17..=20 => Severity::Error,
            21..=24 => Severity::Fatal,
            _ => return None,
        })
    }

    /// The severity of a level's name, in any case; syslog's names too.
    pub fn from_name(name: &str) -> Option<Severity> {
        const NAMES: [(&str, Severity); 18] = [
            ("trace", Severity::Trace),
            ("debug", Severity::Debug),
            ("dbg", Severity::Debug),
            ("info", Severity::Info),
            ("inf", Severity::Info),
            ("information", Severity::Info),
            ("notice", Severity::Info),
            ("warn", Severity::Warn),
            ("wrn", Severity::Warn),
            ("warning", Severity::Warn),
            ("error", Severity::Error),
            ("err", Severity::Error),
            ("fatal", Severity::Fatal),
            ("critical", Severity::Fatal),
            ("crit", Severity::Fatal),
            ("alert", Severity::Fatal),
            ("emerg", Severity::Fatal),
            ("panic", Severity::Fatal),
        ];
        NAMES.iter().find(|(n, _)| name.eq_ignore_ascii_case(n)).map(|&(_, s)| s)
    }
}

/// What a line tells of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogFields {
    /// The time it carries, UTC nanoseconds.
    pub time: Option<i64>,
    /// Whether that time names its zone. Without one it was read as UTC, and may be hours off.
    pub zoned: bool,
    /// Its severity.
    pub severity: Option<Severity>,
    /// The trace it belongs to.
    pub trace: Option<TraceId>,
    /// The span it belongs to.
    pub span: Option<SpanId>,
}

/// Bytes of a line that are looked at: what a line tells of itself stands near its front.
const LOOK: usize = 4096;

/// Reads what a line tells of itself.
pub fn parse(line: &[u8]) -> LogFields {
    let text = String::from_utf8_lossy(&line[..line.len().min(LOOK)]);
    let mut out = LogFields::default();
    for (key, value) in pairs(&text) {
        field(key, value, &mut out);
    }
    if out.time.is_none() {
        leading_time(&text, &mut out);
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

fn field(key: &str, value: &str, out: &mut LogFields) {
    let is = |names: &[&str]| names.iter().any(|n| key.eq_ignore_ascii_case(n));
    if is(&["trace_id", "traceid", "trace-id", "trace.id", "dd.trace_id"]) {
        out.trace = out.trace.or_else(|| TraceId::from_hex(value));
    } else if is(&["span_id", "spanid", "span-id", "span.id"]) {
        out.span = out.span.or_else(|| SpanId::from_hex(value));
    } else if is(&["level", "severity", "lvl", "loglevel", "log.level", "severity_text"]) {
        out.severity = out.severity.or_else(|| Severity::from_name(value));
    } else if is(&["traceparent"]) {
        let mut parts = value.split('-');
        if let (Some(_), Some(trace), Some(span)) = (parts.next(), parts.next(), parts.next()) {
            out.trace = out.trace.or_else(|| TraceId::from_hex(trace));
            out.span = out.span.or_else(|| SpanId::from_hex(span));
        }
    } else if is(&["time", "timestamp", "ts", "@timestamp", "datetime"]) && out.time.is_none() {
        if let Some((time, zoned)) = date_time(value) {
            (out.time, out.zoned) = (Some(time), zoned);
        } else if let Some(time) = epoch(value) {
            (out.time, out.zoned) = (Some(time), true);
        }
    }
}

/// `key=value`, `key="value"`, `"key":"value"` and `"key":value`, wherever they stand. No grammar: JSON, logfmt and
/// key-value tails of plain lines are all read by it, and none needs to be whole.
fn pairs(text: &str) -> impl Iterator<Item = (&str, &str)> {
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
            if key.is_empty() || (text.as_bytes()[sign] == b':' && !json) {
                continue;
            }
            let rest = text[sign + 1..].trim_start_matches(' ');
            let value = match rest.strip_prefix('"') {
                Some(inside) => &inside[..inside.find('"').unwrap_or(inside.len())],
                None => &rest[..rest.find([' ', ',', '}', ']', '\t', ')', ';']).unwrap_or(rest.len())],
            };
            return Some((key, value));
        }
        None
    })
}

/// A time at the front of the line, behind up to 64 bytes of brackets, addresses and levels.
fn leading_time(text: &str, out: &mut LogFields) {
    let starts = text
        .char_indices()
        .take(64)
        .filter(|&(i, c)| c.is_ascii_digit() && (i == 0 || !text.as_bytes()[i - 1].is_ascii_alphanumeric()));
    for (i, _) in starts {
        if let Some((time, zoned)) = date_time(&text[i..]).or_else(|| common_log(&text[i..])) {
            (out.time, out.zoned) = (Some(time), zoned);
            return;
        }
    }
}

/// `2024-01-02T03:04:05.678Z` and its kin: `T` or space, `-` or `/` in the date, `.` or `,` before the fraction, with
/// or without a zone. UTC nanoseconds, and whether a zone was named.
fn date_time(text: &str) -> Option<(i64, bool)> {
    let b = text.as_bytes();
    let (year, month, day) = (digits(b, 0, 4)?, digits(b, 5, 2)?, digits(b, 8, 2)?);
    let separator = *b.get(4)?;
    if !matches!(separator, b'-' | b'/') || b.get(7) != Some(&separator) || !matches!(b.get(10)?, b'T' | b't' | b' ') {
        return None;
    }
    let (seconds, at) = clock(b, 11)?;
    let (nanos, at) = fraction(b, at);
    let (offset, zoned) = zone(b, at);
    Some((utc(year, month, day, seconds - offset, nanos)?, zoned))
}

/// `10/Oct/2000:13:55:36 -0700`, as web servers write it.
fn common_log(text: &str) -> Option<(i64, bool)> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let b = text.as_bytes();
    if b.get(2) != Some(&b'/') || b.get(6) != Some(&b'/') || b.get(11) != Some(&b':') {
        return None;
    }
    let month = MONTHS.iter().position(|m| b.get(3..6) == Some(m.as_bytes()))? as i64 + 1;
    let (day, year) = (digits(b, 0, 2)?, digits(b, 7, 4)?);
    let (seconds, at) = clock(b, 12)?;
    let (offset, zoned) = zone(b, at);
    Some((utc(year, month, day, seconds - offset, 0)?, zoned))
}

fn digits(b: &[u8], at: usize, n: usize) -> Option<i64> {
    b.get(at..at + n)?.iter().try_fold(0i64, |sum, &d| d.is_ascii_digit().then(|| sum * 10 + i64::from(d - b'0')))
}

/// `hh:mm:ss` in seconds, and where it ends.
fn clock(b: &[u8], at: usize) -> Option<(i64, usize)> {
    let (h, m, s) = (digits(b, at, 2)?, digits(b, at + 3, 2)?, digits(b, at + 6, 2)?);
    let fits = b[at + 2] == b':' && b[at + 5] == b':' && h < 24 && m < 60 && s <= 60;
    fits.then_some((h * 3600 + m * 60 + s, at + 8))
}

fn fraction(b: &[u8], at: usize) -> (i64, usize) {
    if !matches!(b.get(at), Some(b'.' | b',')) {
        return (0, at);
    }
    let (mut nanos, mut unit, mut end) = (0, 100_000_000, at + 1);
    while let Some(d) = b.get(end).filter(|d| d.is_ascii_digit()) {
        nanos += i64::from(d - b'0') * unit;
        unit /= 10;
        end += 1;
    }
    if end == at + 1 { (0, at) } else { (nanos, end) }
}

/// Offset from UTC in seconds, and whether one was named: `Z`, `+hh:mm`, `+hhmm`, with or without a space.
fn zone(b: &[u8], at: usize) -> (i64, bool) {
    let at = if b.get(at) == Some(&b' ') && matches!(b.get(at + 1), Some(b'+' | b'-')) { at + 1 } else { at };
    let sign = match b.get(at) {
        Some(b'Z' | b'z') => return (0, true),
        Some(b'+') => 1,
        Some(b'-') => -1,
        _ => return (0, false),
    };
    let minutes_at = if b.get(at + 3) == Some(&b':') { at + 4 } else { at + 3 };
    match (digits(b, at + 1, 2), digits(b, minutes_at, 2)) {
        (Some(h), Some(m)) if h < 24 && m < 60 => (sign * (h * 3600 + m * 60), true),
        _ => (0, false),
    }
}

fn utc(year: i64, month: i64, day: i64, seconds: i64, nanos: i64) -> Option<i64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || !(1678..2262).contains(&year) {
        return None;
    }
    // Days since 1970-01-01 of a proleptic Gregorian date (Howard Hinnant, `days_from_civil`).
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let year_of_era = y - era * 400;
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    (days * 86_400 + seconds).checked_mul(1_000_000_000)?.checked_add(nanos)
}

/// Seconds, milliseconds, microseconds or nanoseconds since 1970, told apart by size. UTC nanoseconds.
fn epoch(value: &str) -> Option<i64> {
    let (whole, fraction_text) = value.split_once('.').unwrap_or((value, ""));
    let whole: i64 = whole.parse().ok().filter(|&n| n > 0)?;
    Some(match whole {
        100_000_000..10_000_000_000 => {
            let digits: String = fraction_text.chars().chain("000000000".chars()).take(9).collect();
            whole * 1_000_000_000 + digits.parse::<i64>().ok()?
        }
        100_000_000_000..10_000_000_000_000 => whole * 1_000_000,
        100_000_000_000_000..10_000_000_000_000_000 => whole * 1_000,
        100_000_000_000_000_000.. => whole,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
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
    }
}
