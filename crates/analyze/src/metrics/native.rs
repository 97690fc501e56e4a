//! Quantiles of native histograms over time.

use std::collections::BTreeMap;
use std::sync::Arc;

use coldcase_decode::prometheus::NativeHistogram;

use super::histogram::quantile;

/// Readings of one native histogram.
#[derive(Debug, Default)]
pub(crate) struct Natives(Vec<(i64, Arc<NativeHistogram>)>);

impl Natives {
    pub(crate) fn add(&mut self, time: i64, histogram: Arc<NativeHistogram>) {
        self.0.push((time, histogram));
    }

    /// The quantile of what came in between each two readings; of a gauge histogram, of each reading. Where the buckets
    /// changed their resolution or began anew, the later reading stands for itself.
    pub(crate) fn quantiles(mut self, share: f64) -> Vec<(i64, f64)> {
        self.0.sort_by_key(|r| r.0);
        let mut out = Vec::new();
        let mut before: Option<&NativeHistogram> = None;
        for (time, now) in &self.0 {
            if now.gauge {
                out.extend(of(share, now, None).map(|q| (*time, q)));
            } else if let Some(old) = before {
                let same = old.schema == now.schema && old.zero_threshold == now.zero_threshold;
                let old = Some(old).filter(|old| same && old.count <= now.count);
                out.extend(of(share, now, old).map(|q| (*time, q)));
            }
            before = Some(now);
        }
        out
    }
}

fn of(share: f64, now: &NativeHistogram, before: Option<&NativeHistogram>) -> Option<f64> {
    let key = |lower: f64, upper: f64| (lower.to_bits(), upper.to_bits());
    let old: BTreeMap<(u64, u64), f64> =
        before.iter().flat_map(|b| b.buckets()).map(|b| (key(b.lower, b.upper), b.count)).collect();
    let grown = |b: &coldcase_decode::prometheus::Bucket| {
        (b.count - old.get(&key(b.lower, b.upper)).copied().unwrap_or(0.0)).max(0.0)
    };
    // Buckets without values may be left out: what lies between two is an empty one.
    let (mut bounds, mut counts) = (Vec::new(), Vec::new());
    for bucket in now.buckets() {
        if bounds.last().is_some_and(|&last| last < bucket.lower) || bounds.is_empty() {
            bounds.push(bucket.lower);
            counts.push(0.0);
        }
        bounds.push(bucket.upper);
        counts.push(grown(&bucket));
    }
    counts.push(0.0);
    quantile(share, &bounds, &counts).filter(|q| q.is_finite())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_quantile_is_of_what_came_in_between() {
        let at = |positive: &[(i32, f64)]| {
            let count = positive.iter().map(|p| p.1).sum();
            Arc::new(NativeHistogram { count, positive: positive.to_vec(), ..NativeHistogram::default() })
        };
        let mut n = Natives::default();
        n.add(0, at(&[(1, 100.0)]));
        // Ten more between 1 and 2, then ten between 8 and 16.
        n.add(1, at(&[(1, 110.0)]));
        n.add(2, at(&[(1, 110.0), (4, 10.0)]));
        // Started anew.
        n.add(3, at(&[(2, 4.0)]));
        let q = n.quantiles(0.5);
        assert_eq!(q, [(1, 1.5), (2, 12.0), (3, 3.0)]);
    }
}
