//! Chains of wake-ups: where a thread waited, who woke it, and where that one had waited meanwhile, and so on; after
//! Brendan Gregg's chain graphs and bcc's `offwaketime`.
//!
//! A wait is one stack, and weighs what it lasted until the thread was woken: the time in the run queue behind that is
//! nobody's wake-up. So the graph sums to what was waited off the CPU, run queue and throttling left out. Where the waker
//! had waited is the longest of its intervals within the wait that it ended: who was on a CPU all the time held nobody
//! up by waiting.

use std::collections::{BTreeMap, HashMap};

use coldcase_model::Boottime;
use coldcase_model::analysis::Flame;
use coldcase_model::events::OffCpu;
use coldcase_timeline::{IntoBoot, Rows};
use rayon::prelude::*;

use super::line::{Namer, Shown};
use super::{Amount, Folded, Input, Weight, add, bounded, merge};
use crate::latency::offcpu;
use crate::throttle::Throttling;
use crate::wait_class::OffCpuPart;

/// Most wakers in a chain.
const HOPS: usize = 4;
/// Most intervals of a waker that are looked at, the last ones of a wait: chains take time in proportion to the rows.
const LOOK_BACK: usize = 1_000;
/// What parts a waker from whom it woke, as in `offwaketime`.
const WOKEN_BY: &str = "--";
/// Flag bits of `kernel.offcpu`.
const IN_INTERRUPT: u32 = 4;
const CENSORED: u32 = 16;
const IN_HARD_IRQ: u32 = 128;
const IN_SOFT_IRQ: u32 = 256;

/// A row of `kernel.offcpu`: segment, and place in it.
type At = (u32, u32);

/// How a chain ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum End {
    /// The last waker had not waited meanwhile, or for a CPU only.
    Ran,
    /// An interrupt woke.
    Interrupt,
    HardIrq,
    SoftIrq,
    /// Nobody is known to have.
    Unseen,
    /// It waited on when the capture ended.
    Waits,
    /// There are more wakers than are followed.
    More,
}

impl End {
    fn frame(self) -> Option<&'static str> {
        match self {
            End::Ran => None,
            End::Interrupt => Some("[interrupt]"),
            End::HardIrq => Some("[hard IRQ]"),
            End::SoftIrq => Some("[soft IRQ]"),
            End::Unseen => Some("[waker not seen]"),
            End::Waits => Some("[not woken]"),
            End::More => Some("[further wakers]"),
        }
    }
}

/// A thread that waited, with its stacks by their numbers in a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Waiter {
    owner: (u32, u32),
    /// Segment, kernel stack, user stack, and how it was off the CPU; `None` of a waker that was not.
    stood: Option<(u32, u32, u32, OffCpuPart)>,
}

/// The waiter, its waker, and so on.
type Chain = (Vec<Waiter>, End);

/// An interval of a thread.
#[derive(Debug, Clone, Copy)]
struct Interval {
    start: u64,
    end: u64,
    at: At,
}

/// The rows of all threads, in scope or not: a waker may be anybody.
struct Threads<'a> {
    input: &'a Input<'a>,
    segments: Vec<Rows<'a, OffCpu>>,
    /// Of each thread its intervals, in order.
    intervals: HashMap<u32, Vec<Interval>>,
}

impl<'a> Threads<'a> {
    fn of(input: &'a Input<'a>) -> Threads<'a> {
        let segments: Vec<Rows<'a, OffCpu>> = input.timeline.rows::<OffCpu>().collect();
        let mut intervals = HashMap::<u32, Vec<Interval>>::new();
        for (s, rows) in segments.iter().enumerate() {
            let c = &rows.cols;
            for i in 0..rows.len() {
                let (start, end) = (c.time[i], c.time[i].saturating_add(c.duration[i]));
                intervals.entry(c.tid[i]).or_default().push(Interval { start, end, at: (s as u32, i as u32) });
            }
        }
        intervals.par_iter_mut().for_each(|(_, own)| own.sort_by_key(|i| (i.start, i.at)));
        Threads { input, segments, intervals }
    }

    /// The longest interval of a thread within a stretch of time: of equals the last.
    fn longest(&self, tid: u32, from: u64, to: u64) -> Option<At> {
        let own = self.intervals.get(&tid)?;
        let after = own.partition_point(|i| i.start < to);
        let within = own[..after].iter().rev().take(LOOK_BACK).take_while(|i| i.end > from);
        let overlap = |i: &Interval| i.end.min(to) - i.start.max(from);
        within.map(|i| (overlap(i), i.at)).reduce(|best, i| if i.0 > best.0 { i } else { best }).map(|b| b.1)
    }

    /// The part of a row that lasted longest.
    fn main_part(&self, (s, i): At, throttling: &Throttling) -> OffCpuPart {
        let rows = &self.segments[s as usize];
        let parts = self.input.making.parts(&rows.cols, i as usize, throttling.of_row(rows.row(i as usize)));
        parts.iter().rev().max_by_key(|p| p.2).map_or(OffCpuPart::RunQueue, |p| p.0)
    }

    fn waiter(&self, (s, i): At, part: OffCpuPart) -> Waiter {
        let c = &self.segments[s as usize].cols;
        let i = i as usize;
        let stood = (s, c.kernel_stack.ids[i], c.user_stack.ids[i], part);
        Waiter { owner: self.input.making.owner(c.pid[i], c.tid[i]), stood: Some(stood) }
    }

    /// The chain of a row that waited.
    fn chain(&self, row: At, waited: OffCpuPart) -> Chain {
        let mut chain = vec![self.waiter(row, waited)];
        let mut at = row;
        loop {
            let c = &self.segments[at.0 as usize].cols;
            let i = at.1 as usize;
            let waker = c.waker_tid[i];
            if let Some(end) = unwoken(c.flags[i], waker) {
                return (chain, end);
            }
            if chain.len() > HOPS {
                return (chain, End::More);
            }
            let waited = c.duration[i] - offcpu::queued(c.flags[i], c.duration[i], c.run_queue[i]);
            let woken = c.time[i].saturating_add(waited);
            let Some(before) = self.longest(waker, c.time[i], woken) else {
                let pid = self.input.timeline.processes().pid_of(waker, woken.into_boot());
                let owner = pid.map_or((0, waker), |pid| self.input.making.owner(pid, waker));
                chain.push(Waiter { owner, stood: None });
                return (chain, End::Ran);
            };
            let part = self.main_part(before, self.input.throttling);
            chain.push(self.waiter(before, part));
            if !matches!(part, OffCpuPart::Waited(..)) {
                return (chain, End::Ran);
            }
            at = before;
        }
    }

    /// The stacks of a waiter.
    fn stacks(&self, s: u32, kernel: u32, user: u32) -> (&[u64], &[u64]) {
        let c = &self.segments[s as usize].cols;
        let entry = |column: &'a super::Stacks, id: u32| column.entries.get(id as usize).map_or(&[][..], |e| &e[..]);
        (entry(c.kernel_stack, kernel), entry(c.user_stack, user))
    }

    /// The chains of the rows of a segment that are in scope.
    fn chains(&self, s: usize) -> HashMap<Chain, Weight> {
        let (rows, mut out) = (&self.segments[s], HashMap::new());
        let c = &rows.cols;
        for i in 0..rows.len() {
            let [(part, start, waited), ..] = self.input.making.parts(c, i, 0);
            if waited > 0 && self.input.selection.has(c.pid[i], c.tid[i], c.time[i], c.duration[i]) {
                let amount = self.input.making.amount(start, waited);
                let weight = Weight { times: 1, amount, first: c.time[i].into_boot() };
                add(&mut out, self.chain((s as u32, i as u32), part), weight);
            }
        }
        out
    }
}

/// Why nobody is named who woke a thread; `None` when the waker is.
fn unwoken(flags: u32, waker: u32) -> Option<End> {
    match flags {
        f if f & CENSORED != 0 => Some(End::Waits),
        f if f & IN_HARD_IRQ != 0 => Some(End::HardIrq),
        f if f & IN_SOFT_IRQ != 0 => Some(End::SoftIrq),
        f if f & IN_INTERRUPT != 0 => Some(End::Interrupt),
        _ => (waker == 0).then_some(End::Unseen),
    }
}

/// The chains of all waits in scope, named and folded.
pub(super) fn fold(input: &Input<'_>, namer: &Namer<'_>) -> Folded {
    let threads = Threads::of(input);
    let segments = 0..threads.segments.len();
    let chains: HashMap<Chain, Weight> =
        segments.into_par_iter().map(|s| threads.chains(s)).reduce(HashMap::new, merge);
    // Each waiter is named once, as it was called when it was first seen.
    let mut firsts = BTreeMap::<(Waiter, bool), Boottime>::new();
    for ((chain, _), w) in &chains {
        for (hop, waiter) in chain.iter().enumerate() {
            let first = firsts.entry((*waiter, hop > 0)).or_insert(w.first);
            *first = w.first.min(*first);
        }
    }
    let names: HashMap<(Waiter, bool), String> = firsts
        .par_iter()
        .map(|(&(waiter, woke), &first)| ((waiter, woke), name(&threads, namer, waiter, woke, first)))
        .collect();
    // Chains of the same names are summed before they are written out: a name is a whole stack.
    let mut sums = HashMap::<(Vec<&str>, End), Amount>::new();
    for ((chain, end), w) in &chains {
        let hop = |(hop, waiter): (usize, &Waiter)| names.get(&(*waiter, hop > 0)).map(String::as_str);
        *sums.entry((chain.iter().enumerate().filter_map(hop).collect(), *end)).or_default() += w.amount;
    }
    bounded(
        sums,
        Flame::owners(input.making.by.name()),
        |(hops, _)| hops.first().copied().unwrap_or_default(),
        |(mut hops, end)| {
            hops.extend(end.frame());
            hops.join(&format!(";{WOKEN_BY};"))
        },
    )
}

fn name(threads: &Threads<'_>, namer: &Namer<'_>, waiter: Waiter, woke: bool, at: Boottime) -> String {
    let mut out = if woke { namer.waker(waiter.owner, at) } else { namer.owner(waiter.owner, at) };
    if let Some((segment, kernel, user, part)) = waiter.stood {
        let (kernel, user) = threads.stacks(segment, kernel, user);
        // Of a waker the class of its wait says what its kernel frames would: chains are high as it is.
        let shown = if woke && !user.is_empty() { Shown::User } else { Shown::All };
        namer.push_stack(&mut out, (waiter.owner.0, at), (kernel, user), Some(part), shown);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupt_is_not_put_down_to_the_thread_that_it_interrupted() {
        assert_eq!(unwoken(IN_INTERRUPT | IN_HARD_IRQ, 7), Some(End::HardIrq));
        assert_eq!(unwoken(IN_INTERRUPT | IN_SOFT_IRQ, 7), Some(End::SoftIrq));
        assert_eq!(unwoken(IN_INTERRUPT, 7), Some(End::Interrupt));
        assert_eq!((unwoken(0, 7), unwoken(0, 0)), (None, Some(End::Unseen)));
        assert_eq!(unwoken(CENSORED, 7), Some(End::Waits), "whoever woke it before");
    }
}
