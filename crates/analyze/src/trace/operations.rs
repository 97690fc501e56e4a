//! The traces of each operation: how many, how long, the slowest, the failed, and those whose structure is not the usual.

use std::collections::{BTreeMap, HashMap};

use coldcase_decode::otlp::SpanStatus;
use coldcase_model::analysis::{OddTrace, SomeTrace, TraceOperation};

use super::tree::{Place, Tree};
use crate::quantile::{per_mille, quantile};

/// Traces that are named of each kind.
const NAMED: usize = 5;
/// A structure is the usual one of an operation when at least this many traces have it, and more than half of all.
const LEAST_USUAL: u64 = 5;
/// Operations by which two structures differ that are told.
const TOLD: usize = 5;

/// How often each operation (name, service) is below the root of a trace.
type Shape<'a> = BTreeMap<(&'a str, &'a str), u64>;

/// From when until when each service sent spans: of what was before and after, nobody can say that it is missing.
pub(crate) type Coverage<'a> = HashMap<&'a str, (i64, i64)>;

/// What is kept of a trace: no tree, for there may be many.
#[derive(Debug, Clone)]
pub(crate) struct Seen<'a> {
    id: String,
    /// Name and service of its root; `None` where the root is missing.
    operation: Option<(&'a str, &'a str)>,
    start: i64,
    duration: u64,
    failed: bool,
    /// Spans that failed in it.
    errors: u64,
    spans: u64,
    shape: Shape<'a>,
    /// Whether parts of it are missing or contradict themselves.
    flawed: bool,
}

impl<'a> Seen<'a> {
    /// Of a trace; `None` for one whose root has no place in time.
    pub(crate) fn of(tree: &Tree<'a>) -> Option<Seen<'a>> {
        let root = &tree.nodes[tree.root()?];
        if !root.timed {
            return None;
        }
        let spans = || tree.nodes.iter().filter_map(|n| n.row).map(|r| &r.span);
        let failed = |s: &coldcase_decode::otlp::Span| s.status == SpanStatus::Error;
        let mut shape = Shape::new();
        for (at, n) in tree.nodes.iter().enumerate() {
            if let Some(row) = n.row.filter(|_| Some(at) != tree.root() && n.place != Place::Conflict) {
                *shape.entry((&row.span.name, row.span.service())).or_default() += 1;
            }
        }
        let f = tree.flaws;
        Some(Seen {
            id: tree.id.to_string(),
            operation: root.row.map(|r| (r.span.name.as_str(), r.span.service())),
            start: root.start,
            duration: root.duration(),
            failed: root.row.is_some_and(|r| failed(&r.span)),
            errors: spans().filter(|s| failed(s)).count() as u64,
            spans: spans().count() as u64,
            shape,
            flawed: f.missing + f.cycles + f.conflicts > 0 || tree.roots.len() > 1,
        })
    }

    fn named(&self) -> SomeTrace {
        SomeTrace {
            id: self.id.clone(),
            start: self.start,
            duration: self.duration,
            errors: self.errors,
            spans: self.spans,
        }
    }
}

/// The operations, the one that took longest in sum first.
pub(crate) fn operations(seen: Vec<Seen<'_>>, coverage: &Coverage<'_>) -> Vec<TraceOperation> {
    let mut by = BTreeMap::<Option<(&str, &str)>, Vec<Seen<'_>>>::new();
    for s in seen {
        by.entry(s.operation).or_default().push(s);
    }
    let mut out: Vec<TraceOperation> = by.into_iter().map(|(op, traces)| operation(op, traces, coverage)).collect();
    out.sort_by(|x, y| y.total.cmp(&x.total).then_with(|| (&x.name, &x.service).cmp(&(&y.name, &y.service))));
    out
}

fn operation(op: Option<(&str, &str)>, mut traces: Vec<Seen<'_>>, coverage: &Coverage<'_>) -> TraceOperation {
    traces.sort_by(|x, y| y.duration.cmp(&x.duration).then_with(|| x.id.cmp(&y.id)));
    let mut durations: Vec<u64> = traces.iter().map(|t| t.duration).collect();
    durations.reverse();
    let failed = |t: &&Seen<'_>| t.failed;
    let Odd { usual, shapes, odd, at_edge } = odd(&traces, coverage);
    TraceOperation {
        name: op.map_or_else(|| "(root missing)".to_owned(), |o| o.0.to_owned()),
        service: op.map_or_else(String::new, |o| o.1.to_owned()),
        root_missing: op.is_none(),
        traces: traces.len() as u64,
        failed: traces.iter().filter(failed).count() as u64,
        flawed: traces.iter().filter(|t| t.flawed).count() as u64,
        p50: quantile(&durations, 50),
        p90: quantile(&durations, 90),
        p99: quantile(&durations, 99),
        p999: per_mille(&durations, 999),
        max: quantile(&durations, 100),
        total: durations.iter().fold(0, |s: u64, d| s.saturating_add(*d)),
        slowest: traces.iter().take(NAMED).map(Seen::named).collect(),
        failures: traces.iter().filter(failed).take(NAMED).map(Seen::named).collect(),
        shapes,
        usual,
        odd_count: odd.len() as u64,
        at_edge,
        odd: odd.into_iter().take(NAMED).collect(),
    }
}

/// What there is to say of structures.
#[derive(Default)]
struct Odd {
    /// How many traces have the most frequent one.
    usual: u64,
    shapes: u64,
    odd: Vec<OddTrace>,
    /// Others that differ, from times of which not all services of the usual one sent their spans.
    at_edge: u64,
}

/// The structures of an operation. A trace of which parts are missing says nothing of its own.
fn odd(traces: &[Seen<'_>], coverage: &Coverage<'_>) -> Odd {
    let mut counts = HashMap::<&Shape<'_>, u64>::new();
    let whole = || traces.iter().filter(|t| !t.flawed);
    for t in whole() {
        *counts.entry(&t.shape).or_default() += 1;
    }
    let all: u64 = counts.values().sum();
    let Some((usual, count)) = counts.iter().max_by(|x, y| x.1.cmp(y.1).then_with(|| y.0.cmp(x.0))) else {
        return Odd::default();
    };
    let (usual, count) = (*usual, *count);
    let mut out = Odd { usual: count, shapes: counts.len() as u64, ..Odd::default() };
    if count < LEAST_USUAL || count * 2 <= all {
        return out;
    }
    let covered = |t: &Seen<'_>| {
        let end = t.start.saturating_add(i64::try_from(t.duration).unwrap_or(i64::MAX));
        let of = |service: &str| coverage.get(service).is_none_or(|c| c.0 <= t.start && end <= c.1);
        usual.keys().all(|(_, service)| of(service))
    };
    for t in whole().filter(|t| t.shape != *usual) {
        if covered(t) {
            out.odd.push(OddTrace { trace: t.named(), differs: differs(usual, &t.shape), same: counts[&t.shape] });
        } else {
            out.at_edge += 1;
        }
    }
    // The rarest structure first.
    out.odd.sort_by(|x, y| x.same.cmp(&y.same).then_with(|| x.trace.id.cmp(&y.trace.id)));
    out
}

/// In words: `2 more INSERT (db)`, `without charge (payments)`.
fn differs(usual: &Shape<'_>, other: &Shape<'_>) -> Vec<String> {
    let mut keys: Vec<_> = usual.keys().chain(other.keys()).collect();
    keys.sort_unstable();
    keys.dedup();
    let of = |shape: &Shape<'_>, key| shape.get(key).copied().unwrap_or(0);
    let mut out = Vec::new();
    for key in keys {
        let (name, service) = *key;
        let called = if service.is_empty() { name.to_owned() } else { format!("{name} ({service})") };
        out.extend(match (of(usual, key), of(other, key)) {
            (u, o) if u == o => None,
            (_, 0) => Some(format!("without {called}")),
            (0, 1) => Some(format!("with {called}")),
            (u, o) if o > u => Some(format!("{} more {called}", o - u)),
            (u, o) => Some(format!("{} fewer {called}", u - o)),
        });
    }
    if out.len() > TOLD {
        let more = out.len() - TOLD;
        out.truncate(TOLD);
        out.push(format!("and {more} more differences"));
    }
    out
}

#[cfg(test)]
mod tests {
    use coldcase_decode::otlp::TraceId;
    use coldcase_timeline::SpanRow;

    use super::super::made::{Made, made};
    use super::*;

    fn trace(n: u8, calls: &[&'static str], long: i64, failed: bool) -> Vec<SpanRow> {
        let root = Made { id: 1, trace: n, from: 100, to: 100 + long, name: "checkout", failed, ..Made::default() };
        let calls = calls.iter().zip(2u8..);
        let below =
            calls.map(|(name, id)| made(Made { id, parent: 1, name, from: 110, to: 120, failed: false, ..root }));
        std::iter::once(made(root)).chain(below).collect()
    }

    fn of(all: &[Vec<SpanRow>]) -> Vec<TraceOperation> {
        within(all, &Coverage::new())
    }

    fn within(all: &[Vec<SpanRow>], coverage: &Coverage<'_>) -> Vec<TraceOperation> {
        let trees: Vec<Tree<'_>> =
            all.iter().zip(0u8..).map(|(rows, n)| Tree::new(TraceId([n + 1; 16]), rows)).collect();
        operations(trees.iter().filter_map(Seen::of).collect(), coverage)
    }

    #[test]
    fn a_trace_after_the_last_spans_of_a_service_is_not_odd_for_want_of_them() {
        let mut all: Vec<Vec<SpanRow>> = (1..=9).map(|n| trace(n, &["reserve"], 50, false)).collect();
        all.push(trace(10, &[], 50, false));
        let judged = |until| {
            let op = &within(&all, &Coverage::from([("a", (0, until))]))[0];
            (op.odd_count, op.at_edge)
        };
        assert_eq!((judged(150), judged(149)), ((1, 0), (0, 1)));
    }

    #[test]
    fn a_trace_that_calls_what_its_siblings_do_not_is_odd_and_says_how() {
        let mut all: Vec<Vec<SpanRow>> =
            (1..=9).map(|n| trace(n, &["reserve", "pay"], 50 + i64::from(n), false)).collect();
        all.push(trace(10, &["reserve", "pay", "pay", "pay"], 500, true));
        all.push(trace(11, &["reserve"], 20, false));
        let op = &of(&all)[0];
        assert_eq!((op.traces, op.failed, op.usual, op.shapes, op.odd_count), (11, 1, 9, 3, 2));
        assert_eq!((op.slowest[0].duration, op.p999, op.p50), (500, 500, 55));
        assert_eq!(op.failures[0].id, op.slowest[0].id);
        let told: Vec<&str> = op.odd.iter().flat_map(|o| &o.differs).map(String::as_str).collect();
        assert_eq!(told, ["2 more pay (a)", "without pay (a)"]);
    }

    #[test]
    fn where_no_structure_is_usual_none_is_odd() {
        let all: Vec<Vec<SpanRow>> = (1..=12u8).map(|n| trace(n, &["call"; 12][..usize::from(n)], 50, false)).collect();
        assert_eq!((of(&all)[0].odd_count, of(&all)[0].shapes), (0, 12));
    }

    #[test]
    fn traces_without_their_root_stand_by_themselves() {
        let mut rows = trace(1, &["reserve"], 50, false);
        rows.remove(0);
        let op = &of(&[rows])[0];
        assert!(op.root_missing && op.name == "(root missing)" && op.flawed == 1);
    }
}
