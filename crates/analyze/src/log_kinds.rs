//! Kinds of log lines over time, and which of them changed with the trouble.

use coldcase_decode::log::Severity;
use coldcase_model::analysis::{LogChange, LogHow, LogKind};
use coldcase_timeline::{LogTemplates, Scope, Timeline};

use crate::axis::{Axis, COLUMNS};

/// Kinds that are told at most.
const MOST: usize = 500;
/// Characters of an example.
const EXAMPLE: usize = 1000;
/// Rows that are cited of a kind.
const CITED: usize = 5;
/// Columns that must stand before and after a moment, so that something can be held against it.
const ENOUGH: usize = 6;
/// Fewest lines of a kind that is called new or gone.
const FEW: u64 = 3;
/// Fewest lines of a kind whose rate is held against that of before.
const MANY: u64 = 10;
/// By what factor a rate changes that is told.
const FACTOR: f64 = 3.0;

/// The kinds of all lines and records, those of most lines first. `moment` is the column of the axis that begins what
/// the time before is held against.
pub(crate) fn kinds(t: &Timeline, axis: &Axis, scope: &Scope, moment: Option<usize>) -> Vec<LogKind> {
    let found = t.log_templates();
    let mut kinds = columns(t, axis, scope, &found);
    // Few lines of an error say more than many of the usual: what changed is not cut off.
    for kind in &mut kinds {
        kind.change = moment.and_then(|column| change(axis, column, &kind.columns));
    }
    kinds.retain(|k| k.count > 0);
    kinds.sort_by_key(|k| std::cmp::Reverse(k.count));
    if kinds.len() > MOST {
        let changed = |k: &LogKind| k.change.is_some_and(|c| c.how != LogHow::Same);
        kinds.sort_by_key(|k| !changed(k));
        kinds.truncate(MOST);
        kinds.sort_by_key(|k| std::cmp::Reverse(k.count));
    }
    kinds
}

fn columns(t: &Timeline, axis: &Axis, scope: &Scope, found: &LogTemplates<'_>) -> Vec<LogKind> {
    let mut kinds: Vec<LogKind> = found
        .templates
        .iter()
        .map(|k| LogKind { template: k.pattern.clone(), columns: vec![0; COLUMNS], ..LogKind::default() })
        .collect();
    let mut worst: Vec<Option<Severity>> = vec![None; kinds.len()];
    for (line, at) in found.logged.iter().zip(&found.of) {
        let Some(at) = at.map(|at| at as usize).filter(|_| scope.has_trace(line.trace)) else { continue };
        let kind = &mut kinds[at];
        if kind.count == 0 {
            (kind.first, kind.last) = (line.utc.0, line.utc.0);
            kind.origin = line.origin.to_owned();
            kind.example = line.text().chars().take(EXAMPLE).collect();
        }
        kind.count += 1;
        kind.first = kind.first.min(line.utc.0);
        kind.last = kind.last.max(line.utc.0);
        kind.columns[axis.column(line.utc.0)] += 1;
        kind.errors += u64::from(line.severity.is_some_and(|s| s >= Severity::Error));
        worst[at] = worst[at].max(line.severity);
        if kind.evidence.len() < CITED {
            kind.evidence.push(t.evidence(line.stream, line.row));
        }
    }
    for (kind, worst) in kinds.iter_mut().zip(worst) {
        kind.severity = worst.map(|s| s.name().to_owned());
    }
    kinds
}

/// How a kind changed at a column of the axis; `None` where too little of the recording stands on one side.
fn change(axis: &Axis, column: usize, columns: &[u64]) -> Option<LogChange> {
    if column < ENOUGH || column + ENOUGH > COLUMNS {
        return None;
    }
    let (before, after) = columns.split_at(column);
    let seconds = |columns: &[u64]| columns.len() as f64 * axis.step as f64 / 1e9;
    let [lines_before, lines_after] = [before, after].map(|c| c.iter().sum::<u64>());
    let (rate_before, rate_after) = (lines_before as f64 / seconds(before), lines_after as f64 / seconds(after));
    // As many as would have come on the other side at the same rate.
    let expected_after = rate_before * seconds(after);
    let how = match (lines_before, lines_after) {
        (0, FEW..) => LogHow::New,
        (FEW.., 0) if expected_after >= FEW as f64 => LogHow::Gone,
        (1.., MANY..) if rate_after >= FACTOR * rate_before => LogHow::More,
        (MANY.., 1..) if rate_after * FACTOR <= rate_before && expected_after >= MANY as f64 => LogHow::Fewer,
        _ => LogHow::Same,
    };
    Some(LogChange { time: axis.time(column), before: lines_before, after: lines_after, rate_before, rate_after, how })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn kinds_that_begin_end_or_change_their_rate_are_told_apart() {
        let axis = Axis { start: 0, step: 1_000_000_000 };
        let how = |before: u64, after: u64| {
            let mut columns = [0; COLUMNS];
            (columns[3], columns[40]) = (before, after);
            change(&axis, 20, &columns).unwrap().how
        };
        assert_eq!(how(0, 3), LogHow::New);
        assert_eq!(how(0, 2), LogHow::Same, "two lines are few");
        assert_eq!(how(20, 0), LogHow::Gone);
        assert_eq!(how(20, 120), LogHow::More);
        assert_eq!(how(20, 100), LogHow::Same, "twice as much time is after as before");
        assert_eq!(how(90, 50), LogHow::Fewer);
        assert_eq!(how(5, 10), LogHow::Same);
        let columns = [1; COLUMNS];
        assert_eq!(change(&axis, 3, &columns), None);
        assert_eq!(change(&axis, 58, &columns), None);
        let changed = change(&axis, 15, &columns).unwrap();
        assert_eq!((changed.before, changed.after, changed.rate_before, changed.rate_after), (15, 45, 1.0, 1.0));
    }
}
