//! What one run comes to: its operations, what each calls, its errors, and what its services used and waited for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use coldcase_model::compare::Run;
use coldcase_model::manifest::{HostEntry, SourceStatus};
use coldcase_timeline::Timeline;

use super::in_requests;
use super::operations::{self, Operation};
use super::pace;
use super::usage::{self, Edge, Service};
use crate::flame::Making;
use crate::{AnalyzeError, Options, Part};

/// What of a bundle is analysed.
const PARTS: [Part; 4] = [Part::Flame, Part::Latency, Part::Flow, Part::Rest];

/// One run.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) run: Run,
    pub(super) host: HostEntry,
    /// Sources that recorded.
    pub(super) sources: Vec<String>,
    pub(super) sealed: bool,
    /// Events of all streams.
    pub(super) events: u64,
    /// By name and service.
    pub(super) operations: BTreeMap<String, Operation>,
    /// Durations of statements and commands to databases, ascending, by words and service.
    pub(super) statements: BTreeMap<String, Vec<u64>>,
    pub(super) services: BTreeMap<String, Service>,
    /// Connections between services and their peers, by `from → to`.
    pub(super) edges: BTreeMap<String, Edge>,
    /// Log lines by template: how many, and whether as errors.
    pub(super) logs: BTreeMap<String, (u64, bool)>,
    /// Growth of the host's anonymous memory, bytes per second.
    pub(super) memory_slope: Option<f64>,
    /// The pace of the host: see [`pace`].
    pub(super) pace: Option<f64>,
    /// What it has to compare: `CPU samples`, `packets`…
    pub(super) has: BTreeSet<&'static str>,
}

impl Facts {
    /// Of a bundle, which is opened once.
    pub(super) fn of(path: &Path, threads: Option<usize>) -> Result<Facts, AnalyzeError> {
        let streams = crate::streams(&PARTS, &Options::default().scope);
        let t = Timeline::open(path, &coldcase_timeline::Options { threads, streams, ..Default::default() })?;
        let options = Options { threads, parts: PARTS.to_vec(), ..Options::default() };
        let making = Making { arch: crate::arch(&t), by: options.by, window: None };
        let analysis = t.install(|| crate::of_timeline(&t, &options, &PARTS, &making));
        let mut facts = Facts { sealed: analysis.bundle.complete, ..Facts::default() };
        if let Some(m) = t.bundle().manifest() {
            facts.host = m.host.clone();
            let recorded = m.sources.iter().filter(|s| s.status == SourceStatus::Recorded);
            facts.sources = recorded.map(|s| s.name.clone()).collect();
            facts.sources.sort();
        }
        facts.events = analysis.quality.streams.iter().fold(0, |sum, s| s.1.saturating_add(sum));
        (facts.operations, facts.statements) = operations::of(t.spans());
        facts.run = Run {
            id: analysis.bundle.id.clone(),
            file: analysis.bundle.file.clone(),
            begun: analysis.bundle.first,
            duration: analysis.bundle.last.saturating_sub(analysis.bundle.first).max(0) as u64,
            requests: facts.operations.values().map(|o| o.durations.len() as u64).sum(),
            lost: analysis.quality.losses.iter().fold(0, |sum, l| l.count.saturating_add(sum)),
        };
        usage::add(&mut facts, &analysis);
        in_requests::add(&mut facts.services, &t);
        facts.pace = pace::of(&t);
        Ok(facts)
    }

    /// Requests of an operation in a second.
    pub(super) fn rate(&self, operation: &str) -> Option<f64> {
        let seconds = self.run.duration as f64 / 1e9;
        let n = self.operations.get(operation)?.durations.len();
        (seconds > 0.0).then(|| n as f64 / seconds)
    }

    /// Requests of all operations.
    pub(super) fn requests(&self) -> usize {
        self.operations.values().map(|o| o.durations.len()).sum()
    }
}

/// The service in `name (service)`.
pub(super) fn service_of(operation: &str) -> Option<&str> {
    operation.strip_suffix(')')?.rsplit_once(" (").map(|(_, service)| service)
}
