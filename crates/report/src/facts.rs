//! What an engineer asks first, picked out of an analysis: the slowest span, the top wait, the worst device.

use coldcase_model::analysis::{Analysis, Edge, Latency, LogChange, LogHow, LogKind, MetricSeries, Wait};
use coldcase_model::manifest::SourceStatus;

use crate::text::{number, plural};

/// Fewer events than this do not make a percentile.
const FEW: u64 = 20;

/// The picked facts.
pub(crate) struct Facts<'a> {
    /// The span with the largest p99.
    pub(crate) slowest: Option<&'a Latency>,
    /// What threads waited for most, those with nothing to do and waits for a CPU left out.
    pub(crate) wait: Option<&'a Wait>,
    /// The block device with the largest p99.
    pub(crate) device: Option<&'a Latency>,
    /// Waiting for a CPU: the series with the largest total, which is that of all threads where there is one.
    pub(crate) run_queue: Option<&'a Latency>,
    /// Edges with resets, retransmits or unanswered SYNs, most first.
    pub(crate) trouble: Vec<&'a Edge>,
}

impl<'a> Facts<'a> {
    /// Picks.
    pub(crate) fn of(a: &'a Analysis) -> Facts<'a> {
        let mut trouble = crate::flow::ranked(a);
        trouble.retain(|e| crate::flow::trouble(e) > 0);
        Facts {
            slowest: largest(a, "span"),
            wait: top_wait(a),
            device: largest(a, "block"),
            run_queue: crate::latency::ranked(a, "run_queue").into_iter().next(),
            trouble,
        }
    }
}

/// The largest wait of a service where there is one, else of any process.
fn top_wait(a: &Analysis) -> Option<&Wait> {
    let mut busy = a.waits.iter().filter(|w| !w.idle && w.reason != "run queue");
    busy.clone().find(|w| w.service).or_else(|| busy.next())
}

/// The series of a group with the largest p99; those with few events only when there are no others.
fn largest<'a>(a: &'a Analysis, group: &str) -> Option<&'a Latency> {
    a.latencies.iter().filter(|l| l.group == group && l.count > 0).max_by(|x, y| {
        (x.count >= FEW, x.p99, x.max).cmp(&(y.count >= FEW, y.p99, y.max)).then_with(|| y.name.cmp(&x.name))
    })
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

/// Sources of a state with the same reason and hint together: names, reason, hint.
pub(crate) fn alike(a: &Analysis, status: SourceStatus) -> Vec<(Vec<&str>, &str, &str)> {
    let mut out: Vec<(Vec<&str>, &str, &str)> = Vec::new();
    for s in a.quality.sources.iter().filter(|s| s.status == status) {
        match out.iter_mut().find(|o| o.1 == s.reason && o.2 == s.hint) {
            Some(same) => same.0.push(&s.name),
            None => out.push((vec![&s.name], &s.reason, &s.hint)),
        }
    }
    out
}

/// What the recorder took in less, and when, in one line each.
pub(crate) fn steps(a: &Analysis) -> Vec<String> {
    let at = |t: i64| crate::text::offset(t, a.bundle.first);
    a.quality.reductions.iter().map(|r| format!("{} {}", at(r.time), r.words())).collect()
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

/// Whether a kind of log line changed with the trouble.
pub(crate) fn is_changed(kind: &LogKind) -> bool {
    kind.change.is_some_and(|c| c.how != LogHow::Same)
}

/// The kinds of log lines that did: new ones first, of each the most severe first.
pub(crate) fn changed_logs(a: &Analysis) -> Vec<&LogKind> {
    let mut changed: Vec<&LogKind> = a.log_kinds.iter().filter(|k| is_changed(k)).collect();
    let severity = |k: &LogKind| {
        let names = ["fatal", "error", "warn", "info", "debug", "trace"];
        k.severity.as_deref().and_then(|s| names.iter().position(|n| *n == s)).unwrap_or(names.len())
    };
    let order = |k: &LogKind| {
        k.change.map(|c| match c.how {
            LogHow::New => 0,
            LogHow::More => 1,
            LogHow::Gone => 2,
            LogHow::Fewer => 3,
            LogHow::Same => 4,
        })
    };
    changed.sort_by_key(|k| (order(k), severity(k)));
    changed
}

/// `new: 45 lines`, `3.2 times as many: 12/s, 3.7/s before`.
pub(crate) fn how_logs(change: &LogChange) -> String {
    let rates = || format!("{}/s, {}/s before", number(change.rate_after), number(change.rate_before));
    match change.how {
        LogHow::New => format!("new: {}", plural(change.after, "line", "lines")),
        LogHow::Gone => format!("gone: {} before", plural(change.before, "line", "lines")),
        LogHow::More => format!("more: {}", rates()),
        LogHow::Fewer => format!("fewer: {}", rates()),
        LogHow::Same => "the same".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
