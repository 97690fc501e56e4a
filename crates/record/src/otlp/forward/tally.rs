//! What became of the requests that were to be passed on.

use std::sync::{Mutex, MutexGuard, PoisonError};

use coldcase_model::events::Forward as Row;
use coldcase_model::{Columns, Event};

use crate::clock;
use crate::source::Context;

/// Counters; all of them since the start.
#[derive(Debug, Default)]
pub(super) struct Tally(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    now: Sums,
    /// As they were at the last row, and when that was.
    told: Sums,
    told_at: Option<u64>,
    waiting: u64,
    failure: String,
    last_failure: String,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Sums {
    forwarded: u64,
    retries: u64,
    refused: u64,
    given_up: u64,
    no_room: u64,
}

impl Tally {
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, why: String, count: impl FnOnce(&mut Sums)) {
        let mut counts = self.lock();
        count(&mut counts.now);
        counts.failure.clone_from(&why);
        counts.last_failure = why;
    }

    /// One more waits.
    pub(super) fn taken(&self) {
        self.lock().waiting += 1;
    }

    /// One waits no more, whatever came of it.
    pub(super) fn left(&self) {
        let mut counts = self.lock();
        counts.waiting = counts.waiting.saturating_sub(1);
    }

    pub(super) fn forwarded(&self) {
        self.lock().now.forwarded += 1;
    }

    pub(super) fn no_room(&self) {
        self.lock().now.no_room += 1;
    }

    pub(super) fn retry(&self, why: String) {
        self.failed(why, |s| s.retries += 1);
    }

    pub(super) fn refused(&self, why: String) {
        self.failed(why, |s| s.refused += 1);
    }

    pub(super) fn given_up(&self, why: String) {
        self.failed(why, |s| s.given_up += 1);
    }

    /// What still waits will not be sent.
    pub(super) fn give_up_the_rest(&self) {
        let mut counts = self.lock();
        counts.now.given_up += std::mem::take(&mut counts.waiting);
    }

    /// Writes a row, if anything happened since the last one.
    pub(super) fn write(&self, context: &Context) {
        let mut counts = self.lock();
        let time = clock::boottime().0;
        let since = counts.told_at.replace(time).unwrap_or(time);
        let now = counts.now;
        let told = std::mem::replace(&mut counts.told, now);
        if now == told && counts.waiting == 0 {
            return;
        }
        let row = Row {
            time,
            interval: time.saturating_sub(since),
            forwarded: now.forwarded - told.forwarded,
            retries: now.retries - told.retries,
            refused: now.refused - told.refused,
            given_up: now.given_up - told.given_up,
            no_room: now.no_room - told.no_room,
            waiting: counts.waiting,
            failure: std::mem::take(&mut counts.failure),
        };
        drop(counts);
        let mut rows = Columns::new(&Row::DEF);
        row.push(&mut rows);
        // A bundle that takes no more ends the recording, and says why itself.
        let _ = context.writer.append(Row::DEF.stream, rows);
    }

    /// All of it in a line; whether something was not passed on.
    pub(super) fn words(&self, to: &str) -> (String, bool) {
        let counts = self.lock();
        let s = counts.now;
        let missed = s.refused + s.given_up + s.no_room;
        let all = s.forwarded + missed;
        let mut words = format!("otlp: passed on {} of {all} requests to {to}", s.forwarded);
        if missed > 0 {
            let parts =
                [(s.no_room, "found no room to wait"), (s.refused, "were refused"), (s.given_up, "were given up")];
            let parts: Vec<String> =
                parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
            words += &format!(" ({}", parts.join(", "));
            if !counts.last_failure.is_empty() {
                words += &format!("; last: {}", counts.last_failure);
            }
            words += "); all of them are in the bundle";
        }
        (words, missed > 0)
    }
}
