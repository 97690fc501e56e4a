//! The recorder's own streams: anchors, losses, cost, backlog, source states, notes.

use std::collections::BTreeMap;

use coldcase_bundle::WriteError;
use coldcase_model::clock::ClockMap;
use coldcase_model::events::{Backlog, Cost, Mark};
use coldcase_model::loss::LossTotal;
use coldcase_model::{Columns, Event};

use super::{ANCHOR_TICKS, PROOF_TICKS, Session};
use crate::control::Note;
use crate::summary::Progress;
use crate::{clock, cost};

impl Session<'_> {
    /// What is done each second.
    pub(super) fn tick(&mut self) {
        self.ticks += 1;
        self.poll_sources();
        // A recording that is killed has no last word: what stayed at zero is said while it runs, too.
        self.write_losses(self.ticks.is_multiple_of(PROOF_TICKS));
        if self.clock_moved() {
            self.anchor("step");
        } else if self.ticks.is_multiple_of(ANCHOR_TICKS) {
            self.anchor("periodic");
        }
        let cost = self.write_cost();
        let oldest = self.write_backlog();
        self.climb(&cost, oldest);
        let progress = self.progress();
        self.observer.tick(&progress);
    }

    pub(crate) fn poll_sources(&mut self) {
        for (running, _) in &mut self.running {
            running.poll();
            for (name, reason) in running.failures() {
                self.roster.failed(name, &reason);
                self.observer.remark(&format!("{name}: stopped recording: {reason}"));
            }
        }
        let rows = self.roster.take_rows();
        self.append(rows);
    }

    pub(crate) fn write_losses(&mut self, last: bool) {
        let end = clock::boottime().0;
        let rows = self.losses.drain(self.interval_start, end, last);
        self.interval_start = end;
        self.append(rows);
    }

    pub(super) fn write_cost(&mut self) -> Cost {
        let (events, bpf) = self.taken_in();
        let row = self.cost.read(self.writer.stats().bytes_written, events, bpf);
        self.append([row.clone()]);
        row
    }

    /// The age of what is not yet in the file: what waits in the writer, and what sources report from before it.
    /// Returns the largest.
    pub(super) fn write_backlog(&mut self) -> u64 {
        let time = clock::boottime().0;
        let mut ages = BTreeMap::new();
        for (_, intake) in &self.running {
            for (class, age) in intake.take_backlog() {
                let worst: &mut u64 = ages.entry(class).or_default();
                *worst = age.max(*worst);
            }
        }
        for waiting in self.writer.stats().backlog {
            let age = u64::try_from(waiting.age.as_nanos()).unwrap_or(u64::MAX);
            let worst = ages.entry(waiting.class.name()).or_default();
            *worst = age.max(*worst);
        }
        let oldest = ages.values().copied().max().unwrap_or(0);
        self.append(ages.into_iter().map(|(class, age)| Backlog { time, age, class: class.to_owned() }));
        oldest
    }

    pub(super) fn note(&mut self, note: Note) {
        self.append([Mark { time: note.time, uid: note.uid, pid: note.pid, text: note.text }]);
        self.flush();
    }

    pub(crate) fn anchor(&mut self, reason: &str) {
        let anchor = clock::anchor(reason);
        self.ntp_state = anchor.ntp_state;
        self.offset = anchor.realtime.wrapping_sub(anchor.time as i64);
        self.append([anchor]);
    }

    /// Whether REALTIME has moved against BOOTTIME since the last anchor by more than drift can.
    pub(super) fn clock_moved(&self) -> bool {
        let (boot, real) = clock::now();
        let offset = real.0.wrapping_sub(boot.0 as i64);
        offset.wrapping_sub(self.offset).unsigned_abs() > ClockMap::STEP.0
    }

    pub(super) fn progress(&mut self) -> Progress {
        let (events, _) = self.taken_in();
        let rate = events.saturating_sub(self.last_events);
        self.last_events = events;
        Progress {
            elapsed: self.started.elapsed(),
            events,
            events_per_second: rate,
            bytes: self.writer.stats().bytes_written,
            resident: cost::resident(),
            losses: self.lost(),
        }
    }

    pub(super) fn lost(&self) -> Vec<LossTotal> {
        self.losses.totals().into_iter().filter(|l| l.count > 0 || l.bytes > 0).collect()
    }

    /// Events, and nanoseconds in BPF programs, since the start.
    pub(super) fn taken_in(&self) -> (u64, u64) {
        self.running.iter().fold((0, 0), |(events, bpf), (_, i)| (events + i.events(), bpf + i.bpf()))
    }

    /// Appends rows of the recorder's own; the first failure ends the recording.
    pub(crate) fn append<E: Event>(&mut self, rows: impl IntoIterator<Item = E>) {
        let mut columns = Columns::new(&E::DEF);
        for row in rows {
            row.push(&mut columns);
        }
        if columns.is_empty() {
            return;
        }
        let written = self.writer.append(E::DEF.stream, columns);
        self.keep_failure(written);
    }

    pub(super) fn flush(&mut self) {
        let flushed = self.writer.flush();
        self.keep_failure(flushed);
    }

    pub(super) fn keep_failure(&mut self, result: Result<(), WriteError>) {
        if let Err(e) = result
            && self.failure.is_none()
        {
            self.failure = Some(e);
        }
    }
}
