//! Metrics that moved together, in words.

use coldcase_model::analysis::{Analysis, MetricMove, MetricTarget, MovedMetric};

use crate::text::{count, duration, measured, offset, plural, shorten};

/// By how much a metric moved: a factor where it grew, a share where it fell, the levels where one of them is zero.
pub(crate) fn change(m: &MovedMetric) -> String {
    let ratio = m.after / m.before;
    if m.before == 0.0 || m.after == 0.0 || !ratio.is_finite() || ratio <= 0.0 {
        return format!("{} → {}", measured(m.before, &m.unit), measured(m.after, &m.unit));
    }
    match ratio {
        r if r >= 10.0 => format!("×{r:.0}"),
        r if r >= 1.5 => format!("×{r:.1}"),
        r => format!("{:+.0}%", (r - 1.0) * 100.0),
    }
}

/// When a group moved.
pub(crate) fn when(a: &Analysis, g: &MetricMove) -> String {
    let incident = if g.incident { ", in the incident's window" } else { "" };
    let together = if g.members.len() > 1 { "moved together" } else { "moved" };
    format!("at {} {together}{incident}", offset(g.time, a.bundle.first))
}

/// A group in one line with its strongest members.
pub(crate) fn line(a: &Analysis, g: &MetricMove, most: usize) -> String {
    let members = g.members.iter().take(most).map(|m| format!("{} ({})", shorten(&m.name, 90), change(m)));
    let members = members.collect::<Vec<_>>().join(", ");
    let more = g.left_out + g.members.len().saturating_sub(most) as u64;
    let more = if more > 0 { format!(" and {} more", count(more)) } else { String::new() };
    format!("{}: {members}{more}", when(a, g))
}

/// What was scraped of a target, in one line.
pub(crate) fn target(t: &MetricTarget) -> String {
    let process =
        if t.process.is_empty() { "process unknown".to_owned() } else { format!("{} ({})", t.process, t.how) };
    let mut out = format!("{}: {process}, {}", t.target, plural(t.scrapes, "scrape", "scrapes"));
    if t.missed > 0 {
        out.push_str(&format!(", {} missed", count(t.missed)));
    }
    if t.unread > 0 {
        out.push_str(&format!(", {} refused and not read", plural(t.unread, "page", "pages")));
    }
    out.push_str(&format!(
        ", {}, p50 {}, longest {}",
        plural(t.samples, "sample", "samples"),
        duration(t.p50),
        duration(t.max)
    ));
    if !t.labels.is_empty() {
        out.push_str(&format!(" {{{}}}", shorten(&t.labels, 120)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_as_people_say_it() {
        let of = |before, after| change(&MovedMetric { before, after, ..MovedMetric::default() });
        assert_eq!([of(10.0, 31.0), of(10.0, 6.0), of(1.0, 250.0), of(10.0, 12.0)], ["×3.1", "-40%", "×250", "+20%"]);
        assert_eq!(of(0.0, 3.0), "0 → 3");
        assert_eq!(of(-2.0, 3.0), "-2 → 3");
    }
}
