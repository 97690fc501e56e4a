//! What changed together with the trouble: rates before and after one moment.

use std::collections::{BTreeMap, HashMap};

use coldcase_model::Boottime;
use coldcase_model::events::CpuSample;
use coldcase_timeline::{IntoBoot, Rows, Selection, Timeline};

use crate::axis::{Axis, COLUMNS};
use crate::change::Change;
use crate::findings::Seen;
use crate::functions::Doing;
use crate::kernel::{Names, add_columns};
use crate::latency::offcpu::Reason;
use crate::latency::span::Spans;

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

/// A wait that grew with the trouble.
pub(crate) struct GrownWait {
    pub(crate) process: String,
    pub(crate) reason: Reason,
    /// The program's function under which it grew most, where stacks tell.
    pub(crate) function: Option<String>,
    /// Whether `rates` are of that function alone: other threads wait for the same reason in idleness.
    pub(crate) alone: bool,
    pub(crate) rates: Rates,
}

/// Waits of the services (of all processes, when none sent spans with its pid) that grew with the trouble. Waits on
/// peers come last, since they only pass on what happens there; else larger growth first.
pub(crate) fn grown_waits(seen: &Seen<'_>) -> Vec<GrownWait> {
    let Some(trouble) = seen.trouble else { return Vec::new() };
    let mut out = Vec::new();
    for ((process, reason), group) in seen.waits.iter().filter(|((p, _), _)| seen.is_service(p)) {
        let wait =
            |function, alone, rates| GrownWait { process: process.clone(), reason: *reason, function, alone, rates };
        let functions = grown_functions(seen, trouble, process, Doing::Waiting(*reason));
        let whole = trouble.rates(seen.axis, &group.columns);
        if whole.grew(LEAST_WAIT) {
            let most = functions.into_iter().next().filter(|(_, r)| r.growth() >= whole.growth() / 4);
            out.push(wait(most.map(|m| m.0), false, whole));
        } else {
            let grown = functions.into_iter().filter(|(_, r)| r.grew(LEAST_WAIT));
            out.extend(grown.map(|(f, r)| wait(Some(f), true, r)));
        }
    }
    out.sort_by(|x, y| {
        let peer = |w: &GrownWait| w.reason.is_on_peer(seen.arch);
        let named = |w: &GrownWait| (w.process.clone(), w.reason, w.function.clone());
        peer(x).cmp(&peer(y)).then(y.rates.growth().cmp(&x.rates.growth())).then_with(|| named(x).cmp(&named(y)))
    });
    out
}

/// A process that used more CPU with the trouble.
pub(crate) struct GrownCpu {
    pub(crate) process: String,
    /// The program's function that grew most, where stacks tell.
    pub(crate) function: Option<String>,
    /// Thousandths of samples a second.
    pub(crate) milli: Rates,
}

/// Processes whose CPU samples grew with the trouble, larger growth first. Others than the services are told when no
/// service used more, but services queued longer for a CPU: then they are neighbours that may have taken it.
pub(crate) fn grown_cpu(seen: &Seen<'_>) -> Vec<GrownCpu> {
    /// Least growth that is worth telling: five samples a second.
    const LEAST: u64 = 5_000;
    let Some(trouble) = seen.trouble else { return Vec::new() };
    let rates = |columns: &[u64; COLUMNS]| trouble.rates(seen.axis, &columns.map(|n| n * 1_000));
    let mut grown: Vec<(&String, Rates)> = seen.samples.iter().map(|(p, c)| (p, rates(c))).collect();
    grown.retain(|(_, r)| r.grew(LEAST));
    let queued = || grown_waits(seen).iter().any(|w| w.reason == Reason::RunQueue);
    if grown.iter().any(|(p, _)| seen.is_service(p)) || !queued() {
        grown.retain(|(p, _)| seen.is_service(p));
    }
    grown.sort_by(|x, y| y.1.growth().cmp(&x.1.growth()).then(x.0.cmp(y.0)));
    let named = |(process, milli): (&String, Rates)| {
        let most = grown_functions(seen, trouble, process, Doing::Running).into_iter().next();
        let function = most.filter(|(_, r)| r.growth() >= milli.growth() / 4).map(|m| m.0);
        GrownCpu { process: process.clone(), function, milli }
    };
    grown.into_iter().map(named).collect()
}

/// The functions of a process under which it did more of something, larger growth first.
fn grown_functions(seen: &Seen<'_>, trouble: &Trouble, process: &str, doing: Doing) -> Vec<(String, Rates)> {
    let from = (process.to_owned(), doing, String::new());
    let of = seen.functions.range(from..).take_while(|((p, d, _), _)| p == process && *d == doing);
    let mut out: Vec<_> = of.map(|((_, _, f), columns)| (f.clone(), trouble.rates(seen.axis, columns))).collect();
    out.sort_by(|x, y| y.1.growth().cmp(&x.1.growth()).then_with(|| x.0.cmp(&y.0)));
    out
}

/// Adds CPU samples of each process in each column of the axis.
pub(crate) fn take_samples(
    sums: &mut BTreeMap<String, [u64; COLUMNS]>,
    t: &Timeline,
    axis: &Axis,
    selection: &Selection<'_>,
    rows: &Rows<'_, CpuSample>,
) {
    let c = &rows.cols;
    let mut names = Names::new(t);
    let mut by_pid = HashMap::<u32, [u64; COLUMNS]>::new();
    for i in 0..rows.len() {
        let at = c.time[i].into_boot();
        if selection.has(c.pid[i], c.tid[i], c.time[i], 0) {
            names.of(c.pid[i], at);
            by_pid.entry(c.pid[i]).or_insert([0; COLUMNS])[axis.column(t.utc(at).0)] += 1;
        }
    }
    for (pid, columns) in by_pid {
        add_columns(sums.entry(names.of(pid, Boottime(0)).to_owned()).or_insert([0; COLUMNS]), &columns);
    }
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
