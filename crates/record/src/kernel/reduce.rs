//! What the kernel sources can be asked to take in less of: short intervals as rows, stacks, whole objects.

use std::time::Duration;

use coldcase_model::time::Nanos;

use super::Capture;
use super::dials::{Dials, Thresholds};
use super::source::name;
use crate::reduce::{Rung, Stage};

/// Row thresholds that the ladder knows. Below them time is still accounted for, in sums.
const ROWS: [Duration; 3] = [Duration::from_micros(100), Duration::from_millis(1), Duration::from_millis(10)];

/// The reductions of a capture.
pub(super) struct Reducer {
    dials: Dials,
    objects: Vec<&'static str>,
    /// What the user asked for.
    asked: Thresholds,
    /// Row thresholds taken.
    rows: Vec<u64>,
}

impl Reducer {
    /// Of a running capture.
    pub(super) fn new(capture: &Capture) -> Reducer {
        let dials = capture.dials();
        let objects = capture.running().into_iter().map(|(object, _)| object).collect();
        Reducer { asked: dials.thresholds(), dials, objects, rows: Vec::new() }
    }

    /// Thresholds up, stacks off, the largest threshold, then objects off, the least important first.
    pub(super) fn rungs(&self) -> Vec<Rung> {
        let mut rungs = Vec::new();
        if self.objects.contains(&"sched") {
            let rows = |stage, key: u64| Rung {
                stage,
                source: name("sched"),
                what: format!("intervals below {} only as sums", Nanos(key)),
                key,
            };
            let higher = ROWS.iter().map(|t| t.as_nanos() as u64).filter(|&t| t > self.asked.row);
            let (last, first): (Vec<_>, Vec<_>) = higher.partition(|&t| t > 1_000_000);
            rungs.extend(first.into_iter().map(|t| rows(Stage::Rows, t)));
            if self.asked.stack != u64::MAX {
                rungs.push(Rung { stage: Stage::Stacks, source: name("sched"), what: "no stacks".into(), key: 0 });
            }
            rungs.extend(last.into_iter().map(|t| rows(Stage::Stacks, t)));
        }
        // The objects stand in the order of their importance: that in which their rings are drained.
        rungs.extend(self.objects.iter().rev().map(|object| Rung::off(name(object), 0)));
        rungs
    }

    /// Takes or leaves a rung.
    pub(super) fn reduce(&mut self, rung: &Rung, down: bool) -> Result<(), String> {
        if rung.stage == Stage::Off {
            return self.switch(rung, !down);
        }
        if rung.key == 0 {
            return self.dials.set_stacks(!down);
        }
        match down {
            true => self.rows.push(rung.key),
            false => self.rows.retain(|&row| row != rung.key),
        }
        self.dials.set_row_threshold(self.rows.iter().copied().fold(self.asked.row, u64::max))
    }

    fn switch(&self, rung: &Rung, on: bool) -> Result<(), String> {
        let object = rung.source.strip_prefix("kernel.").unwrap_or(rung.source);
        match on {
            true => self.dials.attach(object).map(|_| ()),
            // Off is off, even when its open intervals could not be written.
            false => {
                if let Err(wrong) = self.dials.detach(object) {
                    tracing::warn!("{wrong}");
                }
                Ok(())
            }
        }
    }
}
