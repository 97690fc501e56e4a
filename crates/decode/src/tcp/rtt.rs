//! Round trips of a connection: exact while they are few, then in buckets of less than one percent.

/// Round trips kept one by one.
const EXACT: usize = 8192;
/// Buckets in each doubling: so a value is off by less than 1/128.
const STEPS: u32 = 128;

/// Round trips from segments to the acknowledgments that end exactly there, nanoseconds (`tcp.analysis.ack_rtt`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoundTrips {
    /// How many.
    pub count: u64,
    /// Their sum.
    pub sum: i64,
    /// The shortest.
    pub min: i64,
    /// The longest.
    pub max: i64,
    few: Vec<i64>,
    many: Vec<u32>,
}

impl RoundTrips {
    /// Adds one.
    pub(super) fn add(&mut self, rtt: i64) {
        (self.min, self.max) = match self.count {
            0 => (rtt, rtt),
            _ => (self.min.min(rtt), self.max.max(rtt)),
        };
        self.count += 1;
        self.sum = self.sum.saturating_add(rtt);
        if self.many.is_empty() && self.few.len() < EXACT {
            self.few.push(rtt);
            return;
        }
        for rtt in std::mem::take(&mut self.few) {
            self.drop_into_bucket(rtt);
        }
        self.drop_into_bucket(rtt);
    }

    /// The value below which `percent` of them lie (the one at place count × percent / 100 when sorted); exact up to
    /// 8,192 of them, then too low by less than one percent.
    pub fn quantile(&self, percent: u64) -> Option<i64> {
        let place = (self.count.saturating_mul(percent) / 100).min(self.count.checked_sub(1)?);
        if self.many.is_empty() {
            let mut sorted = self.few.clone();
            sorted.sort_unstable();
            return sorted.get(place as usize).copied();
        }
        let mut seen = 0;
        for (bucket, &n) in self.many.iter().enumerate() {
            seen += u64::from(n);
            if seen > place {
                return Some(lowest(bucket).clamp(self.min, self.max));
            }
        }
        Some(self.max)
    }

    /// The mean.
    pub fn mean(&self) -> Option<i64> {
        (self.count > 0).then(|| self.sum / self.count as i64)
    }

    fn drop_into_bucket(&mut self, rtt: i64) {
        let bucket = bucket(rtt);
        if self.many.len() <= bucket {
            self.many.resize(bucket + 1, 0);
        }
        self.many[bucket] = self.many[bucket].saturating_add(1);
    }
}

/// Values below [`STEPS`] have a bucket each, then each doubling is cut into as many. Negative ones count as 0.
fn bucket(rtt: i64) -> usize {
    let rtt = rtt.max(0) as u64;
    if rtt < u64::from(STEPS) {
        return rtt as usize;
    }
    let shift = rtt.ilog2() - STEPS.ilog2();
    (shift * STEPS) as usize + (rtt >> shift) as usize
}

fn lowest(bucket: usize) -> i64 {
    let (bucket, steps) = (bucket as u64, u64::from(STEPS));
    if bucket < steps {
        return bucket as i64;
    }
    let shift = bucket / steps - 1;
    ((bucket - shift * steps) << shift) as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn few_round_trips_are_told_exactly() {
        let mut r = RoundTrips::default();
        [40, 10, 30, 20].into_iter().for_each(|n| r.add(n));
        assert_eq!((r.quantile(50), r.quantile(95), r.mean(), r.min, r.max), (Some(30), Some(40), Some(25), 10, 40));
        assert_eq!(RoundTrips::default().quantile(50), None);
    }

    #[test]
    fn many_are_off_by_less_than_one_percent() {
        let mut r = RoundTrips::default();
        (1..=100_000).for_each(|n| r.add(n * 1_000));
        let p95 = r.quantile(95).unwrap_or(0);
        assert!((94_000_000..=95_001_000).contains(&p95), "{p95}");
    }

    proptest! {
        #[test]
        fn a_bucket_begins_where_the_value_does_or_a_little_below(rtt in 0i64..i64::MAX) {
            let low = lowest(bucket(rtt));
            prop_assert!(low <= rtt && rtt - low <= rtt / 128, "{} {}", rtt, low);
            prop_assert_eq!(bucket(low), bucket(rtt));
        }
    }
}
