//! What is printed while it records: a status line on a terminal, remarks anywhere.

use std::time::Duration;

use coldcase_model::quantity::{format_count, format_size};
use coldcase_record::session::Observer;
use coldcase_record::summary::Progress;
use indicatif::ProgressBar;

use crate::out::Out;
use crate::progress;

/// Prints what happens meanwhile: a status line on a terminal, remarks anywhere.
pub(super) struct Watcher<'a> {
    pub(super) out: &'a Out,
    pub(super) line: Option<ProgressBar>,
    pub(super) name: String,
    pub(super) flight: Option<Duration>,
}

impl Watcher<'_> {
    pub(super) fn clear(&mut self) {
        if let Some(line) = self.line.take() {
            line.finish_and_clear();
        }
    }
}

impl Observer for Watcher<'_> {
    fn remark(&mut self, text: &str) {
        match &self.line {
            Some(line) => line.suspend(|| self.out.remark(text)),
            None => self.out.remark(text),
        }
    }

    /// The first line is the warning, what follows explains it.
    fn warning(&mut self, text: &str) {
        let (line, more) = text.split_once('\n').unwrap_or((text, ""));
        match &self.line {
            Some(status) => status.suspend(|| self.out.warning(line)),
            None => self.out.warning(line),
        }
        if !more.is_empty() {
            self.remark(more);
        }
    }

    fn live(&mut self, sources: &[String]) {
        let into = if self.name == "-" { "stdout" } else { &self.name };
        let what = self.flight.map_or(String::new(), |window| format!(", the last {window:?} of it"));
        self.out.remark(&format!("recording {} into {into}{what}; Ctrl-C ends it", sources.join(" ")));
        if !self.out.quiet {
            self.line = Some(progress::line(self.out));
        }
    }

    fn tick(&mut self, p: &Progress) {
        if let Some(line) = &self.line {
            line.set_message(status(p));
        }
    }
}

/// Time, events, bytes, memory, losses by source.
fn status(p: &Progress) -> String {
    let seconds = p.elapsed.as_secs();
    let losses: Vec<String> =
        p.losses.iter().map(|l| format!("{} {} {}", l.source, format_count(l.count), l.reason)).collect();
    let lost = if losses.is_empty() { "nothing lost".to_owned() } else { format!("lost: {}", losses.join(", ")) };
    format!(
        "{:02}:{:02}  {} events/s  {}  {} memory  {lost}",
        seconds / 60,
        seconds % 60,
        format_count(p.events_per_second),
        format_size(p.bytes),
        format_size(p.resident),
    )
}
