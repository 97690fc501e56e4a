//! Two sides of runs: what changed, how sure it is, and whether the head is worse than it may be.
//!
//! Counts that are the same in every run of a side come first: they need no statistics. Measures are one value a run, compared by the
//! ratio of their geometric means with Welch's interval; a measure is worse when the lower bound is beyond its tolerance, after Holm's
//! correction among the critical ones and Benjamini and Hochberg's among the rest. What would make that wrong (other machines, lost
//! evidence, nothing in common) makes the verdict inconclusive. Gates of a file say what may be how much worse.

mod alike;
mod causes;
mod exact;
mod facts;
mod functions;
mod gates;
mod glob;
mod in_requests;
mod judge;
mod measure;
mod measures;
mod missing;
mod operations;
mod pace;
mod pictures;
mod rates;
mod stats;
mod usage;

use std::path::PathBuf;

use coldcase_model::compare::{Comparison, Decision, Verdict};

use crate::AnalyzeError;
use facts::Facts;
use measure::Rules;
use pace::Pace;

pub use gates::{Gates, GatesError, share};
pub use rates::{Pools, Rates};

/// Runs on a side below which measures say nothing.
pub(crate) const LEAST_RUNS: usize = 3;

/// How runs are compared.
#[derive(Debug, Clone, Default)]
pub struct CompareOptions {
    /// Threads; one for each CPU where none is given. The result does not depend on it.
    pub threads: Option<usize>,
    /// Gates of a file.
    pub gates: Gates,
    /// Earlier runs, to learn the noise from where the sides have too few.
    pub history: Vec<PathBuf>,
    /// How much is equal, as a share above 0, where it is to be shown that the sides are equal.
    pub equivalent: Option<f64>,
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

/// The runs that are held against each other.
pub(crate) struct Sides<'a> {
    base: &'a [&'a Facts],
    head: &'a [&'a Facts],
    history: &'a [&'a Facts],
}

impl<'a> Sides<'a> {
    /// Of both sides.
    fn runs(&self) -> Vec<&'a Facts> {
        self.base.iter().chain(self.head).copied().collect()
    }

    /// Runs of base and head that were recorded next to each other, where all runs form such pairs: they were recorded in turns. Which is
    /// decided by their times alone, so that the choice of the method does not depend on what was measured.
    fn pairs(&self) -> Option<Vec<(usize, usize)>> {
        let of = |runs: &[&Facts], is_head: bool| -> Vec<(i64, bool, usize)> {
            runs.iter().enumerate().map(|(i, f)| (f.run.begun, is_head, i)).collect()
        };
        let mut all = [of(self.base, false), of(self.head, true)].concat();
        all.sort_unstable();
        let distinct = all.windows(2).all(|two| two[0].0 < two[1].0);
        if !distinct || self.base.len() != self.head.len() || self.base.len() < LEAST_RUNS {
            return None;
        }
        let pair = |two: &[(i64, bool, usize)]| match two {
            [(_, false, base), (_, true, head)] | [(_, true, head), (_, false, base)] => Some((*base, *head)),
            _ => None,
        };
        all.chunks(2).map(pair).collect()
    }
}

impl Sides<'_> {
    /// The pace of the host in each run, where each tells it and there are enough to learn what it does to the others.
    fn pace(&self) -> Option<Pace> {
        let side = |runs: &[&Facts]| runs.iter().map(|f| f.pace.map(f64::ln)).collect::<Option<Vec<f64>>>();
        let (base, head) = (side(self.base)?, side(self.head)?);
        (base.len().min(head.len()) >= pace::LEAST_RUNS).then_some(Pace { base, head })
    }
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
    let (base, head, mut history) = (read(base)?, read(head)?, read(&options.history)?);
    let mut seen: Vec<&Facts> = Vec::new();
    for facts in base.iter().chain(&head) {
        if let Some(other) = seen.iter().find(|f| f.run.id == facts.run.id) {
            let (first, second) = (other.run.file.clone(), facts.run.file.clone());
            return Err(CompareError::Twice { first, second, id: facts.run.id.clone() });
        }
        seen.push(facts);
    }
    // A run that is compared tells nothing of how earlier ones scattered.
    history.retain(|h| !base.iter().chain(&head).any(|f| f.run.id == h.run.id));
    let (base, head, history) = (each(&base), each(&head), each(&history));
    Ok(of_facts(&Sides { base: &base, head: &head, history: &history }, options))
}

fn each(of: &[Facts]) -> Vec<&Facts> {
    of.iter().collect()
}

pub(crate) fn of_facts(sides: &Sides<'_>, options: &CompareOptions) -> Comparison {
    let equivalent = options.equivalent.or(options.gates.equivalent).map(|share| 1.0 + share);
    let mut rules =
        Rules { gates: &options.gates, equivalent, pairs: sides.pairs(), pace: sides.pace(), warnings: Vec::new() };
    let differences = alike::differences(sides.base, sides.head);
    let exact = exact::changes(sides, &rules);
    let measures = measures::measures(sides, &mut rules);
    let functions = functions::changed(sides);
    let now = sides.head.iter().map(|f| f.run.begun).max().unwrap_or(0);
    let mut comparison = Comparison {
        verdict: Verdict::Pass,
        reasons: Vec::new(),
        base: sides.base.iter().map(|f| f.run.clone()).collect(),
        head: sides.head.iter().map(|f| f.run.clone()).collect(),
        differences,
        causes: causes::causes(sides, &exact, &measures, &functions),
        functions,
        not_compared: missing::missing(sides),
        gates: options.gates.states(now),
        warnings: rules.warnings,
        explained: Vec::new(),
        equivalent,
        pace: rules.pace.as_ref().map(Pace::told),
        pictures: pictures::pictures(sides, &measures),
        exact,
        measures,
    };
    count(&mut comparison);
    (comparison.verdict, comparison.reasons) = judge::judge(&comparison);
    comparison
}

/// The measures that `METRIC[@OPERATION]` asks for, critical first: indices into the comparison's. `*` and `?` stand for other characters; an
/// operation may be named without its service.
pub fn explained(asked: &str, c: &Comparison) -> Vec<usize> {
    let (metric, operation) = asked.split_once('@').unwrap_or((asked, "*"));
    let is = |m: &coldcase_model::compare::Measure| {
        let name = glob::matches(&gates::plain(metric), &gates::plain(&m.measure));
        name && (glob::matches(operation, &m.operation) || glob::matches(&format!("{operation} (*)"), &m.operation))
    };
    (0..c.measures.len()).filter(|&i| is(&c.measures[i])).collect()
}

/// Counts what gates decided, and warns of those that decided nothing and of too many that are critical.
fn count(c: &mut Comparison) {
    let of_exact = c.exact.iter().filter_map(|e| Some((e.gate?, e.worse)));
    let of_measures = c.measures.iter().filter_map(|m| Some((m.gate?, m.decision == Decision::Worse)));
    for (gate, worse) in of_exact.chain(of_measures).collect::<Vec<_>>() {
        c.gates[gate].matched += 1;
        c.gates[gate].worse += u64::from(worse);
    }
    for (i, g) in c.gates.iter().enumerate().filter(|(_, g)| g.matched == 0) {
        c.warnings.push(format!("gate {} ({}) matches nothing that all runs have", i + 1, g.gate));
    }
    let critical = c.measures.iter().filter(|m| m.critical).count();
    if critical > gates::CARRIED {
        c.warnings.push(format!(
            "{critical} measures are critical: more than {} are corrected so much that small changes are missed",
            gates::CARRIED
        ));
    }
}

#[cfg(test)]
mod tests;
