//! Log lines on their way to the bundle.

use std::path::Path;

use coldcase_bundle::WriteError;
use coldcase_model::events::LogLine;
use coldcase_model::loss::Reason;
use coldcase_model::{Class, Columns, Event};

use super::lines::Line;
use crate::clock;
use crate::source::Context;

/// Bytes of lines in one batch at most.
const BATCH: usize = 4 << 20;

/// Lines that were read in one look.
pub(super) struct Batch {
    /// The source that they are counted to.
    source: &'static str,
    columns: Columns,
    bytes: usize,
    time: u64,
    read: i64,
}

impl Batch {
    pub(super) fn new(source: &'static str) -> Batch {
        Batch { source, columns: Columns::new(&LogLine::DEF), bytes: 0, time: 0, read: 0 }
    }

    /// What is added from here on was read now.
    pub(super) fn now(&mut self) {
        let (boot, real) = clock::now();
        (self.time, self.read) = (boot.0, real.0);
    }

    /// Adds a line of a file; writes the batch when it is large. Keeps the first error.
    pub(super) fn line(
        &mut self,
        context: &Context,
        path: &Path,
        inode: u64,
        line: Line,
        written: &mut Result<(), WriteError>,
    ) {
        if line.left_out > 0 {
            context.losses.add(self.source, Class::Log, Reason::Truncated, 1, line.left_out);
        }
        let path = path.to_string_lossy().into_owned();
        let row = LogLine { time: 0, read: 0, offset: line.offset, inode, flags: line.flags, path, line: line.bytes };
        self.push(context, row, written);
    }

    /// Adds a row, with the time of [`Batch::now`].
    pub(super) fn push(&mut self, context: &Context, row: LogLine, written: &mut Result<(), WriteError>) {
        self.bytes += row.line.len() + 64;
        LogLine { time: self.time, read: self.read, ..row }.push(&mut self.columns);
        if self.bytes >= BATCH && written.is_ok() {
            *written = self.write(context);
            self.now();
        }
    }

    /// Writes what was added.
    pub(super) fn write(&mut self, context: &Context) -> Result<(), WriteError> {
        if self.columns.is_empty() {
            return Ok(());
        }
        let (rows, bytes) = (self.columns.len() as u64, std::mem::take(&mut self.bytes) as u64);
        match context.writer.append(LogLine::DEF.stream, self.columns.take()) {
            Ok(()) => context.intake.add(rows, bytes),
            Err(error) => {
                if matches!(error, WriteError::DiskFull { .. }) {
                    context.losses.add(self.source, Class::Log, Reason::DiskFull, rows, bytes);
                }
                return Err(error);
            }
        }
        Ok(())
    }
}
