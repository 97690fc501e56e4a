//! One latency in the making: every duration of one thing, with its heat map and slowest rows.

use coldcase_model::Evidence;
use coldcase_model::analysis::{Exemplar, Latency};

use crate::axis::Axis;
use crate::heat::HeatCells;
use crate::quantile::{per_mille, quantile};

/// How many rows a latency cites.
const EXEMPLARS: usize = 5;

/// One instance that may become an exemplar.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Slow {
    duration: u64,
    time: i64,
    row: u64,
    /// Its stream, where the series is of several.
    stream: Option<&'static str>,
    trace: Option<[u8; 16]>,
}

/// The durations of one thing. Parts made on several threads merge to the same result in any order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Series {
    durations: Vec<u64>,
    errors: Option<u64>,
    total: u64,
    heat: HeatCells,
    slowest: Vec<Slow>,
}

impl Series {
    /// Counts one instance, `row` being its number in its stream.
    pub(crate) fn push(&mut self, axis: &Axis, time: i64, duration: u64, row: u64, trace: Option<[u8; 16]>) {
        self.add_one(axis, Slow { duration, time, row, stream: None, trace });
    }

    /// The same, of a series that is made of several streams.
    pub(crate) fn push_of(
        &mut self,
        stream: &'static str,
        axis: &Axis,
        time: i64,
        duration: u64,
        row: u64,
        trace: Option<[u8; 16]>,
    ) {
        self.add_one(axis, Slow { duration, time, row, stream: Some(stream), trace });
    }

    fn add_one(&mut self, axis: &Axis, one: Slow) {
        let Slow { duration, time, .. } = one;
        self.durations.push(duration);
        self.total = self.total.saturating_add(duration);
        self.heat.add(axis, time, duration);
        if self.slowest.len() < EXEMPLARS || self.slowest.last().is_some_and(|s| s.duration <= duration) {
            self.slowest.push(one);
            self.keep_slowest();
        }
    }

    /// Says whether the instance failed. A series of which this is never said has no error count.
    pub(crate) fn outcome(&mut self, failed: bool) {
        *self.errors.get_or_insert(0) += u64::from(failed);
    }

    /// Adds another series of the same thing.
    pub(crate) fn merge(&mut self, other: Series) {
        if self.durations.is_empty() && self.errors.is_none() {
            *self = other;
        } else {
            self.add(&other);
        }
    }

    /// Adds another series of the same thing, which stays as it is.
    pub(crate) fn add(&mut self, other: &Series) {
        self.durations.extend_from_slice(&other.durations);
        self.total = self.total.saturating_add(other.total);
        self.heat.merge(&other.heat);
        if let Some(e) = other.errors {
            *self.errors.get_or_insert(0) += e;
        }
        self.slowest.extend(other.slowest.iter().cloned());
        self.keep_slowest();
    }

    fn keep_slowest(&mut self) {
        self.slowest.sort_by(|x, y| y.duration.cmp(&x.duration).then(x.row.cmp(&y.row)));
        self.slowest.truncate(EXEMPLARS);
    }

    /// How many instances.
    pub(crate) fn count(&self) -> u64 {
        self.durations.len() as u64
    }

    /// Sum of all durations.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// The result.
    pub(crate) fn finish(&self, axis: &Axis, group: &str, name: String, bundle: &str, stream: &str) -> Latency {
        let mut durations = self.durations.clone();
        durations.sort_unstable();
        let [p50, p90, p99, max] = [50, 90, 99, 100].map(|percent| quantile(&durations, percent));
        Latency {
            group: group.to_owned(),
            name,
            count: self.count(),
            errors: self.errors,
            p50,
            p90,
            p99,
            p999: per_mille(&durations, 999),
            max,
            total: self.total,
            change: None,
            heat: self.heat.finish(axis),
            exemplars: self
                .slowest
                .iter()
                .map(|s| Exemplar {
                    time: s.time,
                    duration: s.duration,
                    evidence: Evidence {
                        bundle: bundle.to_owned(),
                        stream: s.stream.unwrap_or(stream).to_owned(),
                        row: s.row,
                    },
                    trace: s.trace.filter(|t| *t != [0; 16]).map(hex),
                })
                .collect(),
        }
    }
}

fn hex(id: [u8; 16]) -> String {
    id.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_merge_to_the_same_latency_in_any_order() {
        let axis = Axis::new(0, 1_000);
        let mut parts: Vec<Series> = (0..4).map(|_| Series::default()).collect();
        for i in 0..400u64 {
            let part = &mut parts[(i % 4) as usize];
            part.push(&axis, i as i64, (i * 7_919) % 1_000, i, Some([i as u8; 16]));
            part.outcome(i % 10 == 0);
        }
        let merge = |order: [usize; 4]| {
            let mut all = Series::default();
            for i in order {
                all.merge(parts[i].clone());
            }
            all.finish(&axis, "span", "x".into(), "id", "otlp.traces")
        };
        let latency = merge([0, 1, 2, 3]);
        assert_eq!(latency, merge([3, 1, 0, 2]));
        assert_eq!((latency.count, latency.errors, latency.exemplars.len()), (400, Some(40), EXEMPLARS));
        assert_eq!(latency.exemplars[0].duration, latency.max);
    }

    #[test]
    fn equally_slow_rows_are_cited_from_the_lowest_on() {
        let axis = Axis::new(0, 100);
        let mut series = Series::default();
        for row in (0..50).rev() {
            series.push(&axis, 1, 5, row, None);
        }
        let latency = series.finish(&axis, "block", "sda".into(), "id", "kernel.block");
        assert_eq!(latency.exemplars.iter().map(|e| e.evidence.row).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        assert_eq!(latency.errors, None);
    }
}
