//! What changed together with the trouble: rates before and after one moment.

use std::collections::BTreeMap;

use coldcase_model::events::CpuSample;
use coldcase_timeline::{IntoBoot, Timeline};

use crate::axis::{Axis, COLUMNS};
use crate::change::Change;
use crate::findings::Seen;
use crate::latency::offcpu::Reason;
use crate::latency::span::Spans;
use crate::scope::Options;

/// A span that became slow, and when.
#[derive(Debug, Clone)]
pub(crate) struct Trouble {
    /// Its name and service.
    pub(crate) span: String,
    /// The change.
    pub(crate) change: Change,
}

impl Trouble {
    /// The worst of the spans whose 99th percentile or median at least doubled; the list is ordered by 99th
    /// percentile.
    pub(crate) fn of(spans: &[Spans]) -> Option<Trouble> {
        spans.iter().find_map(|s| {
            let change = s.change.filter(|c| c.slower())?;
            Some(Trouble { span: s.latency.name.clone(), change })
        })
    }

    /// Nanoseconds of a second, before and after.
    pub(crate) fn rates(&self, axis: &Axis, columns: &[u64; COLUMNS]) -> Rates {
        let split = self.change.column.clamp(1, COLUMNS - 1);
        let rate = |part: &[u64]| {
            let time = part.len() as u128 * u128::from(axis.step);
            (part.iter().map(|&n| u128::from(n)).sum::<u128>() * 1_000_000_000 / time) as u64
        };
        Rates { before: rate(&columns[..split]), after: rate(&columns[split..]) }
    }
}

/// A quantity per second, before and after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rates {
    pub(crate) before: u64,
    pub(crate) after: u64,
}

impl Rates {
    /// Whether it grew by half and by at least `least`.
    pub(crate) fn grew(&self, least: u64) -> bool {
        self.after >= self.before.saturating_add(self.before / 2).max(self.before.saturating_add(least))
    }

    /// By how much.
    pub(crate) fn growth(&self) -> u64 {
        self.after.saturating_sub(self.before)
    }
}

/// Least growth of a wait that is worth telling: a fiftieth of one thread's time.
pub(crate) const LEAST_WAIT: u64 = 20_000_000;

/// A wait of a process for a reason, that grew with the trouble.
pub(crate) struct GrownWait<'a> {
    pub(crate) process: &'a str,
    pub(crate) reason: Reason,
    pub(crate) rates: Rates,
}

/// Waits that grew with the trouble. Those of the services that sent spans count alone, if any of them grew: on a
/// busy host much else changes at any time. Waits for a device or a CPU come before waits for others (which only pass
/// on what happened elsewhere), larger growth first.
pub(crate) fn grown_waits<'a>(seen: &Seen<'a>) -> Vec<GrownWait<'a>> {
    let Some(trouble) = seen.trouble else { return Vec::new() };
    let mut out: Vec<GrownWait<'a>> = seen
        .waits
        .iter()
        .map(|((process, reason), group)| {
            let rates = trouble.rates(seen.axis, &group.columns);
            GrownWait { process, reason: *reason, rates }
        })
        .filter(|w| w.rates.grew(LEAST_WAIT))
        .collect();
    if out.iter().any(|w| seen.services.contains(w.process)) {
        out.retain(|w| seen.services.contains(w.process));
    }
    out.sort_by(|x, y| {
        let others = |w: &GrownWait<'_>| w.reason.is_for_others(seen.arch);
        others(x)
            .cmp(&others(y))
            .then(y.rates.growth().cmp(&x.rates.growth()))
            .then_with(|| (x.process, x.reason).cmp(&(y.process, y.reason)))
    });
    out
}

/// Processes whose CPU samples grew with the trouble, in thousandths of a sample a second, larger growth first; the
/// services that sent spans alone, if any of them grew.
pub(crate) fn grown_cpu<'a>(seen: &Seen<'a>) -> Vec<(&'a str, Rates)> {
    /// Least growth that is worth telling: five samples a second.
    const LEAST: u64 = 5_000;
    let Some(trouble) = seen.trouble else { return Vec::new() };
    let rates = |columns: &[u64; COLUMNS]| trouble.rates(seen.axis, &columns.map(|n| n * 1_000));
    let mut out: Vec<(&str, Rates)> = seen.samples.iter().map(|(p, c)| (p.as_str(), rates(c))).collect();
    out.retain(|(_, r)| r.grew(LEAST));
    if out.iter().any(|(p, _)| seen.services.contains(*p)) {
        out.retain(|(p, _)| seen.services.contains(*p));
    }
    out.sort_by(|x, y| y.1.growth().cmp(&x.1.growth()).then(x.0.cmp(y.0)));
    out
}

/// CPU samples of each process in each column of the axis.
pub(crate) fn samples(t: &Timeline, axis: &Axis, scope: &Options) -> BTreeMap<String, [u64; COLUMNS]> {
    let mut by_pid = std::collections::HashMap::<u32, (coldcase_model::Boottime, [u64; COLUMNS])>::new();
    for part in t.rows::<CpuSample>() {
        for i in 0..part.len() {
            let at = part.cols.time[i].into_boot();
            let (_, columns) = by_pid.entry(part.cols.pid[i]).or_insert((at, [0; COLUMNS]));
            columns[axis.column(t.utc(at).0)] += 1;
        }
    }
    let mut out = BTreeMap::<String, [u64; COLUMNS]>::new();
    for (pid, (at, columns)) in by_pid {
        let comm = || t.processes().get(pid, at).map(|p| p.comm(at).to_owned());
        if scope.has_process(pid, comm) {
            let sum = out.entry(crate::process_name(t, pid, at)).or_insert([0; COLUMNS]);
            sum.iter_mut().zip(columns).for_each(|(s, c)| *s += c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_per_second_of_each_side() {
        let axis = Axis { start: 0, step: 1_000_000_000 };
        let change = Change { column: 30, time: axis.time(30), p50: (1, 1), p99: (1, 9) };
        let trouble = Trouble { span: "x".into(), change };
        let mut columns = [10_000_000; COLUMNS];
        columns[30..].fill(500_000_000);
        let rates = trouble.rates(&axis, &columns);
        assert_eq!(rates, Rates { before: 10_000_000, after: 500_000_000 });
        assert!(rates.grew(LEAST_WAIT));
        assert!(!Rates { before: 100, after: 149 }.grew(0));
        assert!(!Rates { before: 0, after: 19 }.grew(20));
    }
}
