//! The roster: every source of a recording with its state, for the bundle, the manifest and the people.

use coldcase_model::events::SourceState;
use coldcase_model::manifest::{SourceEntry, SourceStatus};

use crate::clock;
use crate::source::{Intake, Skip};

/// One source.
struct Line {
    entry: SourceEntry,
    /// Nobody asked for it.
    unasked: bool,
    /// What it takes in; shared by all names that one machinery serves.
    intake: Option<Intake>,
}

/// All sources, in the order in which they were started.
#[derive(Default)]
pub(crate) struct Roster {
    lines: Vec<Line>,
    /// State rows not yet written.
    rows: Vec<SourceState>,
}

impl Roster {
    /// A source is live.
    pub(crate) fn running(&mut self, name: &'static str, intake: Intake) {
        self.set(name, SourceStatus::Recorded, "running", "", "");
        if let Some(line) = self.line(name) {
            line.intake = Some(intake);
        }
    }

    /// A source could not start.
    pub(crate) fn skipped(&mut self, name: &'static str, skip: &Skip) {
        self.set(name, SourceStatus::Skipped, "skipped", &skip.reason, &skip.hint);
        if let Some(line) = self.line(name) {
            line.unasked = skip.unasked;
        }
    }

    /// A source ended before its time.
    pub(crate) fn failed(&mut self, name: &'static str, reason: &str) {
        self.set(name, SourceStatus::Failed, "failed", reason, "");
    }

    /// The capture ends: what still ran has run to its end.
    pub(crate) fn stopped(&mut self) {
        let time = clock::boottime().0;
        let stopped = self.lines.iter().filter(|l| l.entry.status == SourceStatus::Recorded);
        self.rows.extend(stopped.map(|l| row(time, &l.entry.name, "stopped", "")));
    }

    /// Another file is begun: the state of each source is told again.
    pub(crate) fn restate(&mut self) {
        let time = clock::boottime().0;
        let word = |status: &SourceStatus| match status {
            SourceStatus::Recorded => "running",
            SourceStatus::Skipped => "skipped",
            SourceStatus::Failed => "failed",
        };
        let rows = self.lines.iter().map(|l| row(time, &l.entry.name, word(&l.entry.status), &l.entry.reason));
        self.rows.extend(rows.collect::<Vec<_>>());
    }

    /// The recorder itself is live with all its sources: time zero.
    pub(crate) fn live(&mut self) {
        self.rows.push(row(clock::boottime().0, "recorder", "running", ""));
    }

    /// State rows since the last call.
    pub(crate) fn take_rows(&mut self) -> Vec<SourceState> {
        std::mem::take(&mut self.rows)
    }

    /// The manifest's list.
    pub(crate) fn entries(&self) -> Vec<SourceEntry> {
        self.lines.iter().map(|l| l.entry.clone()).collect()
    }

    /// Whether a source does not run because nobody asked for it.
    pub(crate) fn is_unasked(&self, name: &str) -> bool {
        self.lines.iter().any(|l| l.entry.name == name && l.unasked)
    }

    /// Sources that were asked for and cannot start, as lines for people; those with the same reason on one line.
    pub(crate) fn missed(&self) -> Vec<String> {
        let missed = self.lines.iter().filter(|l| l.entry.status == SourceStatus::Skipped && !l.unasked);
        let mut groups: Vec<(Vec<&str>, &SourceEntry)> = Vec::new();
        for line in missed {
            let same =
                |g: &&mut (Vec<&str>, &SourceEntry)| (&g.1.reason, &g.1.hint) == (&line.entry.reason, &line.entry.hint);
            match groups.iter_mut().find(same) {
                Some(group) => group.0.push(&line.entry.name),
                None => groups.push((vec![&line.entry.name], &line.entry)),
            }
        }
        let line = |(names, entry): (Vec<&str>, &SourceEntry)| {
            let hint = if entry.hint.is_empty() { String::new() } else { format!("\n  hint: {}", entry.hint) };
            format!("not recorded: {}: {}{hint}", names.join(" "), entry.reason)
        };
        groups.into_iter().map(line).collect()
    }

    /// Names of what runs.
    pub(crate) fn live_names(&self) -> Vec<String> {
        let live = self.lines.iter().filter(|l| l.entry.status == SourceStatus::Recorded);
        live.map(|l| l.entry.name.clone()).collect()
    }

    fn set(&mut self, name: &str, status: SourceStatus, word: &str, reason: &str, hint: &str) {
        self.rows.push(row(clock::boottime().0, name, word, reason));
        let entry = SourceEntry { name: name.to_owned(), status, reason: reason.to_owned(), hint: hint.to_owned() };
        match self.line(name) {
            Some(line) => line.entry = entry,
            None => self.lines.push(Line { entry, unasked: false, intake: None }),
        }
    }

    fn line(&mut self, name: &str) -> Option<&mut Line> {
        self.lines.iter_mut().find(|l| l.entry.name == name)
    }
}

fn row(time: u64, source: &str, status: &str, reason: &str) -> SourceState {
    SourceState { time, source: source.to_owned(), status: status.to_owned(), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_of_state_is_a_row_and_the_last_one_stands_in_the_manifest() {
        let mut roster = Roster::default();
        roster.running("packets", Intake::default());
        roster.skipped("otlp", &Skip::new("port in use", ""));
        roster.skipped("log", &Skip::unasked("no files named", "--log PATH"));
        roster.failed("packets", "the interface went away");
        roster.stopped();
        let words: Vec<_> = roster.take_rows().into_iter().map(|r| (r.source, r.status)).collect();
        let expected = [("packets", "running"), ("otlp", "skipped"), ("log", "skipped"), ("packets", "failed")];
        assert_eq!(words, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
        assert_eq!(roster.entries()[0].status, SourceStatus::Failed);
        assert_eq!(roster.missed(), ["not recorded: otlp: port in use"]);
        assert!(roster.live_names().is_empty());
    }
}
