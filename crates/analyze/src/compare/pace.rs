//! The pace of the host in a run: how long threads of the kernel queued for a CPU after they were woken, in the median.
//!
//! A virtual machine is as fast as its neighbours let it be, from second to second, and everything on it is slower or faster together: on the machine
//! of `tests/bench/RESULTS.md` that is four fifths of the variance of a request's median from run to run. Threads of the kernel do not belong to
//! what is compared and are woken a hundred times a second, so that how soon they run tells the pace.

use coldcase_model::compare::HostPace;
use coldcase_model::events::OffCpu;
use coldcase_timeline::Timeline;

use super::measure::ALPHA;
use super::stats;
use crate::latency::offcpu::Reason;
use crate::quantile::quantile;

/// Waits that a median needs.
const LEAST: usize = 100;

/// Runs on each side from which on it is learned what the pace does to a measure: that takes one degree of freedom.
pub(super) const LEAST_RUNS: usize = 4;

/// The logarithm of the pace in each run.
#[derive(Debug, Clone)]
pub(super) struct Pace {
    pub(super) base: Vec<f64>,
    pub(super) head: Vec<f64>,
}

impl Pace {
    /// In nanoseconds, and whether the sides differ.
    pub(super) fn told(&self) -> HostPace {
        let mean = |of: &[f64]| (of.iter().sum::<f64>() / of.len() as f64).exp();
        let p = stats::welch(&self.base, &self.head).map_or(1.0, |d| d.p_beyond(0.0));
        HostPace { base: mean(&self.base), head: mean(&self.head), differs: p < ALPHA }
    }
}

/// Nanoseconds; `None` where too few waits of the kernel's threads were recorded.
pub(super) fn of(t: &Timeline) -> Option<f64> {
    let mut queued = Vec::new();
    for part in t.rows::<OffCpu>() {
        let c = &part.cols;
        let woken =
            |i: &usize| c.run_queue[*i] > 0 && Reason::of_row(c.syscall[*i], c.flags[*i]) == Reason::KernelThread;
        queued.extend((0..part.len()).filter(woken).map(|i| c.run_queue[i]));
    }
    queued.sort_unstable();
    (queued.len() >= LEAST).then(|| quantile(&queued, 50) as f64)
}
