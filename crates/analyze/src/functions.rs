//! What the functions of a program were waiting for, and computing, over time: by the stacks that were recorded.

use std::collections::{BTreeMap, HashMap};

use coldcase_model::Boottime;
use coldcase_model::column::StackColumn;
use coldcase_model::events::{CpuSample, OffCpu};
use coldcase_timeline::{Frame, IntoBoot, Rows, Timeline};
use rayon::prelude::*;

use crate::axis::{Axis, COLUMNS};
use crate::kernel::add_columns;
use crate::latency::offcpu::{self, Reason};

/// What a thread did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Doing {
    /// It ran: thousandths of samples.
    Running,
    /// It waited: nanoseconds.
    Waiting(Reason),
}

/// Amounts in each column of the axis, by process, what its threads did, and the program's function they did it in.
/// Only what was recorded with a stack is here.
pub(crate) type Functions = BTreeMap<(String, Doing, String), [u64; COLUMNS]>;

/// When first, and how much in each column.
pub(crate) type Sum = (Boottime, Box<[u64; COLUMNS]>);

/// The same by pid, what was done, and the stack as it was recorded.
pub(crate) type Raw = HashMap<(u32, Doing, Box<[u64]>), Sum>;

/// Adds what the threads of the processes that `wanted` names waited for.
pub(crate) fn waiting(
    sums: &mut Raw,
    t: &Timeline,
    axis: &Axis,
    wanted: &(dyn Fn(&str) -> bool + Sync),
    rows: &Rows<'_, OffCpu>,
) {
    let c = &rows.cols;
    let mut tally = Tally::new(t, axis, wanted);
    for i in 0..rows.len() {
        let waited = c.duration[i] - offcpu::queued(c.flags[i], c.duration[i], c.run_queue[i]);
        if waited > 0 && !c.user_stack.get(i).is_empty() {
            let doing = Doing::Waiting(Reason::of(c.syscall[i]));
            tally.add(c.pid[i], doing, c.user_stack.ids[i], c.time[i].into_boot(), waited);
        }
    }
    tally.unpack(c.user_stack, sums);
}

/// Adds what they computed.
pub(crate) fn running(
    sums: &mut Raw,
    t: &Timeline,
    axis: &Axis,
    wanted: &(dyn Fn(&str) -> bool + Sync),
    rows: &Rows<'_, CpuSample>,
) {
    let c = &rows.cols;
    let mut tally = Tally::new(t, axis, wanted);
    for i in (0..rows.len()).filter(|&i| !c.user_stack.get(i).is_empty()) {
        tally.sample(c.pid[i], c.user_stack.ids[i], c.time[i].into_boot());
    }
    tally.unpack(c.user_stack, sums);
}

/// The sums by process and function.
pub(crate) fn named(t: &Timeline, arch: &str, raw: Raw) -> Functions {
    let raw: Vec<_> = raw.into_iter().collect();
    let named: Vec<_> = raw
        .par_iter()
        .filter_map(|((pid, doing, user), (first, columns))| {
            let reason = match doing {
                Doing::Waiting(reason) => reason.name(arch),
                Doing::Running => String::new(),
            };
            let function = own_function(t, *pid, *first, user, &reason)?;
            Some(((crate::process_name(t, *pid, *first), *doing, function), columns))
        })
        .collect();
    let mut out = Functions::new();
    for (key, columns) in named {
        add_columns(out.entry(key).or_insert([0; COLUMNS]), columns);
    }
    out
}

/// Adds the sums of one to the other.
pub(crate) fn merge(mut all: Raw, more: Raw) -> Raw {
    for (key, sum) in more {
        add(&mut all, key, sum);
    }
    all
}

fn add(all: &mut Raw, key: (u32, Doing, Box<[u64]>), (first, columns): Sum) {
    let (known, sum) = all.entry(key).or_insert_with(|| (first, Box::new([0; COLUMNS])));
    *known = first.min(*known);
    add_columns(sum, &columns);
}

/// The sums of one segment, in which stacks are numbers.
struct Tally<'a> {
    timeline: &'a Timeline,
    axis: &'a Axis,
    wanted: &'a (dyn Fn(&str) -> bool + Sync),
    pids: HashMap<u32, bool>,
    sums: HashMap<(u32, Doing, u32), Sum>,
}

impl<'a> Tally<'a> {
    fn new(timeline: &'a Timeline, axis: &'a Axis, wanted: &'a (dyn Fn(&str) -> bool + Sync)) -> Self {
        Tally { timeline, axis, wanted, pids: HashMap::new(), sums: HashMap::new() }
    }

    fn columns(&mut self, pid: u32, doing: Doing, stack: u32, at: Boottime) -> Option<&mut [u64; COLUMNS]> {
        let (t, wanted) = (self.timeline, self.wanted);
        if !*self.pids.entry(pid).or_insert_with(|| wanted(&crate::process_name(t, pid, at))) {
            return None;
        }
        let (first, columns) = self.sums.entry((pid, doing, stack)).or_insert_with(|| (at, Box::new([0; COLUMNS])));
        *first = at.min(*first);
        Some(columns)
    }

    fn add(&mut self, pid: u32, doing: Doing, stack: u32, at: Boottime, waited: u64) {
        let (axis, time) = (self.axis, self.timeline.utc(at).0);
        if let Some(columns) = self.columns(pid, doing, stack, at) {
            axis.spread(time, waited, columns);
        }
    }

    fn sample(&mut self, pid: u32, stack: u32, at: Boottime) {
        let column = self.axis.column(self.timeline.utc(at).0);
        if let Some(columns) = self.columns(pid, Doing::Running, stack, at) {
            columns[column] += 1_000;
        }
    }

    fn unpack(self, stacks: &StackColumn, into: &mut Raw) {
        let entry = |id: u32| stacks.entries.get(id as usize).cloned().unwrap_or_default();
        for ((pid, doing, stack), sum) in self.sums {
            add(into, (pid, doing, entry(stack)), sum);
        }
    }
}

/// The program's own function nearest to where a stack stands: of the executable rather than of a library; none when
/// the stack says no more than the reason does.
pub(crate) fn own_function(t: &Timeline, pid: u32, at: Boottime, user: &[u64], reason: &str) -> Option<String> {
    let stack = t.symbols().stack(pid, at, &[], user);
    let exe = t.processes().get(pid, at).map(|p| p.exe.rsplit('/').next().unwrap_or_default());
    pick(&stack, exe.unwrap_or_default(), reason)
}

fn pick(stack: &[Frame], exe: &str, reason: &str) -> Option<String> {
    const LIBRARY: [&str; 7] = ["std::", "core::", "alloc::", "<std::", "<core::", "<alloc::", "__"];
    let library = |name: &str| LIBRARY.iter().any(|p| name.starts_with(p));
    let says_more = |f: &&Frame| reason.is_empty() || !f.name.trim_start_matches('_').ends_with(reason);
    let mut named = stack.iter().filter(|f| f.named).filter(says_more);
    let function = named.clone().find(|f| *f.module == *exe && !library(&f.name)).or_else(|| named.next())?;
    Some(function.name.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(name: &str, module: &str) -> Frame {
        Frame { name: name.into(), module: module.into(), named: true, inlined: false }
    }

    #[test]
    fn a_wait_is_put_down_to_the_programs_own_function() {
        let stack = [
            frame("__GI___fsync", "libc.so.6"),
            frame("std::fs::File::sync_all", "orders"),
            frame("orders::commit", "orders"),
            frame("orders::main", "orders"),
        ];
        assert_eq!(pick(&stack, "orders", "fsync").as_deref(), Some("orders::commit"));
        assert_eq!(pick(&stack[..1], "orders", "fsync"), None, "it says no more than the reason");
        assert_eq!(pick(&stack[..2], "shop", "fsync").as_deref(), Some("std::fs::File::sync_all"));
    }
}
