//! Times as log lines write them.
//!
//! Read are RFC 3339 and its kin (ISO 8601 with a space, Python's comma, Go's slashes), the common log format of web
//! servers, RFC 1123, syslog's time without a year (RFC 3164), ctime with one (Apache's error log), klog's, and numbers
//! since 1970.

/// A time that a line carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// UTC nanoseconds.
    pub utc: i64,
    /// Whether the line names the zone. Without one it was read as UTC, and may be hours off.
    pub zoned: bool,
    /// What its last digit counts, in nanoseconds: 1,000,000 for milliseconds.
    pub precision: u32,
}

const SECOND: u32 = 1_000_000_000;
const MONTHS: [&[u8]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

/// A time at the front of the text, behind up to 64 characters of brackets, addresses and levels. `near` is when the
/// line was read, UTC nanoseconds: it gives a time without a year its year; without it such a time is not read.
pub fn leading(text: &str, near: Option<i64>) -> Option<Stamp> {
    let b = text.as_bytes();
    if let Some((stamp, _)) = near.and_then(|near| klog(b, near)) {
        return Some(stamp);
    }
    let starts = text.char_indices().take(64).filter(|&(i, c)| {
        (c.is_ascii_digit() || c.is_ascii_uppercase()) && (i == 0 || !b[i - 1].is_ascii_alphanumeric())
    });
    for (i, _) in starts {
        let at = &b[i..];
        let found =
            date_time(at).or_else(|| common_log(at)).or_else(|| day_first(at)).or_else(|| month_first(at, near));
        if let Some((stamp, _)) = found {
            return Some(stamp);
        }
    }
    None
}

/// A time that is the whole value of a field: one of the formats of [`leading`], or a number since 1970.
pub fn of_field(value: &str) -> Option<Stamp> {
    date_time(value.as_bytes()).map(|(stamp, _)| stamp).or_else(|| epoch(value))
}

/// `2024-01-02T03:04:05.678Z` and its kin: `T` or space, `-` or `/` in the date, `.` or `,` before the fraction, with
/// or without a zone (RFC 3339, section 5.6). The time, and where it ends.
pub fn date_time(b: &[u8]) -> Option<(Stamp, usize)> {
    let (year, month, day) = (digits(b, 0, 4)?, digits(b, 5, 2)?, digits(b, 8, 2)?);
    let separator = *b.get(4)?;
    if !matches!(separator, b'-' | b'/') || b.get(7) != Some(&separator) || !matches!(b.get(10)?, b'T' | b't' | b' ') {
        return None;
    }
    rest_of(b, 11, (year, month, day))
}

/// `10/Oct/2000:13:55:36 -0700`, as web servers write it.
fn common_log(b: &[u8]) -> Option<(Stamp, usize)> {
    if b.get(2) != Some(&b'/') || b.get(6) != Some(&b'/') || b.get(11) != Some(&b':') {
        return None;
    }
    rest_of(b, 12, (digits(b, 7, 4)?, month(b, 3)?, digits(b, 0, 2)?))
}

/// `02 Jan 2006 15:04:05 GMT` of RFC 1123, `02-Jan-2006 15:04:05.678` of BIND and Tomcat.
fn day_first(b: &[u8]) -> Option<(Stamp, usize)> {
    let separator = *b.get(2)?;
    if !matches!(separator, b' ' | b'-') || b.get(6) != Some(&separator) || b.get(11) != Some(&b' ') {
        return None;
    }
    rest_of(b, 12, (digits(b, 7, 4)?, month(b, 3)?, digits(b, 0, 2)?))
}

/// `Jan  2 03:04:05` (RFC 3164, section 4.1.2), `Jan  2 2024 03:04:05` as routers write it, and
/// `Jan  2 03:04:05.678901 2024` of ctime and Apache's error log.
pub(super) fn month_first(b: &[u8], near: Option<i64>) -> Option<(Stamp, usize)> {
    let month = month(b, 0)?;
    let day = match (*b.get(4)?, digits(b, 4, 2)) {
        (b' ', _) => digits(b, 5, 1)?,
        (_, Some(day)) => day,
        _ => return None,
    };
    if b[3] != b' ' || b.get(6) != Some(&b' ') {
        return None;
    }
    if let (Some(year), Some(b' ')) = (digits(b, 7, 4), b.get(11)) {
        return rest_of(b, 12, (year, month, day));
    }
    let (seconds, at) = clock(b, 7)?;
    let (nanos, precision, at) = fraction(b, at);
    let year = if b.get(at) == Some(&b' ') { digits(b, at + 1, 4) } else { None };
    // Four digits may also begin the message or the host's name.
    let ends = b.get(at + 5).is_none_or(|c| !c.is_ascii_alphanumeric() && !matches!(c, b'.' | b'-' | b':'));
    let plausible = year.filter(|y| ends && (1970..2200).contains(y));
    match plausible {
        Some(year) => {
            let utc = utc(year, month, day, seconds, nanos)?;
            Some((Stamp { utc, zoned: false, precision }, at + 5))
        }
        None => {
            let (zone, zoned, end) = zone(b, at);
            let utc = near_year(month, day, seconds - zone, nanos, near?)?;
            Some((Stamp { utc, zoned, precision }, end))
        }
    }
}

/// `I0102 03:04:05.678901` of glog and klog; the letter is the severity.
pub(super) fn klog(b: &[u8], near: i64) -> Option<(Stamp, usize)> {
    if !matches!(b.first()?, b'I' | b'W' | b'E' | b'F') || b.get(5) != Some(&b' ') {
        return None;
    }
    let (month, day) = (digits(b, 1, 2)?, digits(b, 3, 2)?);
    let (seconds, at) = clock(b, 6)?;
    let (nanos, precision, end) = fraction(b, at);
    Some((Stamp { utc: near_year(month, day, seconds, nanos, near)?, zoned: false, precision }, end))
}

/// Seconds, milliseconds, microseconds or nanoseconds since 1970, told apart by size.
pub fn epoch(value: &str) -> Option<Stamp> {
    let (whole, fraction_text) = value.split_once('.').unwrap_or((value, ""));
    let whole: i64 = whole.parse().ok().filter(|&n| n > 0)?;
    let (utc, precision) = match whole {
        100_000_000..10_000_000_000 => {
            let digits: String = fraction_text.chars().chain("000000000".chars()).take(9).collect();
            let nanos = digits.parse::<i64>().ok().filter(|n| *n >= 0)?;
            // A whole number beyond 2262 in nanoseconds is no time of a log.
            (whole.checked_mul(1_000_000_000)?.checked_add(nanos)?, last_digit(fraction_text.len()))
        }
        100_000_000_000..10_000_000_000_000 => (whole * 1_000_000, 1_000_000),
        100_000_000_000_000..10_000_000_000_000_000 => (whole * 1_000, 1_000),
        100_000_000_000_000_000.. => (whole, 1),
        _ => return None,
    };
    Some(Stamp { utc, zoned: true, precision })
}

/// What the last of `n` digits of a fraction counts, in nanoseconds.
fn last_digit(n: usize) -> u32 {
    SECOND / 10u32.pow(n.min(9) as u32)
}

/// From the clock on: `hh:mm:ss[.fraction][zone]`.
fn rest_of(b: &[u8], at: usize, (year, month, day): (i64, i64, i64)) -> Option<(Stamp, usize)> {
    let (seconds, at) = clock(b, at)?;
    let (nanos, precision, at) = fraction(b, at);
    let (offset, zoned, end) = zone(b, at);
    Some((Stamp { utc: utc(year, month, day, seconds - offset, nanos)?, zoned, precision }, end))
}

fn month(b: &[u8], at: usize) -> Option<i64> {
    let name = b.get(at..at + 3)?;
    MONTHS.iter().position(|m| *m == name).map(|m| m as i64 + 1)
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

/// Nanoseconds, what the last digit counts, and where the fraction ends.
fn fraction(b: &[u8], at: usize) -> (i64, u32, usize) {
    if !matches!(b.get(at), Some(b'.' | b',')) {
        return (0, SECOND, at);
    }
    let (mut nanos, mut unit, mut end) = (0, 100_000_000, at + 1);
    while let Some(d) = b.get(end).filter(|d| d.is_ascii_digit()) {
        nanos += i64::from(d - b'0') * unit;
        unit /= 10;
        end += 1;
    }
    if end == at + 1 { (0, SECOND, at) } else { (nanos, last_digit(end - at - 1), end) }
}

/// Offset from UTC in seconds, whether one was named, and where it ends: `Z`, `+hh:mm`, `+hhmm`, with or without a
/// space, and `UTC` or `GMT`. Other abbreviations name several zones each, and so none.
fn zone(b: &[u8], start: usize) -> (i64, bool, usize) {
    let spaced = b.get(start) == Some(&b' ');
    let at = if spaced { start + 1 } else { start };
    if matches!(b.get(at..at + 3), Some(b"UTC" | b"GMT")) && b.get(at + 3).is_none_or(|c| !c.is_ascii_alphanumeric()) {
        return (0, true, at + 3);
    }
    let sign = match b.get(at) {
        Some(b'Z' | b'z') if !spaced => return (0, true, at + 1),
        Some(b'+') => 1,
        Some(b'-') => -1,
        _ => return (0, false, start),
    };
    let minutes_at = if b.get(at + 3) == Some(&b':') { at + 4 } else { at + 3 };
    match (digits(b, at + 1, 2), digits(b, minutes_at, 2)) {
        (Some(h), Some(m)) if h < 24 && m < 60 => (sign * (h * 3600 + m * 60), true, minutes_at + 2),
        _ => (0, false, start),
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

/// A time without a year, in the year that puts it nearest to when the line was read: a line of 31 December may be read
/// on 1 January.
fn near_year(month: i64, day: i64, seconds: i64, nanos: i64, near: i64) -> Option<i64> {
    /// Of 400 Gregorian years, in nanoseconds.
    const YEAR: i64 = 31_556_952_000_000_000;
    let year = 1970 + near.div_euclid(YEAR);
    (year - 1..=year + 1).filter_map(|y| utc(y, month, day, seconds, nanos)).min_by_key(|t| t.abs_diff(near))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    const T: i64 = 1_704_164_645_000_000_000; // 2024-01-02T03:04:05Z

    #[test]
    fn times_have_their_zone_and_precision() {
        for (text, nanos, zoned, precision) in [
            ("2024-01-02T03:04:05Z x", 0, true, SECOND),
            ("2024-01-02 03:04:05.678901 UTC [12] LOG:  x", 678_901_000, true, 1_000),
            ("2024-01-02 03:04:05,678 - root - INFO - x", 678_000_000, false, 1_000_000),
            ("2024/01/02 03:04:05.000001 main.go:12: x", 1_000, false, 1_000),
            ("10.0.0.1 - - [02/Jan/2024:05:04:05 +0200] \"GET / HTTP/1.1\" 200 1", 0, true, SECOND),
            ("[Tue Jan 02 03:04:05.000002 2024] [core:error] x", 2_000, false, 1_000),
            ("Tue, 02 Jan 2024 03:04:05 GMT x", 0, true, SECOND),
            ("02-Jan-2024 03:04:05.678 SEVERE x", 678_000_000, false, 1_000_000),
            ("Jan  2 03:04:05 host app[1]: x", 0, false, SECOND),
            ("Jan  2 2024 03:04:05: %ASA-6-302013: x", 0, false, SECOND),
            ("I0102 03:04:05.000003   12 a.go:1] x", 3_000, false, 1_000),
        ] {
            let want = Stamp { utc: T + nanos, zoned, precision };
            assert_eq!(leading(text, Some(T + 7)), Some(want), "{text}");
        }
        assert_eq!(leading("Jan  2 03:04:05 host app[1]: x", None), None);
        assert_eq!(leading("May the 4th be with you at 10.0.0.1", Some(T)), None);
    }

    #[test]
    fn a_time_without_a_year_is_that_nearest_to_when_it_was_read() {
        let new_year = 1_704_067_200_000_000_000; // 2024-01-01T00:00:00Z
        let before = leading("Dec 31 23:59:59 h a: x", Some(new_year + 5)).unwrap();
        assert_eq!(before.utc, new_year - 1_000_000_000);
        let after = leading("Jan  1 00:00:01 h a: x", Some(new_year - 5)).unwrap();
        assert_eq!(after.utc, new_year + 1_000_000_000);
    }

    #[test]
    fn numbers_since_1970_are_told_apart_by_their_size() {
        for (text, nanos, precision) in [
            ("1704164645", 0, SECOND),
            ("1704164645.25", 250_000_000, 10_000_000),
            ("1704164645678", 678_000_000, 1_000_000),
            ("1704164645678901", 678_901_000, 1_000),
            ("1704164645678901234", 678_901_234, 1),
        ] {
            assert_eq!(epoch(text), Some(Stamp { utc: T + nanos, zoned: true, precision }), "{text}");
        }
        assert_eq!(epoch("42"), None);
        assert_eq!(epoch("1704164645.-5"), None);
        assert_eq!(epoch("9999999999.9"), None);
    }

    proptest! {
        #[test]
        fn never_panics_on_any_text(text in "\\PC{0,80}", near: i64) {
            let _ = (leading(&text, Some(near)), of_field(&text));
        }

        #[test]
        fn almost_times_are_survived(text in "[IJ]?(an|0102)?[ 0-9:/.,TZ+-]{0,40}", near: i64) {
            let _ = (leading(&text, Some(near)), of_field(&text));
        }
    }
}
