//! Flame graphs: stacks of CPU samples, of time off the CPU and of chains of wake-ups, named and folded.

mod diff;
mod line;
mod wakeup;
mod window;

use std::collections::{BTreeMap, HashMap};

use coldcase_model::Boottime;
use coldcase_model::analysis::{Flame, FlameDiff};
use coldcase_model::events::{CpuSample, OffCpu, OffCpuSum};
use coldcase_timeline::{FutexWait, IntoBoot, Rows, Selection, Timeline};
use rayon::prelude::*;

use crate::kernel::Sums;
use crate::latency::offcpu;
use crate::scope::GroupBy;
use crate::throttle::Throttling;
use crate::wait_class::OffCpuPart;

use line::{Namer, Shown};
pub(crate) use window::{Amount, Window};

/// Most different stacks in a flame graph; the lightest beyond it are summed by what they begin with.
const MOST: usize = 20_000;

/// Stacks that are named at once.
const AT_ONCE: usize = 16_384;

/// The flame graphs, and how many of the frames in them have a name.
#[derive(Default)]
pub(crate) struct Flames {
    pub(crate) flames: Vec<Flame>,
    pub(crate) diffs: Vec<FlameDiff>,
    pub(crate) frames: Frames,
}

/// Frames, counted once a sample.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Frames {
    /// In executable mappings.
    pub(crate) seen: u64,
    /// Of these, with a name.
    pub(crate) named: u64,
    /// Addresses outside of every executable mapping: no frames, left out.
    pub(crate) bogus: u64,
}

/// How stacks are told apart and weighed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Making<'a> {
    /// The architecture of the host, by which system calls are numbered.
    pub(crate) arch: &'a str,
    pub(crate) by: GroupBy,
    /// Where what is outside of a window is weighed apart.
    pub(crate) window: Option<Window>,
}

impl Making<'_> {
    /// Whose a stack is: pid, and tid where threads are told apart.
    fn owner(&self, pid: u32, tid: u32) -> (u32, u32) {
        (pid, if self.by == GroupBy::Thread { tid } else { 0 })
    }

    /// The parts of a row, which sum to it.
    fn parts(&self, c: &offcpu::Cols<'_>, i: usize, throttled: u64) -> [(OffCpuPart, u64, u64); 3] {
        let [(waited, start, long), throttled, queued] = offcpu::parts(c, i, throttled);
        [(waited.on_futex(FutexWait::of(c, i, self.arch)), start, long), throttled, queued]
    }

    /// How much of a stretch of BOOTTIME is in the window, and how much in the rest.
    fn amount(&self, start: u64, length: u64) -> Amount {
        match &self.window {
            None => Amount { window: length, base: 0 },
            Some(window) => window.amount(start, length),
        }
    }

    /// The same of a moment.
    fn moment(&self, at: u64) -> Amount {
        match &self.window {
            Some(window) if !window.has(at) => Amount { window: 0, base: 1 },
            _ => Amount { window: 1, base: 0 },
        }
    }
}

/// A stack as it was recorded.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Raw {
    owner: (u32, u32),
    kernel: Box<[u64]>,
    user: Box<[u64]>,
    /// How it was off the CPU, if it was.
    off: Option<OffCpuPart>,
}

/// How often and how heavily a stack was seen, and when first.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weight {
    times: u64,
    amount: Amount,
    first: Boottime,
}

/// Stacks with their weights.
pub(crate) type Weights = HashMap<Raw, Weight>;

/// Adds the weights of one to the other.
pub(crate) fn merge<K: std::hash::Hash + Eq>(
    mut all: HashMap<K, Weight>,
    more: HashMap<K, Weight>,
) -> HashMap<K, Weight> {
    if all.len() < more.len() {
        return merge(more, all);
    }
    for (key, w) in more {
        add(&mut all, key, w);
    }
    all
}

fn add<K: std::hash::Hash + Eq>(sums: &mut HashMap<K, Weight>, key: K, w: Weight) {
    let nothing = Weight { times: 0, amount: Amount::default(), first: w.first };
    let known = sums.entry(key).or_insert(nothing);
    known.times = known.times.saturating_add(w.times);
    known.amount += w.amount;
    known.first = known.first.min(w.first);
}

/// Owner, stacks by their number in the segment, how it was off the CPU.
type Key = ((u32, u32), u32, u32, Option<OffCpuPart>);

type Stacks = coldcase_model::column::StackColumn;

/// The sums of one segment by the numbers of its stacks, before the stacks themselves are compared.
struct Sheet<'a> {
    kernel: &'a Stacks,
    user: &'a Stacks,
    sums: HashMap<Key, Weight>,
}

impl<'a> Sheet<'a> {
    fn new(kernel: &'a Stacks, user: &'a Stacks) -> Sheet<'a> {
        Sheet { kernel, user, sums: HashMap::new() }
    }

    fn add(&mut self, i: usize, owner: (u32, u32), off: Option<OffCpuPart>, w: Weight) {
        add(&mut self.sums, (owner, self.kernel.ids[i], self.user.ids[i], off), w);
    }

    fn unpack(self, into: &mut Weights) {
        let entry = |c: &Stacks, id: u32| c.entries.get(id as usize).cloned().unwrap_or_default();
        for ((owner, k, u, off), w) in self.sums {
            add(into, Raw { owner, kernel: entry(self.kernel, k), user: entry(self.user, u), off }, w);
        }
    }
}

/// Adds CPU samples.
pub(crate) fn on_cpu(sums: &mut Weights, making: &Making<'_>, selection: &Selection<'_>, rows: &Rows<'_, CpuSample>) {
    let c = &rows.cols;
    let mut sheet = Sheet::new(c.kernel_stack, c.user_stack);
    for i in (0..rows.len()).filter(|&i| selection.has(c.pid[i], c.tid[i], c.time[i], 0)) {
        let weight = Weight { times: 1, amount: making.moment(c.time[i]), first: c.time[i].into_boot() };
        sheet.add(i, making.owner(c.pid[i], c.tid[i]), None, weight);
    }
    sheet.unpack(sums);
}

/// Adds intervals off the CPU, weighed in nanoseconds: each nanosecond in one of the parts of its interval.
pub(crate) fn off_cpu(
    sums: &mut Weights,
    making: &Making<'_>,
    selection: &Selection<'_>,
    throttling: &Throttling,
    rows: &Rows<'_, OffCpu>,
) {
    let c = &rows.cols;
    let mut sheet = Sheet::new(c.kernel_stack, c.user_stack);
    for i in (0..rows.len()).filter(|&i| selection.has(c.pid[i], c.tid[i], c.time[i], c.duration[i])) {
        let mut times = 1;
        for (part, start, long) in making.parts(c, i, throttling.of_row(rows.row(i))) {
            if long > 0 {
                let weight = Weight { times, amount: making.amount(start, long), first: c.time[i].into_boot() };
                sheet.add(i, making.owner(c.pid[i], c.tid[i]), Some(part), weight);
                // The frames of a row are counted once.
                times = 0;
            }
        }
    }
    sheet.unpack(sums);
}

/// Adds sums of intervals that were too short for rows of their own: they have no stacks.
pub(crate) fn off_cpu_sums(
    sums: &mut Weights,
    making: &Making<'_>,
    selection: &Selection<'_>,
    rows: &Rows<'_, OffCpuSum>,
) {
    let c = &rows.cols;
    for i in (0..rows.len()).filter(|&i| selection.has(c.pid[i], c.tid[i], c.time[i], c.duration[i])) {
        for (part, long) in offcpu::sum_parts(c, i).into_iter().filter(|p| p.1 > 0) {
            let owner = making.owner(c.pid[i], c.tid[i]);
            let raw = Raw { owner, kernel: Box::default(), user: Box::default(), off: Some(part) };
            let weight = Weight { times: 0, amount: making.amount(c.time[i], long), first: c.time[i].into_boot() };
            add(sums, raw, weight);
        }
    }
}

/// What the flame graphs of a bundle are made of.
pub(crate) struct Input<'a> {
    pub(crate) timeline: &'a Timeline,
    pub(crate) selection: &'a Selection<'a>,
    pub(crate) throttling: &'a Throttling,
    pub(crate) making: &'a Making<'a>,
}

/// Flame graphs of what was added up: `on-cpu` in samples, `off-cpu` and `wakeup` in nanoseconds.
pub(crate) fn flames(input: &Input<'_>, sums: &mut Sums) -> Flames {
    let namer = Namer::new(input.timeline, input.making.arch, input.making.by);
    let (on, off) = (std::mem::take(&mut sums.on_cpu), std::mem::take(&mut sums.off_cpu));
    let mut out = Flames::default();
    let wakeups = if off.is_empty() { Folded::new() } else { wakeup::fold(input, &namer) };
    let on = fold(&namer, on, &mut out.frames);
    let off = fold(&namer, off, &mut out.frames);
    for (kind, unit, folded) in [("on-cpu", "samples", on), ("off-cpu", "ns", off), ("wakeup", "ns", wakeups)] {
        if folded.is_empty() {
            continue;
        }
        let by = input.making.by.name();
        let folded = bounded(folded, Flame::owners(by), String::as_str, |line| line);
        if let Some(window) = &input.making.window {
            out.diffs.push(diff::diff((kind, unit, by), window, &folded));
        }
        let stacks = folded.into_iter().map(|(line, a)| (line, a.window)).filter(|s| s.1 > 0).collect();
        out.flames.push(Flame { kind: kind.to_owned(), unit: unit.to_owned(), by: by.to_owned(), stacks });
    }
    out
}

/// Folded stacks with their weights.
type Folded = BTreeMap<String, Amount>;

/// Names and folds stacks.
fn fold(namer: &Namer<'_>, weights: Weights, frames: &mut Frames) -> Folded {
    let weights: Vec<(Raw, Weight)> = weights.into_iter().collect();
    let mut folded = Folded::new();
    // Many stacks have the same names: their lines are not all held at once.
    for part in weights.chunks(AT_ONCE) {
        let lines: Vec<(String, Amount, Frames)> = part
            .par_iter()
            .map(|(raw, w)| {
                let mut line = namer.owner(raw.owner, w.first);
                let counts =
                    namer.push_stack(&mut line, (raw.owner.0, w.first), (&raw.kernel, &raw.user), raw.off, Shown::All);
                let Frames { seen, named, bogus } = counts;
                (line, w.amount, Frames { seen: seen * w.times, named: named * w.times, bogus: bogus * w.times })
            })
            .collect();
        for (line, amount, counts) in lines {
            *folded.entry(line).or_default() += amount;
            frames.seen += counts.seen;
            frames.named += counts.named;
            frames.bogus += counts.bogus;
        }
    }
    folded
}

/// A line each for the heaviest stacks, and of the rest the sums by their first frames, so that the total stays what it was.
/// `begin` of a stack is what its line begins with, its owner at least.
fn bounded<K: Ord>(
    stacks: impl IntoIterator<Item = (K, Amount)>,
    owners: usize,
    begin: impl Fn(&K) -> &str,
    line: impl Fn(K) -> String,
) -> Folded {
    let mut by_weight: Vec<(K, Amount)> = stacks.into_iter().collect();
    let rest = if by_weight.len() > MOST {
        by_weight.sort_by(|x, y| y.1.total().cmp(&x.1.total()).then_with(|| x.0.cmp(&y.0)));
        by_weight.split_off(MOST)
    } else {
        Vec::new()
    };
    let mut kept = Folded::new();
    for (stack, amount) in by_weight {
        *kept.entry(line(stack)).or_default() += amount;
    }
    for (stack, amount) in rest {
        let owner: Vec<&str> = begin(&stack).split(';').take(owners).collect();
        *kept.entry(format!("{};[light stacks]", owner.join(";"))).or_default() += amount;
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weight_of_stacks_beyond_the_bound_is_kept() {
        let amount = |n: usize| Amount { window: n as u64, base: 2 };
        let folded: Folded = (0..MOST + 500).map(|i| (format!("p{};f{i}", i % 3), amount(i + 1))).collect();
        let total = |f: &Folded| f.values().fold(Amount::default(), |sum, a| sum + *a);
        let before = total(&folded);
        let kept = bounded(folded, 1, String::as_str, |line| line);
        assert!(kept.len() <= MOST + 3);
        assert_eq!(total(&kept), before);
        assert!(kept.contains_key("p0;[light stacks]"));
    }
}
