//! The ladder of reductions: less is taken in when the recorder would exceed a limit, more again when the pressure is
//! gone.
//!
//! Pure: it is told what was measured in a second and says which rung to take; the session does it and records it.

use std::fmt;

use coldcase_model::quantity::against;

use crate::limits::{Limits, Rate};
use crate::reduce::{Rung, Stage};

/// Evidence that has waited so long is close to the two seconds that a kill may cost.
const BACKLOG: u64 = 1_500_000_000;
/// Seconds at the start that are not judged: loading programs and taking the first snapshot is no steady state.
const GRACE: u32 = 2;
/// Up again when every measure is below this share of its limit, in percent …
const CALM: u64 = 70;
/// … for so many seconds. Doubled each time that going up had to be taken back.
const PATIENCE: u32 = 10;
/// Seconds of calm that are waited for at most.
const LONGEST: u32 = 320;
/// A rung that has to be taken again within so many seconds of its end was left too early.
const EARLY: u32 = 15;
/// With nothing left to reduce, memory may stay above its limit for so many seconds.
const LAST: u32 = 5;
/// A source that brings less than this share of the events, in percent, is left alone when the rate is too high.
const MINOR: u64 = 10;

/// What a second brought.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Measured {
    /// CPU time of the recorder's threads and of its programs in the kernel, ns per second.
    pub cpu: u64,
    /// Resident memory, bytes.
    pub memory: u64,
    /// Events taken in per second.
    pub events: u64,
    /// Bytes appended to the bundle per second.
    pub bytes: u64,
    /// Age of the oldest event that is not yet in the file, ns.
    pub backlog: u64,
    /// Share of each running source in the events, percent, by its number.
    pub shares: Vec<u64>,
}

/// What weighs on the recorder: a measure against its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pressure {
    /// `cpu`, `memory`, `rate`, `backlog`.
    pub why: &'static str,
    /// What was measured.
    pub value: u64,
    /// The limit.
    pub limit: u64,
    /// Unit of both.
    pub unit: &'static str,
}

impl Pressure {
    /// Percent of the limit.
    fn percent(&self) -> u64 {
        (u128::from(self.value) * 100 / u128::from(self.limit.max(1))) as u64
    }

    /// Seconds until a step shows in the measure.
    fn settles(&self) -> u32 {
        match self.why {
            "memory" => 3,
            "backlog" => 2,
            _ => 1,
        }
    }
}

impl fmt::Display for Pressure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&against(self.value, self.limit, self.unit))
    }
}

/// What to do now. The numbers are those of the running source and of its rung.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Move {
    /// Nothing.
    Stay,
    /// Take this rung, because of this.
    Down(usize, Pressure),
    /// Leave this rung; this is what weighs most now.
    Up(usize, Pressure),
    /// Still too much, and nothing is left to reduce. Said once.
    Bottom(Pressure),
    /// Memory stays above its limit although nothing is taken in any more: the recording has to end.
    End(Pressure),
}

/// A rung and the number of the running source that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Number of the source among those that run.
    pub owner: usize,
    /// The rung.
    pub rung: Rung,
    down: bool,
    broken: bool,
}

/// The ladder of a recording.
#[derive(Debug, Default)]
pub struct Ladder {
    limits: Limits,
    steps: Vec<Step>,
    /// Rungs taken, the last one at the end.
    taken: Vec<usize>,
    /// Seconds judged so far.
    seconds: u32,
    /// Not judged before this second.
    settled: u32,
    calm: u32,
    patience: u32,
    /// The second of the last step up.
    left: Option<u32>,
    bottom: u32,
}

impl Ladder {
    /// Of these limits, with what the running sources can reduce: the rungs of source 0, of source 1, ….
    pub fn new(limits: Limits, rungs: Vec<Vec<Rung>>) -> Ladder {
        let mut steps: Vec<Step> = Vec::new();
        for (owner, rungs) in rungs.into_iter().enumerate() {
            steps.extend(rungs.into_iter().map(|rung| Step { owner, rung, down: false, broken: false }));
        }
        // Stable: a source's own order stays. Off they go as they came, backwards.
        steps.sort_by_key(|s| (s.rung.stage, if s.rung.stage == Stage::Off { usize::MAX - s.owner } else { s.owner }));
        Ladder { limits, steps, patience: PATIENCE, settled: GRACE, ..Ladder::default() }
    }

    /// A step by its number.
    pub fn step(&self, at: usize) -> &Step {
        &self.steps[at]
    }

    /// The rungs that are taken at the moment.
    pub fn taken(&self) -> impl Iterator<Item = &Rung> {
        self.taken.iter().map(|&at| &self.steps[at].rung)
    }

    /// Decides for the second that ended. The caller does it, or calls [`Ladder::refuse`] when it cannot be done.
    pub fn judge(&mut self, measured: &Measured) -> Move {
        self.seconds += 1;
        let Some(worst) = self.worst(measured) else { return Move::Stay };
        if worst.percent() > 100 {
            self.calm = 0;
            if self.seconds <= self.settled {
                return Move::Stay;
            }
            return self.down(worst, measured);
        }
        self.bottom = 0;
        self.calm = if worst.percent() < CALM { self.calm + 1 } else { 0 };
        if self.calm < self.patience {
            return Move::Stay;
        }
        let Some(at) = self.taken.pop() else { return Move::Stay };
        self.calm = 0;
        self.left = Some(self.seconds);
        self.steps[at].down = false;
        Move::Up(at, worst)
    }

    fn down(&mut self, worst: Pressure, measured: &Measured) -> Move {
        self.settled = self.seconds + worst.settles() - 1;
        let share = |s: &Step| measured.shares.get(s.owner).copied().unwrap_or(0);
        let helps = |s: &Step| worst.why != "rate" || worst.unit != "events/s" || share(s) >= MINOR;
        let free = |s: &Step| !s.down && !s.broken;
        let next = self.steps.iter().position(|s| free(s) && helps(s));
        let Some(at) = next.or_else(|| self.steps.iter().position(free)) else {
            self.bottom += 1;
            return match self.bottom {
                1 => Move::Bottom(worst),
                n if worst.why == "memory" && n >= LAST => Move::End(worst),
                _ => Move::Stay,
            };
        };
        if self.left.take_if(|left| self.seconds - *left <= EARLY).is_some() {
            self.patience = (self.patience * 2).min(LONGEST);
        }
        self.steps[at].down = true;
        self.taken.push(at);
        Move::Down(at, worst)
    }

    /// The step that was just decided could not be done: it is not tried again, and counts as not taken.
    pub fn refuse(&mut self, at: usize) {
        self.steps[at].down = false;
        self.steps[at].broken = true;
        self.taken.retain(|&t| t != at);
        self.settled = self.seconds;
    }

    fn worst(&self, m: &Measured) -> Option<Pressure> {
        let l = &self.limits;
        let rate = l.rate.map(|rate| match rate {
            Rate::Events(limit) => Pressure { why: "rate", value: m.events, limit, unit: "events/s" },
            Rate::Bytes(limit) => Pressure { why: "rate", value: m.bytes, limit, unit: "bytes/s" },
        });
        let all = [
            l.cpu.map(|limit| Pressure { why: "cpu", value: m.cpu, limit, unit: "ns/s" }),
            l.memory.map(|limit| Pressure { why: "memory", value: m.memory, limit, unit: "bytes" }),
            rate,
            Some(Pressure { why: "backlog", value: m.backlog, limit: BACKLOG, unit: "ns" }),
        ];
        all.into_iter().flatten().max_by_key(Pressure::percent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rung(stage: Stage, source: &'static str) -> Rung {
        Rung { stage, source, what: format!("{stage:?}"), key: 0 }
    }

    fn ladder(limits: Limits) -> Ladder {
        let packets = vec![rung(Stage::Packets, "packets")];
        let kernel = vec![rung(Stage::Off, "kernel"), rung(Stage::Rows, "kernel"), rung(Stage::Stacks, "kernel")];
        Ladder::new(limits, vec![packets, kernel])
    }

    fn cpu(percent: u64) -> Measured {
        Measured { cpu: percent * 10_000_000, shares: vec![0, 100], ..Measured::default() }
    }

    fn names(moves: &[Move], l: &Ladder) -> Vec<String> {
        let name = |m: &Move| match m {
            Move::Stay => "-".to_owned(),
            Move::Down(at, _) => format!("down {} {:?}", l.step(*at).rung.source, l.step(*at).rung.stage),
            Move::Up(at, _) => format!("up {} {:?}", l.step(*at).rung.source, l.step(*at).rung.stage),
            Move::Bottom(_) => "bottom".to_owned(),
            Move::End(_) => "end".to_owned(),
        };
        moves.iter().map(name).collect()
    }

    #[test]
    fn it_goes_down_the_mildest_rung_first_and_up_the_last_one_first() {
        let mut l = ladder(Limits { cpu: Some(200_000_000), ..Limits::default() });
        let busy: Vec<Move> = (0..8).map(|_| l.judge(&cpu(30))).collect();
        let expected = [
            "-",
            "-",
            "down kernel Rows",
            "down kernel Stacks",
            "down packets Packets",
            "down kernel Off",
            "bottom",
            "-",
        ];
        assert_eq!(names(&busy, &l), expected);
        let calm: Vec<Move> = (0..20).map(|_| l.judge(&cpu(5))).collect();
        let ups: Vec<String> = names(&calm, &l).into_iter().filter(|n| n != "-").collect();
        assert_eq!(ups, ["up kernel Off", "up packets Packets"], "ten calm seconds each");
    }

    #[test]
    fn between_the_limit_and_the_calm_it_stays_where_it_is() {
        let mut l = ladder(Limits { cpu: Some(200_000_000), ..Limits::default() });
        let moves: Vec<Move> = [30, 30, 30].into_iter().chain([15; 40]).map(|p| l.judge(&cpu(p))).collect();
        assert_eq!(moves.iter().filter(|m| **m != Move::Stay).count(), 1, "{moves:?}");
    }

    #[test]
    fn going_up_too_early_doubles_the_patience() {
        let mut l = ladder(Limits { cpu: Some(200_000_000), ..Limits::default() });
        let mut ups = Vec::new();
        for second in 0..200 {
            // Busy whenever nothing is reduced.
            let load = if l.taken.is_empty() { 30 } else { 5 };
            if let Move::Up(..) = l.judge(&cpu(load)) {
                ups.push(second);
            }
        }
        let gaps: Vec<i32> = ups.windows(2).map(|w| w[1] - w[0]).collect();
        assert_eq!(gaps, [21, 41, 81]);
    }

    #[test]
    fn a_rate_of_events_is_met_where_the_events_come_from() {
        let mut l = ladder(Limits { rate: Some(Rate::Events(1000)), ..Limits::default() });
        let flood = Measured { events: 5000, shares: vec![95, 5], ..Measured::default() };
        let moves: Vec<Move> = (0..3).map(|_| l.judge(&flood)).collect();
        assert_eq!(names(&moves, &l), ["-", "-", "down packets Packets"]);
    }

    #[test]
    fn what_cannot_be_done_is_left_out_and_the_next_one_tried() {
        let mut l = ladder(Limits::default());
        let late = Measured { backlog: 1_600_000_000, ..Measured::default() };
        let at = |l: &mut Ladder| loop {
            if let Move::Down(at, p) = l.judge(&late) {
                assert_eq!(p.why, "backlog");
                return at;
            }
        };
        let first = at(&mut l);
        l.refuse(first);
        let second = at(&mut l);
        assert_ne!(first, second);
        assert_eq!(l.taken().count(), 1);
    }

    #[test]
    fn memory_that_stays_too_high_with_nothing_left_ends_it() {
        let mut l = Ladder::new(Limits { memory: Some(100), ..Limits::default() }, Vec::new());
        let full = Measured { memory: 150, ..Measured::default() };
        let moves: Vec<Move> = (0..20).map(|_| l.judge(&full)).filter(|m| *m != Move::Stay).collect();
        assert!(matches!(moves[..2], [Move::Bottom(_), Move::End(_)]), "{moves:?}");
    }
}
