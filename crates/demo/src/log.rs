//! The log file of a service: one line an event, `TIME LEVEL service=… thread=… trace_id=… span_id=… message`.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use opentelemetry::trace::SpanContext;

/// An open log file. Each line is written with one call, so that readers never see half of one.
pub(crate) struct Log {
    service: &'static str,
    file: Mutex<File>,
}

impl Log {
    pub(crate) fn open(service: &'static str, path: &Path) -> Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path);
        let file = file.with_context(|| format!("cannot write the log {}", path.display()))?;
        Ok(Self { service, file: Mutex::new(file) })
    }

    /// Writes a line that belongs to no request.
    pub(crate) fn note(&self, level: &str, message: &str) {
        self.write(level, "", message);
    }

    /// Writes a line that belongs to a span.
    pub(crate) fn in_span(&self, level: &str, span: &SpanContext, message: &str) {
        self.write(level, &format!(" trace_id={} span_id={}", span.trace_id(), span.span_id()), message);
    }

    fn write(&self, level: &str, ids: &str, message: &str) {
        let thread = std::thread::current();
        let line = format!(
            "{:.6} {level} service={} thread={}{ids} {message}\n",
            jiff::Timestamp::now(),
            self.service,
            thread.name().unwrap_or("-"),
        );
        // A full disk must not stop the shop; there is nowhere else to say it.
        let _ = self.file.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes());
    }
}
