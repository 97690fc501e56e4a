//! The time axis that all heat maps and rates of one analysis share.

/// How many columns the axis has.
pub(crate) const COLUMNS: usize = 60;

/// A stretch of UTC cut into [`COLUMNS`] columns of equal width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Axis {
    /// Start of the first column, UTC nanoseconds.
    pub(crate) start: i64,
    /// Width of a column, nanoseconds, at least 1.
    pub(crate) step: u64,
}

impl Axis {
    /// The axis over `[first, last]`.
    pub(crate) fn new(first: i64, last: i64) -> Axis {
        let span = last.saturating_sub(first).max(0) as u64;
        Axis { start: first, step: (span / COLUMNS as u64 + 1).max(1) }
    }

    /// The column of a moment; what lies outside goes to the nearest.
    pub(crate) fn column(&self, time: i64) -> usize {
        let since = i128::from(time) - i128::from(self.start);
        (since.max(0) as u128 / u128::from(self.step)).min(COLUMNS as u128 - 1) as usize
    }

    /// Where a column starts; `COLUMNS` gives the end of the axis.
    pub(crate) fn time(&self, column: usize) -> i64 {
        let t = i128::from(self.start) + column as i128 * i128::from(self.step);
        t.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
    }

    /// Adds the part of `[time, time + duration]` that falls into each column. The parts sum to the part of the
    /// interval that lies on the axis, to the nanosecond.
    pub(crate) fn spread(&self, time: i64, duration: u64, columns: &mut [u64; COLUMNS]) {
        let end = i128::from(time) + i128::from(duration);
        let axis_end = i128::from(self.time(COLUMNS));
        let mut at = i128::from(time).max(i128::from(self.start));
        let end = end.min(axis_end);
        while at < end {
            let column = self.column(at as i64);
            let next = i128::from(self.time(column + 1)).min(end);
            columns[column] += (next - at) as u64;
            at = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_spread_over_columns_to_the_nanosecond() {
        let axis = Axis::new(1_000, 1_000 + 600);
        let mut columns = [0; COLUMNS];
        axis.spread(1_005, 123, &mut columns);
        assert_eq!(columns.iter().sum::<u64>(), 123);
        assert_eq!(columns[0], axis.step - 5);
        axis.spread(900, 150, &mut columns);
        assert_eq!(columns.iter().sum::<u64>(), 123 + 50, "what lies before the axis is left out");
        axis.spread(i64::MAX - 5, u64::MAX, &mut columns);
        assert_eq!(columns.iter().sum::<u64>(), 173);
    }

    #[test]
    fn every_moment_has_a_column() {
        let axis = Axis::new(0, 59);
        assert_eq!((axis.column(-5), axis.column(0), axis.column(59), axis.column(i64::MAX)), (0, 0, 59, 59));
        assert_eq!(Axis::new(7, 7).column(7), 0);
        assert_eq!(Axis::new(7, 3).step, 1);
    }
}
