//! Stacks of CPU samples and of waits, row by row in the order of time: what profiles are made of.

use std::collections::HashMap;

use coldcase_analyze::waits::{self, RUN_QUEUE};
use coldcase_model::events::{CpuSample, OffCpu, OffCpuSum};
use coldcase_model::{Boottime, Event, Utc};
use coldcase_timeline::decode::otlp::TraceId;
use coldcase_timeline::{Binder, Piece, Selection, Timeline};

/// One sample, or one part of an interval off the CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seen {
    /// When: of a part of an interval when that part began.
    pub time: Boottime,
    /// 0 a CPU sample, 1 an interval, 2 a sum of intervals too short for rows of their own.
    stream: u8,
    /// Its row there.
    row: u64,
    /// 0 the wait, 1 the run queue behind it.
    part: u8,
    /// Its process.
    pub pid: u32,
    /// Its thread.
    pub tid: u32,
    /// Its stack, among [`Stacks::stacks`].
    pub stack: u32,
    /// What was waited for; `None` of a CPU sample.
    pub class: Option<&'static str>,
    /// Nanoseconds off the CPU.
    pub ns: u64,
    /// How many: intervals, or samples. 0 for the second part of an interval.
    pub times: u64,
}

/// Addresses of a stack, innermost first: of the kernel, and of the program.
pub type Addresses = (Box<[u64]>, Box<[u64]>);

/// All that was seen.
#[derive(Debug, Default)]
pub struct Stacks {
    /// In the order of time.
    pub seen: Vec<Seen>,
    /// The different stacks, in the order in which they are seen.
    pub stacks: Vec<Addresses>,
    /// What could not be read.
    pub problems: Vec<String>,
}

#[derive(Default)]
struct Part {
    seen: Vec<Seen>,
    numbers: HashMap<Addresses, u32>,
}

impl Part {
    fn stack(&mut self, kernel: &[u64], user: &[u64]) -> u32 {
        let next = self.numbers.len() as u32;
        *self.numbers.entry((kernel.into(), user.into())).or_insert(next)
    }

    fn take(&mut self, t: &Timeline, selection: &Selection<'_>, piece: &Piece<'_>) {
        if let Some(rows) = piece.rows::<CpuSample>() {
            let c = &rows.cols;
            for i in (0..rows.len()).filter(|&i| selection.has(c.pid[i], c.tid[i], c.time[i], 0)) {
                let stack = self.stack(c.kernel_stack.get(i), c.user_stack.get(i));
                let (time, row) = (Boottime(c.time[i]), rows.row(i));
                let (pid, tid) = (c.pid[i], c.tid[i]);
                self.seen.push(Seen { time, stream: 0, row, part: 0, pid, tid, stack, class: None, ns: 0, times: 1 });
            }
        } else if let Some(rows) = piece.rows::<OffCpu>() {
            let c = &rows.cols;
            for i in (0..rows.len()).filter(|&i| selection.has(c.pid[i], c.tid[i], c.time[i], c.duration[i])) {
                self.wait(t, c, i, rows.row(i));
            }
        } else if let Some(rows) = piece.rows::<OffCpuSum>() {
            let c = &rows.cols;
            for i in (0..rows.len()).filter(|&i| selection.has(c.pid[i], c.tid[i], c.time[i], c.duration[i])) {
                let stack = self.stack(&[], &[]);
                let mut times = u64::from(c.count[i]);
                for ((class, ns), part) in waits::short_waits(t, c, i).into_iter().zip(0u8..).filter(|p| p.0.1 > 0) {
                    let (time, row, pid, tid) = (Boottime(c.time[i]), rows.row(i), c.pid[i], c.tid[i]);
                    let class = Some(class);
                    self.seen.push(Seen { time, stream: 2, row, part, pid, tid, stack, class, ns, times });
                    times = 0;
                }
            }
        }
    }

    fn wait(&mut self, t: &Timeline, c: &<OffCpu as Event>::Cols<'_>, i: usize, row: u64) {
        let (kernel, user) = (c.kernel_stack.get(i), c.user_stack.get(i));
        let mut frames = Vec::with_capacity(kernel.len());
        for (n, &addr) in kernel.iter().enumerate() {
            t.symbols().kernel(addr, n == 0, &mut frames);
        }
        let wait = waits::wait(t, c, i, &frames);
        let stack = self.stack(kernel, user);
        let mut times = 1;
        let parts = [
            (0, c.time[i], wait.class, wait.waited),
            (1, c.time[i].saturating_add(wait.waited), RUN_QUEUE, wait.queued),
        ];
        for (part, start, class, ns) in parts {
            // An interval of no length is one, too.
            if ns > 0 || (part == 0 && wait.queued == 0) {
                let (time, class) = (Boottime(start), Some(class));
                let (pid, tid) = (c.pid[i], c.tid[i]);
                self.seen.push(Seen { time, stream: 1, row, part, pid, tid, stack, class, ns, times });
                times = 0;
            }
        }
    }

    fn merge(mut self, other: Part) -> Part {
        let mut renumbered = vec![0; other.numbers.len()];
        for ((kernel, user), number) in other.numbers {
            renumbered[number as usize] = self.stack(&kernel, &user);
        }
        self.seen.extend(other.seen.into_iter().map(|s| Seen { stack: renumbered[s.stack as usize], ..s }));
        self
    }
}

/// Collects them of a timeline, within its window.
pub fn collect(t: &Timeline, selection: &Selection<'_>) -> Stacks {
    let streams = [CpuSample::DEF.stream, OffCpu::DEF.stream, OffCpuSum::DEF.stream];
    let (all, problems) = t.fold(&streams, Part::default, |part, piece| part.take(t, selection, piece), Part::merge);
    let mut seen = all.seen;
    // Which thread met which stack first differs from run to run: the numbers are given anew, in the order of time.
    seen.sort_unstable_by_key(|s| (s.time, s.stream, s.row, s.part));
    let mut by_number: Vec<Option<Addresses>> = vec![None; all.numbers.len()];
    for (addresses, number) in all.numbers {
        by_number[number as usize] = Some(addresses);
    }
    let mut renumbered: HashMap<u32, u32> = HashMap::new();
    let mut stacks = Vec::with_capacity(by_number.len());
    for s in &mut seen {
        let old = s.stack;
        s.stack = *renumbered.entry(old).or_insert_with(|| {
            stacks.push(by_number[old as usize].take().unwrap_or_default());
            stacks.len() as u32 - 1
        });
    }
    Stacks { seen, stacks, problems }
}

/// The traces that threads worked for, by the spans whose threads are known.
#[derive(Debug, Default)]
pub struct Working {
    /// By thread: start, end and trace of its spans, by start; and the latest end up to each.
    by_thread: HashMap<u32, Vec<(u64, u64, TraceId, u64)>>,
}

impl Working {
    /// Of a timeline that holds its spans.
    pub fn new(t: &Timeline) -> Working {
        let binder = Binder::new(t);
        let mut by_thread: HashMap<u32, Vec<(u64, u64, TraceId, u64)>> = HashMap::new();
        for s in t.spans().iter().map(|s| &s.span) {
            if let (Some(trace), Some(tid)) = (s.trace, binder.bind(s).tid()) {
                let boot = |utc| t.boot(Utc(utc)).0;
                by_thread.entry(tid).or_default().push((boot(s.start), boot(s.end.max(s.start)), trace, 0));
            }
        }
        for spans in by_thread.values_mut() {
            spans.sort_unstable_by_key(|s| (s.0, std::cmp::Reverse(s.1), s.2.0));
            let mut reach = 0;
            for s in spans {
                reach = reach.max(s.1);
                s.3 = reach;
            }
        }
        Working { by_thread }
    }

    /// The trace of the innermost span that a thread was in at a time.
    pub fn at(&self, tid: u32, time: Boottime) -> Option<TraceId> {
        let spans = self.by_thread.get(&tid)?;
        let after = spans.partition_point(|s| s.0 <= time.0);
        // The latest to begin of those that are not over is the innermost.
        let before = spans[..after].iter().rev().take_while(|s| s.3 >= time.0);
        before.clone().find(|s| s.1 >= time.0).map(|s| s.2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_span_that_is_not_over_tells_the_trace() {
        let id = |n| TraceId([n; 16]);
        // Start, end, trace, and the latest end so far.
        let spans = vec![(10, 100, id(1), 100), (20, 30, id(2), 100), (40, 90, id(3), 100), (120, 130, id(4), 130)];
        let working = Working { by_thread: HashMap::from([(7, spans)]) };
        for (time, trace) in [(5, None), (15, Some(1)), (25, Some(2)), (35, Some(1)), (40, Some(3)), (95, Some(1))] {
            assert_eq!(working.at(7, Boottime(time)), trace.map(id), "{time}");
        }
        assert_eq!((working.at(7, Boottime(110)), working.at(8, Boottime(25))), (None, None));
    }

    #[test]
    fn parts_that_met_stacks_in_another_order_are_one_in_the_end() {
        let (a, b) = ([1u64], [2u64]);
        let mut first = Part::default();
        let (x, y) = (first.stack(&[], &a), first.stack(&[], &b));
        let mut second = Part::default();
        let (v, w) = (second.stack(&[], &b), second.stack(&[], &a));
        assert_eq!((x, y, v, w), (0, 1, 0, 1));
        let seen = |stack| Seen {
            time: Boottime(1),
            stream: 0,
            row: 0,
            part: 0,
            pid: 1,
            tid: 1,
            stack,
            class: None,
            ns: 0,
            times: 1,
        };
        second.seen.push(seen(v));
        let both = first.merge(second);
        assert_eq!(both.seen.iter().map(|s| s.stack).collect::<Vec<_>>(), [y]);
    }
}
