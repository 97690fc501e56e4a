//! CPU cgroups: how long their threads queued for a CPU, and for how long they were throttled (inferred).

mod infer;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use coldcase_model::Evidence;
use coldcase_model::analysis::CpuCgroup;
use coldcase_model::events::{HostMetric, OffCpu, Task};
use coldcase_timeline::{CpuGroup, IntoBoot, ROOT, Selection, Timeline};

use crate::latency::offcpu::queued;
use infer::{Bandwidth, Ran, Waited};

/// Flag bits of `kernel.offcpu`.
const BEFORE_CAPTURE: u32 = 8;
const CENSORED: u32 = 16;
const NEW_THREAD: u32 = 32;
/// Intervals that a cgroup cites.
const CITED: usize = 5;

/// What is known of the CPU cgroups.
#[derive(Debug, Default)]
pub(crate) struct Throttling {
    /// Of rows of `kernel.offcpu`: how much of their time in the run queue was throttling.
    by_row: HashMap<u64, u64>,
    /// The cgroups in which threads were seen.
    pub(crate) groups: Vec<CpuCgroup>,
}

impl Throttling {
    /// How much of a row's time in the run queue was throttling, nanoseconds.
    pub(crate) fn of_row(&self, row: u64) -> u64 {
        self.by_row.get(&row).copied().unwrap_or(0)
    }
}

/// An interval of a thread off the CPU.
#[derive(Debug, Clone, Copy)]
struct Off {
    row: u64,
    start: u64,
    end: u64,
    queued: u64,
    cpu_out: u16,
    cpu_in: u16,
    flags: u32,
    group: u64,
}

/// Looks at all cgroups. Threads out of scope count too: they use the quota of those that are in it.
pub(crate) fn of(t: &Timeline, selection: &Selection<'_>, bundle: &str) -> Throttling {
    if t.cpu_groups().all().next().is_none() {
        return Throttling::default();
    }
    let mut groups = BTreeMap::<u64, CpuCgroup>::new();
    let mut threads = BTreeMap::<u32, Vec<Off>>::new();
    let mut tids = HashMap::<u64, HashSet<u32>>::new();
    let (mut first, mut last) = (u64::MAX, 0);
    for part in t.rows::<OffCpu>() {
        let c = &part.cols;
        for i in 0..part.len() {
            let (start, end) = (c.time[i], c.time[i].saturating_add(c.duration[i]));
            (first, last) = (first.min(start), last.max(end));
            let group = t.cpu_groups().of_thread(c.tid[i], start.into_boot());
            let queued = queued(c.flags[i], c.duration[i], c.run_queue[i]);
            if selection.has(c.pid[i], c.tid[i], start, c.duration[i]) {
                let sum = groups.entry(group).or_default();
                sum.run_queue += queued;
                sum.migrations += u64::from(c.cpu_in[i] != c.cpu_out[i] && c.flags[i] & CENSORED == 0);
                tids.entry(group).or_default().insert(c.tid[i]);
            }
            if t.cpu_groups().knows(c.tid[i]) {
                let (cpu_out, cpu_in, flags) = (c.cpu_out[i], c.cpu_in[i], c.flags[i]);
                let off = Off { row: part.row(i), start, end, queued, cpu_out, cpu_in, flags, group };
                threads.entry(c.tid[i]).or_default().push(off);
            }
        }
    }
    for (id, group) in &mut groups {
        group.threads = tids.get(id).map_or(0, |t| t.len() as u64);
        describe(t, *id, group);
    }
    threads.values_mut().for_each(|rows| rows.sort_by_key(|r| (r.start, r.row)));
    let mut out = Throttling::default();
    let ends = exits(t);
    for limited in t.cpu_groups().all().filter(|g| g.is_limited()) {
        let members = Members::of(t, limited, &threads, (first, last), &ends);
        let found = members.throttled(limited);
        if let Some(sum) = groups.get_mut(&limited.id) {
            members.tell(sum, &found, bundle);
            sum.counted = counted(t, limited);
        } else if !found.is_empty() {
            // Its threads are all in cgroups below it.
            let mut sum = CpuCgroup::default();
            describe(t, limited.id, &mut sum);
            members.tell(&mut sum, &found, bundle);
            sum.counted = counted(t, limited);
            groups.insert(limited.id, sum);
        }
        let mut rows = HashMap::<u64, u64>::new();
        for f in &found {
            *rows.entry(members.rows[f.wait].row).or_default() += f.end - f.start;
        }
        for (row, ns) in rows {
            // A thread may be below two quotas at once: it was throttled by the one that held it longest.
            let most = out.by_row.entry(row).or_default();
            *most = ns.max(*most);
        }
    }
    out.groups = groups.into_values().collect();
    out.groups.sort_by(|a, b| (b.throttled, b.run_queue).cmp(&(a.throttled, a.run_queue)).then(a.path.cmp(&b.path)));
    out
}

fn describe(t: &Timeline, id: u64, group: &mut CpuCgroup) {
    match t.cpu_groups().get(id) {
        Some(known) => {
            group.path.clone_from(&known.path);
            let limit = known.limits.iter().rev().find(|l| l.quota > 0).or(known.limits.last());
            if let Some(limit) = limit {
                (group.quota, group.period, group.weight) = (limit.quota, limit.period, limit.weight);
            }
        }
        None if id == ROOT => group.path = "/".into(),
        // It came and went between two looks of the recorder.
        None => group.path = format!("cgroup {id}"),
    }
}

/// When threads ended, by tid.
fn exits(t: &Timeline) -> HashMap<u32, Vec<u64>> {
    let mut out = HashMap::<u32, Vec<u64>>::new();
    for part in t.rows::<Task>() {
        for i in (0..part.len()).filter(|&i| part.cols.what[i] == 3) {
            out.entry(part.cols.tid[i]).or_default().push(part.cols.time[i]);
        }
    }
    out
}

/// The threads of a cgroup and of those below it.
struct Members {
    ran: Vec<Ran>,
    waits: Vec<Waited>,
    /// The row of each wait.
    rows: Vec<Off>,
}

impl Members {
    fn of(
        t: &Timeline,
        limited: &CpuGroup,
        threads: &BTreeMap<u32, Vec<Off>>,
        (first, last): (u64, u64),
        ends: &HashMap<u32, Vec<u64>>,
    ) -> Members {
        let inside: BTreeSet<u64> = t.cpu_groups().all().filter(|g| limited.holds(&g.path)).map(|g| g.id).collect();
        let mut m = Members { ran: Vec::new(), waits: Vec::new(), rows: Vec::new() };
        for (tid, rows) in threads {
            // Without a row that it began or slept, it ran when the capture began.
            let mut since = Some(first);
            for off in rows {
                if off.flags & (BEFORE_CAPTURE | NEW_THREAD) != 0 {
                    since = None;
                }
                let member = inside.contains(&off.group);
                if let Some(start) = since.filter(|&s| member && s < off.start) {
                    m.ran.push(Ran { start, end: off.start, cpu: off.cpu_out });
                }
                if member && off.queued > 0 && off.flags & NEW_THREAD == 0 {
                    m.waits.push(Waited { start: off.end - off.queued, end: off.end, cpu: off.cpu_out });
                    m.rows.push(*off);
                }
                since = (off.flags & CENSORED == 0).then_some(off.end);
            }
            // What it ran after its last switch, until it ended or the capture did.
            if let (Some(start), Some(off)) = (since, rows.last())
                && inside.contains(&off.group)
            {
                let ended = ends.get(tid).and_then(|e| e.iter().copied().filter(|&e| e >= start).min());
                let end = ended.unwrap_or(last);
                if start < end {
                    m.ran.push(Ran { start, end, cpu: off.cpu_in });
                }
            }
        }
        m
    }

    /// The throttled parts, under each limit while it held.
    fn throttled(&self, limited: &CpuGroup) -> Vec<infer::Throttled> {
        let mut out = Vec::new();
        let mut limits = limited.limits.clone();
        // A weight alone that changes begins no new period.
        limits.dedup_by(|b, a| (a.quota, a.period) == (b.quota, b.period));
        for (n, limit) in limits.iter().enumerate().filter(|(_, l)| l.quota > 0 && l.period > 0) {
            // What was seen first held before that, as far as anyone knows.
            let from = if n == 0 { 0 } else { limit.from.0 };
            let until = limits.get(n + 1).map_or(u64::MAX, |l| l.from.0);
            let numbers: Vec<usize> =
                (0..self.waits.len()).filter(|&w| self.waits[w].end > from && self.waits[w].start < until).collect();
            let waits: Vec<Waited> = numbers.iter().map(|&w| self.waits[w]).collect();
            let ran: Vec<Ran> = self.ran.iter().copied().filter(|r| r.end > from && r.start < until).collect();
            let bandwidth = Bandwidth { quota: limit.quota, period: limit.period };
            let found = infer::infer(bandwidth, &ran, &waits).into_iter();
            out.extend(found.map(|f| infer::Throttled { wait: numbers[f.wait], ..f }));
        }
        out
    }

    fn tell(&self, sum: &mut CpuCgroup, found: &[infer::Throttled], bundle: &str) {
        sum.on_cpu = Some(self.ran.iter().map(|r| r.end - r.start).sum());
        sum.throttled = found.iter().map(|f| f.end - f.start).sum();
        let mut by_cpu: Vec<(u16, u64, u64)> = found.iter().map(|f| (self.waits[f.wait].cpu, f.start, f.end)).collect();
        by_cpu.sort_unstable();
        let (mut cpu, mut until) = (u16::MAX, 0);
        for (c, start, end) in by_cpu {
            if c != cpu {
                (cpu, until) = (c, 0);
            }
            sum.throttled_cpu += end.saturating_sub(start.max(until));
            until = until.max(end);
        }
        let mut longest: Vec<&infer::Throttled> = found.iter().collect();
        longest.sort_by_key(|f| (std::cmp::Reverse(f.end - f.start), f.start));
        sum.evidence = longest
            .iter()
            .take(CITED)
            .map(|f| Evidence { bundle: bundle.to_owned(), stream: "kernel.offcpu".into(), row: self.rows[f.wait].row })
            .collect();
    }
}

/// What the kernel itself counted as throttled meanwhile (`cpu.stat`), nanoseconds: to hold the inference against, and
/// never a part of it.
fn counted(t: &Timeline, limited: &CpuGroup) -> Option<u64> {
    let label = format!("id=\"{}\"", limited.path);
    let (mut low, mut high) = (f64::MAX, f64::MIN);
    for part in t.rows::<HostMetric>() {
        for i in 0..part.len() {
            if part.cols.name.get(i) == b"container_cpu_cfs_throttled_seconds_total"
                && part.cols.labels.get(i) == label.as_bytes()
            {
                (low, high) = (low.min(part.cols.value[i]), high.max(part.cols.value[i]));
            }
        }
    }
    (high >= low).then(|| ((high - low) * 1e9).round() as u64)
}
