//! One sample line of an exposition page: name, labels, value, timestamp, exemplar.
//!
//! Both readers of pages use it: the lenient one of [`super::parse`] and the strict one of [`crate::openmetrics`]. What
//! differs between them is in [`Rules`].

use std::borrow::Cow;
use std::cmp::Ordering;

/// How a line is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rules {
    /// Text exposition 0.0.4, leniently: any blanks, timestamps in milliseconds.
    Classic,
    /// OpenMetrics 1.0, leniently: any blanks, timestamps in seconds.
    Open,
    /// OpenMetrics 1.0 by its ABNF: one space where one stands, no comma too many.
    Strict,
}

/// A label: name and value, unescaped.
pub(crate) type Label = (String, String);

/// A sample line.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Line<'a> {
    pub(crate) name: Cow<'a, str>,
    pub(crate) labels: Vec<Label>,
    pub(crate) value: Number,
    /// UTC nanoseconds.
    pub(crate) time: Option<i128>,
    /// Read, or why it could not be: a sample is one without its exemplar too.
    pub(crate) exemplar: Result<Option<RawExemplar>, &'static str>,
}

/// An exemplar as it stands on the page.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RawExemplar {
    pub(crate) labels: Vec<Label>,
    pub(crate) value: Number,
    /// UTC nanoseconds.
    pub(crate) time: Option<i128>,
}

/// A number, exact where it was written as an integer: a double has no odd numbers left above 2⁵³.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Number {
    pub(crate) value: f64,
    integer: Option<i128>,
}

impl Number {
    /// Of a word: decimal or exponent notation, `inf`, `infinity` and `nan` in any case, with or without a sign.
    pub(crate) fn of(word: &str) -> Option<Number> {
        Some(Number { value: number(word)?, integer: word.parse().ok() })
    }

    /// Whether it is a whole number.
    pub(crate) fn is_whole(&self) -> bool {
        self.value.is_finite() && self.value.fract() == 0.0
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Number) -> bool {
        self.partial_cmp(other) == Some(Ordering::Equal)
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Number) -> Option<Ordering> {
        match (self.integer, other.integer) {
            (Some(a), Some(b)) => Some(a.cmp(&b)),
            _ => self.value.partial_cmp(&other.value),
        }
    }
}

/// Nanoseconds of a page as the rows have them; beyond the years 1677 and 2262 the nearest that there is.
pub(crate) fn nanoseconds(time: i128) -> i64 {
    time.clamp(i64::MIN.into(), i64::MAX.into()) as i64
}

const BLANKS: [char; 2] = [' ', '\t'];

/// Reads a sample line.
pub(crate) fn line(text: &str, rules: Rules) -> Result<Line<'_>, &'static str> {
    let end = text.find(['{', ' ', '\t']).ok_or("no value")?;
    let mut name = Cow::Borrowed(&text[..end]);
    let mut labels = Vec::new();
    let mut rest = &text[end..];
    let after_name = if rules == Rules::Strict { rest } else { rest.trim_start_matches(BLANKS) };
    if let Some(inside) = after_name.strip_prefix('{') {
        let (quoted_name, parsed, tail) = label_set(inside, rules)?;
        labels = parsed;
        rest = tail;
        match quoted_name {
            Some(_) if !name.is_empty() => return Err("two names"),
            Some(q) => name = q.into(),
            None if !is_name(&name) => return Err("not a metric name"),
            None => {}
        }
    } else if !is_name(&name) {
        return Err("not a metric name");
    }
    let (value, time, exemplar) =
        if rules == Rules::Strict { strict_values(rest)? } else { lenient_values(rest, rules)? };
    Ok(Line { name, labels, value, time, exemplar })
}

type Values = (Number, Option<i128>, Result<Option<RawExemplar>, &'static str>);

/// Behind name and labels, with single spaces: ` value [timestamp] [# {labels} value [timestamp]]`.
fn strict_values(rest: &str) -> Result<Values, &'static str> {
    let rest = rest.strip_prefix(' ').ok_or("no space before the value")?;
    let (sample, exemplar) = match rest.split_once(" # ") {
        Some((sample, exemplar)) => (sample, Some(exemplar)),
        None => (rest, None),
    };
    let (value, time) = value_and_time(sample)?;
    let exemplar = exemplar.map(strict_exemplar).transpose()?;
    Ok((value, time, Ok(exemplar)))
}

fn strict_exemplar(text: &str) -> Result<RawExemplar, &'static str> {
    let inside = text.strip_prefix('{').ok_or("an exemplar without labels")?;
    let (name, labels, rest) = label_set(inside, Rules::Strict)?;
    if name.is_some() {
        return Err("an exemplar with a name");
    }
    let (value, time) = value_and_time(rest.strip_prefix(' ').ok_or("no space before the exemplar's value")?)?;
    Ok(RawExemplar { labels, value, time })
}

fn value_and_time(text: &str) -> Result<(Number, Option<i128>), &'static str> {
    let (value, time) = match text.split_once(' ') {
        Some((value, time)) => (value, Some(time)),
        None => (text, None),
    };
    let value = Number::of(value).ok_or("not a number")?;
    Ok((value, time.map(|t| seconds(t).ok_or("not a timestamp")).transpose()?))
}

/// The same with any blanks; an exemplar that cannot be read does not cost the sample.
fn lenient_values(rest: &str, rules: Rules) -> Result<Values, &'static str> {
    let (sample, exemplar) = rest.split_once(" # ").map_or((rest, None), |(before, after)| (before, Some(after)));
    let mut words = sample.split(BLANKS).filter(|w| !w.is_empty());
    let value = Number::of(words.next().ok_or("no value")?).ok_or("not a number")?;
    let time = words.next().map(|t| timestamp(t, rules).ok_or("not a timestamp")).transpose()?;
    if words.next().is_some() {
        return Err("text after the timestamp");
    }
    Ok((value, time, exemplar.map(lenient_exemplar).transpose()))
}

fn lenient_exemplar(text: &str) -> Result<RawExemplar, &'static str> {
    let inside = text.trim_start_matches(BLANKS).strip_prefix('{').ok_or("an exemplar without labels")?;
    let (_, labels, rest) = label_set(inside, Rules::Open)?;
    let mut words = rest.split(BLANKS).filter(|w| !w.is_empty());
    let value = Number::of(words.next().ok_or("an exemplar without a value")?).ok_or("not a number")?;
    // Exemplars are OpenMetrics, whatever the page says of itself: their times are seconds.
    let time = words.next().map(|t| seconds(t).ok_or("not a timestamp")).transpose()?;
    if words.next().is_some() {
        return Err("text after the exemplar");
    }
    Ok(RawExemplar { labels, value, time })
}

/// Whether it is a metric name that needs no quotes: `[a-zA-Z_:][a-zA-Z0-9_:]*`.
pub(crate) fn is_name(name: &str) -> bool {
    let mut chars = name.bytes();
    chars.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_' || b == b':')
        && chars.all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b':')
}

/// The metric's name where it stands among the labels, the labels, and what follows them.
type LabelSet<'a> = (Option<String>, Vec<Label>, &'a str);

/// The labels behind `{`, and what follows `}`. A lone quoted string is the metric's name (UTF-8 names), and so is the
/// value of `__name__`.
fn label_set(mut rest: &str, rules: Rules) -> Result<LabelSet<'_>, &'static str> {
    let strict = rules == Rules::Strict;
    let blanks = |text| if strict { text } else { str::trim_start_matches(text, BLANKS) };
    let (mut name, mut labels): (Option<String>, Vec<Label>) = (None, Vec::new());
    let mut comma = false;
    loop {
        rest = blanks(rest);
        if let Some(tail) = rest.strip_prefix('}') {
            if comma && strict {
                return Err("a comma without a label behind it");
            }
            // Sorting finds repetitions without a look at each pair: pages come from strangers.
            if strict {
                let mut keys: Vec<&str> = labels.iter().map(|l| &*l.0).collect();
                keys.sort_unstable();
                if keys.windows(2).any(|w| w[0] == w[1]) {
                    return Err("a label twice");
                }
            }
            return Ok((name, labels, tail));
        }
        let key: Cow<'_, str>;
        if let Some(inside) = rest.strip_prefix('"') {
            let (text, tail) = quoted(inside)?;
            rest = blanks(tail);
            if !rest.starts_with('=') {
                if name.is_some() {
                    return Err("a label without a value");
                }
                if text.is_empty() {
                    return Err("an empty name");
                }
                name = Some(text);
                (rest, comma) = separator(rest)?;
                continue;
            }
            key = text.into();
        } else {
            let end = rest.find(['=', '}', ',', ' ', '\t', '"']).ok_or("labels without an end")?;
            key = rest[..end].into();
            if !is_name(&key) || key.contains(':') {
                return Err("not a label name");
            }
            rest = blanks(&rest[end..]);
        }
        rest = blanks(rest.strip_prefix('=').ok_or("a label without a value")?);
        let (value, tail) = quoted(rest.strip_prefix('"').ok_or("a label value without quotes")?)?;
        if key == "__name__" {
            if value.is_empty() {
                return Err("an empty name");
            }
            if name.replace(value).is_some_and(|_| strict) {
                return Err("two names");
            }
        } else if strict && key.starts_with("__") {
            return Err("a reserved label name");
        } else {
            labels.push((key.into_owned(), value));
        }
        (rest, comma) = separator(blanks(tail))?;
    }
}

/// Behind a label: a comma, or the closing brace, which stays; and whether it was a comma.
fn separator(rest: &str) -> Result<(&str, bool), &'static str> {
    match rest.as_bytes().first() {
        Some(b',') => Ok((&rest[1..], true)),
        Some(b'}') => Ok((rest, false)),
        _ => Err("labels without a comma between them"),
    }
}

/// The text up to the closing quote, unescaped, and what follows it.
pub(crate) fn quoted(text: &str) -> Result<(String, &str), &'static str> {
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

/// A number of a page.
pub(crate) fn number(word: &str) -> Option<f64> {
    let plain = word.strip_prefix(['+', '-']).unwrap_or(word);
    if ["inf", "infinity"].iter().any(|n| plain.eq_ignore_ascii_case(n)) {
        return Some(if word.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY });
    }
    if plain.eq_ignore_ascii_case("nan") {
        return Some(f64::NAN);
    }
    let digits = plain.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
    if digits { word.parse().ok() } else { None }
}

/// A timestamp in UTC nanoseconds: milliseconds as an integer in the classic format, seconds in OpenMetrics.
fn timestamp(word: &str, rules: Rules) -> Option<i128> {
    match rules {
        Rules::Classic => Some(i128::from(word.parse::<i64>().ok()?) * 1_000_000),
        Rules::Open | Rules::Strict => seconds(word),
    }
}

/// Seconds with a fraction. Read digit by digit where it is a plain decimal: a double has no nanoseconds left at 1.7e9.
fn seconds(word: &str) -> Option<i128> {
    let (whole, fraction) = word.split_once('.').unwrap_or((word, ""));
    if let (Ok(whole), true) = (whole.parse::<i64>(), fraction.bytes().all(|b| b.is_ascii_digit())) {
        let nanos = fraction.bytes().chain(std::iter::repeat(b'0')).take(9);
        let nanos = nanos.fold(0, |sum, d| sum * 10 + i128::from(d - b'0'));
        let sign = if word.starts_with('-') { -1 } else { 1 };
        return Some(i128::from(whole) * 1_000_000_000 + sign * nanos);
    }
    // The cast saturates.
    Some((number(word).filter(|s| s.is_finite())? * 1e9) as i128)
}
