//! Why a thread was off the CPU, row by row: for those who show each of them.
//!
//! Time that a cgroup's quota took is in `queued` here: which part of it that was takes all rows together to tell.

use coldcase_model::Event;
use coldcase_model::events::{OffCpu, OffCpuSum};
use coldcase_timeline::{Frame, FutexWait, Timeline};

use crate::latency::offcpu::{self, Reason};
use crate::wait_class::{OffCpuPart, WaitClass};

/// An interval off the CPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// What was waited for, as `flame` tells it: `disk`, `lock`, `network`…; `run queue` where all of it was spent there.
    pub class: &'static str,
    /// The system call, `page fault`, or what else it was in.
    pub call: String,
    /// Nanoseconds waited.
    pub waited: u64,
    /// Nanoseconds then queued for a CPU. Both sum to the interval.
    pub queued: u64,
}

/// What the class of queueing for a CPU is called.
pub const RUN_QUEUE: &str = "run queue";

/// The wait of a row. `kernel`: the kernel's frames of its stack, innermost first.
pub fn wait(t: &Timeline, c: &<OffCpu as Event>::Cols<'_>, i: usize, kernel: &[Frame]) -> Wait {
    let arch = crate::arch(t);
    let [(part, _, waited), _, (_, _, queued)] = offcpu::parts(c, i, 0);
    let part = if waited == 0 { OffCpuPart::RunQueue } else { part.on_futex(FutexWait::of(c, i, arch)) };
    let class = part.class(arch, kernel.iter().map(|f| &*f.name));
    Wait { class: bare(class), call: Reason::of_row(c.syscall[i], c.flags[i]).name(arch), waited, queued }
}

/// The parts of a sum of intervals too short for rows of their own: class and nanoseconds, which sum to it.
pub fn short_waits(t: &Timeline, c: &<OffCpuSum as Event>::Cols<'_>, i: usize) -> [(&'static str, u64); 2] {
    let arch = crate::arch(t);
    offcpu::sum_parts(c, i).map(|(part, long)| (bare(part.class(arch, std::iter::empty())), long))
}

fn bare(class: WaitClass) -> &'static str {
    class.frame().trim_matches(['[', ']'])
}
