//! What `compare` found between two sides of runs, in plain types. A run is one bundle.

use serde::{Deserialize, Serialize};

use crate::flame::FlameDiff;
use crate::quantity::format_size;
use crate::time::Nanos;

/// What it comes to; an exit code each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// No critical gate is worse than it may be.
    Pass,
    /// One is, with the confidence that was asked for.
    Regression,
    /// The runs cannot tell: too few, of different machines, with lost evidence, or with nothing in common.
    Inconclusive,
}

impl Verdict {
    /// In a word.
    pub const fn name(self) -> &'static str {
        match self {
            Verdict::Pass => "pass",
            Verdict::Regression => "regression",
            Verdict::Inconclusive => "inconclusive",
        }
    }
}

/// The comparison of two sides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// What it comes to.
    pub verdict: Verdict,
    /// Why, in sentences, most important first.
    pub reasons: Vec<String>,
    /// The runs held against.
    pub base: Vec<Run>,
    /// The runs in question.
    pub head: Vec<Run>,
    /// What differs between the sides beside what is measured; those that mislead make the verdict inconclusive.
    pub differences: Vec<Difference>,
    /// Alarms, merged under what explains them; those that fail the comparison first.
    pub causes: Vec<Cause>,
    /// Exact changes: counts that were the same in all runs of a side, and what is new or gone.
    pub exact: Vec<ExactChange>,
    /// Measures, critical first, then the largest effect.
    pub measures: Vec<Measure>,
    /// Functions that take another share of their service's time than before, those that changed most first.
    pub functions: Vec<FunctionShare>,
    /// What was not compared, because a side does not have it.
    pub not_compared: Vec<NotCompared>,
    /// The gates of the file, in its order.
    pub gates: Vec<GateState>,
    /// What is odd about the gates, in sentences.
    pub warnings: Vec<String>,
    /// Measures that `--explain` asked for: indices into `measures`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub explained: Vec<usize>,
    /// How much is equal, a ratio above 1, where equivalence was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equivalent: Option<f64>,
    /// The pace of the host on both sides, where times were compared at the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pace: Option<HostPace>,
    /// What the page draws.
    #[serde(skip)]
    pub pictures: Pictures,
}

impl Comparison {
    /// The gate, where its override lets pass what is worse.
    pub fn lets_pass(&self, gate: Option<usize>) -> Option<&GateState> {
        self.gates.get(gate?).filter(|g| g.override_state == "live")
    }
}

/// Alarms with what explains them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cause {
    /// `calls`, `error`, `wait`, `cpu`, `statement`, `latency`…
    pub kind: String,
    /// In a sentence, with sizes.
    pub sentence: String,
    /// Whether one of its alarms fails the comparison.
    pub critical: bool,
    /// How sure it is: `exact` (counted), `shown` (an alarm of its own), `likely` (its interval excludes no change).
    pub confidence: String,
    /// Nanoseconds more of it in a request, where it is a time.
    pub growth: Option<f64>,
    /// The alarms that it explains, in sentences.
    pub explains: Vec<String>,
    /// Functions that are new in the stacks of the service, those of most time first.
    pub functions: Vec<String>,
    /// A trace of the base and one of the head near the medians of what it explains, where there are some.
    pub traces: (Option<String>, Option<String>),
}

/// A function in the stacks of a service, with all that it calls.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FunctionShare {
    /// `on-cpu` or `off-cpu`.
    pub kind: String,
    /// The service.
    pub service: String,
    /// The function, as its frame is written.
    pub function: String,
    /// Its share of the time in the base, 0 to 1: the mean over runs.
    pub base: f64,
    /// The same in the head.
    pub head: f64,
    /// The 95% interval of head less base; none with fewer than three runs on a side.
    pub interval: Option<(f64, f64)>,
    /// `new` (in each run of the head and none of the base), `gone`, `more` or `less`.
    pub change: String,
}

/// Something that a side does not have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotCompared {
    /// What.
    pub what: String,
    /// Runs of the base that have it, of all.
    pub base: (u32, u32),
    /// The same of the head.
    pub head: (u32, u32),
    /// How it could be had.
    pub hint: String,
}

/// A gate of the file, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateState {
    /// What it is about: `latency p99 of POST *`.
    pub gate: String,
    /// Who is asked about it; empty where nobody is named.
    pub owner: String,
    /// Measures and exact changes that it decided.
    pub matched: u64,
    /// Of these, worse than it lets.
    pub worse: u64,
    /// The last day (UTC) on which what is worse does not fail.
    pub override_until: Option<String>,
    /// Why that is so.
    pub reason: String,
    /// `none`, `live` or `expired`, on the day of the head's last run.
    pub override_state: String,
}

/// What pictures are drawn from.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Pictures {
    /// Durations of operations on both sides.
    pub distributions: Vec<Distribution>,
    /// Stacks of services on both sides; `window` and `base` are weights of head and base, their lengths are numbers of requests.
    pub flames: Vec<FlameDiff>,
}

/// Durations of an operation on both sides.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Distribution {
    /// The operation.
    pub operation: String,
    /// Lower bounds of the bins in nanoseconds, ascending; each reaches to the next.
    pub bounds: Vec<u64>,
    /// Requests in each bin, of all runs of the base.
    pub base: Vec<u64>,
    /// The same of the head.
    pub head: Vec<u64>,
    /// The median of each run of the base.
    pub base_medians: Vec<u64>,
    /// The same of the head.
    pub head_medians: Vec<u64>,
}

/// One run.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Run {
    /// Its bundle's id.
    pub id: String,
    /// Its file.
    pub file: String,
    /// When it began, UTC nanoseconds.
    pub begun: i64,
    /// Length in nanoseconds.
    pub duration: u64,
    /// Requests: spans that are the first of their service.
    pub requests: u64,
    /// Events that were lost.
    pub lost: u64,
}

/// Something that is not alike on both sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// What: `CPU model`, `duration`…
    pub what: String,
    /// As it is in the base.
    pub base: String,
    /// As it is in the head.
    pub head: String,
    /// Whether it would make a verdict wrong.
    pub misleads: bool,
}

/// A change that needs no statistics.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExactChange {
    /// `calls`, `error`, `operation`, `path` (a call), `peer` (a connection) or `log` (a kind of log line).
    pub kind: String,
    /// Of which operation, `name (service)`.
    pub operation: String,
    /// What: the operation that is called, the error's text.
    pub what: String,
    /// Calls in a request, or how many in all runs of the base.
    pub base: u64,
    /// The same in the head.
    pub head: u64,
    /// Whether it is worse: more calls, a new error.
    pub worse: bool,
    /// Whether it fails the comparison.
    pub critical: bool,
    /// The gate of the file that decided that: index into `gates`.
    pub gate: Option<usize>,
    /// Traces that show it in the base and in the head, where there are some.
    pub traces: (Option<String>, Option<String>),
}

/// One measure, one value a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measure {
    /// `latency p50`, `latency p99`, `errors`, `requests per second`, `CPU per request`, `wait per request`…
    pub measure: String,
    /// Of which operation, `name (service)`; a service, a wait or an edge where it is not of one.
    pub operation: String,
    /// `ns`, `share`, `per second`, `samples`, `count`, `bytes` or `bytes per second`.
    pub unit: String,
    /// A value of each run of the base.
    pub base: Vec<f64>,
    /// A value of each run of the head.
    pub head: Vec<f64>,
    /// Geometric means of both sides; means for `errors`.
    pub centre: (f64, f64),
    /// Head over base (for `errors`: head minus base), and its interval.
    pub effect: Option<Effect>,
    /// Of a time that was compared at the same pace of the host: the effect without that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_measured: Option<Effect>,
    /// How much worse it may be: a ratio above 1 (for `errors`: a share).
    pub tolerance: f64,
    /// Which way is worse.
    pub direction: Direction,
    /// Whether it may fail the comparison.
    pub critical: bool,
    /// The gate of the file that decided tolerance, direction or whether it is critical: index into `gates`.
    pub gate: Option<usize>,
    /// Whether both sides are shown to be equal, where that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equivalent: Option<bool>,
    /// What is said of it.
    pub decision: Decision,
}

/// Which way is worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// More is worse.
    #[default]
    Up,
    /// Less is worse.
    Down,
    /// Each change is.
    Both,
}

impl Measure {
    /// Whether its effect is a difference, and not a ratio: where zero and less are ordinary values.
    pub fn is_difference(&self) -> bool {
        is_difference(&self.unit)
    }

    /// A value in its unit, for people.
    pub fn value_words(&self, value: f64) -> String {
        match self.unit.as_str() {
            "ns" => Nanos(value.max(0.0).round() as u64).to_string(),
            "share" => format!("{:.2}%", 100.0 * value),
            "per second" => format!("{value:.1}/s"),
            "bytes" => format_size(value.max(0.0) as u64),
            "bytes per second" if value < 0.0 => format!("-{}/s", format_size(-value as u64)),
            "bytes per second" => format!("{}/s", format_size(value as u64)),
            _ => format!("{value:.2}"),
        }
    }

    /// Its tolerance, for people.
    pub fn tolerance_words(&self) -> String {
        if self.is_difference() {
            self.value_words(self.tolerance)
        } else {
            format!("{:.1}%", 100.0 * (self.tolerance - 1.0))
        }
    }

    /// Its effect with the interval, for people.
    pub fn effect_words(&self) -> Option<String> {
        self.effect.map(|e| self.words_of(&e))
    }

    /// An effect on it with the interval.
    pub fn words_of(&self, e: &Effect) -> String {
        if self.unit == "share" {
            format!("{:+.2} points ({:+.2} to {:+.2})", 100.0 * e.estimate, 100.0 * e.low, 100.0 * e.high)
        } else if self.is_difference() {
            let signed = |v: f64| format!("{}{}", if v < 0.0 { "" } else { "+" }, self.value_words(v));
            format!("{} ({} to {})", signed(e.estimate), signed(e.low), signed(e.high))
        } else {
            let percent = |ratio: f64| 100.0 * (ratio - 1.0);
            format!("{:+.1}% ({:+.1} to {:+.1})", percent(e.estimate), percent(e.low), percent(e.high))
        }
    }
}

/// An estimate with its interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Effect {
    /// The estimate.
    pub estimate: f64,
    /// Lower bound of the 95% interval.
    pub low: f64,
    /// Upper bound.
    pub high: f64,
    /// How likely runs are to be as far apart if nothing was worse than tolerated, corrected for how many measures were looked at.
    pub p: f64,
    /// The same before the correction.
    pub raw_p: f64,
    /// Measures that were corrected for together.
    pub family: u32,
    /// What the noise was learned from.
    pub basis: Basis,
    /// Runs on each side that would show a change of twice the tolerance in four of five comparisons; 0 when these do.
    pub runs_needed: u32,
}

/// How soon the host ran threads of its kernel that were woken, in the runs of both sides: nanoseconds, the geometric mean of the runs' medians.
/// All on a host is slower or faster together; times are compared as if it had been equally fast.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct HostPace {
    /// In the base.
    pub base: f64,
    /// In the head.
    pub head: f64,
    /// Whether that is more than chance (5%): the machine was slower, or what is compared slows the machine.
    pub differs: bool,
}

/// What a measure's noise was learned from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// From the runs of both sides.
    Runs,
    /// From pairs of runs, one of each side, recorded next to each other: what changes with the hours is in both.
    Pairs,
    /// From the runs of both sides, at the same pace of the host: see [`HostPace`].
    Pace,
    /// From earlier runs: the sides have too few.
    History,
    /// From blocks of time within the runs. These share the run's luck: nothing fails by them.
    Blocks,
}

impl Basis {
    /// In words.
    pub const fn name(self) -> &'static str {
        match self {
            Basis::Runs => "the runs",
            Basis::Pairs => "pairs of runs recorded next to each other",
            Basis::Pace => "the runs, at the same pace of the host",
            Basis::History => "earlier runs",
            Basis::Blocks => "blocks of time within the runs",
        }
    }
}

/// Whether effects in a unit are differences, and not ratios.
pub fn is_difference(unit: &str) -> bool {
    matches!(unit, "share" | "bytes per second")
}

/// What is said of a measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Worse than is tolerated, with confidence.
    Worse,
    /// Better by more than the tolerance, with confidence.
    Better,
    /// Neither is shown. That is not the same as equal.
    NotShown,
    /// Too few runs, or requests in them, to say anything.
    TooFew,
}

impl Decision {
    /// In words.
    pub const fn name(self) -> &'static str {
        match self {
            Decision::Worse => "worse",
            Decision::Better => "better",
            Decision::NotShown => "no change shown",
            Decision::TooFew => "too few",
        }
    }
}
