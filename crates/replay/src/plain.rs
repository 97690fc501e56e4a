//! Lines: each entry as a line of text, as whoever opens the sink writes it.

use std::io::Write;

use coldcase_timeline::StreamSet;

use crate::sink::{Event, Item, Sink, SinkError, SinkReport, Wants};

/// Writes the line of an event, with its end, and says whether there was one.
pub type Line<'a> = Box<dyn FnMut(&Event<'_>, &mut Vec<u8>) -> bool + 'a>;

/// Lines to a writer, such as stdout.
pub struct Plain<'a, W: Write> {
    to: W,
    name: String,
    streams: StreamSet,
    line: Line<'a>,
    text: Vec<u8>,
    report: SinkReport,
}

impl<'a, W: Write> Plain<'a, W> {
    /// The lines of the entries of these streams, to what is called `name`.
    pub fn new(to: W, name: &str, streams: StreamSet, line: Line<'a>) -> Plain<'a, W> {
        let report = SinkReport { sink: "plain".into(), to: name.into(), unit: "lines", ..SinkReport::default() };
        Plain { to, name: name.into(), streams, line, text: Vec::new(), report }
    }

    fn io(&self, source: std::io::Error) -> SinkError {
        SinkError::Io { to: self.name.clone(), source }
    }
}

impl<W: Write> Sink for Plain<'_, W> {
    fn wants(&self) -> Wants {
        Wants { entries: self.streams.clone(), messages: StreamSet::None }
    }

    fn event(&mut self, event: Event<'_>) -> Result<(), SinkError> {
        if !matches!(event.item, Item::Entry(_)) {
            return Ok(());
        }
        self.text.clear();
        self.report.taken += 1;
        if (self.line)(&event, &mut self.text) {
            self.to.write_all(&self.text).map_err(|e| self.io(e))?;
            self.report.sent += 1;
            self.report.bytes += self.text.len() as u64;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        self.to.flush().map_err(|e| self.io(e))
    }

    fn finish(mut self: Box<Self>) -> Result<SinkReport, SinkError> {
        self.flush()?;
        Ok(self.report)
    }
}
