//! Alarms merged under what explains them: an operation that is slower and a service below it that waits longer for a lock are one thing,
//! and the lock is named first.
//!
//! What may explain a slower request is exact (one more call in it), a wait, a statement or CPU time of the services that it passes through.
//! Its growth in a request must be a share of the request's own; where several are, the largest explains it, and the others stand beside it.

use std::collections::{BTreeMap, BTreeSet};

use coldcase_model::Nanos;
use coldcase_model::compare::{Cause, Decision, Direction, ExactChange, FunctionShare, Measure};

use super::facts::{Facts, service_of};
use super::usage::CLASSES;
use super::{Sides, exact, measures};

/// The share of a request's growth that a wait or statement must have grown by, to explain it.
const SHARE: f64 = 0.1;
/// What may explain a request's growth beside the largest.
const BESIDE: usize = 2;
/// Nanoseconds of CPU time that a sample stands for: the recorder's default of 99 a second. Only to rank CPU time among waits.
const SAMPLE: f64 = 1e9 / 99.0;

/// New functions that a cause names.
const FUNCTIONS: usize = 3;

/// Something that may explain alarms.
struct Candidate<'a> {
    measure: &'a Measure,
    service: &'a str,
    kind: &'static str,
    growth: f64,
    shown: bool,
}

/// Alarms merged, those that fail first.
pub(super) fn causes(
    sides: &Sides<'_>,
    exact: &[ExactChange],
    measures: &[Measure],
    functions: &[FunctionShare],
) -> Vec<Cause> {
    let candidates: Vec<Candidate<'_>> = measures.iter().filter_map(candidate).collect();
    let alarms: Vec<&Measure> = measures.iter().filter(|m| m.decision == Decision::Worse && !is_cause(m)).collect();
    let below = Below::new(sides);
    let mut out: Vec<Cause> = exact.iter().filter(|e| e.worse).map(of_exact).collect();
    let named = out.len();
    // By what explains it: the alarms.
    let mut explained = BTreeMap::<usize, Vec<&Measure>>::new();
    let mut unexplained = Vec::<&Measure>::new();
    // Waits for a peer that is slower itself.
    let mut passed_on = BTreeSet::<usize>::new();
    for &alarm in &alarms {
        let operation = alarm.operation.split(" → ").next().unwrap_or(&alarm.operation);
        let reached = below.of(operation);
        if let Some(at) = by_exact(alarm, &reached, exact, named) {
            out[at].explains.push(measures::sentence(alarm));
            out[at].critical |= alarm.critical;
            continue;
        }
        match best(alarm, &reached, &candidates) {
            found if found.is_empty() => unexplained.push(alarm),
            found if alarm.operation == measures::ALL && passes_on(&candidates[found[0]]) => unexplained.push(alarm),
            found
                if passes_on(&candidates[found[0]])
                    && is_own(alarm, &candidates[found[0]])
                    && is_slower_below(alarm, &reached, &alarms) =>
            {
                passed_on.extend(found.into_iter().filter(|&i| is_own(alarm, &candidates[i])));
                unexplained.push(alarm);
            }
            found => {
                explained.entry(found[0]).or_default().push(alarm);
                // What else grew much stands beside it, once.
                for &i in &found[1..] {
                    explained.entry(i).or_default();
                }
            }
        }
    }
    // A wait that is an alarm of its own is told even if no request shows it.
    for (i, c) in candidates.iter().enumerate().filter(|(_, c)| c.shown) {
        let covered = candidates
            .iter()
            .enumerate()
            .any(|(j, other)| explained.contains_key(&j) && other.service == c.service && is_same(other, c));
        if !covered && !passed_on.contains(&i) {
            explained.entry(i).or_default();
        }
    }
    out.extend(explained.into_iter().map(|(i, alarms)| {
        let c = &candidates[i];
        Cause { functions: new_functions(c, functions), ..of_candidate(c, &alarms, sides) }
    }));
    out.extend(by_innermost(&unexplained, &below, sides));
    rank(&mut out);
    out
}

/// Exact ones first among equals, then by how much of a request they are.
fn rank(out: &mut [Cause]) {
    let order = |c: &Cause| (!c.critical, c.explains.is_empty() && c.confidence != "exact", c.confidence != "exact");
    out.sort_by(|a, b| {
        let growth = |c: &Cause| c.growth.unwrap_or(0.0);
        order(a).cmp(&order(b)).then(growth(b).total_cmp(&growth(a))).then_with(|| a.sentence.cmp(&b.sentence))
    });
}

/// Waits, statements and CPU time explain; all else is to be explained.
fn is_cause(m: &Measure) -> bool {
    kind_of(m).is_some()
}

fn kind_of(m: &Measure) -> Option<&'static str> {
    Some(match m.measure.as_str() {
        "wait per request" => "wait",
        "lock wait per request" => "lock",
        "statement p50" | "statement p99" => "statement",
        "CPU samples per request" => "cpu",
        _ => return None,
    })
}

/// A measure that grew surely enough: an alarm, or an interval without "no change".
fn candidate(m: &Measure) -> Option<Candidate<'_>> {
    let kind = kind_of(m)?;
    let effect = m.effect?;
    let shown = m.decision == Decision::Worse;
    // A wait that no run of the base has and two in three of the head is new, however much it scatters.
    let with = m.head.iter().filter(|&&v| v > 0.0).count();
    let new = m.base.iter().all(|&v| v == 0.0) && 3 * with >= 2 * m.head.len();
    let grew = m.decision != Decision::TooFew && (effect.low > 1.0 || new);
    let service = match kind {
        "statement" => service_of(&m.operation)?,
        "cpu" => &m.operation,
        _ => m.operation.split(": ").next()?,
    };
    let scale = if kind == "cpu" { SAMPLE } else { 1.0 };
    let growth = (m.centre.1 - m.centre.0) * scale;
    (shown || grew).then_some(Candidate { measure: m, service, kind, growth, shown })
}

/// Whether a wait is for another process.
fn passes_on(c: &Candidate<'_>) -> bool {
    let what = c.measure.operation.rsplit(": ").next().unwrap_or_default();
    c.kind == "wait"
        && (what == "network wait"
            || ["recv", "read", "poll", "ppoll", "epoll", "select", "pselect"].iter().any(|p| what.starts_with(p)))
}

/// Whether it is of the service of the operation that is to be explained.
fn is_own(alarm: &Measure, c: &Candidate<'_>) -> bool {
    service_of(&alarm.operation) == Some(c.service)
}

/// Whether an operation of another service that a request passes through is slower, too: then it is that one which is to be explained.
fn is_slower_below(alarm: &Measure, reached: &Reached<'_>, alarms: &[&Measure]) -> bool {
    let of_another = |o: &Measure| service_of(&o.operation) != service_of(&alarm.operation);
    alarms
        .iter()
        .any(|o| o.measure == alarm.measure && of_another(o) && reached.operations.contains(o.operation.as_str()))
}

/// Whether two candidates are one wait under two names: as class (`disk wait`) and by its system call (`fsync`).
fn is_same(a: &Candidate<'_>, b: &Candidate<'_>) -> bool {
    let class =
        |c: &Candidate<'_>| CLASSES.iter().any(|(_, words)| c.measure.operation.ends_with(&format!(": {words}")));
    let alike = a.kind == b.kind && (a.kind == "statement") == (b.kind == "statement");
    let near = a.growth.min(b.growth) > 0.5 * a.growth.max(b.growth);
    alike && near && (a.kind != "wait" || class(a) != class(b))
}

/// What explains an alarm: the largest growth first, then others that are nearly as large.
fn best(alarm: &Measure, reached: &Reached<'_>, candidates: &[Candidate<'_>]) -> Vec<usize> {
    // Of a ratio the estimate is what counts: it may be at another pace of the host than the centres.
    let grown = match alarm.effect {
        Some(e) if alarm.unit == "ns" => alarm.centre.0 * (e.estimate - 1.0),
        _ => 0.0,
    };
    let explains = |c: &Candidate<'_>| reached.services.contains(c.service) && c.growth >= SHARE * grown.max(0.0);
    let mut found: Vec<usize> = (0..candidates.len()).filter(|&i| explains(&candidates[i])).collect();
    // Who waits for a peer passes on what the peer does: that is named only where nothing else is, and of several the one that is called.
    let order = |c: &Candidate<'_>| (passes_on(c), passes_on(c) && is_own(alarm, c));
    found.sort_by(|&a, &b| {
        let (a_is, b_is) = (&candidates[a], &candidates[b]);
        order(a_is).cmp(&order(b_is)).then(b_is.growth.total_cmp(&a_is.growth)).then(a.cmp(&b))
    });
    let mut kept = Vec::<usize>::new();
    for i in found {
        if kept.len() <= BESIDE
            && !kept
                .iter()
                .any(|&k| candidates[k].service == candidates[i].service && is_same(&candidates[k], &candidates[i]))
        {
            kept.push(i);
        }
    }
    // The system call says more than its class.
    for k in &mut kept {
        let named =
            |i: &usize| candidates[*i].service == candidates[*k].service && is_same(&candidates[*i], &candidates[*k]);
        let is_class = |i: usize| {
            CLASSES.iter().any(|(_, words)| candidates[i].measure.operation.ends_with(&format!(": {words}")))
        };
        if is_class(*k)
            && let Some(i) = (0..candidates.len()).find(|i| named(i) && !is_class(*i))
        {
            *k = i;
        }
    }
    kept
}

/// An exact change in the operation or below it, of the first `named`.
fn by_exact(alarm: &Measure, reached: &Reached<'_>, exact: &[ExactChange], named: usize) -> Option<usize> {
    let kind = if alarm.measure == "errors" { "error" } else { "calls" };
    let worse = exact.iter().filter(|e| e.worse).take(named);
    worse.enumerate().find(|(_, e)| e.kind == kind && reached.operations.contains(e.operation.as_str())).map(|(i, _)| i)
}

fn of_exact(e: &ExactChange) -> Cause {
    Cause {
        kind: e.kind.clone(),
        sentence: exact::sentence(e),
        critical: e.critical,
        confidence: "exact".into(),
        growth: None,
        functions: Vec::new(),
        explains: Vec::new(),
        traces: e.traces.clone(),
    }
}

fn of_candidate(c: &Candidate<'_>, alarms: &[&Measure], sides: &Sides<'_>) -> Cause {
    let of = alarms.first().map_or(c.measure.operation.as_str(), |m| m.operation.as_str());
    let m = c.measure;
    let what = m.operation.split_once(": ").map_or(m.operation.as_str(), |(_, what)| what);
    let sentence = match c.kind {
        "lock" => {
            format!("{} waits {} more in a request for the lock of {what} ({})", c.service, time(c.growth), change(m))
        }
        "wait" => format!("{} waits {} more in a request: {what} ({})", c.service, time(c.growth), change(m)),
        "cpu" => format!("{} takes about {} more CPU time in a request ({})", c.service, time(c.growth), change(m)),
        _ => format!("the {} of {} is {} more ({})", m.measure, m.operation, time(c.growth), change(m)),
    };
    Cause {
        kind: c.kind.into(),
        sentence,
        critical: alarms.iter().any(|m| m.critical) || (m.critical && c.shown),
        confidence: if c.shown { "shown" } else { "likely" }.into(),
        growth: Some(c.growth),
        functions: Vec::new(),
        explains: alarms.iter().map(|m| measures::sentence(m)).collect(),
        traces: exemplars(sides, of, c.service),
    }
}

/// Functions that only the head has in the stacks that the candidate is about.
fn new_functions(c: &Candidate<'_>, functions: &[FunctionShare]) -> Vec<String> {
    let kind = if c.kind == "cpu" { "on-cpu" } else { "off-cpu" };
    let new = functions.iter().filter(|f| f.change == "new" && f.kind == kind && f.service == c.service);
    new.take(FUNCTIONS).map(|f| f.function.clone()).collect()
}

fn change(m: &Measure) -> String {
    format!("{} to {}", m.value_words(m.centre.0), m.value_words(m.centre.1))
}

fn time(ns: f64) -> String {
    Nanos(ns.max(0.0) as u64).to_string()
}

/// Alarms that nothing explains, below each other: the innermost operation that shows one leads.
fn by_innermost(alarms: &[&Measure], below: &Below, sides: &Sides<'_>) -> Vec<Cause> {
    let lead = |m: &Measure| {
        let inner = below.of(&m.operation);
        let alike =
            |o: &Measure| o.measure == m.measure || (m.operation == measures::ALL && o.measure == "latency p50");
        let others = alarms
            .iter()
            .filter(|o| alike(o) && o.operation != m.operation && inner.operations.contains(o.operation.as_str()));
        // Of several the one with the least below itself.
        others.min_by_key(|o| (below.of(&o.operation).operations.len(), &o.operation)).map(|o| o.operation.clone())
    };
    let mut groups = BTreeMap::<String, Vec<&Measure>>::new();
    for m in alarms {
        let operation = if m.direction == Direction::Down { None } else { lead(m) };
        groups.entry(operation.unwrap_or_else(|| m.operation.clone())).or_default().push(m);
    }
    let of = |(operation, mut group): (String, Vec<&Measure>)| {
        group.sort_by_key(|m| (m.operation != operation, !m.critical));
        let first = group[0];
        let growth = (first.unit == "ns").then_some(first.centre.1 - first.centre.0);
        Cause {
            kind: first.measure.clone(),
            sentence: measures::sentence(first),
            critical: group.iter().any(|m| m.critical),
            confidence: "shown".into(),
            growth: growth.filter(|g| g.is_finite()),
            functions: Vec::new(),
            explains: group[1..].iter().map(|m| measures::sentence(m)).collect(),
            traces: exemplars(sides, &operation, ""),
        }
    };
    groups.into_iter().map(of).collect()
}

/// A trace of the base and of the head whose request of the operation took about the median of its run; of some operation of the service
/// where the alarm is not of an operation.
fn exemplars(sides: &Sides<'_>, operation: &str, service: &str) -> (Option<String>, Option<String>) {
    let operation = operation.split(" → ").next().unwrap_or(operation);
    let of_service = |f: &Facts| {
        let all = f.operations.iter().filter(|(name, _)| service_of(name) == Some(service));
        all.max_by_key(|(name, o)| (o.durations.len(), std::cmp::Reverse((*name).clone())))
            .and_then(|(_, o)| o.trace.clone())
    };
    let side = |runs: &[&Facts]| {
        // The run in the middle.
        let mut with: Vec<(u64, &String)> = runs
            .iter()
            .filter_map(|f| f.operations.get(operation))
            .filter_map(|o| Some((crate::quantile::quantile(&o.durations, 50), o.trace.as_ref()?)))
            .collect();
        with.sort();
        with.get(with.len() / 2).map(|(_, trace)| (*trace).clone()).or_else(|| runs.iter().find_map(|f| of_service(f)))
    };
    (side(sides.base), side(sides.head))
}

/// What each operation passes through: operations and services, itself among them.
struct Below {
    calls: BTreeMap<String, BTreeSet<String>>,
}

struct Reached<'a> {
    operations: BTreeSet<&'a str>,
    services: BTreeSet<&'a str>,
}

impl Below {
    fn new(sides: &Sides<'_>) -> Below {
        let mut calls = BTreeMap::<String, BTreeSet<String>>::new();
        for (name, o) in sides.runs().iter().flat_map(|f| &f.operations) {
            calls.entry(name.clone()).or_default().extend(o.calls.keys().cloned());
        }
        Below { calls }
    }

    fn of<'a>(&'a self, operation: &'a str) -> Reached<'a> {
        let mut open: Vec<&str> = match operation {
            measures::ALL => self.calls.keys().map(String::as_str).collect(),
            one => vec![one],
        };
        let mut operations: BTreeSet<&str> = open.iter().copied().chain([operation]).collect();
        while let Some(name) = open.pop() {
            for callee in self.calls.get(name).into_iter().flatten() {
                if operations.insert(callee) {
                    open.push(callee);
                }
            }
        }
        let services = operations.iter().filter_map(|o| service_of(o)).collect();
        Reached { operations, services }
    }
}
