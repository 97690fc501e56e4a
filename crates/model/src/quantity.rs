//! Durations, sizes and counts as people write them: `30s`, `5m`, `1h30m`, `64MiB`, `1,234,567`.

use std::time::Duration;

use crate::time::Nanos;

/// Why a text is not a duration or a size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// Not a duration.
    #[error("'{0}' is not a duration: write 500ms, 30s, 5m, 1h or 1h30m")]
    Duration(String),
    /// Not a size.
    #[error("'{0}' is not a size: write 4096, 64KiB, 64MiB, 2GiB, or 64MB for powers of ten")]
    Size(String),
}

/// Parses a duration: one or more numbers, each with its unit (`ns us µs ms s m h d`), added up. `1.5s` is fine.
pub fn parse_duration(text: &str) -> Result<Duration, QuantityError> {
    let fail = || QuantityError::Duration(text.to_owned());
    let mut total: f64 = 0.0;
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(fail());
    }
    while !rest.is_empty() {
        let (number, after) = rest.split_at(number_len(rest));
        let (unit, after) = after.split_at(after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len()));
        let scale = match unit.trim() {
            "ns" => 1.0,
            "us" | "µs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" | "min" => 60e9,
            "h" => 3_600e9,
            "d" => 86_400e9,
            _ => return Err(fail()),
        };
        total += number.parse::<f64>().map_err(|_| fail())? * scale;
        rest = after;
    }
    // 2^63 ns is 292 years: more is a typing error, and would not fit the timeline.
    if total >= 9.2e18 { Err(fail()) } else { Ok(Duration::from_nanos(total.round() as u64)) }
}

/// Parses a size in bytes: a number with `B`, `KiB MiB GiB TiB` (powers of 1024), `kB MB GB TB` (powers of 1000),
/// or no unit.
pub fn parse_size(text: &str) -> Result<u64, QuantityError> {
    let fail = || QuantityError::Size(text.to_owned());
    let trimmed = text.trim();
    let (number, unit) = trimmed.split_at(number_len(trimmed));
    let scale = match unit.trim() {
        "" | "B" => 1.0,
        "KiB" | "K" => 1024.0,
        "MiB" | "M" => 1_048_576.0,
        "GiB" | "G" => 1_073_741_824.0,
        "TiB" | "T" => 1_099_511_627_776.0,
        "kB" | "KB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        "TB" => 1e12,
        _ => return Err(fail()),
    };
    let bytes = number.parse::<f64>().map_err(|_| fail())? * scale;
    if bytes >= 9.2e18 { Err(fail()) } else { Ok(bytes.round() as u64) }
}

/// A size with three digits and a binary unit: `512 B`, `1.50 KiB`, `64.0 MiB`.
pub fn format_size(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB", "TiB"] {
        if value < 1023.5 || unit == "TiB" {
            let places = if value < 9.995 {
                2
            } else if value < 99.95 {
                1
            } else {
                0
            };
            return format!("{value:.places$} {unit}");
        }
        value /= 1024.0;
    }
    format!("{bytes} B")
}

/// A number with its thousands apart: `1,234,567`.
pub fn format_count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn number_len(text: &str) -> usize {
    text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len())
}

/// A measure against its limit, in words: `31.0% of a CPU, limit 20.0%`. Units as in the stream `recorder.step`.
pub fn against(value: u64, limit: u64, unit: &str) -> String {
    match unit {
        "ns/s" => format!("{:.1}% of a CPU, limit {:.1}%", value as f64 / 1e7, limit as f64 / 1e7),
        "bytes" => format!("{} of memory, limit {}", format_size(value), format_size(limit)),
        "bytes/s" => format!("{} a second, limit {}", format_size(value), format_size(limit)),
        "ns" => format!("{} behind, limit {}", Nanos(value), Nanos(limit)),
        _ => format!("{value} {unit}, limit {limit}"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn durations_add_up_their_parts_and_need_a_unit() {
        assert_eq!(parse_duration("1h30m").unwrap(), Duration::from_secs(5400));
        assert_eq!(parse_duration("1.5s").unwrap(), Duration::from_millis(1500));
        assert_eq!(parse_duration("250us").unwrap(), Duration::from_micros(250));
        for bad in ["", "30", "s", "-1s", "1x", "1s2", "999999d999999d", "..s"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_know_binary_and_decimal_units() {
        assert_eq!(parse_size("64MiB").unwrap(), 64 << 20);
        assert_eq!(parse_size("2 GB").unwrap(), 2_000_000_000);
        assert_eq!(parse_size("4096").unwrap(), 4096);
        for bad in ["", "MiB", "-1", "1XB", "99999999999TiB"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
        assert_eq!(format_size(1536), "1.50 KiB");
        assert_eq!(format_size(64 << 20), "64.0 MiB");
        assert_eq!(format_size(7), "7 B");
    }

    #[test]
    fn counts_have_their_thousands_apart() {
        let all: Vec<String> = [0, 12, 123, 1_234, 123_456, 1_234_567].into_iter().map(format_count).collect();
        assert_eq!(all, ["0", "12", "123", "1,234", "123,456", "1,234,567"]);
    }
}
