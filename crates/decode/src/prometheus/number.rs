//! Numbers as Prometheus writes them into labels.

/// The shortest text that reads back to the same number, as Go's `strconv.FormatFloat(v, 'g', -1, 64)` has it: the text
/// format writes the bounds of buckets and the quantiles of summaries so.
pub(crate) fn text(value: f64) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf".into() } else { "-Inf".into() };
    }
    let scientific = format!("{value:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    let power: i32 = exponent.parse().unwrap_or(0);
    // From the sixth power of ten on, and below the fourth.
    if (-4..6).contains(&power) {
        return format!("{value}");
    }
    let sign = if power < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", power.abs())
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn numbers_are_written_as_go_writes_them() {
        let wanted = ["0", "1", "0.005", "2.5", "100000", "1e+06", "1.234567e+06", "0.0001", "1e-05", "-0.5", "1e+100"];
        for want in wanted {
            assert_eq!(text(want.parse().unwrap_or(f64::NAN)), want);
        }
        assert_eq!([f64::INFINITY, f64::NEG_INFINITY, f64::NAN].map(text), ["+Inf", "-Inf", "NaN"]);
    }
}
