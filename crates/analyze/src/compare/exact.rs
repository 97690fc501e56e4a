//! Changes that need no statistics: counts that are the same in every run of a side, and what is on one side only.

use std::collections::BTreeSet;

use coldcase_model::compare::ExactChange;

use super::facts::{Facts, Operation};

/// Requests of an operation in every run before its usual number of calls is one.
const LEAST: usize = 20;
/// The share of requests that must have the usual number.
const USUAL: f64 = 0.9;
/// Errors of one text on a side that are not a chance any more where the other has none.
const ERRORS: u64 = 8;

/// Exact changes, worst first.
pub(super) fn changes(base: &[&Facts], head: &[&Facts]) -> Vec<ExactChange> {
    let mut out = Vec::new();
    for name in common(base, head) {
        let enough = |f: &&Facts| f.operations.get(&name).is_some_and(|o| o.durations.len() >= LEAST);
        if base.iter().chain(head).all(enough) {
            calls(&name, base, head, &mut out);
        }
        errors(&name, base, head, &mut out);
    }
    operations(base, head, &mut out);
    out.sort_by(|a, b| {
        (!a.critical, !a.worse, &a.kind, &a.operation, &a.what).cmp(&(
            !b.critical,
            !b.worse,
            &b.kind,
            &b.operation,
            &b.what,
        ))
    });
    out
}

/// In a sentence.
pub(super) fn sentence(e: &ExactChange) -> String {
    match e.kind.as_str() {
        "calls" => format!("a request of {} calls {} {} times, it was {}", e.operation, e.what, e.head, e.base),
        "error" => format!("{} fails in a new way, {} times: {}", e.operation, e.head, e.what),
        _ => format!("{}: {}", e.operation, e.what),
    }
}

/// Operations that every run of both sides has.
fn common(base: &[&Facts], head: &[&Facts]) -> Vec<String> {
    let first = base.first().map(|f| f.operations.keys().cloned().collect::<Vec<_>>()).unwrap_or_default();
    first.into_iter().filter(|n| base.iter().chain(head).all(|f| f.operations.contains_key(n))).collect()
}

/// The usual number of calls of a callee, where it is the same in all runs and nearly all requests.
fn usual(name: &str, callee: &str, runs: &[&Facts]) -> Option<u64> {
    let mut of = runs.iter().filter_map(|f| f.operations.get(name));
    let first = of.next()?;
    let n = first.usual(callee);
    let agrees = |o: &Operation| o.usual(callee) == n && o.share_of_usual(callee) >= USUAL;
    (agrees(first) && of.all(agrees)).then_some(n)
}

fn calls(name: &str, base: &[&Facts], head: &[&Facts], out: &mut Vec<ExactChange>) {
    let of = |runs: &[&Facts]| -> BTreeSet<String> {
        runs.iter().filter_map(|f| f.operations.get(name)).flat_map(|o| o.calls.keys().cloned()).collect()
    };
    for callee in of(base).union(&of(head)) {
        let (Some(b), Some(h)) = (usual(name, callee, base), usual(name, callee, head)) else { continue };
        if b != h {
            let trace = |runs: &[&Facts]| runs.iter().find_map(|f| f.operations.get(name)?.trace.clone());
            out.push(ExactChange {
                kind: "calls".into(),
                operation: name.to_owned(),
                what: callee.clone(),
                base: b,
                head: h,
                worse: h > b,
                critical: true,
                traces: (trace(base), trace(head)),
            });
        }
    }
}

/// Errors whose text one side has in most of its runs and the other in none.
fn errors(name: &str, base: &[&Facts], head: &[&Facts], out: &mut Vec<ExactChange>) {
    let count = |runs: &[&Facts], text: &str| -> (u64, usize, Option<String>) {
        let of = runs.iter().filter_map(|f| f.operations.get(name)?.error_texts.get(text));
        of.fold((0, 0, None), |(n, runs, trace), e| (n + e.0, runs + 1, trace.or(e.1.clone())))
    };
    let texts: BTreeSet<&String> =
        base.iter().chain(head).filter_map(|f| f.operations.get(name)).flat_map(|o| o.error_texts.keys()).collect();
    for text in texts {
        let ((b, in_base, before), (h, in_head, after)) = (count(base, text), count(head, text));
        // With as many requests on the other side, eight to none is a chance of one in 256.
        let most = |n: usize, runs: &[&Facts]| 3 * n >= 2 * runs.len();
        let appeared = b == 0 && h >= ERRORS && most(in_head, head);
        let gone = h == 0 && b >= ERRORS && most(in_base, base);
        if appeared || gone {
            out.push(ExactChange {
                kind: "error".into(),
                operation: name.to_owned(),
                what: text.clone(),
                base: b,
                head: h,
                worse: appeared,
                critical: appeared,
                traces: (before, after),
            });
        }
    }
}

/// Operations that every run of one side has, and none of the other.
fn operations(base: &[&Facts], head: &[&Facts], out: &mut Vec<ExactChange>) {
    let names: BTreeSet<&String> = base.iter().chain(head).flat_map(|f| f.operations.keys()).collect();
    for name in names {
        let sum = |runs: &[&Facts]| {
            runs.iter().filter_map(|f| f.operations.get(name)).map(|o| o.durations.len() as u64).sum()
        };
        let all = |runs: &[&Facts]| runs.iter().all(|f| f.operations.contains_key(name));
        let (b, h): (u64, u64) = (sum(base), sum(head));
        if (b == 0 && all(head)) || (h == 0 && all(base)) {
            let trace = |runs: &[&Facts]| runs.iter().find_map(|f| f.operations.get(name)?.trace.clone());
            out.push(ExactChange {
                kind: "operation".into(),
                operation: name.clone(),
                what: if b == 0 { "is new" } else { "is gone" }.into(),
                base: b,
                head: h,
                worse: false,
                critical: false,
                traces: (trace(base), trace(head)),
            });
        }
    }
}
