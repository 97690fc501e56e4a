//! Quantiles of histograms with cumulative or plain buckets.

use std::collections::BTreeMap;

use super::rate::increases;

/// The value below which `share` of the counts lie, linear within its bucket as Prometheus has it: `bounds` are the
/// upper bounds of all buckets but the last, `counts` the values in each. `None` without values.
pub(crate) fn quantile(share: f64, bounds: &[f64], counts: &[f64]) -> Option<f64> {
    let total: f64 = counts.iter().sum();
    if total <= 0.0 || bounds.is_empty() {
        return None;
    }
    let rank = share * total;
    let mut below = 0.0;
    for (i, &count) in counts.iter().enumerate() {
        if below + count >= rank && count > 0.0 {
            let Some(&upper) = bounds.get(i) else { break };
            let lower = if i == 0 { 0.0f64.min(upper) } else { bounds[i - 1] };
            return Some(lower + (upper - lower) * (rank - below) / count);
        }
        below += count;
    }
    bounds.last().copied()
}

/// Cumulative buckets over time, as scraped: per upper bound, its readings.
#[derive(Debug, Default)]
pub(crate) struct Buckets(BTreeMap<Bound, Vec<(i64, f64)>>);

/// An upper bound, ordered.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Bound(f64);

impl Eq for Bound {}
impl PartialOrd for Bound {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Bound {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl Buckets {
    /// A reading of one bucket; `le` as on the page.
    pub(crate) fn add(&mut self, le: &str, time: i64, value: f64) {
        let bound = match le {
            "+Inf" => f64::INFINITY,
            le => match le.parse() {
                Ok(v) => v,
                Err(_) => return,
            },
        };
        self.0.entry(Bound(bound)).or_default().push((time, value));
    }

    /// The quantile of what came in between each two readings.
    pub(crate) fn quantiles(&self, share: f64) -> Vec<(i64, f64)> {
        let bounds: Vec<f64> = self.0.keys().map(|b| b.0).filter(|b| b.is_finite()).collect();
        let mut at_most = BTreeMap::<i64, Vec<(usize, f64)>>::new();
        for (i, readings) in self.0.values().enumerate() {
            for (time, _, grown) in increases(readings) {
                at_most.entry(time).or_default().push((i, grown));
            }
        }
        let mut out = Vec::new();
        for (time, grown) in at_most {
            if grown.len() != self.0.len() {
                continue;
            }
            let mut below = 0.0;
            let counts: Vec<f64> = grown
                .iter()
                .map(|&(_, g)| {
                    let count = (g - below).max(0.0);
                    below = g;
                    count
                })
                .collect();
            out.extend(quantile(share, &bounds, &counts).map(|q| (time, q)));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_lies_within_the_bucket_that_holds_it() {
        assert_eq!(quantile(0.5, &[1.0, 2.0], &[0.0, 10.0, 0.0]), Some(1.5));
        assert_eq!(quantile(0.99, &[1.0, 2.0], &[1.0, 0.0, 99.0]), Some(2.0), "beyond the last bound nothing is known");
        assert_eq!(quantile(0.5, &[1.0], &[0.0, 0.0]), None);
        assert_eq!(quantile(0.5, &[], &[5.0]), None);
    }

    #[test]
    fn buckets_give_the_quantile_of_what_came_in_between_two_scrapes() {
        let mut b = Buckets::default();
        for (time, small, all) in [(0, 100.0, 100.0), (1_000, 100.0, 110.0), (2_000, 110.0, 120.0)] {
            b.add("0.1", time, small);
            b.add("1", time, all);
            b.add("+Inf", time, all);
        }
        let q = b.quantiles(0.5);
        assert_eq!(q.len(), 2);
        assert!((q[0].1 - 0.55).abs() < 1e-9, "all of the first interval were slow: {q:?}");
        assert!((q[1].1 - 0.05).abs() < 1e-9, "all of the second were fast: {q:?}");
    }
}
