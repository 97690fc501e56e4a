//! Which measures there are: one value a run.

use std::collections::{BTreeMap, BTreeSet};

use coldcase_model::compare::Direction::{Down, Up};
use coldcase_model::compare::{Basis, Measure};

use super::facts::Facts;
use super::measure::{Kind, Rules, Values, decide};
use super::operations::Operation;
use super::usage::{CLASSES, Service};
use super::{LEAST_RUNS, Sides};
use crate::quantile::quantile;

/// Operations whose measures are critical: those that take most time. Three measures each make the six gates that few runs can carry.
const CRITICAL: usize = 2;
/// Requests in every run before a median, and a 99th percentile, are taken.
const MEDIAN: usize = 20;
const TAIL: usize = 200;
/// Requests in every run before a 99th percentile is critical unasked: ten lie beyond it. With fewer it is the luck of two or three requests.
const STEADY: usize = 1000;
/// Samples in every run before CPU time is compared.
const SAMPLES: u64 = 50;
/// What all operations together are called.
pub(super) const ALL: &str = "all operations, in the mix of the base";
/// Packets in every run before retransmissions are a share of them.
const PACKETS: u64 = 100;

const fn kind(name: &'static str, unit: &'static str, tolerance: f64, floor: f64) -> Kind {
    Kind { name, unit, tolerance, direction: Up, floor }
}

const P50: Kind = kind("latency p50", "ns", 1.02, 1.0);
const P99: Kind = kind("latency p99", "ns", 1.05, 1.0);
const ERRORS: Kind = kind("errors", "share", 0.002, 0.0);
const RATE: Kind = Kind { direction: Down, ..kind("requests per second", "per second", 1.05, 1e-6) };
const MEAN: Kind = kind("mean latency", "ns", 1.05, 1.0);
const STATEMENT_P50: Kind = kind("statement p50", "ns", 1.05, 1_000.0);
const STATEMENT_P99: Kind = kind("statement p99", "ns", 1.10, 1_000.0);
const CALLS: Kind = kind("calls per request", "count", 1.05, 1e-2);
const CPU: Kind = kind("CPU samples per request", "samples", 1.05, 1e-3);
const WAIT: Kind = kind("wait per request", "ns", 1.10, 1_000.0);
const LOCK: Kind = kind("lock wait per request", "ns", 1.10, 10_000.0);
const SYSTEM_CALLS: Kind = kind("system calls per request", "count", 1.05, 1e-2);
const BYTES: Kind = kind("bytes per request", "bytes", 1.05, 1.0);
const CONNECTIONS: Kind = kind("connections per request", "count", 1.25, 1e-2);
const RETRANSMITS: Kind = kind("retransmitted packets", "share", 0.005, 0.0);
const RTT: Kind = kind("round-trip time", "ns", 1.25, 10_000.0);
const MEMORY: Kind = kind("growth of anonymous memory", "bytes per second", 1e6, 0.0);

/// A value that a run has, or not.
type Value<'a> = &'a dyn Fn(&Facts) -> Option<f64>;

/// Measures as they are collected.
struct Collected<'a, 'b> {
    sides: &'a Sides<'a>,
    rules: &'a mut Rules<'b>,
    out: Vec<Measure>,
}

impl Collected<'_, '_> {
    /// Adds a measure that every run of both sides has.
    fn add(&mut self, kind: &Kind, of: &str, critical: bool, value: Value<'_>) {
        self.add_with_blocks(kind, of, critical, value, &|_| None);
    }

    fn add_with_blocks(
        &mut self,
        kind: &Kind,
        of: &str,
        critical: bool,
        value: Value<'_>,
        blocks: &dyn Fn(&Facts) -> Option<Vec<f64>>,
    ) {
        let side = |runs: &[&Facts]| runs.iter().map(|f| value(f)).collect::<Option<Vec<f64>>>();
        let (Some(base), Some(head)) = (side(self.sides.base), side(self.sides.head)) else { return };
        let few = base.len().min(head.len()) < LEAST_RUNS;
        let mut values = Values { base, head, ..Values::default() };
        if few {
            let within = |runs: &[&Facts]| runs.iter().filter_map(|f| blocks(f)).flatten().collect();
            values.history = self.sides.history.iter().filter_map(|f| value(f)).collect();
            values.blocks = (within(self.sides.base), within(self.sides.head));
        }
        self.out.push(self.rules.measure(kind, of, critical, values));
    }
}

/// All measures that every run has: critical first, then by how sure and how large.
pub(super) fn measures(sides: &Sides<'_>, rules: &mut Rules<'_>) -> Vec<Measure> {
    let mut c = Collected { sides, rules, out: Vec::new() };
    let names = common(&sides.runs());
    latencies(&mut c, &names);
    standardised(&mut c, &names);
    statements(&mut c);
    services(&mut c);
    edges(&mut c);
    c.add(&MEMORY, "the host", false, &|f| f.memory_slope);
    let mut out = c.out;
    decide(&mut out);
    let size = |m: &Measure| {
        m.effect.map_or(0.0, |e| if m.is_difference() { e.estimate.abs() } else { e.estimate.ln().abs() })
    };
    out.sort_by(|a, b| {
        (!a.critical, a.decision, a.is_difference())
            .cmp(&(!b.critical, b.decision, b.is_difference()))
            .then(size(b).total_cmp(&size(a)))
            .then_with(|| (&a.operation, &a.measure).cmp(&(&b.operation, &b.measure)))
    });
    out
}

/// In a sentence.
pub(super) fn sentence(m: &Measure) -> String {
    // What was measured speaks for itself where it lies within the interval.
    let measured = m.centre.1 / m.centre.0;
    let at_pace = m.effect.is_some_and(|e| e.basis == Basis::Pace && !(e.low..=e.high).contains(&measured));
    let how = if at_pace { " at the same pace of the host" } else { "" };
    let effect = m.effect_words().map_or(String::new(), |e| format!(", {e}{how}"));
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

fn latencies(c: &mut Collected<'_, '_>, names: &[String]) {
    for (at, name) in names.iter().enumerate() {
        let critical = at < CRITICAL;
        let with = |least: usize| move |o: &&Operation| o.durations.len() >= least;
        let percentile =
            |f: &Facts, least, p| f.operations.get(name).filter(with(least)).map(|o| quantile(&o.durations, p) as f64);
        let blocks = |f: &Facts| f.operations.get(name).map(|o| o.blocks.clone());
        let medians = |f: &Facts| blocks(f).map(|b| b.iter().map(|b| b.0).collect());
        c.add_with_blocks(&P50, name, critical, &|f| percentile(f, MEDIAN, 50), &medians);
        let steady = c.sides.runs().iter().all(|f| f.operations.get(name).filter(with(STEADY)).is_some());
        c.add(&P99, name, critical && steady, &|f| percentile(f, TAIL, 99));
        let errors = |o: &Operation| o.errors as f64 / o.durations.len() as f64;
        let shares = |f: &Facts| blocks(f).map(|b| b.iter().map(|b| b.1).collect());
        c.add_with_blocks(
            &ERRORS,
            name,
            critical,
            &|f| f.operations.get(name).filter(with(MEDIAN)).map(errors),
            &shares,
        );
        c.add(&RATE, name, false, &|f| f.rate(name));
        let callees: BTreeSet<&String> =
            c.sides.runs().iter().filter_map(|f| f.operations.get(name)).flat_map(|o| o.calls.keys()).collect();
        for callee in callees {
            let of = format!("{name} → {callee}");
            let calls = |o: &Operation| o.calls_of(callee) as f64 / o.durations.len() as f64;
            c.add(&CALLS, &of, false, &|f| f.operations.get(name).filter(with(MEDIAN)).map(calls));
        }
    }
}

/// All operations together, each as often as in the base: another mix is not another speed.
fn standardised(c: &mut Collected<'_, '_>, names: &[String]) {
    let count = |f: &Facts, name: &String| f.operations.get(name).map_or(0, |o| o.durations.len());
    let weights: BTreeMap<&String, f64> =
        names.iter().map(|n| (n, c.sides.base.iter().map(|f| count(f, n)).sum::<usize>() as f64)).collect();
    let all: f64 = weights.values().sum();
    if names.len() < 2 || all <= 0.0 {
        return;
    }
    let mixed = |f: &Facts, of: &dyn Fn(&Operation) -> f64| {
        weights.iter().map(|(name, w)| Some(w / all * of(f.operations.get(*name)?))).sum::<Option<f64>>()
    };
    c.add(&MEAN, ALL, false, &|f| mixed(f, &Operation::mean));
    c.add(&ERRORS, ALL, false, &|f| mixed(f, &|o| o.errors as f64 / o.durations.len().max(1) as f64));
}

fn statements(c: &mut Collected<'_, '_>) {
    let names: BTreeSet<&String> = c.sides.runs().iter().flat_map(|f| f.statements.keys()).collect();
    for name in names {
        let percentile =
            |f: &Facts, least, p| f.statements.get(name).filter(|d| d.len() >= least).map(|d| quantile(d, p) as f64);
        c.add(&STATEMENT_P50, name, false, &|f| percentile(f, MEDIAN, 50));
        c.add(&STATEMENT_P99, name, false, &|f| percentile(f, TAIL, 99));
    }
}

fn per_request(f: &Facts, service: &str, n: u64) -> Option<f64> {
    let requests = f.services.get(service).map_or(0, |s| s.requests);
    (requests >= MEDIAN as u64).then(|| n as f64 / requests as f64)
}

/// A service whose waits were recorded: what was not recorded is not a wait of zero.
fn waits<'f>(f: &'f Facts, service: &str) -> Option<&'f Service> {
    f.has.contains("waits off the CPU").then(|| f.services.get(service)).flatten()
}

fn services(c: &mut Collected<'_, '_>) {
    let runs = c.sides.runs();
    let names: BTreeSet<&String> = runs.iter().flat_map(|f| f.services.keys()).collect();
    for name in names {
        let of = |f: &&Facts| -> Option<u64> { f.services.get(name).map(|s| s.samples) };
        if runs.iter().all(|f| of(f).is_some_and(|n| n >= SAMPLES)) {
            c.add(&CPU, name, false, &|f| per_request(f, name, f.services.get(name)?.samples));
        }
        if runs.iter().all(|f| f.services.get(name).is_some_and(|s| s.system_calls > 0)) {
            c.add(&SYSTEM_CALLS, name, false, &|f| per_request(f, name, f.services.get(name)?.system_calls));
        }
        let own = || runs.iter().filter_map(|f| f.services.get(name));
        for reason in own().flat_map(|s| s.waits.keys()).collect::<BTreeSet<_>>() {
            let of = format!("{name}: {reason}");
            c.add(&WAIT, &of, false, &|f| {
                per_request(f, name, waits(f, name)?.waits.get(reason).copied().unwrap_or(0))
            });
        }
        for (class, words) in CLASSES {
            if own().any(|s| s.classes.contains_key(class)) {
                let of = format!("{name}: {words}");
                c.add(&WAIT, &of, false, &|f| {
                    per_request(f, name, waits(f, name)?.classes.get(class).copied().unwrap_or(0))
                });
            }
        }
        for site in own().flat_map(|s| s.locks.keys()).collect::<BTreeSet<_>>() {
            let of = format!("{name}: {site}");
            c.add(&LOCK, &of, false, &|f| per_request(f, name, waits(f, name)?.locks.get(site).copied().unwrap_or(0)));
        }
    }
}

fn edges(c: &mut Collected<'_, '_>) {
    let names: BTreeSet<&String> = c.sides.runs().iter().flat_map(|f| f.edges.keys()).collect();
    for name in names {
        let edge =
            |f: &'_ Facts| f.edges.get(name).map(|e| (e.bytes, e.connections, e.packets, e.retransmissions, e.rtt));
        let of_requests = |f: &Facts, n: u64| per_request(f, &f.edges.get(name)?.service, n);
        c.add(&BYTES, name, false, &|f| of_requests(f, edge(f)?.0));
        c.add(&CONNECTIONS, name, false, &|f| of_requests(f, edge(f)?.1));
        let share = |f: &Facts| edge(f).filter(|e| e.2 >= PACKETS).map(|e| e.3 as f64 / e.2 as f64);
        c.add(&RETRANSMITS, name, false, &share);
        c.add(&RTT, name, false, &|f| edge(f)?.4.map(|ns| ns as f64));
    }
}
