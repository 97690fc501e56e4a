//! The sources `host.snapshot` and `host.mapping`, and the step `symbols` that names addresses at the end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use coldcase_bundle::{WriteError, Writer};
use coldcase_model::events::{Device, Mapping};
use coldcase_model::loss::Reason;
use coldcase_model::{Class, Columns, Event};

use super::build_id::BuildIds;
use super::maps::{self, Maps};
use super::watch::{Noticed, Watch};
use super::{cgroups, devices, processes, sockets};
use crate::caps::{self, Cap};
use crate::clock;
use crate::kernel::Filter;
use crate::source::{Context, Running, Skip, Source, Started, StopToken};
use crate::symbols::{self, Seen};

const SNAPSHOT: &str = "host.snapshot";
const MAPPING: &str = "host.mapping";
const SYMBOLS: &str = "symbols";

/// The rings of the watch are looked at this often.
const LOOK: Duration = Duration::from_millis(100);
/// Rows in one batch.
const ROWS: usize = 4096;

/// The snapshot, the watch and the names.
pub struct Host {
    seen: Seen,
    names: bool,
    watched: bool,
    snapshot: bool,
}

impl Host {
    /// `seen` collects the addresses that the kernel sources see; `wanted` says which of the names to start.
    pub fn new(seen: Seen, wanted: impl Fn(&str) -> bool) -> Host {
        Host { seen, names: wanted(SYMBOLS), watched: wanted(MAPPING), snapshot: wanted(SNAPSHOT) }
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
        let (failure, stop) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let work = Work {
            context: context.clone(),
            watch,
            ids: BuildIds::default(),
            maps: Maps::default(),
            mapped: Columns::new(&Mapping::DEF),
            devices: Vec::new(),
            filter: Filter::new(context.scope.clone()),
            host: *self,
        };
        let thread = std::thread::Builder::new().name("cc-snapshot".into()).spawn({
            let failure: Arc<Mutex<Option<String>>> = Arc::clone(&failure);
            let stop = stop.clone();
            move || {
                if let Err(e) = work.run(&stop) {
                    *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(e.to_string());
                }
            }
        });
        let thread = thread.map_err(|e| Skip::new(format!("cannot start a thread: {e}"), ""))?;
        Ok(Started { running: Box::new(RunningHost { thread, stop, failure }), skipped, remarks })
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

struct RunningHost {
    thread: JoinHandle<()>,
    stop: Arc<AtomicBool>,
    failure: Arc<Mutex<Option<String>>>,
}

impl Running for RunningHost {
    fn failures(&mut self) -> Vec<(&'static str, String)> {
        let taken = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        taken.into_iter().map(|why| (SNAPSHOT, why)).collect()
    }

    fn stop(self: Box<Self>) {
        self.stop.store(true, Ordering::Release);
        self.thread.thread().unpark();
        if self.thread.join().is_err() {
            tracing::warn!("the thread that takes the snapshot panicked");
        }
    }
}

struct Work {
    context: Context,
    watch: Option<Watch>,
    ids: BuildIds,
    maps: Maps,
    mapped: Columns,
    devices: Vec<Device>,
    filter: Filter,
    host: Host,
}

impl Work {
    /// Until `stop`, which is set once the kernel sources are done: what they saw is complete then.
    fn run(mut self, stop: &AtomicBool) -> Result<(), WriteError> {
        let capture = self.context.stop.clone();
        self.take_snapshot(&capture)?;
        loop {
            let last = stop.load(Ordering::Acquire);
            self.look()?;
            if last {
                break;
            }
            std::thread::park_timeout(LOOK);
        }
        if self.host.snapshot {
            let before = &self.devices;
            let new = |d: &Device| !before.iter().any(|b| (b.dev, &b.name) == (d.dev, &d.name));
            put(&self.context, &devices::all().into_iter().filter(new).collect::<Vec<_>>())?;
        }
        if self.host.names {
            let rows = symbols::resolve(&self.host.seen, &self.maps);
            put(&self.context, &rows)?;
        }
        Ok(())
    }

    /// Mappings first: they are what the first samples need.
    fn take_snapshot(&mut self, stop: &StopToken) -> Result<(), WriteError> {
        let own = self.context.own.pid;
        let pids: Vec<u32> = processes::pids().into_iter().filter(|&pid| pid != own).collect();
        let time = clock::boottime().0;
        for &pid in &pids {
            for row in maps::of_process(pid, time, &mut self.ids) {
                self.keep(row)?;
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
                put(&self.context, &std::mem::take(&mut rows))?;
                self.look()?;
            }
        }
        put(&self.context, &rows)?;
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
                Noticed::Exec { pid } if self.filter.wants_process(pid) => {
                    programs.extend(self.host.snapshot.then(|| processes::first_thread(pid)).flatten())
                }
                Noticed::Exec { .. } => {}
                Noticed::Forked { child, parent } => self.maps.forked(child, parent),
                Noticed::Lost { cpu, count } => {
                    self.context.losses.add_on(MAPPING, Class::Task, Reason::RingFull, cpu, count, 0);
                }
            }
        }
        put(&self.context, &programs)?;
        self.write_mappings()
    }

    fn keep(&mut self, row: Mapping) -> Result<(), WriteError> {
        self.maps.add(&row);
        // Programs take their names after their mappings were made: a scope of names cannot judge them yet.
        if self.context.scope.comms.is_empty() && !self.filter.wants_process(row.pid) {
            return Ok(());
        }
        row.push(&mut self.mapped);
        if self.mapped.len() >= ROWS { self.write_mappings() } else { Ok(()) }
    }

    fn write_mappings(&mut self) -> Result<(), WriteError> {
        if self.mapped.is_empty() {
            return Ok(());
        }
        let rows = self.mapped.take();
        self.context.intake.add(rows.len() as u64, 0);
        self.context.writer.append(Mapping::DEF.stream, rows)
    }
}

/// Appends rows to their stream.
fn put<E: Event + Clone>(context: &Context, rows: &[E]) -> Result<(), WriteError> {
    let writer: &Writer = &context.writer;
    for part in rows.chunks(ROWS) {
        let mut columns = Columns::new(&E::DEF);
        part.iter().for_each(|row| row.clone().push(&mut columns));
        context.intake.add(part.len() as u64, 0);
        writer.append(E::DEF.stream, columns)?;
    }
    Ok(())
}
