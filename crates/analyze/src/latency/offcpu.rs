//! Time off the CPU: what threads waited for, and how long they queued for a CPU.

use std::collections::{BTreeMap, HashMap};

use coldcase_model::analysis::{Latency, Wait};
use coldcase_model::events::{OffCpu, OffCpuSum};
use coldcase_model::syscall;
use coldcase_model::{Boottime, Event, Evidence};
use coldcase_timeline::{IntoBoot, Rows, Selection, Timeline};

use crate::axis::{Axis, COLUMNS};
use crate::kernel::{Names, add_columns};
use crate::series::Series;
use crate::throttle::Throttling;
use crate::wait_class::OffCpuPart;

/// The columns of `kernel.offcpu`.
pub(crate) type Cols<'a> = <OffCpu as Event>::Cols<'a>;

/// Task state in which no signal wakes: the thread waits for the kernel or a device.
const UNINTERRUPTIBLE: u32 = 2;
/// With it, the thread waits for work: it does not count in the load (TASK_IDLE of kernel threads).
const NO_LOAD: u32 = 0x400;
/// Flag bit: preempted.
const PREEMPTED: u32 = 1;

/// The part of an interval that was spent queueing for a CPU: all of it when the thread was preempted.
pub(crate) fn queued(flags: u32, duration: u64, run_queue: u64) -> u64 {
    if flags & PREEMPTED != 0 { duration } else { run_queue.min(duration) }
}

/// The parts of a row, in their order, which sum to it: how, since when, how long; `throttled` is what [`Throttling`] says
/// of it.
pub(crate) fn parts(c: &Cols<'_>, i: usize, throttled: u64) -> [(OffCpuPart, u64, u64); 3] {
    let queued = queued(c.flags[i], c.duration[i], c.run_queue[i]);
    // Throttled first, until its cgroup may run again; then it queues.
    let (waited, throttled) = (c.duration[i] - queued, throttled.min(queued));
    let woken = c.time[i].saturating_add(waited);
    [
        (OffCpuPart::waited(c.syscall[i], c.state[i]), c.time[i], waited),
        (OffCpuPart::Throttled, woken, throttled),
        (OffCpuPart::RunQueue, woken.saturating_add(throttled), queued - throttled),
    ]
}

/// The parts of a sum of short intervals: how, and how long; both sum to it.
pub(crate) fn sum_parts(c: &<OffCpuSum as Event>::Cols<'_>, i: usize) -> [(OffCpuPart, u64); 2] {
    let queued = if c.state[i] == 0 { c.off_cpu[i] } else { c.run_queue[i].min(c.off_cpu[i]) };
    [(OffCpuPart::waited(c.syscall[i], c.state[i]), c.off_cpu[i] - queued), (OffCpuPart::RunQueue, queued)]
}

/// Whether a thread in this state waits for something of the kernel's own doing, such as a disk.
fn blocked(state: u32) -> bool {
    state & UNINTERRUPTIBLE != 0 && state & NO_LOAD == 0
}

/// What a thread waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Reason {
    /// In a system call.
    Syscall(i32),
    /// Outside any: a page fault, or a stop.
    Fault,
    /// A kernel thread.
    KernelThread,
    /// For a CPU.
    RunQueue,
    /// For its cgroup's next period: the quota was used up. Inferred.
    Throttled,
}

impl Reason {
    /// What a thread waits for that left the CPU in a system call, by its number as in `kernel.offcpu`.
    pub(crate) fn of(syscall: i32) -> Reason {
        match syscall {
            syscall::none::KERNEL_THREAD => Reason::KernelThread,
            n if n < 0 => Reason::Fault,
            n => Reason::Syscall(n),
        }
    }

    /// The reason of a whole row: the run queue if it was preempted.
    pub(crate) fn of_row(syscall: i32, flags: u32) -> Reason {
        if flags & PREEMPTED != 0 { Reason::RunQueue } else { Reason::of(syscall) }
    }

    /// Whether it is waiting for work, a peer, a timer or another thread, rather than for a device or a CPU.
    pub(crate) fn is_for_others(self, arch: &str) -> bool {
        match self {
            Reason::Syscall(n) => {
                syscall::name(arch, n).is_some_and(|s| syscall::waits(s) || matches!(s, "read" | "readv"))
            }
            Reason::KernelThread => true,
            Reason::Fault | Reason::RunQueue | Reason::Throttled => false,
        }
    }

    /// Whether it waits on a socket or pipe: it then passes on what happens at the other end.
    pub(crate) fn is_on_peer(self, arch: &str) -> bool {
        let Reason::Syscall(n) = self else { return false };
        syscall::name(arch, n).is_some_and(|s| {
            ["recv", "read", "poll", "ppoll", "epoll", "select", "pselect", "accept"].iter().any(|p| s.starts_with(p))
        }) && self.is_for_others(arch)
    }

    /// In words.
    pub(crate) fn name(self, arch: &str) -> String {
        match self {
            Reason::Syscall(n) => match syscall::name(arch, n) {
                Some(name) => name.to_owned(),
                None => format!("system call {n}"),
            },
            Reason::Fault => "page fault".to_owned(),
            Reason::KernelThread => "kernel thread".to_owned(),
            Reason::RunQueue => "run queue".to_owned(),
            Reason::Throttled => "throttled (inferred)".to_owned(),
        }
    }
}

/// All waits of one process for one reason.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    series: Series,
    /// Nanoseconds waited in each column of the axis.
    pub(crate) columns: [u64; COLUMNS],
    /// Nanoseconds of it in uninterruptible sleep.
    uninterruptible: u64,
    /// Waits too short for rows of their own: how many, and their nanoseconds.
    short: (u64, u64),
}

impl Default for Group {
    fn default() -> Self {
        Group { series: Series::default(), columns: [0; COLUMNS], uninterruptible: 0, short: (0, 0) }
    }
}

impl Group {
    /// Adds another group of the same process and reason.
    pub(crate) fn merge(&mut self, other: Group) {
        self.series.merge(other.series);
        add_columns(&mut self.columns, &other.columns);
        self.uninterruptible += other.uninterruptible;
        self.short = (self.short.0 + other.short.0, self.short.1 + other.short.1);
    }

    /// Nanoseconds waited.
    fn total(&self) -> u64 {
        self.series.total().saturating_add(self.short.1)
    }
}

/// Waits by process and reason.
pub(crate) type Groups = BTreeMap<(String, Reason), Group>;

/// Adds waits: each nanosecond off the CPU goes into one group.
pub(crate) fn take(
    waits: &mut Groups,
    t: &Timeline,
    axis: &Axis,
    selection: &Selection<'_>,
    throttling: &Throttling,
    rows: &Rows<'_, OffCpu>,
) {
    let c = &rows.cols;
    let mut names = Names::new(t);
    let mut groups = HashMap::<(u32, Reason), Group>::new();
    for i in 0..rows.len() {
        let pid = c.pid[i];
        if !selection.has(pid, c.tid[i], c.time[i], c.duration[i]) {
            continue;
        }
        names.of(pid, c.time[i].into_boot());
        for (part, start, long) in parts(c, i, throttling.of_row(rows.row(i))) {
            if long == 0 {
                continue;
            }
            let (reason, uninterruptible) = match part {
                OffCpuPart::Waited(syscall, ..) => (Reason::of(syscall), blocked(c.state[i])),
                OffCpuPart::Throttled => (Reason::Throttled, false),
                OffCpuPart::RunQueue => (Reason::RunQueue, false),
            };
            let group = groups.entry((pid, reason)).or_default();
            // From the start of the row: a step of the clock in between moves no part of it.
            let time = t.utc_of(c.time[i]).0.saturating_add(i64::try_from(start - c.time[i]).unwrap_or(i64::MAX));
            group.series.push(axis, time, long, rows.row(i), None);
            axis.spread(time, long, &mut group.columns);
            group.uninterruptible += if uninterruptible { long } else { 0 };
        }
    }
    for ((pid, reason), group) in groups {
        waits.entry((names.of(pid, Boottime(0)).to_owned(), reason)).or_default().merge(group);
    }
}

/// Adds sums of waits that were too short for rows of their own: to the totals, not to the distributions.
pub(crate) fn take_sums(
    waits: &mut Groups,
    t: &Timeline,
    axis: &Axis,
    selection: &Selection<'_>,
    rows: &Rows<'_, OffCpuSum>,
) {
    let c = &rows.cols;
    let mut names = Names::new(t);
    for i in (0..rows.len()).filter(|&i| selection.has(c.pid[i], c.tid[i], c.time[i], c.duration[i])) {
        let process = names.of(c.pid[i], c.time[i].into_boot()).to_owned();
        let mut count = u64::from(c.count[i]);
        for (part, long) in sum_parts(c, i).into_iter().filter(|p| p.1 > 0) {
            let (reason, uninterruptible) = match part {
                OffCpuPart::Waited(syscall, ..) => (Reason::of(syscall), blocked(c.state[i])),
                OffCpuPart::Throttled | OffCpuPart::RunQueue => (Reason::RunQueue, false),
            };
            let group = waits.entry((process.clone(), reason)).or_default();
            // The intervals are counted once, with what they waited for.
            group.short = (group.short.0 + std::mem::take(&mut count), group.short.1.saturating_add(long));
            axis.spread(t.utc_of(c.time[i]).0, long, &mut group.columns);
            group.uninterruptible += if uninterruptible { long } else { 0 };
        }
    }
}

/// The waits as plain rows, largest total first. `grew` tells whether the waits of a process for a reason grew with
/// the trouble: those are not idleness, whatever the system call.
pub(crate) fn rows(groups: &Groups, arch: &str, bundle: &str, grew: impl Fn(&str, Reason) -> bool) -> Vec<Wait> {
    let mut out: Vec<Wait> = groups
        .iter()
        .map(|((process, reason), group)| {
            let latency = group.series.finish(&Axis::new(0, 0), "off_cpu", String::new(), bundle, "kernel.offcpu");
            let asleep = group.uninterruptible < group.total() / 2;
            Wait {
                process: process.clone(),
                idle: asleep && reason.is_for_others(arch) && !grew(process, *reason),
                service: false,
                reason: reason.name(arch),
                count: latency.count + group.short.0,
                total: group.total(),
                max: latency.max,
                evidence: latency.exemplars.into_iter().map(|e| e.evidence).collect::<Vec<Evidence>>(),
            }
        })
        .collect();
    out.sort_by(|x, y| y.total.cmp(&x.total).then_with(|| (&x.process, &x.reason).cmp(&(&y.process, &y.reason))));
    out
}

/// How many processes and reasons have a heat map of their own.
const SHOWN: usize = 20;

/// Latencies: the run queue of all and of the processes that queued longest, and the largest waits by reason.
pub(crate) fn latencies(groups: &Groups, axis: &Axis, arch: &str, bundle: &str) -> Vec<Latency> {
    let finish = |series: &Series, kind: &str, name: String| series.finish(axis, kind, name, bundle, "kernel.offcpu");
    let mut all = Series::default();
    let (mut queues, mut waits) = (Vec::new(), Vec::new());
    for ((process, reason), group) in groups.iter().filter(|(_, g)| g.series.count() > 0) {
        if *reason == Reason::RunQueue {
            all.add(&group.series);
            queues.push((group.series.total(), process, *reason));
        } else {
            waits.push((group.series.total(), process, *reason));
        }
    }
    let mut out = Vec::new();
    if all.count() > 0 {
        out.push(finish(&all, "run_queue", "all".to_owned()));
    }
    for (kind, list) in [("run_queue", &mut queues), ("off_cpu", &mut waits)] {
        list.sort_by(|x, y| y.0.cmp(&x.0).then_with(|| (x.1, x.2).cmp(&(y.1, y.2))));
        for (_, process, reason) in list.iter().take(SHOWN) {
            let Some(group) = groups.get(&((*process).clone(), *reason)) else { continue };
            let name = match reason {
                Reason::RunQueue => (*process).clone(),
                _ => format!("{process} {}", reason.name(arch)),
            };
            out.push(finish(&group.series, kind, name));
        }
    }
    out
}
