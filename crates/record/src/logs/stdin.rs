//! Standard input as a log: `app | coldcase record --log - -o run.case`. Its end is that of the recording, unless
//! something else ends it.

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use coldcase_bundle::WriteError;
use coldcase_model::Class;
use coldcase_model::loss::Reason;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::batch::Batch;
use super::config::LogsConfig;
use super::lines::{Line, Lines};
use super::multiline::Multiline;
use crate::source::{Context, Failure, Running, Skip, Source, Started};

/// The source's name.
const NAME: &str = "stdin";
/// What stands for the path of the file.
const ORIGIN: &str = "stdin";
/// Time between two looks while an entry of several lines is open.
const PACE: Duration = Duration::from_millis(100);
/// How long is read at most of what stands in the pipe at the stop.
const LAST: Duration = Duration::from_secs(1);

/// Standard input.
pub struct Stdin {
    config: LogsConfig,
}

impl Stdin {
    /// With these options.
    pub fn new(config: LogsConfig) -> Stdin {
        Stdin { config }
    }
}

impl Source for Stdin {
    fn names(&self) -> Vec<&'static str> {
        vec![NAME]
    }

    fn start(self: Box<Self>, context: Context) -> Result<Started, Skip> {
        if !self.config.stdin() {
            return Err(Skip::unasked("standard input is not read as a log", "--log -"));
        }
        context.losses.watch(NAME, Class::Log, Reason::Truncated);
        let over = Arc::new(AtomicBool::new(false));
        let failure = Failure::default();
        let mut tail = Tail {
            lines: Lines::default(),
            entries: Multiline::new(self.config.pattern()),
            batch: Batch::new(NAME),
            context,
        };
        let (ended, told) = (over.clone(), failure.clone());
        let thread = std::thread::Builder::new().name("cc-stdin".into()).spawn(move || {
            if let Err(error) = tail.run() {
                told.note(&error);
            }
            ended.store(true, Ordering::Release);
        });
        let thread = thread.map_err(|e| Skip::new(format!("cannot start a thread: {e}"), ""))?;
        let remarks = vec!["stdin: read as a log".to_owned()];
        Ok(Started { remarks, ..Started::all(RunningStdin { thread, over, failure }) })
    }
}

struct RunningStdin {
    thread: JoinHandle<()>,
    over: Arc<AtomicBool>,
    failure: Failure,
}

impl Running for RunningStdin {
    fn failures(&mut self) -> Vec<(&'static str, String)> {
        self.failure.take(NAME)
    }

    fn input_ended(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    fn stop(self: Box<Self>) {
        // A panic of the thread was reported by the panic hook; there is nothing left to write.
        let _ = self.thread.join();
    }
}

#[derive(Debug, thiserror::Error)]
enum StdinError {
    #[error("cannot write log lines: {0}")]
    Write(#[from] WriteError),
    #[error("standard input: {0}")]
    Read(#[from] io::Error),
}

struct Tail {
    context: Context,
    batch: Batch,
    lines: Lines,
    entries: Multiline,
}

impl Tail {
    /// Reads to the end of the input, or to the stop.
    fn run(&mut self) -> Result<(), StdinError> {
        // Not through `Stdin`, whose buffer would hide from poll what is there.
        let mut input = std::fs::File::from(io::stdin().as_fd().try_clone_to_owned()?);
        let mut piece = vec![0; 256 << 10];
        let mut deadline: Option<Instant> = None;
        let read = loop {
            match self.ready(&input, deadline) {
                Ready::Stop => deadline = Some(Instant::now() + LAST),
                Ready::Over => break Ok(()),
                Ready::Nothing => self.take(&[])?,
                Ready::Input => match input.read(&mut piece) {
                    Ok(0) => break Ok(()),
                    Ok(n) => self.take(&piece[..n])?,
                    Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {}
                    Err(error) => break Err(error),
                },
            }
        };
        self.give(|lines, entries, give| {
            if let Some(line) = lines.end() {
                entries.push(line, &mut *give);
            }
            entries.end().into_iter().for_each(give);
        })?;
        Ok(read?)
    }

    fn ready(&self, input: &std::fs::File, deadline: Option<Instant>) -> Ready {
        let stop = &self.context.stop;
        let mut fds = [PollFd::from_borrowed_fd(input.as_fd(), PollFlags::IN), PollFd::new(stop, PollFlags::IN)];
        // Once stopped the event stays readable: what is in the pipe is taken, and no more waited for.
        let (fds, wait) = match (deadline, self.entries.is_open()) {
            (Some(deadline), _) if Instant::now() >= deadline => return Ready::Over,
            (Some(_), _) => (&mut fds[..1], Some(Duration::ZERO)),
            (None, true) => (&mut fds[..], Some(PACE)),
            (None, false) => (&mut fds[..], None),
        };
        let timeout = wait.and_then(|wait| Timespec::try_from(wait).ok());
        let _ = poll(fds, timeout.as_ref());
        let has = |fd: &PollFd<'_>| fd.revents().intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR);
        match has(&fds[0]) {
            true => Ready::Input,
            false if deadline.is_some() => Ready::Over,
            false if stop.is_stopped() => Ready::Stop,
            false => Ready::Nothing,
        }
    }

    /// Takes bytes, and the entry that waited long enough for another line.
    fn take(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        self.give(|lines, entries, give| {
            entries.done().into_iter().for_each(&mut *give);
            lines.feed(bytes, |line| entries.push(line, &mut *give));
        })
    }

    fn give(&mut self, from: impl FnOnce(&mut Lines, &mut Multiline, &mut dyn FnMut(Line))) -> Result<(), WriteError> {
        let Tail { context, batch, lines, entries } = self;
        let mut written = Ok(());
        batch.now();
        from(lines, entries, &mut |line| batch.line(context, Path::new(ORIGIN), 0, line, &mut written));
        written.and_then(|()| batch.write(context))
    }
}

/// What there is to do.
enum Ready {
    Input,
    Nothing,
    /// The stop was asked for just now.
    Stop,
    Over,
}
