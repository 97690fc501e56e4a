//! systemd's journal, followed through its own tool: `journalctl --output=export --follow`.
//!
//! The files have features (compression, sealing, compact mode) that only systemd's own code reads in each version. If
//! the tool ends it is started again behind the last entry that came, by its cursor, so that nothing is missing.

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use coldcase_bundle::WriteError;
use coldcase_model::Class;
use coldcase_model::events::LogLine;
use coldcase_model::journal_export::{Cutter, Entry};
use coldcase_model::loss::Reason;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::batch::Batch;
use super::config::LogsConfig;
use super::lines::CUT;
use crate::source::{Context, Failure, Running, Skip, Source, Started};

/// The source's name.
const NAME: &str = "journal";
/// Time between two starts of the tool.
const AGAIN: Duration = Duration::from_secs(1);
/// How long is waited at the stop for what was logged just before.
const LAST: Duration = Duration::from_millis(300);

/// The journal source.
pub struct Journal {
    config: LogsConfig,
}

impl Journal {
    /// With these options.
    pub fn new(config: LogsConfig) -> Journal {
        Journal { config }
    }
}

impl Source for Journal {
    fn names(&self) -> Vec<&'static str> {
        vec![NAME]
    }

    fn start(self: Box<Self>, context: Context) -> Result<Started, Skip> {
        if !self.config.journal && self.config.journal_dir.is_none() {
            return Err(Skip::unasked("the journal was not asked for", "--journal"));
        }
        let mut follow = Follow { dir: self.config.journal_dir.clone(), cursor: None };
        if !self.config.from_start {
            follow.cursor = follow.last()?;
        }
        let child = follow.spawn().map_err(missing)?;
        context.losses.watch(NAME, Class::Log, Reason::LogGap);
        context.losses.watch(NAME, Class::Log, Reason::Truncated);
        let remark = format!("journal: {} followed", follow.origin());
        let failure = Failure::default();
        let told = failure.clone();
        let thread = std::thread::Builder::new().name("cc-journal".into()).spawn(move || {
            let mut tail = Tail { batch: Batch::new(NAME), context, follow, number: 0 };
            if let Err(error) = tail.run(child) {
                told.note(&error);
            }
        });
        let thread = thread.map_err(|e| Skip::new(format!("cannot start a thread: {e}"), ""))?;
        Ok(Started { remarks: vec![remark], ..Started::all(RunningJournal { thread, failure }) })
    }
}

fn missing(error: io::Error) -> Skip {
    match error.kind() {
        io::ErrorKind::NotFound => Skip::new("journalctl is not installed here", "apt-get install systemd"),
        _ => Skip::new(format!("cannot run journalctl: {error}"), ""),
    }
}

struct RunningJournal {
    thread: JoinHandle<()>,
    failure: Failure,
}

impl Running for RunningJournal {
    fn failures(&mut self) -> Vec<(&'static str, String)> {
        self.failure.take(NAME)
    }

    fn stop(self: Box<Self>) {
        let _ = self.thread.join();
    }
}

/// Which journal, and from where on.
struct Follow {
    dir: Option<PathBuf>,
    /// Of the last entry that was taken.
    cursor: Option<String>,
}

impl Follow {
    fn origin(&self) -> String {
        match &self.dir {
            Some(dir) => format!("journal:{}", dir.display()),
            None => "journal:".to_owned(),
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new("journalctl");
        command.args(["--no-pager", "--output=export"]).env("LC_ALL", "C").stdin(Stdio::null());
        if let Some(dir) = &self.dir {
            command.arg("--directory").arg(dir);
        }
        command
    }

    /// The cursor of the newest entry: what comes behind it is new.
    fn last(&self) -> Result<Option<String>, Skip> {
        let done = self.command().args(["--lines=1"]).output().map_err(missing)?;
        let told = String::from_utf8_lossy(&done.stderr).trim().to_owned();
        // A folder that holds no journal yet may get one; a host without a journal gets none.
        let none = self.dir.is_none() && told.contains("No journal files were found");
        if !done.status.success() || none {
            let hint = "is systemd-journald running here? --journal-dir names a folder of journal files";
            return Err(Skip::new(format!("journalctl: {}", told.lines().next().unwrap_or("failed")), hint));
        }
        let mut cutter = Cutter::default();
        let mut cursor = None;
        cutter.feed(&done.stdout, |entry| cursor = Some(entry.cursor));
        Ok(cursor)
    }

    /// Starts the tool behind the last entry that was taken.
    fn spawn(&self) -> io::Result<Child> {
        let mut command = self.command();
        // `--follow` alone would begin with the last ten entries.
        command.args(["--quiet", "--follow", "--no-tail"]).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Without a cursor there was no entry, or all are wanted.
        if let Some(cursor) = &self.cursor {
            command.arg(format!("--after-cursor={cursor}"));
        }
        // SAFETY: prctl(2) with plain numbers, which is safe between fork and exec: the tool does not outlive the recorder.
        unsafe {
            command.pre_exec(|| {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
                Ok(())
            })
        };
        command.spawn()
    }
}

struct Tail {
    context: Context,
    batch: Batch,
    follow: Follow,
    /// Entries so far: what stands for an offset.
    number: u64,
}

impl Tail {
    fn run(&mut self, first: Child) -> Result<(), WriteError> {
        let mut child = Some(first);
        loop {
            let started = Instant::now();
            let why = match child.take() {
                Some(running) => self.take_all(running)?,
                None => match self.follow.spawn() {
                    Ok(running) => self.take_all(running)?,
                    Err(error) => Some(error.to_string()),
                },
            };
            let Some(why) = why else { return Ok(()) };
            tracing::warn!("journal: journalctl ended: {why}; it is started again behind the last entry");
            if self.follow.cursor.is_none() {
                // Where it was is not known: what came meanwhile may come twice or not at all.
                self.context.losses.add(NAME, Class::Log, Reason::LogGap, 1, 0);
            }
            if self.context.stop.wait(AGAIN.saturating_sub(started.elapsed())) {
                return Ok(());
            }
        }
    }

    /// Takes what the tool writes until the stop (`None`), or until it ends, and why it did.
    fn take_all(&mut self, mut child: Child) -> Result<Option<String>, WriteError> {
        let Some(mut out) = child.stdout.take() else { return Ok(Some("it has no output".to_owned())) };
        let mut cutter = Cutter::default();
        let mut piece = vec![0; 256 << 10];
        let mut deadline: Option<Instant> = None;
        let ended = loop {
            let left = deadline.map(|d| d.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                break false;
            }
            match self.ready(&out, left) {
                Ready::Stop => deadline = Some(Instant::now() + LAST),
                Ready::Nothing => {}
                Ready::Output => match out.read(&mut piece) {
                    Ok(0) => break true,
                    Ok(n) => self.take(&mut cutter, &piece[..n])?,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Ok(Some(error.to_string())),
                },
            }
        };
        // One that has ended by itself cannot be killed, which is no error.
        let _ = child.kill();
        let mut told = String::new();
        if let Some(mut stderr) = child.stderr.take() {
            let _ = stderr.by_ref().take(4096).read_to_string(&mut told);
        }
        let status = child.wait().map_or_else(|e| e.to_string(), |s| s.to_string());
        let told = told.trim().lines().next_back().map(|line| format!(", {line}")).unwrap_or_default();
        Ok((ended && !self.context.stop.is_stopped()).then(|| format!("{status}{told}")))
    }

    fn ready(&self, out: &ChildStdout, left: Option<Duration>) -> Ready {
        let stop = &self.context.stop;
        let mut fds = [PollFd::from_borrowed_fd(out.as_fd(), PollFlags::IN), PollFd::new(stop, PollFlags::IN)];
        // Once stopped the event stays readable: only the output is waited for.
        let fds = if left.is_some() { &mut fds[..1] } else { &mut fds[..] };
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        let _ = poll(fds, timeout.as_ref());
        let has = |fd: &PollFd<'_>| fd.revents().intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR);
        match (has(&fds[0]), left.is_none() && stop.is_stopped()) {
            (_, true) => Ready::Stop,
            (true, _) => Ready::Output,
            _ => Ready::Nothing,
        }
    }

    fn take(&mut self, cutter: &mut Cutter, bytes: &[u8]) -> Result<(), WriteError> {
        let Tail { context, batch, follow, number } = self;
        let origin = follow.origin();
        let mut written = Ok(());
        batch.now();
        cutter.feed(bytes, |entry| {
            let Entry { bytes, cursor, left_out } = entry;
            if left_out > 0 {
                context.losses.add(NAME, Class::Log, Reason::Truncated, 1, left_out);
            }
            let flags = LogLine::JOURNAL | if left_out > 0 { CUT } else { 0 };
            let row = LogLine { time: 0, read: 0, offset: *number, inode: 0, flags, path: origin.clone(), line: bytes };
            batch.push(context, row, &mut written);
            *number += 1;
            if !cursor.is_empty() {
                follow.cursor = Some(cursor);
            }
        });
        written.and_then(|()| batch.write(context))
    }
}

/// What there is to do.
enum Ready {
    Output,
    Stop,
    Nothing,
}
