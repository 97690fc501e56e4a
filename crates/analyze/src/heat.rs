//! Heat maps: counts by time column and logarithmic duration row.

use std::collections::BTreeMap;

use coldcase_model::analysis::Heat;

use crate::axis::{Axis, COLUMNS};

/// Six rows a decade, at values that a person reads off an axis, from 1 µs to 700 s.
const ROWS: usize = 55;
const STEPS: [u64; 6] = [10, 15, 20, 30, 50, 70];

/// Lower bound of a row, nanoseconds. Row 0 holds all that is shorter than 1 µs.
fn bound(row: usize) -> u64 {
    match row.checked_sub(1) {
        None => 0,
        Some(r) => STEPS[r % 6] * 10u64.pow(2 + (r / 6) as u32),
    }
}

/// The row of a duration.
fn row(duration: u64) -> usize {
    let mut low = 0;
    let mut high = ROWS;
    while high - low > 1 {
        let middle = (low + high) / 2;
        if bound(middle) <= duration { low = middle } else { high = middle }
    }
    low
}

/// Counts by cell; cells without any take no room.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct HeatCells(BTreeMap<(u8, u8), u64>);

impl HeatCells {
    /// Counts one.
    pub(crate) fn add(&mut self, axis: &Axis, time: i64, duration: u64) {
        self.add_many(axis, time, duration, 1);
    }

    /// Counts so many of one duration.
    pub(crate) fn add_many(&mut self, axis: &Axis, time: i64, duration: u64, count: u64) {
        *self.0.entry((axis.column(time) as u8, row(duration) as u8)).or_default() += count;
    }

    /// Adds the counts of another; the order of merging does not matter.
    pub(crate) fn merge(&mut self, other: &HeatCells) {
        for (&cell, &count) in &other.0 {
            *self.0.entry(cell).or_default() += count;
        }
    }

    /// The heat map, without the duration rows below and above all counts.
    pub(crate) fn finish(&self, axis: &Axis) -> Heat {
        let low = self.0.keys().map(|c| c.1).min().unwrap_or(0) as usize;
        let high = self.0.keys().map(|c| c.1).max().unwrap_or(0) as usize;
        let mut columns = vec![vec![0; high - low + 1]; COLUMNS];
        for (&(x, y), &count) in &self.0 {
            columns[x as usize][y as usize - low] = count;
        }
        Heat { start: axis.start, step: axis.step, bounds: (low..=high).map(bound).collect(), columns }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_duration_falls_into_the_row_that_holds_it() {
        for duration in [0, 999, 1_000, 1_499, 1_500, 12_345_678, 700_000_000_000, u64::MAX] {
            let r = row(duration);
            assert!(bound(r) <= duration, "{duration}");
            assert!(r + 1 == ROWS || duration < bound(r + 1), "{duration}");
        }
        assert_eq!((bound(1), bound(7), bound(13), bound(19)), (1_000, 10_000, 100_000, 1_000_000));
    }

    #[test]
    fn bounds_ascend_without_end() {
        assert!((1..ROWS).all(|r| bound(r - 1) < bound(r)));
    }

    #[test]
    fn counts_are_kept_whatever_the_order_of_merging() {
        let axis = Axis::new(0, 6_000);
        let (mut a, mut b) = (HeatCells::default(), HeatCells::default());
        a.add(&axis, 0, 1_000);
        a.add(&axis, 5_999, 2_000_000);
        b.add(&axis, 0, 1_200);
        let mut ab = a.clone();
        ab.merge(&b);
        b.merge(&a);
        assert_eq!(ab, b);
        let heat = ab.finish(&axis);
        assert_eq!(heat.columns.len(), COLUMNS);
        assert_eq!(heat.bounds.first(), Some(&1_000));
        assert_eq!(heat.columns[0][0], 2);
        assert_eq!(heat.columns.iter().flatten().sum::<u64>(), 3);
    }
}
