//! Exponential histograms as plain buckets (OTLP data model, "ExponentialHistogram").

use opentelemetry_proto::tonic::metrics::v1::ExponentialHistogramDataPoint;

use super::PointValue;

/// Plain buckets, ascending: negative ones, the zero bucket, positive ones. The zero bucket reaches up to the first positive
/// one; bounds that no double can tell apart (a scale beyond what doubles hold) are one bucket.
pub(super) fn plain(p: &ExponentialHistogramDataPoint) -> PointValue {
    let mut out = Buckets::default();
    if let Some(n) = &p.negative {
        // Bucket i holds [-base^(i+1), -base^i); the upper bound is -base^i.
        for (i, &count) in n.bucket_counts.iter().enumerate().rev() {
            out.push(-bound(p.scale, i64::from(n.offset) + i as i64), count);
        }
    }
    match p.positive.as_ref().filter(|b| !b.bucket_counts.is_empty()) {
        Some(b) => {
            out.push(bound(p.scale, i64::from(b.offset)), p.zero_count);
            for (i, &count) in b.bucket_counts.iter().enumerate() {
                out.push(bound(p.scale, i64::from(b.offset) + i as i64 + 1), count);
            }
        }
        None => out.push(f64::INFINITY, p.zero_count),
    }
    // The last bucket has no upper bound, as in any histogram.
    out.bounds.pop();
    PointValue::Histogram { count: p.count, sum: p.sum, bounds: out.bounds, counts: out.counts }
}

/// The lower bound of bucket `index`: `base^index` with `base = 2^(2^-scale)`. Finite, and above zero.
fn bound(scale: i32, index: i64) -> f64 {
    if index == 0 {
        return 1.0;
    }
    let exponent = index as f64 * (-f64::from(scale)).exp2();
    exponent.exp2().clamp(f64::MIN_POSITIVE, f64::MAX)
}

#[derive(Default)]
struct Buckets {
    bounds: Vec<f64>,
    counts: Vec<u64>,
}

impl Buckets {
    fn push(&mut self, upper: f64, count: u64) {
        match (self.bounds.last(), self.counts.last_mut()) {
            (Some(&last), Some(counted)) if upper <= last => *counted = counted.saturating_add(count),
            _ => {
                self.bounds.push(upper);
                self.counts.push(count);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets as Raw;

    fn buckets(p: &ExponentialHistogramDataPoint) -> (Vec<f64>, Vec<u64>) {
        let PointValue::Histogram { bounds, counts, .. } = plain(p) else { panic!("not a histogram") };
        assert!(bounds.windows(2).all(|w| w[0] < w[1]) && bounds.iter().all(|b| b.is_finite()), "{bounds:?}");
        assert_eq!(counts.len(), bounds.len() + 1);
        (bounds, counts)
    }

    #[test]
    fn exponential_buckets_become_ascending_bounds() {
        let p = ExponentialHistogramDataPoint {
            count: 6,
            zero_count: 1,
            positive: Some(Raw { offset: 0, bucket_counts: vec![2, 3] }),
            ..ExponentialHistogramDataPoint::default()
        };
        assert_eq!(buckets(&p), (vec![1.0, 2.0], vec![1, 2, 3]));
    }

    #[test]
    fn negative_values_come_first_and_the_zero_bucket_between() {
        let p = ExponentialHistogramDataPoint {
            scale: -1, // base 4
            zero_count: 7,
            negative: Some(Raw { offset: 0, bucket_counts: vec![1, 2] }),
            positive: Some(Raw { offset: -1, bucket_counts: vec![4] }),
            ..ExponentialHistogramDataPoint::default()
        };
        assert_eq!(buckets(&p), (vec![-4.0, -1.0, 0.25], vec![2, 1, 7, 4]));
        let p = ExponentialHistogramDataPoint { positive: None, ..p };
        assert_eq!(buckets(&p), (vec![-4.0, -1.0], vec![2, 1, 7]));
    }

    #[test]
    fn scales_beyond_doubles_lose_bounds_but_no_counts() {
        for scale in [i32::MIN, -11, 20, 40, i32::MAX] {
            for offset in [i32::MIN, -3, 0, i32::MAX] {
                let sides = Some(Raw { offset, bucket_counts: vec![1, 2, 3] });
                let p = ExponentialHistogramDataPoint {
                    scale,
                    zero_count: 4,
                    negative: sides.clone(),
                    positive: sides,
                    ..ExponentialHistogramDataPoint::default()
                };
                assert_eq!(buckets(&p).1.iter().sum::<u64>(), 16, "{scale} {offset}");
            }
        }
    }
}
