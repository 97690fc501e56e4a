//! Functions by their share of what their service did on, or waited for off, the CPU: new and gone ones, and those that changed.

use std::collections::{BTreeMap, HashMap};

use coldcase_model::compare::FunctionShare;

use super::facts::Facts;
use super::measure::ALPHA;
use super::{LEAST_RUNS, Sides, stats};

/// A share from which a function is looked at: on one side at least.
const LEAST: f64 = 0.01;
/// The same with too few runs for an interval: then only what one side lacks is told.
const LEAST_FEW: f64 = 0.03;
/// Functions that are told.
const MOST: usize = 60;
/// Waits of threads that have nothing to do.
const IDLE: [&str; 5] = ["[poll]", "[sleep]", "[condition]", "[child process]", "[signal]"];

/// Kind, service and function.
type Key<'a> = (&'a str, &'a str, &'a str);

/// Functions of a run: the share of each, and its depth.
type Functions<'a> = HashMap<&'a str, (f64, usize)>;

/// A function's share in each run, and how deep in the stacks it is.
#[derive(Default)]
struct Shares {
    of: Vec<f64>,
    depth: usize,
}

/// Those that changed most first.
pub(super) fn changed(sides: &Sides<'_>) -> Vec<FunctionShare> {
    let runs = sides.runs();
    let mut all = BTreeMap::<Key<'_>, Shares>::new();
    for (at, f) in runs.iter().enumerate() {
        for ((service, kind), functions) in of_run(f) {
            for (function, (share, depth)) in functions {
                let shares = all.entry((kind, service, function)).or_default();
                shares.of.resize(runs.len(), 0.0);
                shares.of[at] = share;
                shares.depth = shares.depth.max(depth);
            }
        }
    }
    let split = sides.base.len();
    let mean = |of: &[f64]| of.iter().sum::<f64>() / of.len().max(1) as f64;
    let few = split.min(runs.len() - split) < LEAST_RUNS;
    let least = if few { LEAST_FEW } else { LEAST };
    all.retain(|_, s| mean(&s.of[..split]).max(mean(&s.of[split..])) >= least);
    innermost(&mut all);
    let mut out: Vec<(f64, FunctionShare)> = all
        .into_iter()
        .map(|((kind, service, function), s)| {
            let (base, head) = s.of.split_at(split);
            let d = stats::welch(base, head).filter(|_| !few);
            let change = match (base.iter().any(|&v| v > 0.0), head.iter().any(|&v| v > 0.0)) {
                (false, true) if head.iter().all(|&v| v > 0.0) => "new",
                (true, false) if base.iter().all(|&v| v > 0.0) => "gone",
                _ if mean(head) > mean(base) => "more",
                _ => "less",
            };
            let told = FunctionShare {
                kind: kind.to_owned(),
                service: service.to_owned(),
                function: function.to_owned(),
                base: mean(base),
                head: mean(head),
                interval: d.map(|d| d.interval()),
                change: change.to_owned(),
            };
            (d.map_or(1.0, |d| d.p_beyond(0.0)), told)
        })
        .collect();
    let p: Vec<f64> = out.iter().map(|(p, _)| *p).collect();
    for (corrected, (p, _)) in stats::benjamini_hochberg(&p).into_iter().zip(&mut out) {
        *p = corrected;
    }
    out.retain(|(p, f)| *p < ALPHA || f.change == "new" || f.change == "gone");
    let size = |f: &FunctionShare| (f.head - f.base).abs();
    out.sort_by(|(_, a), (_, b)| {
        size(b)
            .total_cmp(&size(a))
            .then_with(|| (&a.kind, &a.service, &a.function).cmp(&(&b.kind, &b.service, &b.function)))
    });
    out.into_iter().map(|(_, f)| f).take(MOST).collect()
}

/// The shares of functions in a run, and their depth, by service and kind.
fn of_run(f: &Facts) -> BTreeMap<(&str, &str), Functions<'_>> {
    let mut out = BTreeMap::new();
    for (name, service) in &f.services {
        for (kind, stacks) in &service.stacks {
            let counted = || stacks.iter().filter(|(s, _)| !IDLE.contains(&s.split(';').next().unwrap_or_default()));
            let all = counted().fold(0u64, |sum, (_, w)| sum.saturating_add(*w));
            if all == 0 {
                continue;
            }
            let mut functions = Functions::new();
            for (stack, &weight) in counted() {
                let mut seen = std::collections::HashSet::new();
                for (depth, frame) in stack.split(';').enumerate().filter(|(_, f)| !f.starts_with('[') && !f.is_empty())
                {
                    // A function that calls itself counts once.
                    if seen.insert(frame) {
                        let sum = functions.entry(frame).or_default();
                        sum.0 += weight as f64 / all as f64;
                        sum.1 = sum.1.max(depth);
                    }
                }
            }
            out.insert((name.as_str(), kind.as_str()), functions);
        }
    }
    out
}

/// Of functions with the very same shares in all runs the innermost is kept: the others only pass on to it.
fn innermost(all: &mut BTreeMap<Key<'_>, Shares>) {
    let key = |k: &Key<'_>, s: &Shares| {
        (k.0.to_owned(), k.1.to_owned(), s.of.iter().map(|v| (v * 1e9).round() as u64).collect::<Vec<_>>())
    };
    let mut deepest = HashMap::<_, usize>::new();
    for (k, s) in all.iter() {
        let depth = deepest.entry(key(k, s)).or_default();
        *depth = (*depth).max(s.depth);
    }
    all.retain(|k, s| deepest.get(&key(k, s)) == Some(&s.depth));
}
