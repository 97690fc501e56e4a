//! What an engineer asks first, picked out of an analysis: the slowest span, since when, the top wait, the worst device.

use coldcase_model::analysis::{Analysis, Edge, Heat, Latency, MetricSeries, Wait};
use coldcase_model::manifest::SourceStatus;

/// Fewer events than this do not make a percentile.
const FEW: u64 = 20;

/// The picked facts.
pub(crate) struct Facts<'a> {
    /// The span with the largest p99.
    pub(crate) slowest: Option<&'a Latency>,
    /// Since when it is slow, where there is such a moment.
    pub(crate) onset: Option<Onset>,
    /// What threads waited for most, those with nothing to do left out.
    pub(crate) wait: Option<&'a Wait>,
    /// The block device with the largest p99.
    pub(crate) device: Option<&'a Latency>,
    /// Waiting for a CPU.
    pub(crate) run_queue: Option<&'a Latency>,
    /// Edges with resets, retransmits or unanswered SYNs, most first.
    pub(crate) trouble: Vec<&'a Edge>,
}

/// The moment from which a series is slow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Onset {
    /// When, UTC nanoseconds.
    pub(crate) time: i64,
    /// Share of slow events before, 0 to 1.
    pub(crate) before: f64,
    /// Share of slow events from then on.
    pub(crate) after: f64,
}

impl<'a> Facts<'a> {
    /// Picks.
    pub(crate) fn of(a: &'a Analysis) -> Facts<'a> {
        let slowest = largest(a, "span");
        let mut trouble = crate::flow::ranked(a);
        trouble.retain(|e| crate::flow::trouble(e) > 0);
        Facts {
            onset: slowest.and_then(onset),
            slowest,
            wait: a.waits.iter().filter(|w| !w.idle).max_by_key(|w| w.total),
            device: largest(a, "block"),
            run_queue: largest(a, "run_queue"),
            trouble,
        }
    }
}

/// The series of a group with the largest p99; those with few events only when there are no others.
fn largest<'a>(a: &'a Analysis, group: &str) -> Option<&'a Latency> {
    a.latencies.iter().filter(|l| l.group == group && l.count > 0).max_by(|x, y| {
        (x.count >= FEW, x.p99, x.max).cmp(&(y.count >= FEW, y.p99, y.max)).then_with(|| y.name.cmp(&x.name))
    })
}

/// Where the share of slow events (at or above the 90th percentile) rises for good: the turning point of its
/// cumulative sum. `None` when the share after is not at least three times the share before.
pub(crate) fn onset(l: &Latency) -> Option<Onset> {
    let heat = &l.heat;
    if l.p99 < l.p50.saturating_mul(2) {
        return None;
    }
    let row = heat.bounds.iter().rposition(|&b| b <= l.p90)?;
    let columns: Vec<(u64, u64)> = heat
        .columns
        .iter()
        .map(|c| {
            (
                c.iter().skip(row).fold(0u64, |s, n| s.saturating_add(*n)),
                c.iter().fold(0u64, |s, n| s.saturating_add(*n)),
            )
        })
        .collect();
    let sums = |part: &[(u64, u64)]| part.iter().fold((0.0, 0.0), |s, c| (s.0 + c.0 as f64, s.1 + c.1 as f64));
    let (slow, all) = sums(&columns);
    if all < FEW as f64 || slow < 3.0 {
        return None;
    }
    let (mut at, mut lowest, mut run) = (0, 0.0, 0.0);
    for (i, c) in columns.iter().enumerate() {
        run += c.0 as f64 - c.1 as f64 * slow / all;
        if run < lowest {
            (at, lowest) = (i + 1, run);
        }
    }
    let (head, tail) = columns.split_at_checked(at)?;
    let rate = |(slow, all): (f64, f64)| if all > 0.0 { slow / all } else { 0.0 };
    let (before, after) = (rate(sums(head)), rate(sums(tail)));
    let time = start_of(heat, at);
    (at > 0 && sums(head).1 > 0.0 && after >= 3.0 * before && after > 0.02).then_some(Onset { time, before, after })
}

fn start_of(heat: &Heat, column: usize) -> i64 {
    heat.start.saturating_add((heat.step as i64).saturating_mul(column as i64))
}

/// How much a metric moved: how far its level changed and stayed, against its own size. 0 for a constant.
pub(crate) fn moved(m: &MetricSeries) -> f64 {
    let values: Vec<f64> = m.points.iter().map(|p| p.1).filter(|v| v.is_finite()).collect();
    if values.len() < 4 {
        return 0.0;
    }
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let deviation = (values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n).sqrt();
    let (low, high) = values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), &v| (l.min(v), h.max(v)));
    if deviation <= f64::EPSILON * mean.abs() || high <= low {
        return 0.0;
    }
    let (mut run, mut least, mut most) = (0.0, 0.0f64, 0.0f64);
    for v in &values {
        run += v - mean;
        least = least.min(run);
        most = most.max(run);
    }
    let lasting = (most - least) / (deviation * n.sqrt());
    let relative = (high - low) / high.abs().max(low.abs());
    lasting * relative.min(2.0)
}

/// What is said when an analysis has no sentence.
pub(crate) fn silence(a: &Analysis) -> &'static str {
    let nothing = a.quality.streams.iter().all(|s| s.1 == 0) && a.latencies.is_empty() && a.flow.packets == 0;
    if nothing { "Nothing was recorded." } else { "Nothing stands out in what was recorded." }
}

/// How many sources have each state: recorded, skipped, failed.
pub(crate) fn states(a: &Analysis) -> (usize, usize, usize) {
    let of = |s: SourceStatus| a.quality.sources.iter().filter(|e| e.status == s).count();
    (of(SourceStatus::Recorded), of(SourceStatus::Skipped), of(SourceStatus::Failed))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn series(columns: Vec<Vec<u64>>) -> Latency {
        let heat = Heat { start: 1_000, step: 10, bounds: vec![1, 10, 100], columns };
        Latency { p50: 5, p90: 100, p99: 200, heat, ..Latency::default() }
    }

    #[test]
    fn the_onset_is_where_slow_events_begin_and_stay() {
        let l = series([vec![vec![20, 0, 0]; 6], vec![vec![15, 0, 5]; 4]].concat());
        let onset = onset(&l).unwrap();
        assert_eq!(onset.time, 1_060);
        assert_eq!((onset.before, onset.after), (0.0, 0.25));
    }

    #[test]
    fn an_even_series_has_no_onset() {
        assert_eq!(onset(&series(vec![vec![18, 0, 2]; 10])), None);
        assert_eq!(onset(&series(vec![])), None);
    }

    #[test]
    fn a_lasting_step_moved_more_than_noise_and_a_constant_not_at_all() {
        let of = |f: &dyn Fn(i64) -> f64| {
            moved(&MetricSeries { points: (0..40).map(|i| (i, f(i))).collect(), ..MetricSeries::default() })
        };
        let step = of(&|i| if i < 20 { 10.0 } else { 30.0 });
        let noise = of(&|i| if i % 2 == 0 { 10.0 } else { 30.0 });
        assert!(step > 2.0 * noise);
        assert_eq!(of(&|_| 7.0), 0.0);
    }
}
