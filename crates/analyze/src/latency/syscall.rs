//! System calls by process and call: from the histograms that the kernel side kept.

use std::collections::BTreeMap;

use coldcase_model::analysis::{Exemplar, Latency};
use coldcase_model::events::{SlowSyscall, SyscallSum};
use coldcase_model::{Event, Evidence, syscall};
use coldcase_timeline::{IntoBoot, Scope, Timeline};

use crate::axis::Axis;
use crate::heat::HeatCells;

/// How many calls are shown.
const SHOWN: usize = 40;
/// Slow calls that a latency cites.
const EXEMPLARS: usize = 5;
/// A 32-bit call.
const COMPAT: u32 = 1;

/// All calls of one process and number.
#[derive(Debug, Default)]
struct Histogram {
    count: u64,
    total: u64,
    failed: u64,
    longest: u64,
    /// By the mean length of the calls of a bucket in a second or so: how many.
    lengths: BTreeMap<u64, u64>,
    heat: HeatCells,
    slow: Vec<Exemplar>,
}

impl Histogram {
    /// The length at or below which so many thousandths of the calls lie, to within a bucket.
    fn quantile(&self, share: u64) -> u64 {
        let rank = (u128::from(self.count) * u128::from(share)).div_ceil(1000).max(1);
        let mut seen = 0u128;
        for (&length, &count) in &self.lengths {
            seen += u128::from(count);
            if seen >= rank {
                return length;
            }
        }
        self.longest
    }

    fn finish(self, axis: &Axis, name: String) -> Latency {
        let [p50, p90, p99, p999] = [500, 900, 990, 999].map(|share| self.quantile(share));
        Latency {
            group: "syscall".into(),
            name,
            count: self.count,
            errors: Some(self.failed),
            p50,
            p90,
            p99,
            p999,
            max: self.longest,
            total: self.total,
            change: None,
            heat: self.heat.finish(axis),
            exemplars: self.slow,
        }
    }
}

/// The latency of each process and call, largest total first. Of which traces the calls were is not known.
pub(crate) fn latencies(t: &Timeline, axis: &Axis, scope: &Scope, arch: &str, bundle: &str) -> Vec<Latency> {
    if !scope.traces.is_empty() {
        return Vec::new();
    }
    let mut groups = BTreeMap::<(u32, i32, u32), Histogram>::new();
    for part in t.rows::<SyscallSum>() {
        let c = &part.cols;
        for i in (0..part.len()).filter(|&i| c.count[i] > 0 && scope.has_process(t, c.pid[i], c.time[i].into_boot())) {
            let h = groups.entry((c.pid[i], c.syscall[i], c.flags[i] & COMPAT)).or_default();
            let mean = c.total[i] / c.count[i];
            h.count += c.count[i];
            h.total = h.total.saturating_add(c.total[i]);
            h.failed += c.failed[i];
            h.longest = h.longest.max(c.longest[i]);
            *h.lengths.entry(mean).or_default() += c.count[i];
            h.heat.add_many(axis, t.utc_of(c.time[i]).0, mean, c.count[i]);
        }
    }
    for part in t.rows::<SlowSyscall>() {
        let c = &part.cols;
        for i in 0..part.len() {
            let Some(h) = groups.get_mut(&(c.pid[i], c.syscall[i], c.flags[i] & COMPAT)) else { continue };
            h.slow.push(Exemplar {
                time: t.utc_of(c.time[i]).0,
                duration: c.duration[i],
                evidence: Evidence {
                    bundle: bundle.to_owned(),
                    stream: SlowSyscall::DEF.stream.into(),
                    row: part.row(i),
                },
                trace: None,
            });
        }
    }
    let mut all: Vec<_> = groups.into_iter().collect();
    all.sort_by(|(x, a), (y, b)| b.total.cmp(&a.total).then(x.cmp(y)));
    all.truncate(SHOWN);
    all.into_iter()
        .map(|((pid, number, compat), mut h)| {
            h.slow.sort_by_key(|e| (std::cmp::Reverse(e.duration), e.evidence.row));
            h.slow.truncate(EXEMPLARS);
            let at = t.boot(t.end());
            let name = format!("{} {}", crate::process_name(t, pid, at), name(arch, number, compat));
            h.finish(axis, name)
        })
        .collect()
}

fn name(arch: &str, number: i32, compat: u32) -> String {
    match syscall::name(arch, number) {
        Some(name) if compat == 0 => name.to_owned(),
        _ if compat != 0 => format!("32-bit system call {number}"),
        _ => format!("system call {number}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_the_lengths_at_their_rank() {
        let h = Histogram {
            count: 100,
            longest: 900,
            lengths: [(10, 50), (20, 49), (900, 1)].into(),
            ..Default::default()
        };
        assert_eq!([500, 510, 990, 1000].map(|p| h.quantile(p)), [10, 20, 20, 900]);
        assert_eq!(Histogram::default().quantile(500), 0);
    }
}
