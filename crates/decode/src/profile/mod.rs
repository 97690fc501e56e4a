//! CPU profiles of other tools: stacks whose frames have names already.

pub mod folded;
pub mod perf_script;
pub mod pprof;

use std::borrow::Cow;

/// Frames of a stack at most; perf itself takes 127 by default.
pub const DEPTH: usize = 4096;

/// A function of a stack. Names are any text, hostile.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Frame<'a> {
    /// The function; `None` where the tool had no name.
    pub name: Option<Cow<'a, str>>,
    /// The file that it is in, by path; empty where that is not told.
    pub module: Cow<'a, str>,
    /// Whether it is of the kernel.
    pub kernel: bool,
}

/// Samples of one stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample<'a> {
    /// Nanoseconds of the tool's own clock.
    pub time: Option<u64>,
    /// The process; the thread where only that is told.
    pub pid: Option<u32>,
    /// The thread.
    pub tid: Option<u32>,
    /// The CPU.
    pub cpu: Option<u16>,
    /// Name of the thread.
    pub comm: &'a str,
    /// What was sampled; empty where that is not told.
    pub event: &'a str,
    /// Innermost first.
    pub frames: Vec<Frame<'a>>,
    /// How many samples.
    pub count: u64,
}

impl Sample<'_> {
    /// Whether its event tells what a CPU ran, at a pace: cycles, or a clock of the CPU. Others count something else.
    pub fn is_cpu(&self) -> bool {
        // `cycles:Pu`, or with its unit `cpu_core/cycles/P`.
        let name = self.event.split_once('/').map_or(self.event, |(_unit, name)| name);
        let name = name.split(['/', ':']).next().unwrap_or(name);
        matches!(name, "" | "cycles" | "cpu-cycles" | "cpu-clock" | "task-clock" | "ref-cycles" | "instructions")
    }
}

/// Why something is no sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unread {
    /// It does not begin as a sample does.
    #[error("no sample: thread and time are missing")]
    Head,
    /// A line of a stack is none.
    #[error("no frame of a stack")]
    Frame,
    /// A stack is deeper than [`DEPTH`].
    #[error("a stack of more than {DEPTH} frames")]
    Deep,
    /// No number of samples stands at the end.
    #[error("no stack with a number behind it")]
    Count,
}
