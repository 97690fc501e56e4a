//! Two sides of runs: what changed, how sure it is, and whether the head is worse than it may be.
//!
//! Counts that are the same in every run of a side come first: they need no statistics. Measures are one value a run, compared by the
//! ratio of their geometric means with Welch's interval; a measure is worse when the lower bound is beyond its tolerance, after Holm's
//! correction among the critical ones and Benjamini and Hochberg's among the rest. What would make that wrong (other machines, lost
//! evidence, nothing in common) makes the verdict inconclusive.

mod alike;
mod exact;
mod facts;
mod measures;
mod rates;
mod stats;

use std::path::PathBuf;

use coldcase_model::compare::{Comparison, Decision, Measure, Verdict};

use crate::AnalyzeError;
use facts::Facts;

pub use rates::{Rates, rates};

/// Runs on a side below which measures say nothing.
pub(crate) const LEAST_RUNS: usize = 3;
/// Where a critical measure may be so much worse (upper bound of its ratio), the runs did not tell enough for a pass.
const CEILING: f64 = 2.0;

/// How runs are compared.
#[derive(Debug, Clone, Default)]
pub struct CompareOptions {
    /// Threads; one for each CPU where none is given. The result does not depend on it.
    pub threads: Option<usize>,
}

/// Why two sides cannot be compared at all.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// A bundle could not be read.
    #[error(transparent)]
    Analyze(#[from] AnalyzeError),
    /// A side has no bundle.
    #[error("no bundle on the side of the {0}")]
    Empty(&'static str),
    /// A bundle is there twice: a run held against itself shows nothing.
    #[error("{first} and {second} are the same bundle ({id})")]
    #[allow(missing_docs)]
    Twice { first: String, second: String, id: String },
}

/// Compares the runs of two sides.
///
/// # Errors
/// When a bundle cannot be read, a side is empty, or a bundle is given twice.
pub fn compare(base: &[PathBuf], head: &[PathBuf], options: &CompareOptions) -> Result<Comparison, CompareError> {
    for (side, paths) in [("base", base), ("head", head)] {
        if paths.is_empty() {
            return Err(CompareError::Empty(side));
        }
    }
    let read = |paths: &[PathBuf]| -> Result<Vec<Facts>, CompareError> {
        paths.iter().map(|p| Ok(Facts::of(p, options.threads)?)).collect()
    };
    let (base, head) = (read(base)?, read(head)?);
    let mut seen: Vec<&Facts> = Vec::new();
    for facts in base.iter().chain(&head) {
        if let Some(other) = seen.iter().find(|f| f.run.id == facts.run.id) {
            let (first, second) = (other.run.file.clone(), facts.run.file.clone());
            return Err(CompareError::Twice { first, second, id: facts.run.id.clone() });
        }
        seen.push(facts);
    }
    Ok(of_facts(&base.iter().collect::<Vec<_>>(), &head.iter().collect::<Vec<_>>()))
}

fn of_facts(base: &[&Facts], head: &[&Facts]) -> Comparison {
    let differences = alike::differences(base, head);
    let exact = exact::changes(base, head);
    let measures = measures::measures(base, head);
    let mut comparison = Comparison {
        verdict: Verdict::Pass,
        reasons: Vec::new(),
        base: base.iter().map(|f| f.run.clone()).collect(),
        head: head.iter().map(|f| f.run.clone()).collect(),
        differences,
        exact,
        measures,
    };
    (comparison.verdict, comparison.reasons) = judge(&comparison);
    comparison
}

/// The verdict, and why.
fn judge(c: &Comparison) -> (Verdict, Vec<String>) {
    let misleading: Vec<String> = c
        .differences
        .iter()
        .filter(|d| d.misleads)
        .map(|d| format!("the sides cannot be held against each other: {} is {} and {}", d.what, d.base, d.head))
        .collect();
    let mut worse: Vec<String> = c.exact.iter().filter(|e| e.worse && e.critical).map(exact::sentence).collect();
    let critical = || c.measures.iter().filter(|m| m.critical);
    worse.extend(critical().filter(|m| m.decision == Decision::Worse).map(measures::sentence));
    if !misleading.is_empty() {
        return (Verdict::Inconclusive, [misleading, worse].concat());
    }
    if !worse.is_empty() {
        return (Verdict::Regression, worse);
    }
    let few = c.base.len().min(c.head.len());
    if few < LEAST_RUNS {
        let why = format!(
            "{few} run{} on a side cannot show that nothing is slower: {LEAST_RUNS} are needed, more show smaller changes",
            if few == 1 { "" } else { "s" }
        );
        return (Verdict::Inconclusive, vec![why]);
    }
    if critical().next().is_none() {
        return (Verdict::Inconclusive, vec!["no operation has enough requests in every run of both sides".to_owned()]);
    }
    if let Some(wide) = critical().find(|m| beyond_ceiling(m)) {
        let needed = wide.effect.map_or(0, |e| e.runs_needed);
        let why = format!(
            "{} of {} differs too much from run to run: it may be {CEILING:.0} times as much and these would not show it (about {needed} runs a side would)",
            wide.measure, wide.operation
        );
        return (Verdict::Inconclusive, vec![why]);
    }
    let judged = critical().count();
    (Verdict::Pass, vec![format!("none of {judged} critical measures is shown to be worse than it may be")])
}

fn beyond_ceiling(m: &Measure) -> bool {
    m.unit != "share" && m.more_is_worse && m.effect.is_none_or(|e| e.high > CEILING)
}

#[cfg(test)]
mod tests;
