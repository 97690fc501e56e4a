//! What the page draws: durations of operations, and stacks of services, of both sides.

use std::collections::BTreeMap;

use coldcase_model::analysis::{FlameDiff, StackChange};
use coldcase_model::compare::{Decision, Distribution, Measure, Pictures};

use super::Sides;
use super::facts::Facts;
use crate::quantile::quantile;

/// Operations that are drawn.
const MOST: usize = 8;
/// Bins of each, of equal ratio.
const BINS: usize = 48;
/// Stacks of a kind that are kept; the smaller ones are left out.
const STACKS: usize = 20_000;

pub(super) fn pictures(sides: &Sides<'_>, measures: &[Measure]) -> Pictures {
    // Those that fail or may fail first: measures are in that order.
    let mut names = Vec::<&str>::new();
    let told = |m: &&Measure| {
        m.measure.starts_with("latency")
            && (m.critical || m.decision == Decision::Worse || m.decision == Decision::Better)
    };
    let worse = measures.iter().filter(told).filter(|m| m.decision == Decision::Worse);
    for m in worse.chain(measures.iter().filter(told)) {
        if !names.contains(&m.operation.as_str()) && names.len() < MOST {
            names.push(&m.operation);
        }
    }
    Pictures {
        distributions: names.into_iter().filter_map(|n| distribution(sides, n)).collect(),
        flames: ["on-cpu", "off-cpu"].into_iter().filter_map(|kind| flame(sides, kind)).collect(),
    }
}

fn distribution(sides: &Sides<'_>, name: &str) -> Option<Distribution> {
    let durations = |runs: &[&Facts]| -> Vec<u64> {
        let mut all: Vec<u64> =
            runs.iter().filter_map(|f| f.operations.get(name)).flat_map(|o| o.durations.iter().copied()).collect();
        all.sort_unstable();
        all
    };
    let (base, head) = (durations(sides.base), durations(sides.head));
    // A few that are far off would leave one bin to the rest.
    let low = base.first()?.min(head.first()?).max(&1);
    let high = quantile(&base, 99).max(quantile(&head, 99)).saturating_mul(2).max(low + BINS as u64);
    let step = (high as f64 / *low as f64).powf(1.0 / BINS as f64);
    let bounds: Vec<u64> = (0..BINS).map(|i| (*low as f64 * step.powi(i as i32)) as u64).collect();
    let counted = |of: &[u64]| {
        let mut bins = vec![0u64; BINS];
        for &d in of {
            bins[bounds.partition_point(|&b| b <= d).saturating_sub(1)] += 1;
        }
        bins
    };
    let medians = |runs: &[&Facts]| {
        runs.iter().filter_map(|f| f.operations.get(name)).map(|o| quantile(&o.durations, 50)).collect()
    };
    Some(Distribution {
        operation: name.to_owned(),
        base: counted(&base),
        head: counted(&head),
        base_medians: medians(sides.base),
        head_medians: medians(sides.head),
        bounds,
    })
}

/// Stacks of services, by weight per request.
fn flame(sides: &Sides<'_>, kind: &str) -> Option<FlameDiff> {
    let mut all = BTreeMap::<String, (u64, u64)>::new();
    let mut add = |runs: &[&Facts], side: fn(&mut (u64, u64)) -> &mut u64| {
        for (name, service) in runs.iter().flat_map(|f| &f.services) {
            for (stack, weight) in service.stacks.get(kind).into_iter().flatten() {
                let sum = side(all.entry(format!("{name};{stack}")).or_default());
                *sum = sum.saturating_add(*weight);
            }
        }
    };
    add(sides.base, |w| &mut w.0);
    add(sides.head, |w| &mut w.1);
    let requests = |runs: &[&Facts]| runs.iter().map(|f| f.requests() as u64).sum::<u64>();
    let (base, window) = (requests(sides.base), requests(sides.head));
    if all.is_empty() || base == 0 || window == 0 {
        return None;
    }
    let mut stacks: Vec<StackChange> = all
        .into_iter()
        .map(|(stack, (b, h))| StackChange {
            change: h as f64 / window as f64 - b as f64 / base as f64,
            stack,
            base: b,
            window: h,
        })
        .collect();
    stacks.sort_by(|a, b| {
        b.base.saturating_add(b.window).cmp(&a.base.saturating_add(a.window)).then_with(|| a.stack.cmp(&b.stack))
    });
    stacks.truncate(STACKS);
    stacks.sort_by(|a, b| a.stack.cmp(&b.stack));
    let unit = if kind == "on-cpu" { "samples" } else { "ns" };
    Some(FlameDiff {
        kind: kind.to_owned(),
        unit: unit.to_owned(),
        by: "process".to_owned(),
        window,
        base,
        stacks,
        functions: Vec::new(),
    })
}
