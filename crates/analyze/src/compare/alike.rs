//! Whether the sides are comparable: what is not alike beside what is measured.

use std::collections::BTreeSet;

use coldcase_model::Nanos;
use coldcase_model::compare::Difference;

use super::facts::Facts;

/// How far mean duration, or the rate of requests, may lie apart before it is told: a fifth.
const APART: f64 = 1.2;

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
    let lost = |runs: &[&Facts]| runs.iter().map(|f| f.run.lost).sum::<u64>();
    let (b, h) = (lost(base), lost(head));
    if (b > 0) != (h > 0) {
        let words = |n: u64| format!("{n} events");
        out.push(Difference { what: "what was lost".into(), base: words(b), head: words(h), misleads: false });
    }
    out.sort_by_key(|d| !d.misleads);
    out
}
