//! One measure: its values, what they say of the difference of the sides, and the decision.

use coldcase_model::compare::{Basis, Decision, Direction, Effect, Measure, is_difference};

use super::gates::Gates;
use super::pace::Pace;
use super::{LEAST_RUNS, stats};

/// Level of the decisions.
pub(super) const ALPHA: f64 = 0.05;
/// Exponents are kept within what a number can hold.
const EXPONENT: f64 = 700.0;

/// What may be measured, with how much worse it may be.
pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) unit: &'static str,
    pub(super) tolerance: f64,
    pub(super) direction: Direction,
    /// What is less than this is as much as this: there the ratio of two values says nothing.
    pub(super) floor: f64,
}

/// The values of a measure.
#[derive(Debug, Default)]
pub(super) struct Values {
    /// One of each run of the base.
    pub(super) base: Vec<f64>,
    /// One of each run of the head.
    pub(super) head: Vec<f64>,
    /// One of each earlier run that has it.
    pub(super) history: Vec<f64>,
    /// Of blocks of time within the runs of both sides.
    pub(super) blocks: (Vec<f64>, Vec<f64>),
}

/// How measures are judged.
pub(super) struct Rules<'a> {
    pub(super) gates: &'a Gates,
    /// How much is equal, where that is asked: a ratio above 1.
    pub(super) equivalent: Option<f64>,
    /// Runs of base and head that were recorded next to each other, where all were.
    pub(super) pairs: Option<Vec<(usize, usize)>>,
    /// The pace of the host in each run, where all tell it.
    pub(super) pace: Option<Pace>,
    /// What is odd about the gates.
    pub(super) warnings: Vec<String>,
}

impl Rules<'_> {
    /// A measure of an operation. Whether it is critical is what the file says, else what is usual.
    pub(super) fn measure(&mut self, kind: &Kind, operation: &str, usually_critical: bool, values: Values) -> Measure {
        let difference = is_difference(kind.unit);
        let scaled = |of: &[f64]| -> Vec<f64> {
            of.iter().map(|&v| if difference { v } else { v.max(kind.floor).ln() }).collect()
        };
        let back = |v: f64| if difference { v } else { v.clamp(-EXPONENT, EXPONENT).exp() };
        let (b, h) = (scaled(&values.base), scaled(&values.head));
        let mean = |of: &[f64]| back(of.iter().sum::<f64>() / of.len().max(1) as f64);
        let mut m = Measure {
            measure: kind.name.to_owned(),
            operation: operation.to_owned(),
            unit: kind.unit.to_owned(),
            centre: (mean(&b), mean(&h)),
            base: values.base,
            head: values.head,
            effect: None,
            as_measured: None,
            tolerance: kind.tolerance,
            direction: kind.direction,
            critical: usually_critical && !self.gates.name_critical(),
            gate: None,
            equivalent: None,
            decision: Decision::TooFew,
        };
        self.apply_gate(&mut m);
        let blocks = (scaled(&values.blocks.0), scaled(&values.blocks.1));
        let Some((plain, basis)) = self.difference((&b, &h), &scaled(&values.history), &blocks) else { return m };
        let limit = if difference { m.tolerance } else { m.tolerance.ln() };
        let at_pace = self.pace.as_ref().filter(|_| kind.unit == "ns").and_then(|pace| at_pace(pace, (&b, &h)));
        let effect = |d: &stats::Difference, basis: Basis| effect(d, basis, m.direction, limit, &back);
        let (d, basis) = match at_pace {
            Some(at_pace) => {
                m.as_measured = Some(effect(&plain, basis));
                (at_pace, Basis::Pace)
            }
            None => (plain, basis),
        };
        m.effect = Some(effect(&d, basis));
        if basis != Basis::Blocks {
            m.decision = Decision::NotShown;
            // Of what is a difference nobody said how much is equal but the tolerance.
            let equal = |ratio: f64| d.is_within(if difference { m.tolerance } else { ratio.ln() }, ALPHA);
            m.equivalent = self.equivalent.map(equal);
        }
        m
    }

    /// The difference of the sides, and what its noise was learned from: their pairs or runs where there are enough, else earlier runs, else
    /// blocks.
    fn difference(
        &self,
        (b, h): (&[f64], &[f64]),
        history: &[f64],
        blocks: &(Vec<f64>, Vec<f64>),
    ) -> Option<(stats::Difference, Basis)> {
        if let Some(pairs) = &self.pairs {
            let values: Vec<(f64, f64)> = pairs.iter().map(|&(i, j)| (b[i], h[j])).collect();
            return stats::of_pairs(&values).map(|d| (d, Basis::Pairs));
        }
        if b.len().min(h.len()) >= LEAST_RUNS {
            return stats::welch(b, h).map(|d| (d, Basis::Runs));
        }
        let by_history = stats::against_history(b, h, history).map(|d| (d, Basis::History));
        by_history.or_else(|| stats::welch(&blocks.0, &blocks.1).map(|d| (d, Basis::Blocks)))
    }

    fn apply_gate(&mut self, m: &mut Measure) {
        let Some((at, gate)) = self.gates.of(&m.measure, &m.operation) else { return };
        m.gate = Some(at);
        match gate.tolerance(&m.unit, m.centre.0, m.tolerance) {
            Ok(tolerance) => m.tolerance = tolerance,
            Err(why) => self.warnings.push(format!(
                "gate {} ({}): {} keeps its tolerance: {why}",
                at + 1,
                gate.words(),
                m.measure
            )),
        }
        m.direction = gate.direction.unwrap_or(m.direction);
        m.critical = gate.critical.unwrap_or(m.critical);
    }
}

/// The difference at the same pace of the host.
fn at_pace(pace: &Pace, (b, h): (&[f64], &[f64])) -> Option<stats::Difference> {
    let with = |pace: &[f64], of: &[f64]| pace.iter().copied().zip(of.iter().copied()).collect::<Vec<_>>();
    stats::at_the_same(&with(&pace.base, b), &with(&pace.head, h))
}

fn effect(d: &stats::Difference, basis: Basis, direction: Direction, limit: f64, back: &dyn Fn(f64) -> f64) -> Effect {
    let (low, high) = d.interval();
    let p = match direction {
        Direction::Up => d.p_above(limit),
        Direction::Down => d.p_below(-limit),
        Direction::Both => d.p_beyond(limit),
    };
    Effect {
        estimate: back(d.estimate),
        low: back(low),
        high: back(high),
        p,
        raw_p: p,
        family: 1,
        basis,
        runs_needed: d.runs_needed(limit, ALPHA),
    }
}

/// Whether the interval of an effect lies beyond the tolerance on the bad side, and on the good one.
pub(super) fn beyond(m: &Measure, e: &Effect) -> (bool, bool) {
    let less = if m.is_difference() { -m.tolerance } else { 1.0 / m.tolerance };
    let (above, below) = (e.low > m.tolerance, e.high < less);
    match m.direction {
        Direction::Up => (above, below),
        Direction::Down => (below, above),
        Direction::Both => (above || below, false),
    }
}

/// Corrects what is likely by chance for how many measures there are, and decides.
pub(super) fn decide(measures: &mut [Measure]) {
    for critical in [true, false] {
        let judged = |m: &Measure| m.critical == critical && m.decision != Decision::TooFew;
        let at: Vec<usize> = (0..measures.len()).filter(|&i| judged(&measures[i])).collect();
        let p: Vec<f64> = at.iter().filter_map(|&i| measures[i].effect.map(|e| e.raw_p)).collect();
        let correct = |p: &[f64]| if critical { stats::holm(p) } else { stats::benjamini_hochberg(p) };
        let corrected = correct(&p);
        let as_measured: Vec<f64> =
            at.iter().filter_map(|&i| measures[i].as_measured.or(measures[i].effect).map(|e| e.raw_p)).collect();
        for (&i, &p) in at.iter().zip(&correct(&as_measured)) {
            if let Some(e) = &mut measures[i].as_measured {
                (e.p, e.family) = (p, at.len() as u32);
            }
        }
        for (&i, &p) in at.iter().zip(&corrected) {
            let m = &mut measures[i];
            let Some((worse, better)) = m.effect.map(|e| beyond(m, &e)) else { continue };
            let Some(effect) = &mut m.effect else { continue };
            (effect.p, effect.family) = (p, at.len() as u32);
            m.decision = match (worse && p < ALPHA, better) {
                (true, _) => Decision::Worse,
                (false, true) => Decision::Better,
                (false, false) => Decision::NotShown,
            };
            if m.decision == Decision::Worse {
                effect.runs_needed = 0;
            }
        }
    }
}
