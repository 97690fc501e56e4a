//! The watchdog: takes everything off the kernel when the recorder is stuck, and notices when it did not run at all.
//!
//! It does nothing but sleep and compare, on a thread of its own, so that it still moves when the disk, a pipe or a
//! lock holds up everybody else. A process that is stopped (SIGSTOP) or a host that is suspended stops it too: then
//! rings fill, their losses are counted, and the gap is told afterwards.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use coldcase_model::Boottime;
use rustix::time::{ClockId, clock_gettime};

use crate::clock;
use crate::reduce::Brake;
use crate::source::StopToken;

/// Time between two looks.
const LOOK: Duration = Duration::from_millis(100);
/// A look that comes so much too late is a gap: nothing of the recorder ran.
const GAP: Duration = Duration::from_secs(1);

/// Counts the turns of a thread that must not stand still. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Pulse(Arc<AtomicU64>);

impl Pulse {
    /// Another turn.
    pub fn beat(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn turns(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What the watchdog saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Noticed {
    /// The recorder did not run.
    Gap {
        /// Since when.
        start: Boottime,
        /// For how long, in nanoseconds.
        length: u64,
        /// The host slept meanwhile, rather than the process alone.
        suspended: bool,
    },
    /// A thread of it was stuck; everything was taken off the kernel.
    Stuck {
        /// Since when.
        start: Boottime,
        /// For how long before the watchdog acted, in nanoseconds.
        length: u64,
        /// What was taken off.
        what: Vec<String>,
    },
}

/// A handle to what the watchdog saw.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watchdog {
    noticed: Arc<Mutex<Vec<Noticed>>>,
}

impl Watchdog {
    /// Watches these pulses until the stop. When one stands still for `patience` (zero: for ever) the brakes are pulled,
    /// once.
    pub(crate) fn start(
        pulses: Vec<Pulse>,
        brakes: Vec<Brake>,
        patience: Duration,
        stop: StopToken,
    ) -> std::io::Result<Watchdog> {
        let watchdog = Watchdog::default();
        let noticed = watchdog.noticed.clone();
        let mut watch = Watch { pulses: pulses.into_iter().map(|p| (p, 0, 0)).collect(), brakes, patience };
        std::thread::Builder::new().name("watchdog".into()).spawn(move || {
            loop {
                let before = now();
                if stop.wait(LOOK) {
                    return;
                }
                if let Some(seen) = watch.look(before, now()) {
                    noticed.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
                }
            }
        })?;
        Ok(watchdog)
    }

    /// What was seen since the last call.
    pub(crate) fn take(&self) -> Vec<Noticed> {
        std::mem::take(&mut *self.noticed.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// BOOTTIME, and MONOTONIC, which stands still while the host is suspended.
fn now() -> (Boottime, u64) {
    let monotonic = clock_gettime(ClockId::Monotonic);
    (clock::boottime(), monotonic.tv_sec as u64 * 1_000_000_000 + monotonic.tv_nsec as u64)
}

struct Watch {
    /// Each with its turns at the last look, and the looks since it last moved.
    pulses: Vec<(Pulse, u64, u32)>,
    brakes: Vec<Brake>,
    patience: Duration,
}

impl Watch {
    fn look(&mut self, before: (Boottime, u64), after: (Boottime, u64)) -> Option<Noticed> {
        let length = after.0.0.saturating_sub(before.0.0);
        if length > (LOOK + GAP).as_nanos() as u64 {
            // Nobody ran: nobody is stuck. Judged anew from here on.
            self.pulses.iter_mut().for_each(|p| p.2 = 0);
            let slept = length.saturating_sub(after.1.saturating_sub(before.1));
            return Some(Noticed::Gap { start: before.0, length, suspended: slept > length / 2 });
        }
        let mut still = 0;
        for (pulse, turns, looks) in &mut self.pulses {
            let moved = std::mem::replace(turns, pulse.turns()) != *turns;
            *looks = if moved { 0 } else { *looks + 1 };
            still = still.max(*looks);
        }
        // By looks, not by the clock: while the watchdog itself gets no CPU, neither do those it watches.
        let length = LOOK * still;
        if self.patience.is_zero() || length < self.patience || self.brakes.is_empty() {
            return None;
        }
        let what = self.brakes.drain(..).flat_map(|mut brake| brake()).collect();
        let length = length.as_nanos() as u64;
        Some(Noticed::Stuck { start: Boottime(after.0.0.saturating_sub(length)), length, what })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64, slept: u64) -> (Boottime, u64) {
        (Boottime(ms * 1_000_000), (ms - slept) * 1_000_000)
    }

    fn watch(pulse: &Pulse) -> Watch {
        let brakes: Vec<Brake> = vec![Box::new(|| vec!["kernel.sched".to_owned()])];
        Watch { pulses: vec![(pulse.clone(), 0, 0)], brakes, patience: Duration::from_secs(1) }
    }

    #[test]
    fn a_pulse_that_stands_still_pulls_the_brakes_once() {
        let pulse = Pulse::default();
        let mut watch = watch(&pulse);
        let mut seen = Vec::new();
        for i in 1..40 {
            if i < 10 {
                pulse.beat();
            }
            seen.extend(watch.look(at(i * 100, 0), at(i * 100 + 100, 0)));
        }
        let [Noticed::Stuck { start, length, what }] = &seen[..] else { panic!("{seen:?}") };
        assert_eq!((start.0, *length), (1_000_000_000, 1_000_000_000));
        assert_eq!(what, &["kernel.sched"]);
    }

    #[test]
    fn a_gap_in_which_nobody_ran_is_no_stall() {
        let mut watch = watch(&Pulse::default());
        let gap = watch.look(at(100, 0), at(9_000, 0));
        assert!(matches!(gap, Some(Noticed::Gap { suspended: false, .. })), "{gap:?}");
        let gap = watch.look(at(9_000, 0), at(99_000, 89_000));
        assert!(matches!(gap, Some(Noticed::Gap { suspended: true, .. })), "{gap:?}");
        assert_eq!(watch.look(at(99_000, 89_000), at(99_100, 89_000)), None);
    }
}
