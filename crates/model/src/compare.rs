//! What `compare` found between two sides of runs, in plain types. A run is one bundle.

use serde::{Deserialize, Serialize};

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
    /// Exact changes: counts that were the same in all runs of a side, and what is new or gone.
    pub exact: Vec<ExactChange>,
    /// Measures, critical first, then the largest effect.
    pub measures: Vec<Measure>,
}

/// One run.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Run {
    /// Its bundle's id.
    pub id: String,
    /// Its file.
    pub file: String,
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
    /// `calls`, `error`, `callee` or `operation`.
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
    /// Traces that show it in the base and in the head, where there are some.
    pub traces: (Option<String>, Option<String>),
}

/// One measure, one value a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measure {
    /// `latency p50`, `latency p99`, `errors`, `requests per second`, `CPU per request`, `wait per request`…
    pub measure: String,
    /// Of which operation, `name (service)`; a process or a wait where it is not of one.
    pub operation: String,
    /// `ns`, `ratio`, `per second`, `samples` or `count`.
    pub unit: String,
    /// A value of each run of the base.
    pub base: Vec<f64>,
    /// A value of each run of the head.
    pub head: Vec<f64>,
    /// Geometric means of both sides; means for `errors`.
    pub centre: (f64, f64),
    /// Head over base (for `errors`: head minus base), and its interval.
    pub effect: Option<Effect>,
    /// How much worse it may be: a ratio above 1 (for `errors`: a share).
    pub tolerance: f64,
    /// Whether more is worse.
    pub more_is_worse: bool,
    /// Whether it may fail the comparison.
    pub critical: bool,
    /// What is said of it.
    pub decision: Decision,
}

impl Measure {
    /// A value in its unit, for people.
    pub fn value_words(&self, value: f64) -> String {
        match self.unit.as_str() {
            "ns" => Nanos(value.max(0.0) as u64).to_string(),
            "share" => format!("{:.2}%", 100.0 * value),
            "per second" => format!("{value:.1}/s"),
            _ => format!("{value:.2}"),
        }
    }

    /// Its effect with the interval, for people.
    pub fn effect_words(&self) -> Option<String> {
        let e = self.effect?;
        Some(if self.unit == "share" {
            format!("{:+.2} points ({:+.2} to {:+.2})", 100.0 * e.estimate, 100.0 * e.low, 100.0 * e.high)
        } else {
            let percent = |ratio: f64| 100.0 * (ratio - 1.0);
            format!("{:+.1}% ({:+.1} to {:+.1})", percent(e.estimate), percent(e.low), percent(e.high))
        })
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
    /// Runs on each side that would show a change of twice the tolerance in four of five comparisons; 0 when these do.
    pub runs_needed: u32,
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
