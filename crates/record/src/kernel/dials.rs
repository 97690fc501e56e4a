//! What can be changed of a capture while it runs: the thresholds, and which objects take part.
//!
//! A handle to it can be had before the capture starts, is cheap to clone, and works from any thread: it is what lets
//! the limits of a recording reduce what the kernel sources cost.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::load::Loaded;
use crate::config::Uprobe;

/// The thresholds of a capture. What lies below them is counted rather than described.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// Off-CPU intervals shorter than this get no row of their own: each second there is one row per thread, system
    /// call and state with their sums (`kernel.offcpu_sum`). In nanoseconds; 0: every interval is a row.
    pub row: u64,
    /// Intervals shorter than this carry no stack. In nanoseconds; [`u64::MAX`]: none does.
    pub stack: u64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Thresholds { row: 0, stack: 1_000_000 }
    }
}

impl Thresholds {
    /// As `cc_dials` in `bpf/include/coldcase.bpf.h`.
    pub(super) fn bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.row.to_ne_bytes());
        bytes[8..].copy_from_slice(&self.stack.to_ne_bytes());
        bytes
    }
}

/// A handle to the dials of a capture, running or yet to start.
#[derive(Clone, Default)]
pub struct Dials {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
pub(super) struct State {
    /// The objects in the kernel.
    pub(super) loaded: Vec<Loaded>,
    /// What they were told last.
    pub(super) thresholds: Thresholds,
    /// The stack threshold to go back to when stacks are wanted again.
    stack_when_on: u64,
    /// There may be sums to take.
    sums: bool,
}

impl Dials {
    /// With these thresholds from the start.
    pub(super) fn begin(&self, thresholds: Thresholds) {
        let mut state = self.lock();
        state.thresholds = thresholds;
        state.stack_when_on = thresholds.stack;
        state.sums |= thresholds.row > 0;
    }

    /// The thresholds in force.
    pub fn thresholds(&self) -> Thresholds {
        self.lock().thresholds
    }

    /// From now on, off-CPU intervals shorter than `ns` are summed instead of becoming rows; 0: none is. Says what
    /// went wrong if the kernel did not take it.
    pub fn set_row_threshold(&self, ns: u64) -> Result<(), String> {
        self.change(|t| t.row = ns)
    }

    /// From now on, intervals shorter than `ns` carry no stack.
    pub fn set_stack_threshold(&self, ns: u64) -> Result<(), String> {
        self.lock().stack_when_on = ns;
        self.change(|t| t.stack = ns)
    }

    /// Switches the stacks of intervals off, or on again with the threshold that they had. Samples keep theirs: a
    /// sample is its stack; detach `sample` to be rid of them.
    pub fn set_stacks(&self, on: bool) -> Result<(), String> {
        let stack = if on { self.lock().stack_when_on } else { u64::MAX };
        self.change(|t| t.stack = stack)
    }

    /// Detaches the programs of an object (`sched`, `sample`, …): its hooks cost nothing any more. What is still open is
    /// written. `false` when it does not run.
    pub fn detach(&self, object: &str) -> Result<bool, String> {
        let mut state = self.lock();
        let Some(loaded) = state.loaded.iter_mut().find(|l| l.object.name == object && l.is_attached()) else {
            return Ok(false);
        };
        loaded.end().map_err(|e| format!("kernel.{object}: open intervals are missing: {e}"))?;
        Ok(true)
    }

    /// Attaches the programs of an object again. `false` when it is not in the kernel or never was detached.
    pub fn attach(&self, object: &str) -> Result<bool, String> {
        let is_off = |l: &Loaded| l.object.name == object && !l.is_attached();
        if !self.lock().loaded.iter().any(is_off) {
            return Ok(false);
        }
        // Not under the lock: it takes long where there are many processes.
        let found = Uprobe::of(object).map(Uprobe::files);
        let mut state = self.lock();
        let Some(loaded) = state.loaded.iter_mut().find(|l| is_off(l)) else {
            return Ok(false);
        };
        let attached =
            loaded.attach(found.as_ref(), &[]).and_then(|()| loaded.begin()).and_then(|()| loaded.attach_sampler());
        attached.map(|()| true).map_err(|skip| {
            // Attached in half, its rows would say things that are not so.
            loaded.unlink();
            format!("kernel.{object}: {}", skip.reason)
        })
    }

    /// Detaches the programs of all objects at once and writes nothing more: for the emergency in which the recorder
    /// itself hangs. Returns the objects that were attached.
    pub fn detach_all(&self) -> Vec<&'static str> {
        let mut state = self.lock();
        let attached = state.loaded.iter_mut().filter(|l| l.is_attached());
        attached
            .map(|loaded| {
                loaded.unlink();
                loaded.object.name
            })
            .collect()
    }

    /// Has the sums written: those of the objects that keep some throughout, and of the intervals below the row threshold.
    pub(super) fn flush(&self) {
        let mut state = self.lock();
        let below = std::mem::take(&mut state.sums);
        state.sums = state.thresholds.row > 0;
        let keeps = |l: &Loaded| l.is_attached() && (below || super::flag_of(l.object.name).is_some());
        for loaded in state.loaded.iter_mut().filter(|l| keeps(l)) {
            if let Err(e) = loaded.flush() {
                tracing::warn!("kernel.{}: sums are late: {e}", loaded.object.name);
            }
        }
    }

    fn change(&self, what: impl FnOnce(&mut Thresholds)) -> Result<(), String> {
        let mut state = self.lock();
        what(&mut state.thresholds);
        state.sums |= state.thresholds.row > 0;
        let thresholds = state.thresholds;
        for loaded in &state.loaded {
            loaded.turn(thresholds).map_err(|e| format!("kernel.{}: {e}", loaded.object.name))?;
        }
        Ok(())
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stacks_come_back_with_the_threshold_they_had() {
        let dials = Dials::default();
        dials.begin(Thresholds { row: 0, stack: 7 });
        assert_eq!(dials.set_stacks(false), Ok(()));
        assert_eq!(dials.thresholds().stack, u64::MAX);
        assert_eq!((dials.set_stacks(true), dials.thresholds().stack), (Ok(()), 7));
        assert_eq!((dials.set_row_threshold(50), dials.thresholds()), (Ok(()), Thresholds { row: 50, stack: 7 }));
        assert_eq!(dials.detach("sched"), Ok(false));
    }
}
