//! Measures: one value a run, and what the runs of both sides say of it.

use std::collections::BTreeSet;

use coldcase_model::compare::{Decision, Effect, Measure};

use super::facts::{Facts, Operation};
use super::{LEAST_RUNS, stats};
use crate::quantile::quantile;

/// Level of the decisions.
const ALPHA: f64 = 0.05;
/// Operations whose measures are critical: those that take most time. Three measures each make the six gates that few runs can carry.
const CRITICAL: usize = 2;
/// Requests in every run before a median, and a 99th percentile, are taken.
const MEDIAN: usize = 20;
const TAIL: usize = 200;

/// What may be measured, with how much worse it may be.
struct Kind {
    name: &'static str,
    unit: &'static str,
    tolerance: f64,
    more_is_worse: bool,
    /// What is less than this is as much as this: there the ratio of two values says nothing.
    floor: f64,
}

const P50: Kind = Kind { name: "latency p50", unit: "ns", tolerance: 1.02, more_is_worse: true, floor: 1.0 };
const P99: Kind = Kind { name: "latency p99", unit: "ns", tolerance: 1.05, more_is_worse: true, floor: 1.0 };
const ERRORS: Kind = Kind { name: "errors", unit: "share", tolerance: 0.002, more_is_worse: true, floor: 0.0 };
const RATE: Kind =
    Kind { name: "requests per second", unit: "per second", tolerance: 1.05, more_is_worse: false, floor: 1e-6 };
const CPU: Kind =
    Kind { name: "CPU samples per request", unit: "samples", tolerance: 1.05, more_is_worse: true, floor: 1e-3 };
const WAIT: Kind = Kind { name: "wait per request", unit: "ns", tolerance: 1.10, more_is_worse: true, floor: 1_000.0 };

/// All measures that every run has: critical first, then by how sure and how large.
pub(super) fn measures(base: &[&Facts], head: &[&Facts]) -> Vec<Measure> {
    let runs: Vec<&Facts> = base.iter().chain(head).copied().collect();
    let mut out = Vec::new();
    let mut add = |kind: &Kind, of: &str, critical: bool, value: &dyn Fn(&Facts) -> Option<f64>| {
        let side = |runs: &[&Facts]| runs.iter().map(|f| value(f)).collect::<Option<Vec<f64>>>();
        if let (Some(b), Some(h)) = (side(base), side(head)) {
            out.push(measure(kind, of, critical, b, h));
        }
    };
    let names = common(&runs);
    for (at, name) in names.iter().enumerate() {
        let critical = at < CRITICAL;
        let with = |least: usize| move |o: &&Operation| o.durations.len() >= least;
        let percentile =
            |f: &Facts, least, p| f.operations.get(name).filter(with(least)).map(|o| quantile(&o.durations, p) as f64);
        add(&P50, name, critical, &|f| percentile(f, MEDIAN, 50));
        add(&P99, name, critical, &|f| percentile(f, TAIL, 99));
        let errors = |o: &Operation| o.errors as f64 / o.durations.len() as f64;
        add(&ERRORS, name, critical, &|f| f.operations.get(name).filter(with(MEDIAN)).map(errors));
        add(&RATE, name, false, &|f| f.rate(name));
    }
    let services: BTreeSet<&String> = runs.iter().flat_map(|f| f.services.keys()).collect();
    for name in services {
        let per_request = |f: &Facts, n: u64| {
            let requests = f.services.get(name).map_or(0, |s| s.requests);
            (requests >= MEDIAN as u64).then(|| n as f64 / requests as f64)
        };
        if runs.iter().all(|f| f.services.get(name).is_some_and(|s| s.samples >= 50)) {
            add(&CPU, name, false, &|f| per_request(f, f.services.get(name)?.samples));
        }
        let reasons: BTreeSet<&String> =
            runs.iter().filter_map(|f| f.services.get(name)).flat_map(|s| s.waits.keys()).collect();
        for reason in reasons {
            let of = format!("{name}: {reason}");
            add(&WAIT, &of, false, &|f| per_request(f, f.services.get(name)?.waits.get(reason).copied().unwrap_or(0)));
        }
    }
    decide(&mut out);
    let size = |m: &Measure| {
        m.effect.map_or(0.0, |e| if m.unit == "share" { e.estimate.abs() } else { e.estimate.ln().abs() })
    };
    out.sort_by(|a, b| {
        (!a.critical, a.decision)
            .cmp(&(!b.critical, b.decision))
            .then(size(b).total_cmp(&size(a)))
            .then_with(|| (&a.operation, &a.measure).cmp(&(&b.operation, &b.measure)))
    });
    out
}

/// In a sentence.
pub(super) fn sentence(m: &Measure) -> String {
    let effect = m.effect_words().map_or(String::new(), |e| format!(", {e}"));
    let value = |v: f64| m.value_words(v);
    format!("{} of {} is {}, it was {}{effect}", m.measure, m.operation, value(m.centre.1), value(m.centre.0))
}

/// Operations that all runs have, those that take most time in the base first.
fn common(runs: &[&Facts]) -> Vec<String> {
    let Some(first) = runs.first() else { return Vec::new() };
    let mut names: Vec<(u128, &String)> = first
        .operations
        .iter()
        .filter(|(name, _)| runs.iter().all(|f| f.operations.get(*name).is_some_and(|o| o.durations.len() >= MEDIAN)))
        .map(|(name, o)| (o.durations.iter().map(|&d| u128::from(d)).sum(), name))
        .collect();
    names.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(b.1)));
    names.into_iter().map(|(_, name)| name.clone()).collect()
}

fn measure(kind: &Kind, operation: &str, critical: bool, base: Vec<f64>, head: Vec<f64>) -> Measure {
    let share = kind.unit == "share";
    let scaled =
        |of: &[f64]| -> Vec<f64> { of.iter().map(|&v| if share { v } else { v.max(kind.floor).ln() }).collect() };
    let (b, h) = (scaled(&base), scaled(&head));
    let back = |v: f64| if share { v } else { v.exp() };
    let mean = |of: &[f64]| back(of.iter().sum::<f64>() / of.len().max(1) as f64);
    let limit = if share { kind.tolerance } else { kind.tolerance.ln() };
    let enough = base.len().min(head.len()) >= LEAST_RUNS;
    let effect = stats::welch(&b, &h).filter(|_| enough).map(|d| {
        let (low, high) = d.interval();
        // For what should be more, worse is the other way.
        let p = if kind.more_is_worse { d.p_above(limit) } else { 1.0 - d.p_above(-limit) };
        Effect {
            estimate: back(d.estimate),
            low: back(low),
            high: back(high),
            p,
            runs_needed: d.runs_needed(limit, ALPHA),
        }
    });
    Measure {
        measure: kind.name.to_owned(),
        operation: operation.to_owned(),
        unit: kind.unit.to_owned(),
        centre: (mean(&b), mean(&h)),
        base,
        head,
        effect,
        tolerance: kind.tolerance,
        more_is_worse: kind.more_is_worse,
        critical,
        decision: if effect.is_some() { Decision::NotShown } else { Decision::TooFew },
    }
}

/// Corrects what is likely by chance for how many measures there are, and decides.
fn decide(measures: &mut [Measure]) {
    for critical in [true, false] {
        let at: Vec<usize> =
            (0..measures.len()).filter(|&i| measures[i].critical == critical && measures[i].effect.is_some()).collect();
        let p: Vec<f64> = at.iter().filter_map(|&i| measures[i].effect.map(|e| e.p)).collect();
        let corrected = if critical { stats::holm(&p) } else { stats::benjamini_hochberg(&p) };
        for (&i, &p) in at.iter().zip(&corrected) {
            let m = &mut measures[i];
            let Some(effect) = &mut m.effect else { continue };
            effect.p = p;
            let share = m.unit == "share";
            let (more, less) = if share { (m.tolerance, -m.tolerance) } else { (m.tolerance, 1.0 / m.tolerance) };
            let (above, below) = (effect.low > more, effect.high < less);
            let (worse, better) = if m.more_is_worse { (above, below) } else { (below, above) };
            m.decision = match (worse && p < ALPHA, better) {
                (true, _) => Decision::Worse,
                (false, true) => Decision::Better,
                (false, false) => Decision::NotShown,
            };
            if m.decision == Decision::Worse {
                effect.runs_needed = 0;
            }
        }
    }
}
