//! The worst moment: where slow or failed spans crowd, and what was logged there.

use coldcase_decode::log::Severity;
use coldcase_decode::otlp::SpanStatus;
use coldcase_model::Nanos;
use coldcase_model::analysis::{LogEntry, WorstMoment};
use coldcase_timeline::{RecordRow, Scope, Timeline};

use crate::axis::{Axis, COLUMNS};
use crate::latency::span::Spans;
use crate::wording::count;

/// Most log lines that are shown.
const LINES: usize = 60;
/// Columns of the axis that the window spans.
const WIDTH: usize = 2;

/// The window in which the time that spans lost against their usual is largest (where at least one span in a hundred
/// failed: in which most failed), or `None` when none was slow and none failed. What a span lost is what it took beyond the median of its kind before things changed (or of all
/// of its kind).
pub(crate) fn moment(t: &Timeline, axis: &Axis, spans: &[Spans], scope: &Scope) -> Option<WorstMoment> {
    let mut lost = [0u64; COLUMNS];
    let mut errors = [0u64; COLUMNS];
    let usual: std::collections::HashMap<&str, u64> = spans
        .iter()
        .map(|s| (s.latency.name.as_str(), s.change.map_or(s.latency.p50, |c| c.p50.0.min(s.latency.p50))))
        .collect();
    for row in t.spans().iter().filter(|r| r.span.start > 0 && scope.has_span(t, &r.span)) {
        let span = &row.span;
        let name = crate::latency::span::name(span);
        let beyond = span.duration().saturating_sub(usual.get(name.as_str()).copied().unwrap_or(0));
        // Only roots and entries: a child's time is in its parent's.
        let end = span.start.saturating_add(span.duration() as i64);
        if span.parent.is_none() {
            lost[axis.column(end)] = lost[axis.column(end)].saturating_add(beyond);
        }
        errors[axis.column(end)] += u64::from(span.status == SpanStatus::Error);
    }
    let slow = busiest(&lost).map(|(column, beyond)| {
        let failed: u64 = window(&errors, column).iter().sum();
        let failures = if failed > 0 { format!(", and {} failed", count(failed, "span")) } else { String::new() };
        let why = format!("root spans took {} longer than usual here, taken together{failures}", Nanos(beyond));
        (column, why)
    });
    let failed = busiest(&errors).map(|(column, failed)| (column, format!("{} failed here", count(failed, "span"))));
    // Where many fail, slowness is not what is worst.
    let all: u64 = spans.iter().map(|s| s.latency.count).sum();
    let many = errors.iter().sum::<u64>().saturating_mul(100) >= all;
    let (column, why) = if many { failed.or(slow) } else { slow.or(failed) }?;
    let (from, to) = (axis.time(column), axis.time((column + WIDTH).min(COLUMNS)));
    Some(WorstMoment { from, to, why, logs: logs(t, scope, from, to) })
}

fn window(columns: &[u64; COLUMNS], at: usize) -> &[u64] {
    &columns[at..(at + WIDTH).min(COLUMNS)]
}

/// The first of the windows with the largest sum, if that is not zero.
fn busiest(columns: &[u64; COLUMNS]) -> Option<(usize, u64)> {
    let sum = |at: usize| window(columns, at).iter().fold(0u64, |s, v| s.saturating_add(*v));
    let best = (0..COLUMNS).max_by_key(|&at| (sum(at), std::cmp::Reverse(at)))?;
    (sum(best) > 0).then(|| (best, sum(best)))
}

/// Log lines and records of the window in order of time; when there are too many, errors and warnings first. Whose
/// lines a file holds is not known: no scope but that of traces leaves them out.
fn logs(t: &Timeline, scope: &Scope, from: i64, to: i64) -> Vec<LogEntry> {
    let mut found: Vec<(bool, LogEntry)> = Vec::new();
    let bad = |s: Option<Severity>| s.is_some_and(|s| s >= Severity::Warn);
    for l in t.lines().iter().filter(|l| (from..to).contains(&l.utc.0) && scope.has_trace(l.fields.trace)) {
        let entry = LogEntry { time: l.utc.0, origin: l.path.to_string(), line: l.text().into_owned(), row: l.row };
        found.push((bad(l.fields.severity), entry));
    }
    let told = |r: &&RecordRow| {
        let (record, at) = (&r.record, t.boot(r.utc));
        scope.has_trace(record.trace) && scope.has_sender(t, &record.resource, None, at)
    };
    for r in t.records().iter().filter(|r| (from..to).contains(&r.utc.0)).filter(told) {
        let origin = format!("otlp {}", r.record.resource.service);
        let entry = LogEntry { time: r.utc.0, origin, line: r.record.body.clone(), row: r.row };
        found.push((bad(r.record.severity), entry));
    }
    found.sort_by(|(x, a), (y, b)| y.cmp(x).then_with(|| (a.time, &a.origin, a.row).cmp(&(b.time, &b.origin, b.row))));
    found.truncate(LINES);
    let mut out: Vec<LogEntry> = found.into_iter().map(|(_, e)| e).collect();
    out.sort_by(|a, b| (a.time, &a.origin, a.row).cmp(&(b.time, &b.origin, b.row)));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busiest_window_is_the_first_of_the_largest() {
        let mut columns = [0; COLUMNS];
        assert_eq!(busiest(&columns), None);
        columns[7] = 5;
        columns[8] = 5;
        columns[30] = 10;
        assert_eq!(busiest(&columns), Some((7, 10)));
        columns[59] = 11;
        assert_eq!(busiest(&columns).map(|b| b.1), Some(11));
    }
}
