//! Flame graphs: stacks of CPU samples and of time off the CPU, named and folded.

use std::collections::{BTreeMap, HashMap};

use coldcase_model::Boottime;
use coldcase_model::analysis::Flame;
use coldcase_model::events::{CpuSample, OffCpu};
use coldcase_timeline::{Frame, IntoBoot, Rows, Selection, Timeline};
use rayon::prelude::*;

use crate::kernel::Sums;
use crate::latency::offcpu::Reason;

/// Most different stacks in a flame graph; the lightest beyond it are summed by process.
const MOST: usize = 20_000;
/// What stands for the frames of an interval too short to have been given a stack.
const NO_STACK: &str = "[no stack]";

/// The flame graphs, and how many of the frames in them have a name.
#[derive(Default)]
pub(crate) struct Flames {
    pub(crate) flames: Vec<Flame>,
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

/// A stack as it was recorded.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Raw {
    pid: u32,
    kernel: Box<[u64]>,
    user: Box<[u64]>,
    /// Why it waited, where there is no stack to show it.
    reason: Option<Reason>,
}

/// How often and how heavily a stack was seen, and when first.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weight {
    times: u64,
    weight: u64,
    first: Boottime,
}

/// Stacks with their weights.
pub(crate) type Weights = HashMap<Raw, Weight>;

/// Adds the weights of one to the other.
pub(crate) fn merge(mut all: Weights, more: Weights) -> Weights {
    if all.len() < more.len() {
        return merge(more, all);
    }
    for (raw, w) in more {
        add(&mut all, raw, w);
    }
    all
}

fn add<K: std::hash::Hash + Eq>(sums: &mut HashMap<K, Weight>, key: K, w: Weight) {
    let known = sums.entry(key).or_insert(Weight { times: 0, weight: 0, first: w.first });
    known.times += w.times;
    known.weight += w.weight;
    known.first = known.first.min(w.first);
}

/// Process, stacks by their number in the segment, reason.
type Key = (u32, u32, u32, Option<Reason>);

type Stacks = coldcase_model::column::StackColumn;

/// Adds up the rows of one segment by the numbers of its stacks, before the stacks themselves are compared. `row` gives
/// pid, time, reason and weight of a row; `None` when it is out of scope.
fn take(
    sums: &mut Weights,
    rows: usize,
    (kernel, user): (&Stacks, &Stacks),
    row: impl Fn(usize) -> Option<(u32, Boottime, Option<Reason>, u64)>,
) {
    let mut local = HashMap::<Key, Weight>::new();
    for i in 0..rows {
        if let Some((pid, first, reason, weight)) = row(i) {
            add(&mut local, (pid, kernel.ids[i], user.ids[i], reason), Weight { times: 1, weight, first });
        }
    }
    let entry = |c: &Stacks, id: u32| c.entries.get(id as usize).cloned().unwrap_or_default();
    for ((pid, k, u, reason), w) in local {
        add(sums, Raw { pid, kernel: entry(kernel, k), user: entry(user, u), reason }, w);
    }
}

/// Adds CPU samples.
pub(crate) fn on_cpu(sums: &mut Weights, selection: &Selection<'_>, rows: &Rows<'_, CpuSample>) {
    let c = &rows.cols;
    take(sums, rows.len(), (c.kernel_stack, c.user_stack), |i| {
        selection.has(c.pid[i], c.tid[i], c.time[i], 0).then(|| (c.pid[i], c.time[i].into_boot(), None, 1))
    });
}

/// Adds intervals off the CPU, weighed in nanoseconds.
pub(crate) fn off_cpu(sums: &mut Weights, selection: &Selection<'_>, rows: &Rows<'_, OffCpu>) {
    let c = &rows.cols;
    take(sums, rows.len(), (c.kernel_stack, c.user_stack), |i| {
        let wanted = selection.has(c.pid[i], c.tid[i], c.time[i], c.duration[i]);
        let bare = c.kernel_stack.get(i).is_empty() && c.user_stack.get(i).is_empty();
        let reason = bare.then(|| Reason::of_row(c.syscall[i], c.flags[i]));
        wanted.then(|| (c.pid[i], c.time[i].into_boot(), reason, c.duration[i]))
    });
}

/// Flame graphs of what was added up: `on-cpu` in samples, `off-cpu` in nanoseconds.
pub(crate) fn flames(t: &Timeline, sums: &mut Sums, arch: &str) -> Flames {
    let (on, off) = (std::mem::take(&mut sums.on_cpu), std::mem::take(&mut sums.off_cpu));
    let mut out = Flames { flames: Vec::new(), frames: Frames::default() };
    for (kind, unit, weights) in [("on-cpu", "samples", on), ("off-cpu", "ns", off)] {
        if !weights.is_empty() {
            let stacks = fold(t, arch, weights, &mut out.frames);
            out.flames.push(Flame { kind: kind.to_owned(), unit: unit.to_owned(), stacks });
        }
    }
    out
}

/// Names and folds stacks; sorted, each once.
fn fold(t: &Timeline, arch: &str, weights: Weights, frames: &mut Frames) -> Vec<(String, u64)> {
    let weights: Vec<(Raw, Weight)> = weights.into_iter().collect();
    let named: Vec<(String, u64, Frames)> = weights
        .par_iter()
        .map(|(raw, w)| {
            let (stack, dropped) = t.symbols().stack_and_dropped(raw.pid, w.first, &raw.kernel, &raw.user);
            let (seen, known) = (stack.len() as u64, stack.iter().filter(|f| f.named).count() as u64);
            let counts = Frames { seen: seen * w.times, named: known * w.times, bogus: dropped as u64 * w.times };
            let root = crate::process_name(t, raw.pid, w.first);
            (line(&root, &stack, raw.reason, arch), w.weight, counts)
        })
        .collect();
    let mut folded = BTreeMap::<String, u64>::new();
    for (line, weight, counts) in named {
        *folded.entry(line).or_default() += weight;
        frames.seen += counts.seen;
        frames.named += counts.named;
        frames.bogus += counts.bogus;
    }
    bounded(folded)
}

/// `process;outermost;…;innermost`, kernel frames with `_[k]`, inlined ones with `_[i]`.
fn line(process: &str, stack: &[Frame], reason: Option<Reason>, arch: &str) -> String {
    let mut out = frame_text(process);
    if let Some(reason) = reason {
        out.push(';');
        out.push_str(NO_STACK);
        out.push(';');
        out.push_str(&reason.name(arch));
        return out;
    }
    for frame in stack.iter().rev() {
        out.push(';');
        let name = frame_text(&frame.name);
        match (frame.named, &*frame.module == "[kernel]") {
            (true, true) => out.push_str(&format!("{name}_[k]")),
            (true, false) => {
                out.push_str(&name);
                // As perf's folded stacks mark them.
                if frame.inlined {
                    out.push_str("_[i]");
                }
            }
            (false, true) => out.push_str(&format!("[{name}]_[k]")),
            (false, false) => out.push_str(&format!("[{}]", name.trim_matches(['[', ']']))),
        }
    }
    out
}

/// A frame's name without what separates frames.
fn frame_text(name: &str) -> String {
    name.replace([';', '\n'], ":")
}

/// Keeps the heaviest stacks and sums the rest by process, so that the total stays what it was.
fn bounded(folded: BTreeMap<String, u64>) -> Vec<(String, u64)> {
    if folded.len() <= MOST {
        return folded.into_iter().collect();
    }
    let mut by_weight: Vec<(String, u64)> = folded.into_iter().collect();
    by_weight.sort_by(|x, y| y.1.cmp(&x.1).then_with(|| x.0.cmp(&y.0)));
    let rest = by_weight.split_off(MOST);
    let mut kept: BTreeMap<String, u64> = by_weight.into_iter().collect();
    for (line, weight) in rest {
        let process = line.split(';').next().unwrap_or_default();
        *kept.entry(format!("{process};[light stacks]")).or_default() += weight;
    }
    kept.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(name: &str, module: &str, named: bool) -> Frame {
        Frame { name: name.into(), module: module.into(), named, inlined: false }
    }

    #[test]
    fn a_stack_is_folded_root_first_with_kernel_frames_marked() {
        let stack = [
            frame("do_fsync", "[kernel]", true),
            frame("fsync", "libc.so.6", true),
            frame("orders+0x12", "orders", false),
            frame("operator; weird", "orders", true),
        ];
        assert_eq!(
            line("orders[7]", &stack, None, "x86_64"),
            "orders[7];operator: weird;[orders+0x12];fsync;do_fsync_[k]"
        );
        assert_eq!(line("orders[7]", &[], Some(Reason::Syscall(74)), "x86_64"), "orders[7];[no stack];fsync");
    }

    #[test]
    fn the_weight_of_stacks_beyond_the_bound_is_kept() {
        let folded: BTreeMap<String, u64> =
            (0..MOST + 500).map(|i| (format!("p{};f{i}", i % 3), i as u64 + 1)).collect();
        let total: u64 = folded.values().sum();
        let kept = bounded(folded);
        assert!(kept.len() <= MOST + 3);
        assert_eq!(kept.iter().map(|k| k.1).sum::<u64>(), total);
        assert!(kept.iter().any(|k| k.0 == "p0;[light stacks]"));
    }
}
