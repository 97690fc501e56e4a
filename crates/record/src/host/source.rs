//! The sources `host.snapshot` and `host.mapping`, and the step `symbols` that names addresses.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use coldcase_bundle::WriteError;
use coldcase_model::events::{Device, Mapping, Process};
use coldcase_model::loss::Reason;
use coldcase_model::{Class, Columns, Event};

use super::build_id::BuildIds;
use super::containers::Containers;
use super::known::Known;
use super::maps::{self, Module};
use super::put;
use super::segment::{Identities, Turn};
use super::watch::{Noticed, Watch};
use super::{cgroups, devices, processes, sockets};
use crate::caps::{self, Cap};
use crate::clock;
use crate::kernel::Filter;
use crate::source::{Context, Failure, Running, Skip, Source, Started, StopToken};
use crate::symbols::{self, Namer, PATIENCE, SYMBOLS, Seen};

const SNAPSHOT: &str = "host.snapshot";
const MAPPING: &str = "host.mapping";

/// The rings of the watch are looked at this often even when nothing woke us.
const LOOK: Duration = Duration::from_millis(100);
/// And no sooner than this after the last look.
const BREATH: Duration = Duration::from_millis(5);
/// Processes between two looks while the snapshot is taken.
const BETWEEN: usize = 16;
/// Rows in one batch.
const ROWS: usize = 4096;
/// The thread of the snapshot is given up when it has not ended by then: a dead file system holds it.
const STUCK: Duration = Duration::from_secs(10);

/// The snapshot, the watch and the names.
pub struct Host {
    pub(super) seen: Seen,
    names: bool,
    watched: bool,
    pub(super) snapshot: bool,
    /// It is told again in each file: of a flight recording.
    again: bool,
}

impl Host {
    /// `seen` collects the addresses that the kernel sources see; `wanted` says which of the names to start.
    pub fn new(seen: Seen, wanted: impl Fn(&str) -> bool) -> Host {
        Host { seen, names: wanted(SYMBOLS), watched: wanted(MAPPING), snapshot: wanted(SNAPSHOT), again: false }
    }

    /// For a recording of many files, each of which is to be complete.
    pub fn again(self, again: bool) -> Host {
        Host { again, ..self }
    }
}

impl Source for Host {
    fn names(&self) -> Vec<&'static str> {
        vec![SNAPSHOT, MAPPING, SYMBOLS]
    }

    fn start(self: Box<Self>, context: Context) -> Result<Started, Skip> {
        let mut skipped = Vec::new();
        // Before the snapshot of the mappings, so that none is made between the two.
        let watch = if self.watched { open_watch(&mut skipped) } else { None };
        if watch.is_some() {
            context.losses.watch(MAPPING, Class::Task, Reason::RingFull);
        }
        self.seen.enable(self.names);
        let remarks = self.limits();
        let failure = Failure::default();
        let known = Known::new();
        let namer = self.names.then(|| Namer::new(context.clone(), self.seen.clone(), known.clone(), self.again));
        let work = Work {
            context: context.clone(),
            watch,
            ids: BuildIds::default(),
            containers: Containers::default(),
            known,
            mapped: Columns::new(&Mapping::DEF),
            devices: Vec::new(),
            filter: Filter::new(context.scope.clone()),
            host: *self,
            next: None,
        };
        let turns = [Turn::default(), Turn::default()];
        let [of_work, of_namer] = turns.clone();
        let snapshot = Worker::start("cc-snapshot", &failure, move |stop| work.run(stop, &of_work))?;
        let names = match namer {
            Some(namer) => Some(Worker::start("cc-symbols", &failure, move |stop| namer.run(stop, &of_namer))?),
            None => None,
        };
        Ok(Started { running: Box::new(RunningHost { snapshot, names, turns, context, failure }), skipped, remarks })
    }
}

impl Host {
    /// What cannot be seen with the rights there are, for the person at the terminal.
    fn limits(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        if self.names && !symbols::kernel_names_are_told() {
            let how = match caps::missing(&[Cap::Syslog]).is_empty() {
                true => "sysctl kernel.kptr_restrict=1".to_owned(),
                false => format!("{} is missing", Cap::Syslog),
            };
            remarks.push(format!("functions of the kernel will have no names ({how})"));
        }
        if !caps::missing(&[Cap::SysPtrace]).is_empty() {
            let what = "programs, mappings and sockets of other users' processes are not seen";
            remarks.push(format!("{what} ({} is missing)", Cap::SysPtrace));
        }
        remarks
    }
}

fn open_watch(skipped: &mut Vec<(&'static str, Skip)>) -> Option<Watch> {
    match Watch::open() {
        Ok(watch) => Some(watch),
        Err(e) => {
            let missing = caps::missing(&[Cap::Perfmon]);
            let skip = if missing.is_empty() {
                Skip::new(format!("cannot watch mappings: {e}"), "")
            } else {
                let names = caps::names(&missing);
                Skip::new(format!("no permission to watch mappings ({names} missing)"), caps::grant(&missing))
            };
            skipped.push((MAPPING, skip));
            None
        }
    }
}

/// A thread that runs until it is told to stop.
struct Worker {
    thread: JoinHandle<()>,
    stop: Arc<AtomicBool>,
}

impl Worker {
    fn start(
        name: &str,
        failure: &Failure,
        work: impl FnOnce(&AtomicBool) -> Result<(), WriteError> + Send + 'static,
    ) -> Result<Worker, Skip> {
        let (failure, stop) = (failure.clone(), Arc::new(AtomicBool::new(false)));
        let thread = std::thread::Builder::new().name(name.into()).spawn({
            let stop = stop.clone();
            move || {
                if let Err(e) = work(&stop) {
                    failure.note(&e);
                }
            }
        });
        let thread = thread.map_err(|e| Skip::new(format!("cannot start a thread: {e}"), ""))?;
        Ok(Worker { thread, stop })
    }

    /// Stops it. False when it does not end within `time`: it is left behind then.
    fn end(self, time: Duration) -> bool {
        self.stop.store(true, Ordering::Release);
        self.thread.thread().unpark();
        let end = Instant::now() + time;
        while !self.thread.is_finished() {
            if Instant::now() >= end {
                return false;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        if self.thread.join().is_err() {
            tracing::warn!("a thread that records the host panicked");
        }
        true
    }
}

struct RunningHost {
    snapshot: Worker,
    names: Option<Worker>,
    /// What the two are asked between two files.
    turns: [Turn; 2],
    context: Context,
    failure: Failure,
}

impl Running for RunningHost {
    fn failures(&mut self) -> Vec<(&'static str, String)> {
        self.failure.take(SNAPSHOT)
    }

    fn segment_ends(&mut self) {
        self.turns.iter().for_each(Turn::end);
        self.wake();
    }

    fn segment_ready(&mut self) -> bool {
        // A thread that is gone has nothing to add.
        let gone = |worker: Option<&Worker>| worker.is_none_or(|w| w.thread.is_finished());
        let [work, namer] = &self.turns;
        (work.is_ready() || gone(Some(&self.snapshot))) && (namer.is_ready() || gone(self.names.as_ref()))
    }

    fn segment_begins(&mut self) {
        self.turns.iter().for_each(Turn::begin);
        self.wake();
    }

    fn stop(self: Box<Self>) {
        // First the mappings: names are looked up through them.
        if !self.snapshot.end(STUCK) {
            tracing::warn!("the snapshot hangs, probably on a file system that does not answer");
            self.context.losses.add(SNAPSHOT, Class::Task, Reason::OutOfTime, 1, 0);
        }
        if let Some(names) = self.names
            && !names.end(PATIENCE + STUCK)
        {
            tracing::warn!("looking up names hangs, probably on a file system that does not answer");
            self.context.losses.add(SYMBOLS, Class::Symbol, Reason::OutOfTime, 1, 0);
        }
    }
}

impl RunningHost {
    fn wake(&self) {
        [Some(&self.snapshot), self.names.as_ref()].into_iter().flatten().for_each(|w| w.thread.thread().unpark());
    }
}

pub(super) struct Work {
    pub(super) context: Context,
    watch: Option<Watch>,
    ids: BuildIds,
    pub(super) containers: Containers,
    pub(super) known: Known,
    pub(super) mapped: Columns,
    pub(super) devices: Vec<Device>,
    pub(super) filter: Filter,
    pub(super) host: Host,
    /// What the next file of a flight recording begins with.
    pub(super) next: Option<Identities>,
}

impl Work {
    /// Until `stop`, which is set once the kernel sources are done: what they saw is complete then.
    fn run(mut self, stop: &AtomicBool, turn: &Turn) -> Result<(), WriteError> {
        let capture = self.context.stop.clone();
        self.take_snapshot(&capture)?;
        loop {
            let last = stop.load(Ordering::Acquire);
            self.look()?;
            self.turn(turn)?;
            if last {
                return self.put_new_devices();
            }
            match &self.watch {
                Some(watch) => watch.wait(LOOK),
                None => std::thread::park_timeout(LOOK),
            }
            std::thread::sleep(BREATH);
        }
    }

    /// Devices that came since the snapshot.
    fn put_new_devices(&self) -> Result<(), WriteError> {
        if !self.host.snapshot {
            return Ok(());
        }
        let before = &self.devices;
        let new = |d: &Device| !before.iter().any(|b| (b.dev, &b.name) == (d.dev, &d.name));
        put(&self.context, &devices::all().into_iter().filter(new).collect::<Vec<_>>())
    }

    /// Mappings first: they are what the first samples need.
    fn take_snapshot(&mut self, stop: &StopToken) -> Result<(), WriteError> {
        let own = self.context.own.pid;
        let pids: Vec<u32> = processes::pids().into_iter().filter(|&pid| pid != own).collect();
        let time = clock::boottime().0;
        for (n, &pid) in pids.iter().enumerate() {
            for row in maps::of_process(pid, time, &mut self.ids) {
                self.keep(row)?;
            }
            if n % BETWEEN == 0 {
                self.look()?;
            }
            if stop.is_stopped() {
                break;
            }
        }
        self.write_mappings()?;
        if !self.host.snapshot {
            return Ok(());
        }
        let mut rows = Vec::new();
        for &pid in &pids {
            if self.filter.wants_process(pid) {
                rows.extend(processes::of_process(pid));
            }
            if rows.len() >= ROWS {
                self.put_processes(&std::mem::take(&mut rows))?;
                self.look()?;
            }
        }
        self.put_processes(&rows)?;
        let mut sockets = sockets::all(&pids);
        sockets.retain(|s| self.filter.wants_process(s.pid));
        put(&self.context, &sockets)?;
        put(&self.context, &cgroups::all())?;
        self.devices = devices::all();
        put(&self.context, &self.devices)
    }

    /// Takes what the watch noticed.
    fn look(&mut self) -> Result<(), WriteError> {
        let Some(mut watch) = self.watch.take() else { return Ok(()) };
        let (mut noticed, own) = (Vec::new(), self.context.own.pid);
        watch.drain(|n| noticed.push(n));
        self.watch = Some(watch);
        let mut programs = Vec::new();
        for notice in noticed {
            match notice {
                Noticed::Mapped { row, .. } if row.pid == own => {}
                Noticed::Mapped { mut row, file } => {
                    if let Some(key) = file {
                        row.build_id = self.ids.of(key, row.pid, &row.path);
                    }
                    self.keep(row)?;
                }
                Noticed::Exec { pid, time } => {
                    let mut known = self.known.lock();
                    known.maps.exec(pid, time);
                    known.jit.ended(pid);
                    drop(known);
                    if self.filter.wants_process(pid) {
                        programs.extend(self.host.snapshot.then(|| processes::first_thread(pid)).flatten());
                    }
                }
                Noticed::Forked { child, parent, time } => self.known.lock().maps.forked(child, parent, time),
                Noticed::Ended { pid, time } => {
                    let mut known = self.known.lock();
                    known.maps.ended(pid, time);
                    known.jit.ended(pid);
                }
                Noticed::Lost { cpu, count } => {
                    self.context.losses.add_on(MAPPING, Class::Task, Reason::RingFull, cpu, count, 0);
                }
            }
        }
        if self.host.names {
            self.known.lock().jit.look();
        }
        self.put_processes(&programs)?;
        if let Some(next) = &mut self.next {
            next.processes.extend(programs);
        }
        self.write_mappings()
    }

    /// Processes, and the containers that are met for the first time.
    pub(super) fn put_processes(&mut self, rows: &[Process]) -> Result<(), WriteError> {
        let containers: Vec<_> = rows.iter().flat_map(|r| self.containers.of_cgroup(&r.cgroup)).collect();
        put(&self.context, rows)?;
        put(&self.context, &containers)
    }

    fn keep(&mut self, row: Mapping) -> Result<(), WriteError> {
        let mut known = self.known.lock();
        if !known.maps.add(&row) {
            return Ok(());
        }
        if self.host.names {
            known.held.hold(&row);
            let module = Module { build_id: String::new(), path: row.path.clone() };
            if !module.is_file() && !row.path.starts_with("[v") {
                known.jit.seek(row.pid);
            }
        }
        drop(known);
        // Programs take their names after their mappings were made: a scope of names cannot judge them yet.
        if self.context.scope.comms.is_empty() && !self.filter.wants_process(row.pid) {
            return Ok(());
        }
        row.push(&mut self.mapped);
        if self.mapped.len() >= ROWS { self.write_mappings() } else { Ok(()) }
    }

    pub(super) fn write_mappings(&mut self) -> Result<(), WriteError> {
        if self.mapped.is_empty() {
            return Ok(());
        }
        let rows = self.mapped.take();
        self.context.intake.add(rows.len() as u64, 0);
        self.context.writer.append(Mapping::DEF.stream, rows)
    }
}
