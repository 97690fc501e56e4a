//! A builder for small bundles: real files, written by the real writer, the same bytes each time.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use coldcase_bundle::{RawMessage, WriteError, Writer, WriterOptions};
use coldcase_model::manifest::{HostEntry, Manifest, SourceEntry, SourceStatus};
use coldcase_model::{Boottime, Columns, Event, Utc};

use crate::corrupt::Rng;
use crate::rows::{self, BOOT, OFFSET};

/// The id of built bundles.
pub const FIXED_ID: &str = "00c01dca5e000001";

/// Options under which the same appends give the same bytes: a fixed id, a clock that counts calls, one worker, and
/// chunks that are cut by size or flush only.
pub fn fixed_options() -> WriterOptions {
    let ticks = AtomicI64::new(0);
    WriterOptions {
        chunk_time: Duration::from_secs(3600),
        id: Some(FIXED_ID.to_owned()),
        now: Arc::new(move || Utc(BOOT as i64 + OFFSET + ticks.fetch_add(1_000_000, Ordering::SeqCst))),
        ..WriterOptions::default()
    }
}

/// Builds a bundle.
pub struct Builder {
    writer: Writer,
}

impl Builder {
    /// A new bundle with [`fixed_options`].
    ///
    /// # Errors
    /// As [`Writer::create`].
    pub fn new(path: &Path) -> Result<Builder, WriteError> {
        Self::with(path, fixed_options())
    }

    /// A new bundle.
    ///
    /// # Errors
    /// As [`Writer::create`].
    pub fn with(path: &Path, options: WriterOptions) -> Result<Builder, WriteError> {
        Ok(Builder { writer: Writer::create(path, true, options)? })
    }

    /// The writer, for what the builder lacks.
    pub fn writer(&self) -> &Writer {
        &self.writer
    }

    /// Rows of a stream.
    ///
    /// # Errors
    /// As [`Writer::append`].
    pub fn rows(self, stream: &str, rows: Columns) -> Result<Builder, WriteError> {
        self.writer.append(stream, rows)?;
        Ok(self)
    }

    /// Events of one kind, in its own stream.
    ///
    /// # Errors
    /// As [`Writer::append`].
    pub fn events<E: Event>(self, events: impl IntoIterator<Item = E>) -> Result<Builder, WriteError> {
        let mut rows = Columns::new(&E::DEF);
        events.into_iter().for_each(|e| e.push(&mut rows));
        self.rows(E::DEF.stream, rows)
    }

    /// A raw message received at a BOOTTIME.
    ///
    /// # Errors
    /// As [`Writer::append_raw`].
    pub fn raw(self, stream: &str, bytes: &[u8], time: u64) -> Result<Builder, WriteError> {
        let utc = Utc(time as i64 + OFFSET);
        let message = RawMessage {
            bytes: bytes.to_vec(),
            log_time: utc,
            publish_time: utc,
            first: Boottime(time),
            last: Boottime(time),
        };
        self.writer.append_raw(stream, message, rows::receipt(time, bytes.len()))?;
        Ok(self)
    }

    /// Ends the open chunks.
    ///
    /// # Errors
    /// As [`Writer::flush`].
    pub fn cut(self) -> Result<Builder, WriteError> {
        self.writer.flush()?;
        Ok(self)
    }

    /// Seals.
    ///
    /// # Errors
    /// As [`Writer::seal`].
    pub fn seal(self) -> Result<Manifest, WriteError> {
        self.writer.seal(manifest())
    }
}

/// A plausible manifest.
pub fn manifest() -> Manifest {
    Manifest {
        tool: "coldcase-testkit".into(),
        host: HostEntry { name: "shop-1".into(), kernel: "Linux 6.1.0".into(), cpus: 2, ..HostEntry::default() },
        sources: vec![SourceEntry {
            name: "kernel.sched".into(),
            status: SourceStatus::Recorded,
            reason: String::new(),
            hint: String::new(),
        }],
        policies: vec!["argv-mask/1".into()],
        clock: "synchronised".into(),
        ended: "time limit".into(),
        ..Manifest::default()
    }
}

/// A small sealed bundle with a bit of everything: anchors, kernel rows with stacks, logs, metrics, raw messages, in
/// several chunks.
///
/// # Errors
/// When it cannot be written.
pub fn small(path: &Path) -> Result<Manifest, WriteError> {
    sample(path, 40)?.seal()
}

/// The bundle of [`small`], before its seal, with `scale` rows in most streams.
///
/// # Errors
/// When it cannot be written.
pub fn sample(path: &Path, scale: usize) -> Result<Builder, WriteError> {
    let mut rng = Rng(7);
    let second = 1_000_000_000;
    Builder::new(path)?
        .rows("recorder.anchor", rows::anchor(BOOT, "start"))?
        .rows("kernel.offcpu", rows::off_cpu(&mut rng, scale, 9, BOOT))?
        .rows("kernel.cpu_sample", rows::cpu_samples(&mut rng, scale / 8, BOOT))?
        .rows("log.lines", rows::log_lines(scale / 4, BOOT))?
        .raw("otlp.traces", b"\x0a\x03one", BOOT + 5)?
        .raw("metrics.pages", b"# TYPE up gauge\nup 1\n", BOOT + 6)?
        .cut()?
        .rows("kernel.offcpu", rows::off_cpu(&mut rng, scale, 9, BOOT + second))?
        .rows("host.metric", rows::host_metrics(&mut rng, BOOT + second))?
        .raw("otlp.traces", b"\x0a\x03two", BOOT + second)?
        .cut()?
        .rows("kernel.offcpu", rows::off_cpu(&mut rng, scale, 9, BOOT + 2 * second))?
        .rows("recorder.anchor", rows::anchor(BOOT + 3 * second, "end"))
}
