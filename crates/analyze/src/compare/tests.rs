#![allow(clippy::unwrap_used)]
use std::collections::BTreeMap;

use coldcase_model::compare::Run;
use coldcase_model::manifest::HostEntry;

use super::facts::{Operation, Service};
use super::*;

fn sides_of(base: Vec<Facts>, head: Vec<Facts>) -> Comparison {
    of_facts(&base.iter().collect::<Vec<_>>(), &head.iter().collect::<Vec<_>>())
}

/// A run of one operation: 500 requests around a middle that is the run's own luck, `errors` of them failed, `queries` calls each.
fn run(number: u64, middle: u64, errors: u64, queries: u64) -> Facts {
    let luck = 1.0 + (number * 7 % 5) as f64 / 100.0;
    let mut durations: Vec<u64> = (0..500).map(|i| ((middle + i * middle / 1000) as f64 * luck) as u64).collect();
    durations.sort_unstable();
    let mut operation = Operation { durations, errors, trace: Some(format!("{number:032x}")), ..Operation::default() };
    operation.calls.insert("SELECT (orders)".into(), BTreeMap::from([(queries, 500)]));
    if errors > 0 {
        operation.error_texts.insert("timeout after # ms".into(), (errors, Some("ab".into())));
    }
    let mut facts = Facts {
        run: Run { id: format!("{number:016x}"), duration: 10_000_000_000, requests: 500, ..Run::default() },
        host: HostEntry { cpus: 2, cpu_model: "m".into(), ..HostEntry::default() },
        sealed: true,
        ..Facts::default()
    };
    facts.operations.insert("POST /order (orders)".into(), operation);
    facts.services.insert("orders".into(), Service { requests: 500, samples: 900, ..Service::default() });
    facts
}

fn side(from: u64, middle: u64, errors: u64, queries: u64) -> Vec<Facts> {
    (from..from + 5).map(|n| run(n, middle, errors, queries)).collect()
}

#[test]
fn sides_that_are_alike_pass() {
    let c = sides_of(side(0, 1_000_000, 0, 2), side(10, 1_000_000, 0, 2));
    assert_eq!(c.verdict, Verdict::Pass, "{:?}", c.reasons);
    assert!(c.exact.is_empty() && c.differences.is_empty());
    assert!(c.measures.iter().all(|m| m.decision == Decision::NotShown), "{:?}", c.measures);
}

#[test]
fn a_fifth_more_is_a_regression_and_less_is_none() {
    let c = sides_of(side(0, 1_000_000, 0, 2), side(10, 1_200_000, 0, 2));
    assert_eq!(c.verdict, Verdict::Regression);
    assert!(c.reasons[0].starts_with("latency p"), "{:?}", c.reasons);
    let p50 = c.measures.iter().find(|m| m.measure == "latency p50").unwrap();
    let effect = p50.effect.unwrap();
    assert!((1.15..1.25).contains(&effect.estimate) && effect.low > 1.1 && effect.p < 0.01, "{effect:?}");
    let c = sides_of(side(0, 1_200_000, 0, 2), side(10, 1_000_000, 0, 2));
    assert_eq!(c.verdict, Verdict::Pass);
    assert!(c.measures.iter().any(|m| m.decision == Decision::Better));
}

#[test]
fn one_more_query_and_a_new_error_need_no_statistics() {
    let c = sides_of(vec![run(0, 1_000_000, 0, 2)], vec![run(10, 1_000_000, 9, 3)]);
    assert_eq!(c.verdict, Verdict::Regression);
    let kinds: Vec<&str> = c.exact.iter().map(|e| e.kind.as_str()).collect();
    assert_eq!(kinds, ["calls", "error"]);
    assert_eq!((c.exact[0].base, c.exact[0].head), (2, 3));
    assert_eq!(c.exact[1].what, "timeout after # ms");
}

#[test]
fn few_runs_and_unlike_machines_and_nothing_in_common_are_inconclusive() {
    let c = sides_of(vec![run(0, 1_000_000, 0, 2)], vec![run(10, 5_000_000, 0, 2)]);
    assert_eq!(c.verdict, Verdict::Inconclusive, "one run a side fails nothing by its times: {:?}", c.reasons);
    let mut other = side(10, 1_500_000, 0, 2);
    other.iter_mut().for_each(|f| f.host.cpus = 8);
    let c = sides_of(side(0, 1_000_000, 0, 2), other);
    assert_eq!(c.verdict, Verdict::Inconclusive);
    assert!(c.reasons[0].contains("number of CPUs"), "{:?}", c.reasons);
    let mut other = side(10, 1_000_000, 0, 2);
    for f in &mut other {
        let operation = f.operations.remove("POST /order (orders)").unwrap();
        f.operations.insert("GET / (web)".into(), operation);
    }
    let c = sides_of(side(0, 1_000_000, 0, 2), other);
    assert_eq!(c.verdict, Verdict::Inconclusive, "{:?}", c.reasons);
    assert_eq!(c.exact.len(), 2, "one is gone and one is new");
}

#[test]
fn no_value_is_ever_not_a_number() {
    let mut zero = side(0, 0, 0, 0);
    zero[2].run.duration = 0;
    let c = sides_of(zero, side(10, 0, 0, 0));
    for m in &c.measures {
        assert!(m.base.iter().chain(&m.head).all(|v| v.is_finite()), "{m:?}");
        assert!(m.effect.is_none_or(|e| [e.estimate, e.low, e.high, e.p].iter().all(|v| v.is_finite())), "{m:?}");
    }
    let empty = || vec![Facts { run: Run { id: "e".into(), ..Run::default() }, ..Facts::default() }];
    let c = sides_of(empty(), side(10, 1, 0, 0));
    assert_eq!(c.verdict, Verdict::Inconclusive);
}
