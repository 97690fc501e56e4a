//! Logs: files and globs, followed through rotation and truncation; standard input; systemd's journal; messages that come by syslog.

mod batch;
mod config;
mod file;
mod follow;
mod journal;
mod lines;
mod multiline;
mod names;
mod stdin;
mod syslog;
mod syslog_frames;
mod syslog_sockets;
mod trace;

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use coldcase_bundle::WriteError;
use coldcase_model::Class;
use coldcase_model::loss::Reason;

pub use config::{LogsConfig, SyslogAddress};
pub use journal::Journal;
pub use stdin::Stdin;
pub use syslog::Syslog;

use crate::reduce::{Paused, Rung, Stage};
use crate::source::{Context, Failure, Running, Skip, Source, Started};
use batch::Batch;
use follow::{Follow, Round};

/// The source's name.
const NAME: &str = "log";
/// Time between two looks.
const PACE: Duration = Duration::from_millis(50);
/// How long is read at most of what stands in the files at the stop.
const LAST: Duration = Duration::from_secs(5);

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
        if self.config.files().next().is_none() {
            return Err(Skip::unasked("no log files were named", "--log /path/to/file.log"));
        }
        let paused = Paused::default();
        let mut tail =
            Tail { follow: Follow::new(self.config), context, batch: Batch::new(NAME), paused: paused.clone() };
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
        let failure = Failure::default();
        let thread = std::thread::Builder::new()
            .name("cc-logs".into())
            .spawn({
                let failure = failure.clone();
                move || {
                    if let Err(error) = tail.run() {
                        failure.note(&error);
                    }
                }
            })
            .map_err(|e| Skip::new(format!("cannot start a thread: {e}"), ""))?;
        Ok(Started { remarks, ..Started::all(RunningLogs { thread, failure, paused }) })
    }
}

struct RunningLogs {
    thread: JoinHandle<()>,
    failure: Failure,
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
        self.failure.take(NAME)
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
        let mut pace = PACE;
        let mut deadline = None;
        loop {
            let stopped = self.follow.wait(pace, &self.context.stop);
            // At the stop what waits in the files is read all the same. Until then files are found, so that none is missed.
            if self.paused.is_set() && !stopped {
                let mut round = Round::default();
                self.follow.keep_up(&mut round);
                round.remarks.iter().for_each(|remark| tracing::warn!("{remark}"));
                continue;
            }
            let (round, written) = self.round();
            written?;
            for remark in round.remarks {
                tracing::warn!("{remark}");
            }
            pace = if round.more { Duration::ZERO } else { PACE };
            if stopped {
                // A writer that never rests must not keep the recording from its end.
                let deadline = *deadline.get_or_insert_with(|| Instant::now() + LAST);
                if !round.more || Instant::now() > deadline {
                    break;
                }
            }
        }
        let unread = self.follow.unread();
        if deadline.is_some_and(|d| Instant::now() > d) && unread > 0 {
            self.context.losses.add(NAME, Class::Log, Reason::LogGap, 1, unread);
        }
        let Tail { follow, batch, context, .. } = &mut self;
        let mut written = Ok(());
        follow.end(&mut |path, inode, line| batch.line(context, path, inode, line, &mut written));
        written.and_then(|()| batch.write(context))
    }

    fn round(&mut self) -> (Round, Result<(), WriteError>) {
        let Tail { follow, batch, context, .. } = self;
        let mut written = Ok(());
        batch.now();
        let round = follow.round(&mut |path, inode, line| batch.line(context, path, inode, line, &mut written));
        for path in &round.gaps {
            tracing::warn!("log: {} was truncated; lines may have been lost", path.display());
            context.losses.add(NAME, Class::Log, Reason::LogGap, 1, 0);
        }
        (round, written.and_then(|()| batch.write(context)))
    }
}
