//! How often comparisons of these runs raise an alarm: the tool's own false alarms and power on a given machine and service, by drawing
//! sides from pools of recorded runs.

use std::path::PathBuf;

use coldcase_model::compare::Verdict;

use super::{CompareError, CompareOptions, Facts, of_facts};

/// What many comparisons came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rates {
    /// Comparisons drawn.
    pub draws: u64,
    /// Regressions among them.
    pub regressions: u64,
    /// Inconclusive ones.
    pub inconclusive: u64,
    /// The first reason of regressions, and how often it was that; the most frequent first. Numbers are left out.
    pub reasons: Vec<(String, u64)>,
}

/// Draws `draws` comparisons of `runs` runs a side: both from `base` where `head` is empty (nothing changed: every regression is a false
/// alarm), else one side from each. The same seed draws the same.
///
/// # Errors
/// When a bundle cannot be read, or there are too few.
pub fn rates(
    base: &[PathBuf],
    head: &[PathBuf],
    (runs, draws, seed): (usize, u64, u64),
    options: &CompareOptions,
) -> Result<Rates, CompareError> {
    let read = |paths: &[PathBuf]| -> Result<Vec<Facts>, CompareError> {
        paths.iter().map(|p| Ok(Facts::of(p, options.threads)?)).collect()
    };
    let (base, head) = (read(base)?, read(head)?);
    let needed = if head.is_empty() { 2 * runs } else { runs };
    if base.len() < needed || (!head.is_empty() && head.len() < runs) || runs == 0 {
        return Err(CompareError::Empty(if base.len() < needed { "base" } else { "head" }));
    }
    let mut dice = Dice(seed);
    let mut out = Rates { draws, ..Rates::default() };
    let mut reasons = std::collections::BTreeMap::<String, u64>::new();
    for _ in 0..draws {
        let (b, h) = if head.is_empty() {
            let both = dice.draw(&base, 2 * runs);
            (both[..runs].to_vec(), both[runs..].to_vec())
        } else {
            (dice.draw(&base, runs), dice.draw(&head, runs))
        };
        let c = of_facts(&b, &h);
        match c.verdict {
            Verdict::Pass => {}
            Verdict::Inconclusive => out.inconclusive += 1,
            Verdict::Regression => {
                out.regressions += 1;
                let first = c.reasons.first().map_or("", String::as_str);
                let words: Vec<&str> =
                    first.split_whitespace().filter(|w| !w.contains(|c: char| c.is_ascii_digit())).collect();
                *reasons.entry(words.join(" ")).or_default() += 1;
            }
        }
    }
    out.reasons = reasons.into_iter().collect();
    out.reasons.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    Ok(out)
}

/// Numbers that look random and are the same for the same seed (PCG's multiplier and increment).
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % n.max(1)
    }

    /// So many of the pool, none twice.
    fn draw<'a>(&mut self, pool: &'a [Facts], n: usize) -> Vec<&'a Facts> {
        let mut order: Vec<&Facts> = pool.iter().collect();
        for i in 0..n.min(order.len()) {
            let j = i + self.below(order.len() - i);
            order.swap(i, j);
        }
        order.truncate(n);
        order
    }
}
