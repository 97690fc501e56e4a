//! Quantiles of what was measured, by nearest rank: each is a value that occurred.

use serde::Serialize;

/// Quantiles of some values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Quantiles {
    /// How many values.
    pub count: u64,
    /// The least.
    pub min: u64,
    /// The median.
    pub p50: u64,
    /// Nine of ten are no larger.
    pub p90: u64,
    /// 99 of 100 are no larger.
    pub p99: u64,
    /// The largest.
    pub max: u64,
}

impl Quantiles {
    /// Those of `values`, in any order; `None` where there are none.
    pub fn of(values: impl IntoIterator<Item = u64>) -> Option<Quantiles> {
        let mut all: Vec<u64> = values.into_iter().collect();
        all.sort_unstable();
        Some(Quantiles {
            count: all.len() as u64,
            min: rank(&all, 0, 100)?,
            p50: rank(&all, 50, 100)?,
            p90: rank(&all, 90, 100)?,
            p99: rank(&all, 99, 100)?,
            max: rank(&all, 100, 100)?,
        })
    }
}

/// The value at `part` of `whole` of sorted values, by nearest rank; `None` where there are none.
pub(crate) fn rank(sorted: &[u64], part: u64, whole: u64) -> Option<u64> {
    let at = (sorted.len() as u64 * part).div_ceil(whole.max(1)).max(1) - 1;
    sorted.get(at as usize).copied()
}

#[cfg(test)]
mod tests {
    use super::Quantiles;

    #[test]
    fn quantiles_are_values_that_occurred() {
        assert_eq!(Quantiles::of([]), None);
        let q = Quantiles::of((1..=200).rev()).unwrap_or_default();
        assert_eq!((q.count, q.min, q.p50, q.p90, q.p99, q.max), (200, 1, 100, 180, 198, 200));
        let one = Quantiles::of([7]).unwrap_or_default();
        assert_eq!((one.min, one.p50, one.p99, one.max), (7, 7, 7, 7));
    }
}
