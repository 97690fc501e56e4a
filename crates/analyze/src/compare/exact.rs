//! Changes that need no statistics: counts that are the same in every run of a side, and what is on one side only.

use std::collections::BTreeSet;

use coldcase_model::compare::ExactChange;

use super::Sides;
use super::facts::Facts;
use super::measure::Rules;
use super::operations::Operation;

/// Requests of an operation in every run before its usual number of calls is one.
const LEAST: usize = 20;
/// The share of requests that must have the usual number.
const USUAL: f64 = 0.9;
/// Errors of one text on a side that are not a chance any more where the other has none.
const ERRORS: u64 = 8;

/// Exact changes, worst first.
pub(super) fn changes(sides: &Sides<'_>, rules: &Rules<'_>) -> Vec<ExactChange> {
    let (base, head) = (sides.base, sides.head);
    let mut out = Vec::new();
    for name in common(base, head) {
        let enough = |f: &&Facts| f.operations.get(&name).is_some_and(|o| o.durations.len() >= LEAST);
        if base.iter().chain(head).all(enough) {
            calls(&name, base, head, &mut out);
        }
        errors(&name, base, head, &mut out);
    }
    operations(base, head, &mut out);
    paths(base, head, &mut out);
    peers(base, head, &mut out);
    logs(base, head, &mut out);
    let mut out: Vec<_> = out.into_iter().map(|e| gated(e, rules)).collect();
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

/// What a gate of the file makes of a change: its metric is the change's kind, and an absolute tolerance is a number of calls.
fn gated(mut e: ExactChange, rules: &Rules<'_>) -> ExactChange {
    let Some((at, gate)) = rules.gates.of(&e.kind, &e.operation) else { return e };
    e.gate = Some(at);
    if let Some(critical) = gate.critical {
        e.critical = critical;
        // Who names a new peer or call path critical wants to hear of it.
        e.worse |= critical && e.base == 0 && e.head > 0;
    }
    if e.kind == "calls"
        && let Ok(most) = gate.tolerance("count", e.base as f64, 1.0)
    {
        e.worse &= e.head as f64 > e.base as f64 * most;
    }
    e
}

/// In a sentence.
pub(super) fn sentence(e: &ExactChange) -> String {
    match e.kind.as_str() {
        "calls" => format!("a request of {} calls {} {} times, it was {}", e.operation, e.what, e.head, e.base),
        "error" => format!("{} fails in a new way, {} times: {}", e.operation, e.head, e.what),
        "path" if e.base == 0 => format!("{} calls {}, which it did not before", e.operation, e.what),
        "log" if e.base == 0 => format!("new log lines, {} of them: {}", e.head, e.what),
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
                gate: None,
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
                gate: None,
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
                gate: None,
                traces: (trace(base), trace(head)),
            });
        }
    }
}

/// Calls that some requests of every run of one side make, and none of the other.
fn paths(base: &[&Facts], head: &[&Facts], out: &mut Vec<ExactChange>) {
    for name in common(base, head) {
        let runs = || base.iter().chain(head).filter_map(|f| f.operations.get(&name));
        let callees: BTreeSet<&String> = runs().flat_map(|o| o.calls.keys()).collect();
        for callee in callees {
            let calls = |f: &Facts| f.operations.get(&name).map_or(0, |o| o.calls_of(callee));
            let usual = usual(&name, callee, base).zip(usual(&name, callee, head));
            // What the usual number of calls tells already is not told twice.
            if usual.is_none_or(|(b, h)| b == h) {
                one_sided("path", &name, callee, (base, head), &calls, out);
            }
        }
    }
}

/// Whom services talk to in every run of one side, and in none of the other. Only where all runs have packets.
fn peers(base: &[&Facts], head: &[&Facts], out: &mut Vec<ExactChange>) {
    if base.iter().chain(head).all(|f| f.has.contains("packets")) {
        let names: BTreeSet<&String> = base.iter().chain(head).flat_map(|f| f.edges.keys()).collect();
        for name in names {
            let connections = |f: &Facts| f.edges.get(name).map_or(0, |e| e.connections.max(1));
            one_sided("peer", name, "connections", (base, head), &connections, out);
        }
    }
}

/// Kinds of log lines likewise. One of errors that appears is worse.
fn logs(base: &[&Facts], head: &[&Facts], out: &mut Vec<ExactChange>) {
    if base.iter().chain(head).all(|f| f.has.contains("log lines")) {
        let names: BTreeSet<&String> = base.iter().chain(head).flat_map(|f| f.logs.keys()).collect();
        for name in names {
            let before = out.len();
            one_sided("log", "log", name, (base, head), &|f| f.logs.get(name).map_or(0, |l| l.0), out);
            let error = head.iter().any(|f| f.logs.get(name).is_some_and(|l| l.1));
            out.iter_mut().skip(before).for_each(|e| e.worse = error && e.base == 0);
        }
    }
}

/// Adds what every run of one side has, often enough, and no run of the other.
fn one_sided(
    kind: &str,
    of: &str,
    what: &str,
    (base, head): (&[&Facts], &[&Facts]),
    count: &dyn Fn(&Facts) -> u64,
    out: &mut Vec<ExactChange>,
) {
    let least = if kind == "peer" { 1 } else { ERRORS };
    let sum = |runs: &[&Facts]| runs.iter().map(|f| count(f)).sum::<u64>();
    let all = |runs: &[&Facts]| runs.iter().all(|f| count(f) > 0);
    let (b, h) = (sum(base), sum(head));
    if (b == 0 && h >= least && all(head)) || (h == 0 && b >= least && all(base)) {
        let trace = |runs: &[&Facts]| runs.iter().find_map(|f| f.operations.get(of)?.trace.clone());
        out.push(ExactChange {
            kind: kind.to_owned(),
            operation: of.to_owned(),
            what: what.to_owned(),
            base: b,
            head: h,
            worse: false,
            critical: false,
            gate: None,
            traces: (trace(base), trace(head)),
        });
    }
}
