//! Detectors: one file each, one line in [`DETECTORS`].

mod cpu_growth;
mod deadlock;
mod evidence_lost;
mod lock_holder;
mod log_kinds;
mod span_errors;
mod span_slowdown;
mod tcp_trouble;
mod wait_growth;

use std::collections::{BTreeMap, BTreeSet};

use coldcase_model::Finding;
use coldcase_model::analysis::{Flow, Latency, LogKind, Quality, Wait};
use coldcase_timeline::Timeline;

use crate::axis::{Axis, COLUMNS};
use crate::functions::Functions;
use crate::latency::offcpu::Groups;
use crate::latency::span::Spans;
use crate::trend::Trouble;

/// What a detector looks at.
pub(crate) struct Seen<'a> {
    pub(crate) timeline: &'a Timeline,
    pub(crate) axis: &'a Axis,
    /// `uname -m` of the recorded host.
    pub(crate) arch: &'a str,
    pub(crate) spans: &'a [Spans],
    /// Block devices, largest total first.
    pub(crate) blocks: &'a [Latency],
    /// The span that became slow, if one did.
    pub(crate) trouble: Option<&'a Trouble>,
    /// Processes that sent spans, by name and pid.
    pub(crate) services: &'a BTreeSet<String>,
    pub(crate) waits: &'a Groups,
    /// The same as plain rows, largest total first.
    pub(crate) wait_rows: &'a [Wait],
    /// What the services' functions did, by the stacks.
    pub(crate) functions: &'a Functions,
    /// CPU samples by process and column.
    pub(crate) samples: &'a BTreeMap<String, [u64; COLUMNS]>,
    pub(crate) flow: &'a Flow,
    /// Kinds of log lines, and how they changed with the trouble.
    pub(crate) log_kinds: &'a [LogKind],
    pub(crate) quality: &'a Quality,
}

impl Seen<'_> {
    /// Whether a process is one of the services that are looked at: those that sent spans, or all for want of them.
    pub(crate) fn is_service(&self, process: &str) -> bool {
        self.services.is_empty() || self.services.contains(process)
    }
}

/// Looks, and claims only what the evidence shows.
type Detector = fn(&Seen<'_>) -> Vec<Finding>;

/// All detectors, in the order in which their findings are listed when equally sure.
const DETECTORS: &[Detector] = &[
    deadlock::find,
    span_slowdown::find,
    wait_growth::find,
    cpu_growth::find,
    span_errors::find,
    lock_holder::find,
    log_kinds::find,
    tcp_trouble::find,
    evidence_lost::find,
];

/// The findings, in the order of the detectors, each detector's largest first.
pub(crate) fn all(seen: &Seen<'_>) -> Vec<Finding> {
    let mut out: Vec<Finding> = DETECTORS.iter().flat_map(|detect| detect(seen)).collect();
    for finding in &mut out {
        // Several spans or packets of one message are one row.
        let mut told = BTreeSet::new();
        finding.evidence.retain(|e| told.insert(e.clone()));
    }
    out
}
