//! Whether the sides are comparable: what is not alike beside what is measured.

use std::collections::{BTreeMap, BTreeSet};

use coldcase_model::Nanos;
use coldcase_model::compare::Difference;

use super::facts::Facts;

/// How far mean duration, or the rate of requests, may lie apart before it is told: a fifth.
const APART: f64 = 1.2;

/// Shares of operations that may lie apart (half the sum of differences) before it is told, and before it misleads: other requests wait
/// behind other requests.
const MIX: (f64, f64) = (0.05, 0.25);
/// Share of events that one side may lose more than the other before it misleads.
const LOST: f64 = 0.01;

/// What differs, the misleading first.
pub(super) fn differences(base: &[&Facts], head: &[&Facts]) -> Vec<Difference> {
    let mut out = Vec::new();
    let mut told = |what: &str, misleads: bool, of: &dyn Fn(&Facts) -> String| {
        let side = |runs: &[&Facts]| runs.iter().map(|f| of(f)).collect::<BTreeSet<String>>();
        let (b, h) = (side(base), side(head));
        if b != h {
            let words = |s: BTreeSet<String>| {
                let all: Vec<String> =
                    s.into_iter().map(|v| if v.is_empty() { "unknown".to_owned() } else { v }).collect();
                all.join(" or ")
            };
            out.push(Difference { what: what.to_owned(), base: words(b), head: words(h), misleads });
        }
    };
    told("the CPU model", true, &|f| f.host.cpu_model.clone());
    told("the number of CPUs", true, &|f| f.host.cpus.to_string());
    told("the machine's memory", false, &|f| format!("{} GiB", f.host.memory >> 30));
    told("the kernel", false, &|f| f.host.kernel.clone());
    told("the host", false, &|f| f.host.name.clone());
    told("what was recorded", false, &|f| f.sources.join(" "));
    told("whether all bundles are sealed", false, &|f| if f.sealed { "sealed".into() } else { "not sealed".into() });
    let mean =
        |runs: &[&Facts], of: &dyn Fn(&Facts) -> f64| runs.iter().map(|f| of(f)).sum::<f64>() / runs.len() as f64;
    let seconds = |f: &Facts| f.run.duration as f64 / 1e9;
    let apart = |a: f64, b: f64| a.max(b) > APART * a.min(b);
    let (b, h) = (mean(base, &seconds), mean(head, &seconds));
    if apart(b, h) {
        let time = |s: f64| Nanos((s * 1e9) as u64).to_string();
        out.push(Difference { what: "the duration".into(), base: time(b), head: time(h), misleads: false });
    }
    let rate = |f: &Facts| f.run.requests as f64 / seconds(f).max(1e-9);
    let (b, h) = (mean(base, &rate), mean(head, &rate));
    if apart(b, h) {
        let words = |r: f64| format!("{r:.1} requests/s");
        out.push(Difference { what: "the load".into(), base: words(b), head: words(h), misleads: false });
    }
    let names = |runs: &[&Facts]| runs.iter().flat_map(|f| f.operations.keys().cloned()).collect::<BTreeSet<_>>();
    let (b, h) = (names(base), names(head));
    if b.is_disjoint(&h) {
        let some =
            |s: &BTreeSet<String>| s.iter().next().cloned().map_or("none".to_owned(), |n| format!("{n} and others"));
        out.push(Difference { what: "the set of operations".into(), base: some(&b), head: some(&h), misleads: true });
    }
    let lost = |runs: &[&Facts]| runs.iter().fold(0u64, |sum, f| sum.saturating_add(f.run.lost));
    let share = |runs: &[&Facts]| {
        let all = runs.iter().fold(lost(runs), |sum, f| sum.saturating_add(f.events));
        lost(runs) as f64 / all.max(1) as f64
    };
    let misleads = (share(base) - share(head)).abs() > LOST;
    if misleads || (lost(base) > 0) != (lost(head) > 0) {
        let words = |runs: &[&Facts]| format!("{} events ({:.1}%)", lost(runs), 100.0 * share(runs));
        out.push(Difference { what: "what was lost".into(), base: words(base), head: words(head), misleads });
    }
    out.extend(mix(base, head));
    out.sort_by_key(|d| !d.misleads);
    out
}

/// Another mix of requests.
fn mix(base: &[&Facts], head: &[&Facts]) -> Option<Difference> {
    let shares = |runs: &[&Facts]| {
        let all: usize = runs.iter().map(|f| f.requests()).sum();
        let mut of = BTreeMap::<String, f64>::new();
        for (name, o) in runs.iter().flat_map(|f| &f.operations) {
            *of.entry(name.clone()).or_default() += o.durations.len() as f64 / all.max(1) as f64;
        }
        of
    };
    let (b, h) = (shares(base), shares(head));
    let of = |side: &BTreeMap<String, f64>, name: &String| side.get(name).copied().unwrap_or(0.0);
    let names: BTreeSet<&String> = b.keys().chain(h.keys()).collect();
    if b.is_empty() || h.is_empty() {
        return None;
    }
    let apart: f64 = names.iter().map(|n| (of(&b, n) - of(&h, n)).abs()).sum::<f64>() / 2.0;
    let most = names.iter().max_by(|x, y| {
        let by = |n: &String| (of(&b, n) - of(&h, n)).abs();
        by(x).total_cmp(&by(y)).then_with(|| y.cmp(x))
    })?;
    let words = |side: &BTreeMap<String, f64>| format!("{:.0}% {most}", 100.0 * of(side, most));
    let misleads = apart > MIX.1;
    (apart > MIX.0).then(|| Difference {
        what: "the mix of requests".into(),
        base: words(&b),
        head: words(&h),
        misleads,
    })
}
