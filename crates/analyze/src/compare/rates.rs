//! How often comparisons of these runs raise an alarm: the tool's own false alarms and power on a given machine and service, by drawing
//! sides from pools of recorded runs.

use std::collections::BTreeMap;
use std::path::PathBuf;

use coldcase_model::compare::{Comparison, Verdict};

use super::{CompareError, CompareOptions, Facts, Sides, each, of_facts};

/// What many comparisons came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rates {
    /// Comparisons drawn.
    pub draws: u64,
    /// Regressions among them.
    pub regressions: u64,
    /// Inconclusive ones.
    pub inconclusive: u64,
    /// Those with an alarm at all, critical or not.
    pub alarmed: u64,
    /// Those of which one of the first three causes has one of the words that were looked for.
    pub named: u64,
    /// The first reason of regressions, and how often it was that; the most frequent first. Numbers are left out.
    pub reasons: Vec<(String, u64)>,
    /// The first cause likewise.
    pub causes: Vec<(String, u64)>,
}

/// Pools of runs that sides are drawn from.
pub struct Pools {
    base: Vec<Facts>,
    head: Vec<Facts>,
}

impl Pools {
    /// Reads the bundles.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn read(base: &[PathBuf], head: &[PathBuf], options: &CompareOptions) -> Result<Pools, CompareError> {
        let read = |paths: &[PathBuf]| -> Result<Vec<Facts>, CompareError> {
            paths.iter().map(|p| Ok(Facts::of(p, options.threads)?)).collect()
        };
        Ok(Pools { base: read(base)?, head: read(head)? })
    }

    /// Draws `draws` comparisons of `runs` runs a side: both from the base where the head is empty (nothing changed: every regression is a
    /// false alarm), else one side from each. `in_turns`: in pairs of runs that were recorded next to each other. The same seed draws the same.
    /// `words` are what a cause is looked for by.
    ///
    /// # Errors
    /// When there are too few runs.
    pub fn rates(
        &self,
        (runs, draws, seed): (usize, u64, u64),
        in_turns: bool,
        words: &[String],
        options: &CompareOptions,
    ) -> Result<Rates, CompareError> {
        let alone = self.head.is_empty();
        let needed = if alone { 2 * runs } else { runs };
        if self.base.len() < needed || (!alone && self.head.len() < runs) || runs == 0 {
            return Err(CompareError::Empty(if self.base.len() < needed { "base" } else { "head" }));
        }
        let pairs = self.pairs();
        let mut dice = Dice(seed);
        let mut out = Rates { draws, ..Rates::default() };
        let (mut reasons, mut causes) = (BTreeMap::new(), BTreeMap::new());
        for _ in 0..draws {
            let (b, h) = if in_turns {
                let mut drawn = dice.draw(&pairs, runs);
                if alone {
                    // Either may be the base.
                    drawn.iter_mut().for_each(|pair| {
                        if dice.below(2) == 1 {
                            *pair = (pair.1, pair.0)
                        }
                    });
                }
                drawn.into_iter().unzip()
            } else if alone {
                let both = dice.draw(&each(&self.base), 2 * runs);
                (both[..runs].to_vec(), both[runs..].to_vec())
            } else {
                (dice.draw(&each(&self.base), runs), dice.draw(&each(&self.head), runs))
            };
            let c = of_facts(&Sides { base: &b, head: &h, history: &[] }, options);
            out.add(&c, words);
            if c.verdict == Verdict::Regression {
                *reasons.entry(without_numbers(c.reasons.first().map_or("", String::as_str))).or_default() += 1;
            }
            if let Some(first) = c.causes.first() {
                *causes.entry(without_numbers(&first.sentence)).or_default() += 1;
            }
        }
        (out.reasons, out.causes) = (by_count(reasons), by_count(causes));
        Ok(out)
    }
}

impl Pools {
    /// Runs of base and head that were recorded next to each other, none in two pairs; of a base alone two that follow each other.
    fn pairs(&self) -> Vec<(&Facts, &Facts)> {
        let in_order = |of: &'_ [Facts]| -> Vec<usize> {
            let mut order: Vec<usize> = (0..of.len()).collect();
            order.sort_by_key(|&i| of[i].run.begun);
            order
        };
        let mut base: Vec<&Facts> = in_order(&self.base).into_iter().map(|i| &self.base[i]).collect();
        if self.head.is_empty() {
            return base.chunks_exact(2).map(|two| (two[0], two[1])).collect();
        }
        let mut out = Vec::new();
        for head in in_order(&self.head).into_iter().map(|i| &self.head[i]) {
            let nearest = (0..base.len()).min_by_key(|&i| base[i].run.begun.abs_diff(head.run.begun));
            out.extend(nearest.map(|i| (base.remove(i), head)));
        }
        out
    }
}

impl Rates {
    fn add(&mut self, c: &Comparison, words: &[String]) {
        self.regressions += u64::from(c.verdict == Verdict::Regression);
        self.inconclusive += u64::from(c.verdict == Verdict::Inconclusive);
        self.alarmed += u64::from(!c.causes.is_empty());
        let is_named = |text: &str| words.iter().any(|w| text.contains(w.as_str()));
        self.named += u64::from(
            c.causes
                .iter()
                .take(3)
                .any(|cause| is_named(&cause.sentence) || cause.functions.iter().any(|f| is_named(f))),
        );
    }
}

fn without_numbers(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().filter(|w| !w.contains(|c: char| c.is_ascii_digit())).collect();
    words.join(" ")
}

fn by_count(of: BTreeMap<String, u64>) -> Vec<(String, u64)> {
    let mut all: Vec<_> = of.into_iter().collect();
    all.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    all
}

/// Numbers that look random and are the same for the same seed (PCG's multiplier and increment).
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % n.max(1)
    }

    /// So many of the pool, none twice.
    fn draw<T: Copy>(&mut self, pool: &[T], n: usize) -> Vec<T> {
        let mut order = pool.to_vec();
        for i in 0..n.min(order.len()) {
            let j = i + self.below(order.len() - i);
            order.swap(i, j);
        }
        order.truncate(n);
        order
    }
}
