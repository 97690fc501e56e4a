//! The ladder at work: measures each second, does what the ladder says, and records each step.

use std::collections::VecDeque;

use coldcase_model::analysis::Reduction;
use coldcase_model::events::{Cost, Step};

use super::Session;
use crate::ladder::{Ladder, Measured, Move, Pressure};
use crate::summary::Ended;
use crate::watchdog::{Noticed, Watchdog};
use crate::{clock, cost};

/// Bytes come in chunks: their rate is taken over so many seconds.
const SMOOTH: usize = 3;
/// Steps that the summary carries at most; all are in the bundle.
const TOLD: usize = 1000;

/// The ladder and what it needs to remember.
#[derive(Default)]
pub(super) struct Steps {
    ladder: Ladder,
    /// Events of each running source at the last look.
    events: Vec<u64>,
    /// Bytes and seconds of the last looks.
    written: VecDeque<(u64, f64)>,
    /// The steps so far.
    pub(super) told: Vec<Reduction>,
    /// A source was off.
    pub(super) left_out: bool,
    /// The recording has to end.
    pub(super) ended: Option<Ended>,
}

impl Session<'_> {
    /// Asks the running sources what they can reduce.
    pub(super) fn raise_ladder(&mut self) {
        let rungs = self.running.iter().map(|(running, _)| running.rungs()).collect();
        self.steps.ladder = Ladder::new(self.config.limits(), rungs);
        self.steps.events = self.running.iter().map(|(_, intake)| intake.events()).collect();
    }

    /// Judges the second that ended. `oldest` is the age of the oldest event that is not in the file.
    pub(super) fn climb(&mut self, cost: &Cost, oldest: u64) {
        let measured = self.measure(cost, oldest);
        match self.steps.ladder.judge(&measured) {
            Move::Stay => {}
            Move::Down(at, pressure) => self.reduce(at, true, &pressure),
            Move::Up(at, pressure) => self.reduce(at, false, &pressure),
            Move::Bottom(pressure) => {
                self.observer.warning(&format!("{pressure}: nothing is left to reduce"));
                self.record_step(step("down", "recorder: nothing is left to reduce", pressure.why, &pressure));
            }
            Move::End(pressure) => {
                self.observer.warning(&format!("{pressure}: the recording ends"));
                self.steps.ended = Some(Ended::MemoryLimit);
            }
        }
    }

    fn measure(&mut self, cost: &Cost, oldest: u64) -> Measured {
        let seconds = (cost.interval as f64 / 1e9).max(1e-3);
        let per_second = |n: u64| (n as f64 / seconds) as u64;
        let now: Vec<u64> = self.running.iter().map(|(_, intake)| intake.events()).collect();
        let steps = &mut self.steps;
        let change: Vec<u64> = now.iter().zip(&steps.events).map(|(n, before)| n.saturating_sub(*before)).collect();
        let total = change.iter().sum::<u64>().max(1);
        steps.events = now;
        steps.written.push_back((cost.written, seconds));
        if steps.written.len() > SMOOTH {
            steps.written.pop_front();
        }
        let (bytes, over) = steps.written.iter().fold((0, 0.0), |(b, s), (bytes, seconds)| (b + bytes, s + seconds));
        Measured {
            cpu: per_second(cost.user + cost.system + cost.bpf),
            memory: self.resident(cost.rss),
            events: per_second(change.iter().sum()),
            bytes: (bytes as f64 / over.max(1e-3)) as u64,
            backlog: oldest,
            shares: change.iter().map(|c| c * 100 / total).collect(),
        }
    }

    /// Resident memory; what was freed is first given back where the limit would be exceeded for its sake.
    fn resident(&self, rss: u64) -> u64 {
        match self.config.max_memory {
            Some(limit) if rss > limit => {
                cost::give_back();
                cost::resident()
            }
            _ => rss,
        }
    }

    fn reduce(&mut self, at: usize, down: bool, pressure: &Pressure) {
        let chosen = self.steps.ladder.step(at).clone();
        let words = chosen.rung.words();
        let Some((running, _)) = self.running.get_mut(chosen.owner) else { return };
        match (running.reduce(&chosen.rung, down), down) {
            (Ok(()), true) => {
                self.steps.left_out |= chosen.rung.loses();
                self.observer.warning(&format!("stepped down, {words} ({pressure})"));
                self.record_step(step("down", &words, pressure.why, pressure));
            }
            (Ok(()), false) => {
                self.observer.remark(&format!("stepped up again, no longer {words} ({pressure})"));
                self.record_step(step("up", &words, "eased", pressure));
            }
            (Err(why), true) => {
                tracing::warn!("{words}: {why}");
                self.steps.ladder.refuse(at);
            }
            (Err(why), false) => {
                // It stays as it is; the bundle says so until its end.
                self.observer.warning(&format!("cannot step up again: {words}: {why}"));
                self.roster.failed(chosen.rung.source, &format!("cannot take in again after a reduction: {why}"));
            }
        }
    }

    /// Starts the watchdog. A recording without it is less safe, not impossible.
    pub(super) fn loose_watchdog(&mut self) {
        let pulses = self.running.iter().flat_map(|(running, _)| running.pulses()).chain([self.pulse.clone()]);
        let brakes = self.running.iter().filter_map(|(running, _)| running.brake()).collect();
        match Watchdog::start(pulses.collect(), brakes, self.config.watchdog, self.stop.clone()) {
            Ok(watchdog) => self.watchdog = watchdog,
            Err(e) => self.observer.warning(&format!("nothing watches over a recorder that is stuck: {e}")),
        }
    }

    /// Records what the watchdog saw. After it took everything off, the recording ends.
    pub(super) fn heed_watchdog(&mut self) {
        for noticed in self.watchdog.take() {
            let limit = self.config.watchdog.as_nanos() as u64;
            let (start, length) = match &noticed {
                Noticed::Gap { start, length, .. } | Noticed::Stuck { start, length, .. } => (start.0, *length),
            };
            let row = |direction: &str, step: String, why: &str, limit| Step {
                time: start,
                duration: length,
                value: length,
                limit,
                direction: direction.to_owned(),
                step,
                why: why.to_owned(),
                unit: "ns".to_owned(),
            };
            let row = match noticed {
                Noticed::Gap { suspended, .. } => {
                    row("pause", "recorder: did not run".into(), if suspended { "suspended" } else { "stopped" }, 0)
                }
                Noticed::Stuck { what, .. } => {
                    self.steps.ended = Some(Ended::Stalled);
                    self.steps.left_out = true;
                    row("detach", what.join(", "), "stalled", limit)
                }
            };
            let told = Reduction::new(row.clone(), 0).words();
            self.observer.warning(&told);
            self.record_step(row);
        }
    }

    /// Writes a step down, for the bundle and for the summary.
    pub(super) fn record_step(&mut self, step: Step) {
        if self.steps.told.len() < TOLD {
            let utc = (step.time as i64).wrapping_add(self.offset);
            self.steps.told.push(Reduction::new(step.clone(), utc));
        }
        self.append([step]);
    }
}

fn step(direction: &str, words: &str, why: &str, pressure: &Pressure) -> Step {
    Step {
        time: clock::boottime().0,
        duration: 0,
        value: pressure.value,
        limit: pressure.limit,
        direction: direction.to_owned(),
        step: words.to_owned(),
        why: why.to_owned(),
        unit: pressure.unit.to_owned(),
    }
}
