//! How things are said.

use coldcase_model::quantity::format_count;
use coldcase_model::{Nanos, Utc};
use coldcase_timeline::Timeline;

/// `from +9.80s on`: a moment against the start of the recording.
pub(crate) fn since(t: &Timeline, time: i64) -> String {
    format!("from {} on", offset(t.start(), time))
}

/// `+9.80s`.
pub(crate) fn offset(start: Utc, time: i64) -> String {
    let by = time.saturating_sub(start.0);
    let sign = if by < 0 { '-' } else { '+' };
    format!("{sign}{}", Nanos(by.unsigned_abs()))
}

/// A count with its noun: `1 span`, `1,234 spans`.
pub(crate) fn count(n: u64, one: &str) -> String {
    format!("{} {one}{}", format_count(n), if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_moments_are_said_as_people_do() {
        assert_eq!(count(1, "span"), "1 span");
        assert_eq!(count(1_234_567, "span"), "1,234,567 spans");
        assert_eq!(offset(Utc(1_000_000_000), 10_800_000_000), "+9.80s");
        assert_eq!(offset(Utc(1_000), 0), "-1.00µs");
    }
}
