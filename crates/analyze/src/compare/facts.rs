//! What one run comes to: its operations, what each calls, its errors, and what its services used and waited for.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use coldcase_decode::otlp::{SpanKind, SpanStatus};
use coldcase_model::compare::Run;
use coldcase_model::manifest::{HostEntry, SourceStatus};
use coldcase_timeline::{SpanRow, Timeline};

use crate::{AnalyzeError, Options, Part};

/// How far up a span's entry is looked for.
const DEPTH: usize = 10_000;

/// One run.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) run: Run,
    pub(super) host: HostEntry,
    /// Sources that recorded.
    pub(super) sources: Vec<String>,
    pub(super) sealed: bool,
    /// By name and service.
    pub(super) operations: BTreeMap<String, Operation>,
    pub(super) services: BTreeMap<String, Service>,
}

/// The requests of one kind: spans that are the first of their service.
#[derive(Debug, Default)]
pub(super) struct Operation {
    /// Durations, ascending; errors among them.
    pub(super) durations: Vec<u64>,
    pub(super) errors: u64,
    /// What requests call: of each callee, how many requests have so many calls. Requests without one are the rest.
    pub(super) calls: BTreeMap<String, BTreeMap<u64, u64>>,
    /// Errors by their text, numbers and ids masked: how many, and a trace.
    pub(super) error_texts: BTreeMap<String, (u64, Option<String>)>,
    /// A trace of it.
    pub(super) trace: Option<String>,
}

/// What a service used.
#[derive(Debug, Default)]
pub(super) struct Service {
    pub(super) requests: u64,
    /// Samples on a CPU.
    pub(super) samples: u64,
    /// Nanoseconds that its threads waited, without those that had nothing to do, by reason.
    pub(super) waits: BTreeMap<String, u64>,
}

impl Facts {
    /// Of a bundle.
    pub(super) fn of(path: &Path, threads: Option<usize>) -> Result<Facts, AnalyzeError> {
        let parts = vec![Part::Flame, Part::Latency, Part::Rest];
        let options = Options { threads, parts, ..Options::default() };
        let analysis = crate::analyze(path, &options)?;
        let streams = coldcase_timeline::StreamSet::named(["recorder".to_owned(), "otlp.traces".to_owned()]);
        let t = Timeline::open(path, &coldcase_timeline::Options { threads, streams, ..Default::default() })?;
        let mut facts = Facts { sealed: analysis.bundle.complete, ..Facts::default() };
        if let Some(m) = t.bundle().manifest() {
            facts.host = m.host.clone();
            let recorded = m.sources.iter().filter(|s| s.status == SourceStatus::Recorded);
            facts.sources = recorded.map(|s| s.name.clone()).collect();
            facts.sources.sort();
        }
        facts.operations = operations(t.spans());
        for (name, operation) in &facts.operations {
            if let Some(service) = service_of(name) {
                facts.services.entry(service.to_owned()).or_default().requests += operation.durations.len() as u64;
            }
        }
        for wait in analysis.waits.iter().filter(|w| w.service && !w.idle) {
            if let Some(service) = facts.services.get_mut(without_pid(&wait.process)) {
                *service.waits.entry(wait.reason.clone()).or_default() += wait.total;
            }
        }
        for (stack, weight) in analysis.flames.iter().filter(|f| f.kind == "on-cpu").flat_map(|f| &f.stacks) {
            let owner = stack.split(';').next().unwrap_or(stack);
            if let Some(service) = facts.services.get_mut(without_pid(owner)) {
                service.samples += weight;
            }
        }
        facts.run = Run {
            id: analysis.bundle.id.clone(),
            file: analysis.bundle.file.clone(),
            duration: analysis.bundle.last.saturating_sub(analysis.bundle.first).max(0) as u64,
            requests: facts.operations.values().map(|o| o.durations.len() as u64).sum(),
            lost: analysis.quality.losses.iter().map(|l| l.count).sum(),
        };
        Ok(facts)
    }

    /// Requests of an operation in a second.
    pub(super) fn rate(&self, operation: &str) -> Option<f64> {
        let seconds = self.run.duration as f64 / 1e9;
        let n = self.operations.get(operation)?.durations.len();
        (seconds > 0.0).then(|| n as f64 / seconds)
    }
}

impl Operation {
    /// How many calls of `callee` most requests have; the smaller of two numbers that are as frequent.
    pub(super) fn usual(&self, callee: &str) -> u64 {
        let Some(calls) = self.calls.get(callee) else { return 0 };
        let none = (self.durations.len() as u64).saturating_sub(calls.values().sum());
        let all = calls.iter().map(|(&n, &requests)| (n, requests)).chain([(0, none)]);
        all.max_by_key(|&(n, requests)| (requests, std::cmp::Reverse(n))).map_or(0, |(n, _)| n)
    }

    /// The share of requests that have the usual number of calls of `callee`.
    pub(super) fn share_of_usual(&self, callee: &str) -> f64 {
        let usual = self.usual(callee);
        let calls = self.calls.get(callee);
        let some: u64 = calls.map_or(0, |c| c.values().sum());
        let with = match usual {
            0 => (self.durations.len() as u64).saturating_sub(some),
            n => calls.and_then(|c| c.get(&n)).copied().unwrap_or(0),
        };
        with as f64 / self.durations.len().max(1) as f64
    }
}

/// The service in `name (service)`.
fn service_of(operation: &str) -> Option<&str> {
    operation.strip_suffix(')')?.rsplit_once(" (").map(|(_, service)| service)
}

/// `orders` of `orders[4711]@container`: pids differ from run to run.
fn without_pid(process: &str) -> &str {
    process.split('[').next().unwrap_or(process)
}

fn operations(spans: &[SpanRow]) -> BTreeMap<String, Operation> {
    let key = |s: &SpanRow| Some((s.span.trace?, s.span.id?));
    let by_id: HashMap<_, usize> = spans.iter().enumerate().filter_map(|(i, s)| Some((key(s)?, i))).collect();
    let parent = |i: usize| -> Option<usize> {
        let s = &spans[i].span;
        by_id.get(&(s.trace?, s.parent?)).copied().filter(|&p| p != i)
    };
    // A span begins a request of its service where its parent is another's, or missing.
    let begins = |i: usize| match parent(i) {
        Some(p) => spans[p].span.service() != spans[i].span.service(),
        None => !matches!(spans[i].span.kind, SpanKind::Client | SpanKind::Producer) || spans[i].span.parent.is_none(),
    };
    let mut calls: HashMap<usize, BTreeMap<String, u64>> = HashMap::new();
    let mut out = BTreeMap::<String, Operation>::new();
    for (i, row) in spans.iter().enumerate() {
        let span = &row.span;
        let valid = span.start > 0 && span.end >= span.start;
        if !valid
            || by_id.get(&match key(row) {
                Some(key) => key,
                None => continue,
            }) != Some(&i)
        {
            continue;
        }
        if begins(i) {
            out.entry(crate::latency::span::name(span)).or_default().add(row);
        }
        // What it is a call in: the request of the span above it.
        let mut at = parent(i);
        for _ in 0..DEPTH {
            match at {
                Some(p) if begins(p) => {
                    let callee = crate::latency::span::name(span);
                    *calls.entry(p).or_default().entry(callee).or_default() += 1;
                    break;
                }
                Some(p) => at = parent(p),
                None => break,
            }
        }
    }
    for (request, made) in calls {
        if let Some(operation) = out.get_mut(&crate::latency::span::name(&spans[request].span)) {
            for (callee, n) in made {
                *operation.calls.entry(callee).or_default().entry(n).or_default() += 1;
            }
        }
    }
    for operation in out.values_mut() {
        operation.durations.sort_unstable();
    }
    out
}

impl Operation {
    fn add(&mut self, row: &SpanRow) {
        let span = &row.span;
        self.durations.push(span.duration());
        let trace = || span.trace.map(|t| t.to_string());
        if self.trace.is_none() {
            self.trace = trace();
        }
        if span.status == SpanStatus::Error {
            self.errors += 1;
            let text = masked(&span.message);
            let known = self.error_texts.entry(text).or_insert_with(|| (0, trace()));
            known.0 += 1;
        }
    }
}

/// An error's text without what differs from one to the next: numbers, and with them most ids and addresses.
fn masked(text: &str) -> String {
    if text.is_empty() {
        return "error without a message".to_owned();
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars().take(200) {
        match c {
            '0'..='9' if out.ends_with('#') => {}
            '0'..='9' => out.push('#'),
            c => out.push(c),
        }
    }
    out
}
