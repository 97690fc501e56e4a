//! A recording from its start to its seal: starts the sources, keeps the recorder's own streams, and ends in order.

mod ending;
mod own;
mod steps;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use coldcase_bundle::{WriteError, Writer, WriterOptions};
use coldcase_model::Class;
use coldcase_model::loss::Reason;
use coldcase_model::manifest::Manifest;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use self::ending::{outlive, preface};
use self::steps::Steps;
use crate::child::{Child, Taken};
use crate::config::RecordConfig;
use crate::control::Note;
use crate::cost::CostMeter;
use crate::error::RecordError;
use crate::flight::{self, Flight};
use crate::loss::LossLedger;
use crate::roster::Roster;
use crate::source::{Context, Intake, Own, Running, Skip, Source, Started, StopToken};
use crate::summary::{Ended, Progress, Summary};
use crate::watchdog::{Pulse, Watchdog};
use crate::{child, clock, clock_watch, control, signals};

/// Time between two readings of losses, costs and backlog.
const TICK: Duration = Duration::from_secs(1);
/// Time between two looks at the limits.
const GLANCE: Duration = Duration::from_millis(200);
/// A size limit is reached this many bytes early (an eighth early, when that is less).
const SIZE_MARGIN: u64 = 4 << 20;
/// Anchors are taken every so many ticks.
const ANCHOR_TICKS: u64 = 2;
/// Losses that were looked for and did not happen are written every so many ticks.
const PROOF_TICKS: u64 = 5;

/// Where the bundle goes.
pub enum Output {
    /// A file, which must not exist unless `force`.
    File {
        /// Its path.
        path: PathBuf,
        /// Replace it.
        force: bool,
    },
    /// A folder that keeps the last minutes.
    Flight {
        /// Its path; it is made where it is not.
        folder: PathBuf,
    },
    /// A stream that is written once from beginning to end.
    Stream(Box<dyn Write + Send>),
}

/// What to record, and how.
pub struct Plan {
    /// Where to.
    pub output: Output,
    /// What, for how long, how large.
    pub config: RecordConfig,
    /// A command to run meanwhile: the recording ends with it.
    pub child: Option<Vec<OsString>>,
    /// Our stdout is for a result: what the command prints there goes to stderr.
    pub stdout_taken: bool,
    /// The recorder's own command line, as it was given; it is masked before it is stored.
    pub command: Vec<String>,
}

/// Who watches a recording.
pub trait Observer {
    /// A source says something worth knowing.
    fn remark(&mut self, text: &str);
    /// Something is not as it was asked for: to be told even to those who want quiet.
    fn warning(&mut self, text: &str) {
        self.remark(text);
    }
    /// All sources that can be are live: time zero. `sources` are their names.
    fn live(&mut self, sources: &[String]);
    /// Each second.
    fn tick(&mut self, progress: &Progress);
}

/// What interrupts the session's sleep.
#[derive(Debug)]
pub(crate) enum Wake {
    /// A signal arrived; `sent` by a process rather than by the terminal.
    Signal { number: i32, sent: bool },
    /// The recorded command ended with this code.
    ChildEnded(i32),
    /// Somebody sent a note.
    Note(Note),
    /// CLOCK_REALTIME was set.
    ClockSet,
    /// A trigger's condition was met.
    Fired(flight::Fired),
    /// Somebody asks for a dump.
    Asked(flight::Asked),
    /// A dump was made, or not.
    Dumped(Box<flight::Outcome>),
}

/// Records until a limit, a signal or the end of the command, and seals the bundle.
///
/// Sources are started in the order given (the CPU sampler belongs last) and stopped in the reverse order.
/// Blocks the calling thread, which keeps the recorder's own streams. Fails only when nothing can be recorded or the
/// bundle cannot be written at all; whatever else goes wrong is in the [`Summary`].
pub fn record(plan: Plan, sources: Vec<Box<dyn Source>>, observer: &mut dyn Observer) -> Result<Summary, RecordError> {
    check_names(&plan.config, &sources)?;
    if plan.config.is_switched_off() {
        return Err(RecordError::KillSwitch { path: plan.config.kill_switch });
    }
    let (wake, wakes) = crossbeam_channel::unbounded();
    let system = |what| move |source| RecordError::System { what, source };
    let dumps = matches!(plan.output, Output::Flight { .. });
    let _signals = signals::SignalWatch::start(wake.clone(), dumps).map_err(system("signal handlers"))?;
    let stop = StopToken::new().map_err(system("stop event"))?;
    let preface = preface(&plan);
    let options = WriterOptions { preface: Some(preface.clone()), ..WriterOptions::default() };
    let (writer, path, flight) = match plan.output {
        Output::File { path, force } => (Writer::create(&path, force, options)?, Some(path), None),
        Output::Stream(sink) => (Writer::to_stream(sink, options)?, None, None),
        Output::Flight { folder } => {
            let begun = Flight::begin(&folder, &plan.config, &preface, &wake, &stop)?;
            begun.remarks.iter().for_each(|r| observer.remark(r));
            (Writer::create(&begun.path, false, begun.options)?, Some(begun.path), Some(begun.flight))
        }
    };
    let mut session = Session {
        writer,
        path,
        config: plan.config,
        preface,
        stop,
        losses: LossLedger::default(),
        own: Own::new(),
        roster: Roster::default(),
        running: Vec::new(),
        cost: CostMeter::start(),
        started: Instant::now(),
        started_at: clock::realtime().0,
        offset: 0,
        interval_start: clock::boottime().0,
        ntp_state: -1,
        ticks: 0,
        child: None,
        child_argv: plan.child.unwrap_or_default(),
        stdout_taken: plan.stdout_taken,
        child_code: None,
        last_events: 0,
        steps: Steps::default(),
        pulse: Pulse::default(),
        watchdog: Watchdog::default(),
        failure: None,
        flight,
        observer,
    };
    session.losses.watch("recorder", Class::Recorder, Reason::DiskFull);
    session.anchor("start");
    if let Err(failure) = session.start_sources(sources) {
        session.abandon();
        return Err(failure);
    }
    session.watch(&wake);
    session.go_live(wake);
    let ended = session.run(&wakes);
    let child = session.child.take();
    if child.is_some() {
        session.observer.remark(&format!("ended: {}; the command runs on, and is waited for", ended.words()));
    }
    let code = session.child_code;
    let sealed = session.finish(ended, &wakes);
    // The command's end is awaited whatever became of the bundle: its caller wants its code.
    let child_code = child.map(|child| outlive(&child, &wakes)).or(code);
    match sealed {
        Ok(summary) => Ok(Summary { child_code, ..summary }),
        Err(source) => Err(RecordError::Unsealed { source, child_code }),
    }
}

/// Starts a source. One that panics is skipped: it never takes another down.
fn start(source: Box<dyn Source>, context: Context) -> Result<Started, Skip> {
    // What a panic leaves half done belongs to the source alone, which is gone then.
    let started = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| source.start(context)));
    started
        .unwrap_or_else(|_| Err(Skip::new("it failed inside (see the panic above)", "this is a bug: please report it")))
}

/// A name on `--require`, `--only` or `--without` that no source has is a typing error, not a wish to ignore.
fn check_names(config: &RecordConfig, sources: &[Box<dyn Source>]) -> Result<(), RecordError> {
    let known: Vec<&'static str> = sources.iter().flat_map(|s| s.names()).collect();
    let lists = [("--require", &config.require), ("--only", &config.only), ("--without", &config.without)];
    for (flag, list) in lists {
        let family = |k: &str, n: &str| k == n || k.strip_prefix(n).is_some_and(|rest| rest.starts_with('.'));
        if let Some(name) = list.iter().find(|n| !known.iter().any(|k| family(k, n))) {
            return Err(RecordError::UnknownSource { flag, name: name.clone(), known });
        }
    }
    match known.into_iter().find(|name| config.requires(name) && !config.wants(name)) {
        Some(name) => Err(RecordError::LeftOut { name }),
        None => Ok(()),
    }
}

pub(crate) struct Session<'a> {
    pub(crate) writer: Writer,
    path: Option<PathBuf>,
    config: RecordConfig,
    pub(crate) preface: Manifest,
    stop: StopToken,
    pub(crate) losses: LossLedger,
    own: Own,
    pub(crate) roster: Roster,
    pub(crate) running: Vec<(Box<dyn Running>, Intake)>,
    cost: CostMeter,
    started: Instant,
    /// UTC of the start, nanoseconds.
    started_at: i64,
    /// REALTIME minus BOOTTIME at the last anchor, nanoseconds.
    offset: i64,
    /// Start of the interval whose losses are not yet written, BOOTTIME.
    interval_start: u64,
    pub(crate) ntp_state: i32,
    ticks: u64,
    child: Option<Child>,
    child_argv: Vec<OsString>,
    stdout_taken: bool,
    child_code: Option<i32>,
    last_events: u64,
    steps: Steps,
    pulse: Pulse,
    watchdog: Watchdog,
    /// The first error of the writer: nothing more can be recorded.
    failure: Option<WriteError>,
    pub(crate) flight: Option<Flight>,
    pub(crate) observer: &'a mut dyn Observer,
}

impl Session<'_> {
    fn start_sources(&mut self, sources: Vec<Box<dyn Source>>) -> Result<(), RecordError> {
        let scope = Arc::new(self.config.scope.clone());
        for source in sources {
            let names = source.names();
            if !names.iter().any(|n| self.config.wants(n)) {
                continue;
            }
            let intake = Intake::default();
            let context = Context {
                writer: self.writer.clone(),
                losses: self.losses.clone(),
                stop: self.stop.clone(),
                intake: intake.clone(),
                scope: scope.clone(),
                own: self.own.clone(),
            };
            let is_refused = |n: &&str| self.config.kernel.refuse.iter().any(|r| r == n);
            // What stands beside a source (host.cpufreq, dns) goes with it; kernel sources are refused one by one.
            let whole = names.first().is_some_and(|n| !n.contains('.') && is_refused(n));
            let refused = whole || names.iter().all(is_refused);
            let started = match refused {
                true => Err(Skip::new("refused, as asked", "")),
                false => start(source, context),
            };
            match started {
                Ok(started) => {
                    for name in names.iter().filter(|n| self.config.wants(n)) {
                        match started.skipped.iter().find(|(n, _)| n == name) {
                            Some((_, skip)) => self.roster.skipped(name, skip),
                            None => self.roster.running(name, intake.clone()),
                        }
                    }
                    for remark in &started.remarks {
                        self.observer.remark(remark);
                    }
                    self.running.push((started.running, intake));
                }
                Err(skip) => {
                    for name in names.iter().filter(|n| self.config.wants(n)) {
                        self.roster.skipped(name, &skip);
                    }
                }
            }
        }
        let entries = self.roster.entries();
        let skipped = |e: &&coldcase_model::manifest::SourceEntry| !e.reason.is_empty();
        // A family that is required does not require what only a flag of its own asks for.
        let named = |name: &str| self.config.require.iter().any(|n| n == name);
        let required = |e: &&coldcase_model::manifest::SourceEntry| {
            self.config.requires(&e.name) && (named(&e.name) || !self.roster.is_unasked(&e.name))
        };
        if let Some(entry) = entries.iter().filter(skipped).find(required) {
            return Err(RecordError::Required {
                source_name: entry.name.clone(),
                reason: entry.reason.clone(),
                hint: entry.hint.clone(),
            });
        }
        if !self.running.is_empty() {
            return Ok(());
        }
        for line in self.roster.missed() {
            self.observer.remark(&line);
        }
        Err(RecordError::Nothing)
    }

    /// Starts what watches beside the sources. A recording without them is poorer, not impossible.
    fn watch(&mut self, wake: &Sender<Wake>) {
        if let Err(e) = control::listen(wake.clone(), self.stop.clone()) {
            self.observer.remark(&format!("`coldcase mark` will not reach this recording: {e}"));
        }
        if let Err(e) = clock_watch::start(wake.clone(), self.stop.clone()) {
            self.observer.remark(&format!("steps of the clock are noticed within a second, not at once: {e}"));
        }
    }

    /// Time zero: every source is live. The command starts after it, so that its first moment is recorded.
    fn go_live(&mut self, wake: Sender<Wake>) {
        self.started = Instant::now();
        self.started_at = clock::realtime().0;
        self.roster.live();
        let rows = self.roster.take_rows();
        self.append(rows);
        self.raise_ladder();
        self.loose_watchdog();
        for line in self.roster.missed() {
            self.observer.warning(&line);
        }
        let names = self.roster.live_names();
        self.flight_live(&names);
        self.observer.live(&names);
        if self.child_argv.is_empty() {
            return;
        }
        let taken = Taken { stdin: self.config.logs.stdin(), stdout: self.stdout_taken };
        match Child::spawn(&self.child_argv, taken, wake.clone()) {
            Ok(child) => self.child = Some(child),
            Err(e) => {
                self.observer.warning(&format!("{}: cannot be started: {e}", self.child_argv[0].to_string_lossy()));
                // We hold the receiving end: it cannot be gone.
                let _ = wake.send(Wake::ChildEnded(child::spawn_failure_code(&e)));
            }
        }
    }

    fn run(&mut self, wakes: &Receiver<Wake>) -> Ended {
        let mut next_tick = self.started + TICK;
        loop {
            self.pulse.beat();
            self.heed_watchdog();
            self.flight_turn();
            let now = Instant::now();
            if let Some(ended) = self.limit_reached(now) {
                return ended;
            }
            if now >= next_tick {
                self.tick();
                next_tick += TICK;
                // After a suspension or a stall there is nothing to catch up on.
                next_tick = next_tick.max(now);
                continue;
            }
            let mut until = next_tick.min(now + GLANCE);
            if let Some(limit) = self.config.time_limit {
                until = until.min(self.started + limit);
            }
            match wakes.recv_timeout(until.saturating_duration_since(now)) {
                Ok(wake) => {
                    if let Some(ended) = self.woken(wake) {
                        return ended;
                    }
                }
                // Disconnected cannot be while the signal watch holds a sender; the clock goes on either way.
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
        }
    }

    fn woken(&mut self, wake: Wake) -> Option<Ended> {
        match wake {
            Wake::Signal { number, sent } => match &self.child {
                None => return Some(Ended::Interrupted),
                // A terminal signals its whole foreground group: the command has it already.
                Some(child) if sent => child.signal(number),
                Some(_) => {}
            },
            Wake::ChildEnded(code) => {
                self.child = None;
                self.child_code = Some(code);
                return Some(Ended::CommandEnded);
            }
            Wake::Note(note) => self.note(note),
            Wake::ClockSet => self.anchor("step"),
            Wake::Fired(fired) => self.flight_fired(fired),
            Wake::Asked(asked) => self.flight_asked(asked),
            Wake::Dumped(outcome) => self.flight_dumped(*outcome),
        }
        None
    }

    fn limit_reached(&self, now: Instant) -> Option<Ended> {
        let stats = self.writer.stats();
        // A flight recording makes room for itself, and goes on.
        let full = stats.disk_full && self.flight.is_none();
        if full || matches!(self.failure, Some(WriteError::DiskFull { .. })) {
            return Some(Ended::DiskFull);
        }
        if self.failure.is_some() {
            return Some(Ended::WriteError);
        }
        if self.config.time_limit.is_some_and(|limit| now >= self.started + limit) {
            return Some(Ended::TimeLimit);
        }
        // With a command, a time or a flight, the input is one source among others.
        let with_input = self.child_argv.is_empty() && self.config.time_limit.is_none() && self.flight.is_none();
        if with_input && self.running.iter().any(|(source, _)| source.input_ended()) {
            return Some(Ended::InputEnded);
        }
        if let Some(ended) = self.steps.ended {
            return Some(ended);
        }
        if self.config.is_switched_off() {
            return Some(Ended::KillSwitch);
        }
        // What is still open in memory and the seal are yet to come.
        let margin = |limit: u64| (limit / 8).min(SIZE_MARGIN);
        let reached = |limit: u64| stats.bytes_written + margin(limit) >= limit;
        let max_size = self.config.max_size.filter(|_| self.flight.is_none());
        max_size.is_some_and(reached).then_some(Ended::SizeLimit)
    }
}
