//! What services used and waited for, whom they talked to and what they logged: from the analysis of a run.

use std::collections::BTreeMap;

use coldcase_model::analysis::{Analysis, Edge as Talk, MetricSeries};

use super::facts::{Facts, service_of};

/// Classes of waits that several system calls share, as flame graphs name them, and how they are called here. Run queue, page faults and
/// throttling are reasons of their own.
pub(super) const CLASSES: [(&str, &str); 2] = [("[disk]", "disk wait"), ("[network]", "network wait")];
/// Anonymous memory of the host.
const MEMORY: &str = "node_memory_AnonPages_bytes";
/// Readings that a slope needs.
const READINGS: usize = 4;

/// Bytes per second that no host's memory grows by: readings are captured, and may be anything.
const MOST_SLOPE: f64 = 1e15;

/// What a service used.
#[derive(Debug, Default)]
pub(super) struct Service {
    pub(super) requests: u64,
    /// Samples on a CPU.
    pub(super) samples: u64,
    /// Nanoseconds that its threads waited, without those that had nothing to do, by reason.
    pub(super) waits: BTreeMap<String, u64>,
    /// The same by class: see [`CLASSES`].
    pub(super) classes: BTreeMap<&'static str, u64>,
    /// Nanoseconds waited for locks, by the function that takes the lock.
    pub(super) locks: BTreeMap<String, u64>,
    /// System calls.
    pub(super) system_calls: u64,
    /// Stacks by kind of flame graph, without the process.
    pub(super) stacks: BTreeMap<String, BTreeMap<String, u64>>,
}

/// Connections from one to another.
#[derive(Debug, Default)]
pub(super) struct Edge {
    /// The service at its end, that counts requests: the server if it is one.
    pub(super) service: String,
    pub(super) connections: u64,
    pub(super) packets: u64,
    pub(super) bytes: u64,
    pub(super) retransmissions: u64,
    pub(super) rtt: Option<u64>,
}

/// Adds to a sum; weights are captured, and may be anything.
fn grow(sum: &mut u64, by: u64) {
    *sum = sum.saturating_add(by);
}

/// Adds what an analysis tells to a run whose operations are known.
pub(super) fn add(facts: &mut Facts, a: &Analysis) {
    for (name, operation) in &facts.operations {
        if let Some(service) = service_of(name) {
            facts.services.entry(service.to_owned()).or_default().requests += operation.durations.len() as u64;
        }
    }
    let recorded = |stream: &str| a.quality.streams.iter().any(|s| s.0.starts_with(stream) && s.1 > 0);
    let parts = [
        ("CPU samples", "kernel.cpu_sample"),
        ("waits off the CPU", "kernel.offcpu"),
        ("system calls", "kernel.syscall"),
        ("packets", "packets"),
        ("host metrics", "host.metric"),
    ];
    facts.has.extend(parts.iter().filter(|p| recorded(p.1)).map(|p| p.0));
    if recorded("log") || recorded("otlp.logs") {
        facts.has.insert("log lines");
    }
    if !facts.operations.is_empty() {
        facts.has.insert("spans");
    }
    if !facts.statements.is_empty() || a.flow.request_kinds.iter().any(|k| is_database(&k.protocol)) {
        facts.has.insert("database statements");
    }
    waits(facts, a);
    stacks(facts, a);
    edges(facts, &a.flow.edges);
    statements(facts, a);
    facts.logs = a.log_kinds.iter().map(|k| (k.template.clone(), (k.count, k.errors > 0))).collect();
    facts.memory_slope = a.metrics.iter().find(|m| m.name == MEMORY && m.origin == "host").and_then(slope);
}

fn waits(facts: &mut Facts, a: &Analysis) {
    for wait in a.waits.iter().filter(|w| w.service && !w.idle) {
        if let Some(service) = facts.services.get_mut(without_pid(&wait.process)) {
            grow(service.waits.entry(wait.reason.clone()).or_default(), wait.total);
        }
    }
    for l in a.latencies.iter().filter(|l| l.group == "syscall" || l.group == "lock") {
        let Some(service) = facts.services.get_mut(without_pid(&l.name)) else { continue };
        if l.group == "syscall" {
            grow(&mut service.system_calls, l.count);
        } else if let Some(site) = lock_site(&l.name) {
            grow(service.locks.entry(site.to_owned()).or_default(), l.total);
        }
    }
}

/// The function in `orders[7] in Store::lock_ledger: mutex 0x7f30, held by …`. Addresses differ from run to run, and a lock without a
/// function is not known again.
fn lock_site(name: &str) -> Option<&str> {
    let (_, site) = name.split_once(" in ")?;
    let end = [": mutex 0x", ": semaphore 0x"].iter().find_map(|what| site.find(what))?;
    site.get(..end)
}

fn stacks(facts: &mut Facts, a: &Analysis) {
    for flame in a.flames.iter().filter(|f| f.kind == "on-cpu" || f.kind == "off-cpu") {
        for (stack, weight) in &flame.stacks {
            let (owner, frames) = stack.split_once(';').unwrap_or((stack, ""));
            let Some(service) = facts.services.get_mut(without_pid(owner)) else { continue };
            if flame.kind == "on-cpu" {
                grow(&mut service.samples, *weight);
            } else if let Some((class, _)) = CLASSES.iter().find(|c| frames.split(';').next() == Some(c.0)) {
                grow(service.classes.entry(class).or_default(), *weight);
            }
            if !frames.is_empty() {
                let of_kind = service.stacks.entry(flame.kind.clone()).or_default();
                grow(of_kind.entry(frames.to_owned()).or_default(), *weight);
            }
        }
    }
}

/// Those that have a service at an end. Ports are left out: they differ from run to run.
fn edges(facts: &mut Facts, all: &[Talk]) {
    let name = |end: &str| end.rsplit_once(':').map_or(end, |(name, _)| name).to_owned();
    for talk in all {
        let (from, to) = (without_pid(&talk.from).to_owned(), name(&talk.to));
        let Some(service) = [&to, &from].into_iter().find(|s| facts.services.contains_key(*s)) else { continue };
        let edge = facts.edges.entry(format!("{from} → {to}")).or_default();
        edge.service.clone_from(service);
        grow(&mut edge.connections, talk.connections);
        grow(&mut edge.packets, talk.packets);
        grow(&mut edge.bytes, talk.bytes);
        grow(&mut edge.retransmissions, talk.retransmissions);
        edge.rtt = edge.rtt.into_iter().chain(talk.rtt).min();
    }
}

/// Statements seen in packets, named by their protocol: those that spans tell of have other names.
fn statements(facts: &mut Facts, a: &Analysis) {
    for request in a.flow.requests.iter().filter(|r| is_database(&r.protocol)) {
        let (Some(duration), Some(c)) = (request.duration, a.flow.connections.get(request.connection)) else {
            continue;
        };
        let client = coldcase_model::analysis::end_name(&c.a, c.process_a.as_deref());
        let name = format!("{}: {} ({client})", request.protocol, request.key);
        facts.statements.entry(name).or_default().push(duration);
    }
    facts.statements.values_mut().for_each(|durations| durations.sort_unstable());
}

fn is_database(protocol: &str) -> bool {
    matches!(protocol, "postgres" | "mysql" | "redis" | "mongo")
}

/// `orders` of `orders[4711]@container`: pids differ from run to run.
fn without_pid(process: &str) -> &str {
    process.split('[').next().unwrap_or(process)
}

/// The slope of the line through the readings (least squares), per second.
fn slope(m: &MetricSeries) -> Option<f64> {
    let points: Vec<(f64, f64)> = m
        .points
        .iter()
        .filter(|p| p.1.is_finite())
        .map(|p| (p.0.saturating_sub(m.points[0].0) as f64 / 1e9, p.1))
        .collect();
    let n = points.len() as f64;
    if points.len() < READINGS {
        return None;
    }
    let (x0, y0) = (points.iter().map(|p| p.0).sum::<f64>() / n, points.iter().map(|p| p.1).sum::<f64>() / n);
    let (xy, xx) =
        points.iter().fold((0.0, 0.0), |(xy, xx), p| (xy + (p.0 - x0) * (p.1 - y0), xx + (p.0 - x0).powi(2)));
    (xx > 0.0).then(|| xy / xx).filter(|slope| slope.abs() < MOST_SLOPE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_known_again_by_the_function_that_takes_it() {
        let name = "orders[7]@4822 in shop::Store::lock_ledger: mutex 0x7f30, held by orders/worker[9] and others";
        assert_eq!((lock_site(name), without_pid(name)), (Some("shop::Store::lock_ledger"), "orders"));
        assert_eq!(lock_site("orders[7] mutex 0x7f30"), None);
    }

    #[test]
    fn a_slope_is_that_of_the_line_through_all_readings() {
        let series = |values: &[f64]| MetricSeries {
            points: values.iter().enumerate().map(|(i, v)| (i as i64 * 1_000_000_000, *v)).collect(),
            ..MetricSeries::default()
        };
        assert_eq!(slope(&series(&[0.0, 10.0, 20.0, 30.0])), Some(10.0));
        assert_eq!(slope(&series(&[5.0; 6])), Some(0.0));
        assert_eq!(slope(&series(&[1.0, 2.0, 3.0])), None);
        assert_eq!(
            slope(&MetricSeries { points: vec![(7, 1.0); 5], ..MetricSeries::default() }),
            None,
            "no time passed"
        );
    }
}
