//! Exact quantiles by nearest rank.

/// The smallest value at or below which at least `percent` of all values lie. `sorted` is ascending.
/// 0 when there are none.
pub(crate) fn quantile(sorted: &[u64], percent: u32) -> u64 {
    per_mille(sorted, percent.min(100) * 10)
}

/// The same in thousandths: 999 for the 99.9th percentile.
pub(crate) fn per_mille(sorted: &[u64], share: u32) -> u64 {
    let n = sorted.len() as u128;
    if n == 0 {
        return 0;
    }
    let rank = (n * u128::from(share.min(1000))).div_ceil(1000).max(1);
    sorted[(rank - 1) as usize]
}

#[cfg(test)]
mod tests {
    use super::{per_mille, quantile};

    #[test]
    fn the_quantile_is_a_value_that_occurred() {
        let values: Vec<u64> = (1..=100).collect();
        assert_eq!(quantile(&values, 50), 50);
        assert_eq!(quantile(&values, 99), 99);
        assert_eq!(quantile(&values, 100), 100);
        assert_eq!(quantile(&values, 0), 1);
        assert_eq!((per_mille(&values, 999), per_mille(&(1..=1000).collect::<Vec<_>>(), 999)), (100, 999));
    }

    #[test]
    fn few_values_give_the_highest_as_p99_and_none_give_zero() {
        assert_eq!(quantile(&[7], 99), 7);
        assert_eq!(quantile(&[1, 9], 50), 1);
        assert_eq!(quantile(&[1, 9], 99), 9);
        assert_eq!(quantile(&[], 50), 0);
    }
}
