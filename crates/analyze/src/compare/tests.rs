#![allow(clippy::unwrap_used)]
use std::collections::BTreeMap;

use coldcase_model::compare::Run;
use coldcase_model::manifest::HostEntry;

use super::operations::Operation;
use super::usage::Service;
use super::*;

fn sides_of(base: Vec<Facts>, head: Vec<Facts>) -> Comparison {
    with(base, head, Vec::new(), &CompareOptions::default())
}

fn with(base: Vec<Facts>, head: Vec<Facts>, history: Vec<Facts>, options: &CompareOptions) -> Comparison {
    let (base, head, history) = (each(&base), each(&head), each(&history));
    of_facts(&Sides { base: &base, head: &head, history: &history }, options)
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
    facts.has.insert("spans");
    facts
}

/// Adds what the service waited for in each request, nanoseconds.
fn waiting(mut of: Vec<Facts>, reason: &str, ns: u64) -> Vec<Facts> {
    for f in &mut of {
        f.has.insert("waits off the CPU");
        let luck = f.run.id.bytes().map(u64::from).sum::<u64>() % 7;
        f.services.get_mut("orders").unwrap().waits.insert(reason.into(), 500 * (ns + ns * luck / 200));
    }
    of
}

fn gates(text: &str) -> CompareOptions {
    CompareOptions { gates: Gates::parse(text).unwrap(), ..CompareOptions::default() }
}

/// A day in the life of the recordings.
fn on(mut of: Vec<Facts>, day: &str) -> Vec<Facts> {
    let at = format!("{day}T12:00:00Z").parse::<jiff::Timestamp>().unwrap();
    of.iter_mut().for_each(|f| f.run.begun = at.as_nanosecond() as i64);
    of
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

#[test]
fn an_alarm_stands_under_the_wait_that_explains_it() {
    let base = waiting(side(0, 1_000_000, 0, 2), "fsync", 100_000);
    let head = waiting(side(10, 1_300_000, 0, 2), "fsync", 400_000);
    let c = sides_of(base, head);
    let first = &c.causes[0];
    assert!(first.sentence.starts_with("orders waits 30") && first.sentence.contains("fsync"), "{:?}", c.causes);
    assert!(first.critical && first.explains.iter().any(|e| e.starts_with("latency p50 of POST /order")), "{first:?}");
    let traces = (first.traces.0.as_deref(), first.traces.1.as_deref());
    assert!(traces.0.is_some() && traces.1.is_some() && traces.0 != traces.1, "{traces:?}");
    let alone = sides_of(side(0, 1_000_000, 0, 2), side(10, 1_300_000, 0, 2));
    assert_eq!((alone.causes.len(), alone.causes[0].kind.starts_with("latency")), (1, true), "{:?}", alone.causes);
    let exact = sides_of(side(0, 1_000_000, 0, 2), side(10, 1_300_000, 0, 3));
    assert_eq!((exact.causes[0].kind.as_str(), exact.causes.len()), ("calls", 1), "{:?}", exact.causes);
    assert!(!exact.causes[0].explains.is_empty());
}

#[test]
fn what_was_not_recorded_is_no_wait_of_zero_and_is_said() {
    let c = sides_of(side(0, 1_000_000, 0, 2), waiting(side(10, 1_000_000, 0, 2), "fsync", 400_000));
    assert!(!c.measures.iter().any(|m| m.measure == "wait per request"), "{:?}", c.measures);
    let told = c.not_compared.iter().find(|n| n.what == "waits off the CPU").unwrap();
    assert_eq!((told.base, told.head), ((0, 5), (5, 5)));
    assert!(c.not_compared.iter().any(|n| n.what == "system calls" && n.hint.contains("--syscalls")));
}

#[test]
fn a_gate_of_the_file_decides_tolerance_and_what_is_critical() {
    let (base, head) = (|| side(0, 1_000_000, 0, 2), || side(10, 1_200_000, 0, 2));
    let c = with(base(), head(), vec![], &gates("[[compare.gate]]\nmetric='latency *'\nrelative='50%'\n"));
    assert_eq!((c.verdict, c.gates[0].matched, c.gates[0].worse), (Verdict::Pass, 2, 0), "{:?}", c.reasons);
    let c =
        with(base(), head(), vec![], &gates("[[compare.gate]]\nmetric='errors'\noperation='POST *'\ncritical=true\n"));
    assert_eq!(c.verdict, Verdict::Pass, "only what the file names is critical: {:?}", c.reasons);
    let c = with(
        head(),
        base(),
        vec![],
        &gates("[[compare.gate]]\nmetric='latency p50'\ndirection='both'\ncritical=true\n"),
    );
    assert_eq!(c.verdict, Verdict::Regression, "a change to the better is one where both are: {:?}", c.reasons);
    let c = with(
        base(),
        base_again(),
        vec![],
        &gates("[[compare.gate]]\nmetric='latency p50'\noperation='GET *'\ncritical=true\n"),
    );
    assert!(c.warnings[0].contains("gate 1 (latency p50 of GET *) matches nothing"), "{:?}", c.warnings);
    assert_eq!(c.verdict, Verdict::Inconclusive, "nothing critical has a value: {:?}", c.reasons);
    let c = with(base(), base_again(), vec![], &gates("[[compare.gate]]\nmetric='*'\ncritical=true\n"));
    assert!(c.warnings.iter().all(|w| !w.contains("more than 6")) || c.measures.len() > 6, "{:?}", c.warnings);
}

fn base_again() -> Vec<Facts> {
    side(10, 1_000_000, 0, 2)
}

#[test]
fn an_override_lets_pass_until_its_day_and_then_fails_whatever_was_measured() {
    let text = "[[compare.gate]]\nmetric='latency *'\noverride-until='2026-12-24'\nreason='new disk'\nowner='ana'\n";
    let live = with(side(0, 1_000_000, 0, 2), on(side(10, 1_300_000, 0, 2), "2026-12-24"), vec![], &gates(text));
    assert_eq!((live.verdict, live.gates[0].override_state.as_str()), (Verdict::Pass, "live"), "{:?}", live.reasons);
    assert!(live.reasons[1].starts_with("let pass until 2026-12-24 (new disk, ana): latency p"), "{:?}", live.reasons);
    let expired = with(side(0, 1_000_000, 0, 2), on(base_again(), "2026-12-25"), vec![], &gates(text));
    assert_eq!(expired.verdict, Verdict::Regression);
    assert!(
        expired.reasons[0].starts_with("the override of latency * of * ended on 2026-12-24 (new disk, ana)"),
        "{:?}",
        expired.reasons
    );
    let calls = "[[compare.gate]]\nmetric='calls'\noverride-until='2026-12-24'\nreason='batching comes'\n";
    let c = with(side(0, 1_000_000, 0, 2), on(side(10, 1_000_000, 0, 3), "2026-12-01"), vec![], &gates(calls));
    assert_eq!(c.verdict, Verdict::Pass, "an exact change is let pass likewise: {:?}", c.reasons);
}

#[test]
fn single_runs_are_judged_by_the_noise_of_earlier_ones() {
    let history = || side(20, 1_000_000, 0, 2);
    let one = |n, middle| vec![run(n, middle, 0, 2)];
    let few = |c: &Comparison| c.measures.iter().find(|m| m.measure == "latency p50").unwrap().clone();
    let without = sides_of(one(0, 1_000_000), one(10, 5_000_000));
    assert_eq!((without.verdict, few(&without).decision), (Verdict::Inconclusive, Decision::TooFew));
    let slow = with(one(0, 1_000_000), one(10, 1_500_000), history(), &CompareOptions::default());
    assert_eq!(slow.verdict, Verdict::Regression, "{:?}", slow.reasons);
    assert_eq!(few(&slow).effect.unwrap().basis, coldcase_model::compare::Basis::History);
    let small = with(one(0, 1_000_000), one(10, 1_030_000), history(), &CompareOptions::default());
    assert_eq!(small.verdict, Verdict::Pass, "a small effect is within what earlier runs scatter: {:?}", small.reasons);
    assert!(few(&small).effect.is_some());
}

#[test]
fn blocks_of_a_single_run_are_reported_and_fail_nothing() {
    let blocks = |mut f: Facts, middle: f64| {
        let o = f.operations.get_mut("POST /order (orders)").unwrap();
        o.blocks = (0..8).map(|i| (middle * (1.0 + f64::from(i % 3) / 100.0), 0.0)).collect();
        vec![f]
    };
    let c = sides_of(blocks(run(0, 1_000_000, 0, 2), 1e6), blocks(run(10, 3_000_000, 0, 2), 3e6));
    let p50 = c.measures.iter().find(|m| m.measure == "latency p50").unwrap();
    assert!(p50.effect.is_some_and(|e| e.low > 2.5 && e.basis == coldcase_model::compare::Basis::Blocks), "{p50:?}");
    assert_eq!((p50.decision, c.verdict), (Decision::TooFew, Verdict::Inconclusive), "{:?}", c.reasons);
}

#[test]
fn equal_is_asked_for_and_shown_or_not() {
    let asked = |share| CompareOptions { equivalent: Some(share), ..CompareOptions::default() };
    let c = with(side(0, 1_000_000, 0, 2), base_again(), vec![], &asked(0.10));
    assert_eq!(c.verdict, Verdict::Pass, "{:?}", c.reasons);
    assert!(c.reasons[0].contains("shown to be equal within 10.0%"), "{:?}", c.reasons);
    let c = with(side(0, 1_000_000, 0, 2), base_again(), vec![], &asked(0.01));
    assert_eq!(c.verdict, Verdict::Inconclusive, "runs that scatter by 2% do not show it: {:?}", c.reasons);
}

#[test]
fn another_mix_is_not_another_speed_and_is_told() {
    let mixed = |from: u64, fast: usize| {
        let mut all = side(from, 1_000_000, 0, 2);
        for f in &mut all {
            let durations = (0..fast as u64).map(|i| 100_000 + i).collect();
            f.operations.insert("GET / (orders)".into(), Operation { durations, ..Operation::default() });
        }
        all
    };
    let c = sides_of(mixed(0, 500), mixed(10, 700));
    let mean = c.measures.iter().find(|m| m.measure == "mean latency").unwrap();
    assert!((mean.centre.1 / mean.centre.0 - 1.0).abs() < 0.05, "{mean:?}");
    let mix = c.differences.iter().find(|d| d.what == "the mix of requests").unwrap();
    assert!(!mix.misleads, "{mix:?}");
    let c = sides_of(mixed(0, 500), mixed(10, 5_000));
    assert_eq!(c.verdict, Verdict::Inconclusive, "{:?}", c.reasons);
}

#[test]
fn lost_events_mislead_where_one_side_lost_many_more() {
    let lossy = |mut of: Vec<Facts>, lost: u64| {
        of.iter_mut().for_each(|f| (f.events, f.run.lost) = (1_000, lost));
        of
    };
    let c = sides_of(lossy(side(0, 1_000_000, 0, 2), 0), lossy(base_again(), 5));
    assert!(c.differences.iter().any(|d| d.what == "what was lost" && !d.misleads), "{:?}", c.differences);
    let c = sides_of(lossy(side(0, 1_000_000, 0, 2), 0), lossy(base_again(), 200));
    assert_eq!(c.verdict, Verdict::Inconclusive);
}

#[test]
fn new_functions_calls_peers_and_log_lines_are_told() {
    let mut head = base_again();
    let mut base = side(0, 1_000_000, 0, 2);
    for (f, new) in base.iter_mut().map(|f| (f, false)).chain(head.iter_mut().map(|f| (f, true))) {
        f.has.extend(["packets", "log lines"]);
        let stacks = &mut f.services.get_mut("orders").unwrap().stacks;
        let on_cpu = stacks.entry("on-cpu".into()).or_default();
        on_cpu.insert("main;serve;read".into(), 80);
        f.logs.insert("order <n> placed".into(), (500, false));
        if new {
            on_cpu.insert("main;serve;checksum".into(), 20);
            f.logs.insert("cannot reach <x>".into(), (5, true));
            f.edges.insert("orders → ledger".into(), Default::default());
            let o = f.operations.get_mut("POST /order (orders)").unwrap();
            o.calls.insert("GET /rate (rates)".into(), BTreeMap::from([(1, 40)]));
        }
    }
    let c = sides_of(base, head);
    let told: Vec<(&str, bool)> = c.exact.iter().map(|e| (e.kind.as_str(), e.worse)).collect();
    assert_eq!(told, [("log", true), ("path", false), ("peer", false)], "{:?}", c.exact);
    let function = c.functions.iter().find(|f| f.function == "checksum").unwrap();
    assert_eq!((function.change.as_str(), function.base, function.head), ("new", 0.0, 0.2));
    assert!(
        c.functions.iter().all(|f| f.function != "main"),
        "all time passes through it on both sides: {:?}",
        c.functions
    );
}

#[test]
fn ten_thousand_operations_and_one_request_and_equal_values_have_a_verdict() {
    let many = |from: u64| {
        let mut all: Vec<Facts> = (from..from + 3).map(|n| run(n, 1_000_000, 0, 2)).collect();
        for f in &mut all {
            for i in 0..10_000 {
                let durations = vec![1_000; 25];
                f.operations.insert(format!("GET /{i} (orders)"), Operation { durations, ..Operation::default() });
            }
        }
        all
    };
    let c = sides_of(many(0), many(10));
    assert_eq!(c.verdict, Verdict::Pass, "{:?}", c.reasons);
    assert!(c.measures.iter().filter(|m| m.critical).count() <= 6);
    let one = |n: u64| {
        let mut f = run(n, 1, 0, 0);
        f.operations.get_mut("POST /order (orders)").unwrap().durations = vec![5];
        f
    };
    let c = sides_of((0..3).map(one).collect(), (10..13).map(one).collect());
    assert_eq!(c.verdict, Verdict::Inconclusive, "{:?}", c.reasons);
    let text = serde_json::to_string(&c).unwrap();
    assert!(!text.contains("null,null"), "{text}");
}

#[test]
fn the_same_runs_give_the_same_bytes() {
    let of = || {
        serde_json::to_string(&sides_of(
            waiting(side(0, 1_000_000, 3, 2), "fsync", 9_000),
            waiting(side(10, 1_100_000, 0, 3), "fsync", 90_000),
        ))
        .unwrap()
    };
    assert_eq!(of(), of());
}

#[test]
fn runs_that_were_recorded_in_turns_are_compared_in_pairs() {
    // Each pair sees another load, which is ten times what changed.
    let at = |n: u64, head: bool| {
        let load = [1.0, 3.0, 1.5, 9.0, 2.0][n as usize];
        let mut f = run(0, (1e6 * load * if head { 1.2 + n as f64 / 1_000.0 } else { 1.0 }) as u64, 0, 2);
        f.run.begun = (20 * n + if head == n.is_multiple_of(2) { 10 } else { 1 }) as i64;
        f
    };
    let side = |head| (0..5).map(|n| at(n, head)).collect::<Vec<_>>();
    let c = sides_of(side(false), side(true));
    let p50 = c.measures.iter().find(|m| m.measure == "latency p50").unwrap();
    assert_eq!(
        (c.verdict, p50.effect.unwrap().basis),
        (Verdict::Regression, coldcase_model::compare::Basis::Pairs),
        "{:?}",
        c.reasons
    );
    let mut unordered = side(true);
    unordered[0].run.begun = 1_000;
    let c = sides_of(side(false), unordered);
    let p50 = c.measures.iter().find(|m| m.measure == "latency p50").unwrap();
    assert_eq!(
        (c.verdict, p50.effect.unwrap().basis),
        (Verdict::Inconclusive, coldcase_model::compare::Basis::Runs),
        "{:?}",
        c.reasons
    );
}

/// Runs whose requests take longer where the host is slower, by the same factor to the power of 1.5.
fn at_paces(from: u64, middle: f64, paces: [f64; 5]) -> Vec<Facts> {
    let at = |(n, pace): (u64, f64)| {
        let mut f = run(from + n, (middle * pace.powf(1.5)) as u64, 0, 2);
        f.pace = Some(7_000.0 * pace);
        f
    };
    (0..5).zip(paces).map(at).collect()
}

#[test]
fn what_follows_from_the_pace_of_the_host_is_no_noise() {
    let (before, after) = ([1.0, 1.3, 0.8, 1.1, 0.9], [0.85, 1.05, 1.25, 0.95, 1.0]);
    let p50 = |c: &Comparison| c.measures.iter().find(|m| m.measure == "latency p50").cloned().unwrap();
    let c = sides_of(at_paces(0, 1e6, before), at_paces(10, 1.1e6, after));
    let m = p50(&c);
    let (effect, plain) = (m.effect.unwrap(), m.as_measured.unwrap());
    assert_eq!(
        (c.verdict, effect.basis),
        (Verdict::Regression, coldcase_model::compare::Basis::Pace),
        "{:?}",
        c.reasons
    );
    assert!(effect.low > 1.05 && effect.high < 1.16, "{effect:?}");
    assert!(plain.low < 0.9 && plain.high > 1.2, "{plain:?}");
    let same = sides_of(at_paces(0, 1e6, before), at_paces(10, 1e6, after));
    assert_eq!(same.verdict, Verdict::Pass, "{:?}", same.reasons);
    // Without a run's pace, what was measured is all there is.
    let mut without = at_paces(10, 1.1e6, after);
    without[2].pace = None;
    let c = sides_of(at_paces(0, 1e6, before), without);
    assert_eq!((c.pace, p50(&c).effect.unwrap().basis), (None, coldcase_model::compare::Basis::Runs));
}

#[test]
fn a_host_that_is_slower_on_one_side_is_no_regression_and_no_pass() {
    let c = sides_of(at_paces(0, 1e6, [1.0, 1.02, 0.99, 1.01, 0.98]), at_paces(10, 1e6, [1.3, 1.33, 1.28, 1.31, 1.27]));
    assert!(c.pace.is_some_and(|p| p.differs && p.head > 1.25 * p.base), "{:?}", c.pace);
    assert_eq!(c.verdict, Verdict::Inconclusive);
    assert!(c.reasons[0].contains("had the host been equally fast"), "{:?}", c.reasons);
}

/// Five runs of a gateway that passes each request on, and waits for the answer.
fn passing_on(from: u64, middle: u64) -> Vec<Facts> {
    let pass_on = |mut f: Facts| {
        let orders = f.operations.remove("POST /order (orders)").unwrap();
        let durations: Vec<u64> = orders.durations.iter().map(|d| d + 200_000).collect();
        let waited = orders.durations.iter().sum();
        let calls = BTreeMap::from([("place_order (orders)".to_owned(), BTreeMap::from([(1, 500)]))]);
        f.operations.insert("place_order (orders)".into(), orders);
        f.operations.insert("POST /order (gateway)".into(), Operation { durations, calls, ..Operation::default() });
        let mut gateway = Service { requests: 500, samples: 900, ..Service::default() };
        gateway.classes.insert("[network]", waited);
        f.services.insert("gateway".into(), gateway);
        f.has.insert("waits off the CPU");
        f
    };
    side(from, middle, 0, 2).into_iter().map(pass_on).collect()
}

#[test]
fn who_waits_for_a_slower_service_is_put_under_that_service() {
    let c = sides_of(passing_on(0, 1_000_000), passing_on(10, 1_300_000));
    assert_eq!(c.verdict, Verdict::Regression, "{:?}", c.reasons);
    let first = &c.causes[0];
    assert!(first.sentence.starts_with("latency p50 of place_order (orders)"), "{:?}", c.causes);
    assert!(first.explains.iter().any(|e| e.contains("POST /order (gateway)")), "{first:?}");
    assert!(first.explains.iter().any(|e| e.starts_with("mean latency of all operations")), "{first:?}");
    assert!(!c.causes.iter().any(|cause| cause.sentence.contains("network wait")), "{:?}", c.causes);
}
