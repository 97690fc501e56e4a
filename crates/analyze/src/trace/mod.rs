//! Traces: spans put together across services, what they waited for, and which traces are not like their siblings.

mod critical_path;
mod logs;
#[cfg(test)]
mod made;
mod operations;
mod skew;
mod tree;
mod view;
mod wire;

use std::collections::BTreeMap;

use coldcase_decode::otlp::TraceId;
use coldcase_model::analysis::{Flow, TraceOperation, Traces};
use coldcase_timeline::{Scope, SpanRow, Timeline};
use rayon::prelude::*;

pub use logs::{Joined, joined_logs};
use operations::Seen;
use skew::Clocks;
use tree::Tree;

/// Which traces are told span by span.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum TraceViews {
    /// None.
    #[default]
    None,
    /// The slowest and the slowest failed one of the operation that is worst.
    Worst,
    /// Those with these ids, 32 hex digits each, with all their spans.
    These(Vec<String>),
}

/// Spans of a trace that nobody asked for by its id.
const SPANS_OF_WORST: usize = 300;

/// The traces in scope. A trace is taken whole when any of its spans is in scope. `flow`: the requests in packets, where
/// those were read.
pub(crate) fn traces(t: &Timeline, scope: &Scope, flow: &Flow, views: &TraceViews, deskew: bool) -> Traces {
    let mut by = BTreeMap::<TraceId, Vec<&SpanRow>>::new();
    let mut without = 0;
    for row in t.spans() {
        match row.span.trace {
            Some(id) => by.entry(id).or_default().push(row),
            None => without += 1,
        }
    }
    // Which clock is how far ahead is told by all traces, whatever the scope.
    let all: Vec<(TraceId, Vec<&SpanRow>)> = by.into_iter().collect();
    let seen: Vec<(Option<Seen<'_>>, Clocks)> = all
        .par_iter()
        .map(|(id, rows)| {
            let tree = Tree::new(*id, rows.iter().copied());
            let mut clocks = Clocks::default();
            clocks.take(&tree);
            let wanted = scope.is_all() || rows.iter().any(|r| scope.has_span(t, &r.span));
            (Seen::of(&tree).filter(|_| wanted), clocks)
        })
        .collect();
    let mut clocks = Clocks::default();
    seen.iter().for_each(|(_, of_one)| clocks.merge(of_one));
    let seen: Vec<Seen<'_>> = seen.into_iter().filter_map(|s| s.0).collect();
    let count = seen.len() as u64;
    let operations = operations::operations(seen, &coverage(t));
    let wanted = match views {
        TraceViews::None => Vec::new(),
        TraceViews::Worst => worst(&operations),
        TraceViews::These(ids) => ids.iter().map(|id| (id.clone(), String::new())).collect(),
    };
    let limit = if matches!(views, TraceViews::These(_)) { usize::MAX } else { SPANS_OF_WORST };
    let making = view::Making::new(t, &clocks, wire::Wire::new(flow), deskew, limit);
    let find = |id: &str| {
        let id = TraceId::from_hex(id)?;
        all.binary_search_by_key(&id, |a| a.0).ok().map(|at| &all[at])
    };
    let views =
        wanted.into_iter().filter_map(|(id, why)| find(&id).map(|(id, rows)| making.view(*id, rows, why))).collect();
    Traces { count, spans_without_trace: without, operations, clocks: clocks.pairs(), views }
}

/// From the first start to the last end of each service's spans.
fn coverage(t: &Timeline) -> operations::Coverage<'_> {
    let mut out = operations::Coverage::new();
    for s in t.spans().iter().map(|r| &r.span).filter(|s| s.start > 0 && s.end >= s.start) {
        let of = out.entry(s.service()).or_insert((s.start, s.end));
        *of = (of.0.min(s.start), of.1.max(s.end));
    }
    out
}

/// The slowest and the slowest failed trace of the operation that is worst, and why each is told: of those with failures
/// in one trace of a hundred, else of all, the one in which the tail lost most time against the median.
fn worst(operations: &[TraceOperation]) -> Vec<(String, String)> {
    let rank = |o: &TraceOperation| {
        let fails = o.failed > 0 && o.failed.saturating_mul(100) >= o.traces;
        (!o.root_missing, fails, o.p99.saturating_sub(o.p50).saturating_mul(o.traces), o.total)
    };
    // Of equals the first.
    let Some(op) = operations.iter().rev().max_by_key(|o| rank(o)) else { return Vec::new() };
    let called = if op.service.is_empty() { op.name.clone() } else { format!("{} ({})", op.name, op.service) };
    let slowest = op.slowest.first().map(|s| (s.id.clone(), format!("the slowest of {} {called}", op.traces)));
    let failed = op.failures.first().map(|s| (s.id.clone(), format!("the slowest of {} failed {called}", op.failed)));
    let failed = failed.filter(|f| slowest.as_ref().is_none_or(|s| s.0 != f.0));
    slowest.into_iter().chain(failed).collect()
}
