//! Logs: files and globs, followed through rotation and truncation.

mod config;
mod file;
mod follow;
mod lines;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use coldcase_bundle::WriteError;
use coldcase_model::events::LogLine;
use coldcase_model::loss::Reason;
use coldcase_model::{Class, Columns, Event};

pub use config::LogsConfig;

use crate::clock;
use crate::reduce::{Paused, Rung, Stage};
use crate::source::{Context, Running, Skip, Source, Started};
use follow::{Follow, Round};
use lines::Line;

/// The source's name.
const NAME: &str = "log";
/// Time between two looks.
const PACE: Duration = Duration::from_millis(50);
/// Bytes of lines in one batch at most.
const BATCH: usize = 4 << 20;

/// The log source.
pub struct Logs {
    config: LogsConfig,
}

impl Logs {
    /// With these options.
    pub fn new(config: LogsConfig) -> Logs {
        Logs { config }
    }
}

impl Source for Logs {
    fn names(&self) -> Vec<&'static str> {
        vec![NAME]
    }

    fn start(self: Box<Self>, context: Context) -> Result<Started, Skip> {
        if self.config.paths.is_empty() {
            return Err(Skip::unasked("no log files were named", "--log /path/to/file.log"));
        }
        let paused = Paused::default();
        let mut tail = Tail { follow: Follow::new(self.config), context, batch: Batch::new(), paused: paused.clone() };
        // The first look is taken here, so that what is written from now on is new.
        let (first, written) = tail.round();
        written.map_err(|e| Skip::new(format!("cannot write log lines: {e}"), ""))?;
        let followed = tail.follow.len();
        if followed == 0
            && !first.remarks.is_empty()
            && first.remarks.iter().all(|r| !r.contains("it is followed when"))
        {
            // The remarks begin with the source's name, and so will the line that tells of the skip.
            let reasons: Vec<&str> = first.remarks.iter().map(|r| r.strip_prefix("log: ").unwrap_or(r)).collect();
            return Err(Skip::new(reasons.join("; "), ""));
        }
        tail.context.losses.watch(NAME, Class::Log, Reason::LogGap);
        tail.context.losses.watch(NAME, Class::Log, Reason::Truncated);
        let mut remarks = first.remarks;
        remarks.insert(0, format!("log: {followed} file{} followed", if followed == 1 { "" } else { "s" }));
        let failure = Arc::new(Mutex::new(None));
        let thread = std::thread::Builder::new()
            .name("cc-logs".into())
            .spawn({
                let failure = failure.clone();
                move || {
                    if let Err(error) = tail.run() {
                        *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
                    }
                }
            })
            .map_err(|e| Skip::new(format!("cannot start a thread: {e}"), ""))?;
        Ok(Started { remarks, ..Started::all(RunningLogs { thread, failure, paused }) })
    }
}

struct RunningLogs {
    thread: JoinHandle<()>,
    failure: Arc<Mutex<Option<String>>>,
    paused: Paused,
}

impl Running for RunningLogs {
    fn rungs(&self) -> Vec<Rung> {
        vec![Rung { stage: Stage::Off, source: NAME, what: "off, lines wait in their files".into(), key: 0 }]
    }

    fn reduce(&mut self, _: &Rung, down: bool) -> Result<(), String> {
        self.paused.set(down);
        Ok(())
    }

    fn failures(&mut self) -> Vec<(&'static str, String)> {
        let taken = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        taken.into_iter().map(|why| (NAME, why)).collect()
    }

    fn stop(self: Box<Self>) {
        // A panic of the thread was reported by the panic hook; there is nothing left to write.
        let _ = self.thread.join();
    }
}

struct Tail {
    follow: Follow,
    context: Context,
    batch: Batch,
    paused: Paused,
}

impl Tail {
    fn run(mut self) -> Result<(), WriteError> {
        loop {
            let stopped = self.context.stop.wait(PACE);
            // At the stop what waits in the files is read all the same.
            if self.paused.is_set() && !stopped {
                continue;
            }
            let (round, written) = self.round();
            written?;
            for remark in round.remarks {
                tracing::warn!("{remark}");
            }
            if stopped && round.read == 0 {
                break;
            }
        }
        let Tail { follow, batch, context, .. } = &mut self;
        let mut written = Ok(());
        follow.end(&mut |path, inode, line| batch.push(context, path, inode, line, &mut written));
        written.and_then(|()| batch.write(context))
    }

    fn round(&mut self) -> (Round, Result<(), WriteError>) {
        let Tail { follow, batch, context, .. } = self;
        let mut written = Ok(());
        batch.now();
        let round = follow.round(&mut |path, inode, line| batch.push(context, path, inode, line, &mut written));
        for path in &round.gaps {
            tracing::warn!("log: {} was truncated; lines may have been lost", path.display());
            context.losses.add(NAME, Class::Log, Reason::LogGap, 1, 0);
        }
        (round, written.and_then(|()| batch.write(context)))
    }
}

/// Lines that were read in one look.
struct Batch {
    columns: Columns,
    bytes: usize,
    time: u64,
    read: i64,
}

impl Batch {
    fn new() -> Batch {
        Batch { columns: Columns::new(&LogLine::DEF), bytes: 0, time: 0, read: 0 }
    }

    fn now(&mut self) {
        let (boot, real) = clock::now();
        (self.time, self.read) = (boot.0, real.0);
    }

    /// Adds a line; writes the batch when it is large. Keeps the first error.
    fn push(&mut self, context: &Context, path: &Path, inode: u64, line: Line, written: &mut Result<(), WriteError>) {
        if line.left_out > 0 {
            context.losses.add(NAME, Class::Log, Reason::Truncated, 1, line.left_out);
        }
        self.bytes += line.bytes.len() + 64;
        let row = LogLine {
            time: self.time,
            read: self.read,
            offset: line.offset,
            inode,
            flags: line.flags,
            path: path.to_string_lossy().into_owned(),
            line: line.bytes,
        };
        row.push(&mut self.columns);
        if self.bytes >= BATCH && written.is_ok() {
            *written = self.write(context);
            self.now();
        }
    }

    fn write(&mut self, context: &Context) -> Result<(), WriteError> {
        if self.columns.is_empty() {
            return Ok(());
        }
        let (rows, bytes) = (self.columns.len() as u64, std::mem::take(&mut self.bytes) as u64);
        match context.writer.append(LogLine::DEF.stream, self.columns.take()) {
            Ok(()) => context.intake.add(rows, bytes),
            Err(error) => {
                if matches!(error, WriteError::DiskFull { .. }) {
                    context.losses.add(NAME, Class::Log, Reason::DiskFull, rows, bytes);
                }
                return Err(error);
            }
        }
        Ok(())
    }
}
