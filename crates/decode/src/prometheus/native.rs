//! Native histograms: exponential or custom buckets, sparse, as the protobuf formats carry them.
//!
//! Layout: <https://prometheus.io/docs/specs/native_histograms/>, "Data model" and "Exposition formats".

/// The schema of histograms whose bounds are listed.
const CUSTOM: i32 = -53;

/// A native histogram at one moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NativeHistogram {
    /// How many values; a float histogram may have fractions.
    pub count: f64,
    /// Their sum. The staleness marker, where the series ended.
    pub sum: f64,
    /// Each power of two is divided into 2^schema buckets (−4 to 8); −53: the bounds are [`custom`](Self::custom).
    pub schema: i32,
    /// The zero bucket holds what is at most so far from zero.
    pub zero_threshold: f64,
    /// Values in the zero bucket.
    pub zero_count: f64,
    /// Index and values of the buckets above zero, ascending; those without values may be missing.
    pub positive: Vec<(i32, f64)>,
    /// The same below zero.
    pub negative: Vec<(i32, f64)>,
    /// Upper bounds of custom buckets, ascending; the last bucket reaches to infinity.
    pub custom: Vec<f64>,
    /// Whether its counts may fall (a gauge histogram).
    pub gauge: bool,
}

/// A bucket of a histogram: above `lower`, up to `upper`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bucket {
    /// Its lower bound.
    pub lower: f64,
    /// Its upper bound.
    pub upper: f64,
    /// Values in it, not cumulative.
    pub count: f64,
}

/// Buckets on one side of zero as they are sent: runs of indices, and either differences or counts.
pub(crate) struct Side<'a> {
    /// Distance from the end of the run before, and length.
    pub(crate) spans: Vec<(i32, u32)>,
    pub(crate) deltas: &'a [i64],
    pub(crate) counts: &'a [f64],
}

impl Side<'_> {
    /// Index and count of each bucket.
    pub(crate) fn buckets(&self) -> Result<Vec<(i32, f64)>, &'static str> {
        let n = self.deltas.len().max(self.counts.len());
        // What is sent bounds what is made of it, whatever the spans say.
        let mut out = Vec::with_capacity(n);
        let (mut index, mut sum) = (0i64, 0i64);
        for &(offset, length) in &self.spans {
            index += i64::from(offset);
            for _ in 0..length {
                let at = out.len();
                let count = match (self.deltas.get(at), self.counts.get(at)) {
                    (Some(delta), _) => {
                        sum = sum.checked_add(*delta).ok_or("a bucket count out of range")?;
                        sum as f64
                    }
                    (None, Some(&count)) => count,
                    (None, None) => return Err("spans of more buckets than there are counts"),
                };
                out.push((i32::try_from(index).map_err(|_| "a bucket index out of range")?, count));
                index += 1;
            }
        }
        if out.len() == n { Ok(out) } else { Err("more counts than the spans have buckets") }
    }
}

impl NativeHistogram {
    /// Checks that its schema is one that is known.
    pub(crate) fn checked(self) -> Result<NativeHistogram, &'static str> {
        match self.schema {
            -4..=8 | CUSTOM => Ok(self),
            _ => Err("a native histogram of an unknown schema"),
        }
    }

    /// The upper bound of the bucket of an index, above zero.
    fn bound(&self, index: i32) -> f64 {
        if self.schema == CUSTOM {
            return match usize::try_from(index) {
                Ok(i) => self.custom.get(i).copied().unwrap_or(f64::INFINITY),
                Err(_) => f64::NEG_INFINITY,
            };
        }
        (f64::from(index) * (-f64::from(self.schema)).exp2()).exp2()
    }

    /// Its buckets, ascending.
    pub fn buckets(&self) -> Vec<Bucket> {
        let mut out = Vec::with_capacity(self.negative.len() + self.positive.len() + 1);
        for &(i, count) in self.negative.iter().rev() {
            out.push(Bucket { lower: -self.bound(i), upper: -self.bound(i.saturating_sub(1)), count });
        }
        if self.zero_count > 0.0 {
            out.push(Bucket { lower: -self.zero_threshold, upper: self.zero_threshold, count: self.zero_count });
        }
        for &(i, count) in &self.positive {
            out.push(Bucket { lower: self.bound(i.saturating_sub(1)), upper: self.bound(i), count });
        }
        out
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn spans_and_differences_become_buckets() {
        let side = Side { spans: vec![(-2, 2), (3, 1)], deltas: &[1, 2, -1], counts: &[] };
        assert_eq!(side.buckets(), Ok(vec![(-2, 1.0), (-1, 3.0), (3, 2.0)]));
        let side = Side { spans: vec![(0, 2)], deltas: &[], counts: &[0.5, 1.5] };
        assert_eq!(side.buckets(), Ok(vec![(0, 0.5), (1, 1.5)]));
    }

    #[test]
    fn spans_of_four_billion_buckets_cost_nothing() {
        let side = Side { spans: vec![(0, u32::MAX)], deltas: &[1, 1], counts: &[] };
        assert!(side.buckets().is_err());
        let side = Side { spans: vec![(i32::MAX, 2)], deltas: &[1, 1], counts: &[] };
        assert_eq!(side.buckets(), Err("a bucket index out of range"));
        let side = Side { spans: vec![(0, 1)], deltas: &[1, 1], counts: &[] };
        assert!(side.buckets().is_err(), "a count that no span holds");
        let side = Side { spans: vec![(0, 2)], deltas: &[i64::MAX, 1], counts: &[] };
        assert_eq!(side.buckets(), Err("a bucket count out of range"));
    }

    #[test]
    fn bounds_are_powers_of_the_base_of_the_schema() {
        // Schema 1: the base is the square root of two; bucket 2 is (√2, 2].
        let h = NativeHistogram {
            schema: 1,
            positive: vec![(2, 3.0)],
            negative: vec![(0, 1.0), (2, 4.0)],
            zero_count: 2.0,
            zero_threshold: 0.125,
            ..NativeHistogram::default()
        };
        let bounds: Vec<(f64, f64, f64)> = h.buckets().iter().map(|b| (b.lower, b.upper, b.count)).collect();
        let root = std::f64::consts::SQRT_2;
        let want = [(-2.0, -root, 4.0), (-1.0, -1.0 / root, 1.0), (-0.125, 0.125, 2.0), (root, 2.0, 3.0)];
        for (got, want) in bounds.iter().zip(want) {
            assert!((got.0 - want.0).abs() < 1e-12 && (got.1 - want.1).abs() < 1e-12 && got.2 == want.2, "{bounds:?}");
        }
        assert_eq!(bounds.len(), 4);
        let custom = NativeHistogram {
            schema: CUSTOM,
            custom: vec![0.1, 1.0],
            positive: vec![(0, 1.0), (2, 5.0)],
            ..NativeHistogram::default()
        };
        let b = custom.buckets();
        assert_eq!((b[0].lower, b[0].upper), (f64::NEG_INFINITY, 0.1));
        assert_eq!((b[1].lower, b[1].upper), (1.0, f64::INFINITY));
        assert!(NativeHistogram { schema: 9, ..NativeHistogram::default() }.checked().is_err());
    }
}
