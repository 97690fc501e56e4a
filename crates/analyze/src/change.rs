//! When something changed: the one moment that best divides a run of durations into a before and an after.

use crate::axis::{Axis, COLUMNS};
use crate::quantile::quantile;

/// Fewest instances on each side of a change.
const ENOUGH: usize = 20;

/// A change of a latency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Change {
    /// The column of the axis that begins the after.
    pub(crate) column: usize,
    /// When the after begins.
    pub(crate) time: i64,
    /// Medians before and after.
    pub(crate) p50: (u64, u64),
    /// 99th percentiles before and after.
    pub(crate) p99: (u64, u64),
}

impl Change {
    /// By what factor the 99th percentile grew.
    pub(crate) fn growth(&self) -> f64 {
        self.p99.1 as f64 / self.p99.0.max(1) as f64
    }

    /// Whether the after is so much slower that people are told: its p99 or its median at least doubled.
    pub(crate) fn slower(&self) -> bool {
        self.growth() >= 2.0 || self.p50.1 >= 2 * self.p50.0.max(1)
    }
}

/// The division into before and after, at a column of `axis`, for which the logarithms of the durations differ most
/// (largest variance between the two sides), or `None` when no division leaves enough instances on both sides.
/// Whether the difference matters is for the caller to judge.
pub(crate) fn best(axis: &Axis, points: &[(i64, u64)]) -> Option<Change> {
    let mut counts = [0u64; COLUMNS];
    let mut sums = [0u64; COLUMNS];
    for &(time, duration) in points {
        let column = axis.column(time);
        counts[column] += 1;
        sums[column] += log2_micro(duration);
    }
    let (all, sum): (u64, u64) = (counts.iter().sum(), sums.iter().sum());
    let (mut before, mut before_sum) = (0, 0);
    let mut found: Option<(f64, usize)> = None;
    for column in 1..COLUMNS {
        before += counts[column - 1];
        before_sum += sums[column - 1];
        let after = all - before;
        if (before as usize) < ENOUGH || (after as usize) < ENOUGH {
            continue;
        }
        let difference = before_sum as f64 / before as f64 - (sum - before_sum) as f64 / after as f64;
        let between = before as f64 * after as f64 * difference * difference;
        if found.is_none_or(|(most, _)| between > most) {
            found = Some((between, column));
        }
    }
    let (_, column) = found?;
    let mut sides = (Vec::new(), Vec::new());
    for &(time, duration) in points {
        if axis.column(time) < column { sides.0.push(duration) } else { sides.1.push(duration) }
    }
    sides.0.sort_unstable();
    sides.1.sort_unstable();
    Some(Change {
        column,
        time: axis.time(column),
        p50: (quantile(&sides.0, 50), quantile(&sides.1, 50)),
        p99: (quantile(&sides.0, 99), quantile(&sides.1, 99)),
    })
}

/// The base-2 logarithm in millionths, integer so that sums do not depend on their order.
fn log2_micro(duration: u64) -> u64 {
    ((duration.max(1) as f64).log2() * 1e6) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slowdown_half_way_is_found_where_it_begins() {
        let axis = Axis::new(0, 60_000);
        let points: Vec<(i64, u64)> = (0..600)
            .map(|i| (i * 100, if i >= 300 && i % 5 == 0 { 50_000_000 } else { 1_000_000 + i as u64 }))
            .collect();
        let change = best(&axis, &points).unwrap();
        assert!((29_000..=31_000).contains(&change.time), "{change:?}");
        assert!(change.growth() > 40.0);
        assert!(change.p50.1 < 1_100_000);
    }

    #[test]
    fn what_stays_the_same_changes_by_little_and_too_few_say_nothing() {
        let axis = Axis::new(0, 60_000);
        let steady: Vec<(i64, u64)> = (0..600).map(|i| (i * 100, 1_000_000 + (i as u64 * 7_919) % 1_000)).collect();
        assert!(best(&axis, &steady).unwrap().growth() < 1.1);
        assert_eq!(best(&axis, &steady[..30]), None);
        assert_eq!(best(&axis, &[]), None);
    }
}
