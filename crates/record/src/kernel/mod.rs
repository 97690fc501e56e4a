//! The kernel sources: loads every BPF object, attaches its programs, and drains its rings.

pub mod bench;
mod call_files;
pub mod consume;
pub mod counters;
pub mod dials;
mod enums;
mod load;
pub mod objects;
mod optional;
mod pace;
mod probed;
mod reduce;
mod refusal;
mod rescan;
mod rings;
mod scope;
mod settings;
mod source;
mod tally;
mod uprobe;
mod uretprobe;

pub use source::Kernel;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use coldcase_model::Class;
use libbpf_rs::btf::Btf;

use self::consume::{Drained, Sink};
use self::counters::Counters;
use self::dials::{Dials, Thresholds};
use self::load::{Loaded, RingShape};
use self::objects::{Object, SOURCES};
use self::pace::Pace;
pub(crate) use self::scope::Filter;
use self::settings::Settings;
pub use self::tally::RingTally;
use crate::config::{Scope, Uprobe};
use crate::source::Skip;
use crate::watchdog::Pulse;

/// How to capture.
#[derive(Debug, Clone)]
pub struct Options {
    /// CPU samples per second and CPU.
    pub sample_hz: u64,
    /// From which length on intervals are described. Can be changed while it runs: [`Capture::dials`].
    pub thresholds: Thresholds,
    /// System calls from this length on are rows of their own, in nanoseconds.
    pub syscall_threshold: u64,
    /// Syncs and removals of files from this length on are rows, in nanoseconds.
    pub file_threshold: u64,
    /// CPUs that share a ring of a class.
    pub ring_cpus: u32,
    /// Bytes of each ring.
    pub ring_bytes: u32,
    /// The process that is left out: the recorder. 0 for none.
    pub leave_out: u32,
    /// Objects to load, by name.
    pub only: Vec<&'static str>,
    /// The processes that were asked for.
    pub scope: Arc<Scope>,
    /// Programs (by section: `tp_btf/sched_switch`) and objects that are refused as a kernel would: for tests.
    pub refuse: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            sample_hz: 99,
            thresholds: Thresholds::default(),
            syscall_threshold: 10_000_000,
            file_threshold: 1_000_000,
            ring_cpus: 8,
            ring_bytes: 4 << 20,
            leave_out: std::process::id(),
            only: by_priority().iter().map(|o| o.name).filter(|o| flag_of(o).is_none()).collect(),
            scope: Arc::default(),
            refuse: Vec::new(),
        }
    }
}

/// Objects whose hooks are on paths too hot to be taken unasked, and the flags that ask for them.
const ON_REQUEST: [(&str, &str); 5] = [
    ("irq", "--irq"),
    ("syscall", "--syscalls"),
    ("libc", "--uprobe libc"),
    ("libssl", "--uprobe libssl"),
    ("postgres", "--uprobe postgres"),
];

/// The flag that asks for an object; `None` for those that need none.
fn flag_of(object: &str) -> Option<&'static str> {
    ON_REQUEST.iter().find(|(name, _)| *name == object).map(|&(_, flag)| flag)
}

/// Sums are taken this often: with what the consumer and the writer hold back, all are on disk within two seconds.
const FLUSH: Duration = Duration::from_millis(600);

/// What one object lost on one CPU since the last look, and what it did.
#[derive(Debug, Clone, Copy)]
pub struct Polled {
    /// The object.
    pub object: &'static str,
    /// The CPU.
    pub cpu: i32,
    /// The change of its counters.
    pub change: Counters,
}

/// A running capture.
pub struct Capture {
    dials: Dials,
    before: Vec<Vec<Counters>>,
    consumers: Vec<JoinHandle<Result<(), String>>>,
    sums: Option<JoinHandle<()>>,
    files: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    pace: Option<Pace>,
    pulses: Vec<Pulse>,
    /// Why objects are not running.
    pub skipped: Vec<(&'static str, Skip)>,
}

/// The objects in the order in which their rings are drained: the order of the classes.
pub fn by_priority() -> Vec<&'static Object> {
    let mut objects: Vec<_> = SOURCES.iter().collect();
    objects.sort_by_key(|o| Class::ALL.iter().position(|c| c.name() == o.name));
    objects
}

impl Capture {
    /// Loads and attaches all that this kernel and our rights allow. Errors only when nothing runs.
    pub fn start(options: &Options, sink: Arc<dyn Sink>) -> Result<Capture, Skip> {
        Capture::start_with(options, sink, Dials::default())
    }

    /// The same, with dials that others hold already.
    pub(super) fn start_with(options: &Options, sink: Arc<dyn Sink>, dials: Dials) -> Result<Capture, Skip> {
        if let Some(skip) = refusal::beforehand() {
            return Err(skip);
        }
        let mut capture = Capture {
            dials,
            before: Vec::new(),
            consumers: Vec::new(),
            sums: None,
            files: None,
            stop: Arc::default(),
            pace: None,
            pulses: Vec::new(),
            skipped: Vec::new(),
        };
        capture.load(options);
        capture.consume(sink, &options.scope)?;
        capture.step(|loaded| loaded.attach(loaded.target().map(Uprobe::files).as_ref(), &options.refuse));
        capture.step(Loaded::begin);
        capture.keep_pace()?;
        capture.step(Loaded::attach_sampler);
        capture.flush_sums()?;
        let files = rescan::start(&capture.dials, &capture.stop);
        capture.files = files.map_err(|e| Skip::new(format!("cannot start a thread ({e})"), ""))?;
        let none = capture.dials.lock().loaded.is_empty();
        if let (true, Some((_, skip))) = (none, capture.skipped.first()) {
            let skip = skip.clone();
            capture.stop();
            return Err(skip);
        }
        let cpus = |l: &Loaded| vec![Counters::default(); l.counters().map_or(0, |c| c.len())];
        capture.before = capture.dials.lock().loaded.iter().map(cpus).collect();
        Ok(capture)
    }

    fn load(&mut self, options: &Options) {
        let kernel = Btf::from_vmlinux().ok();
        let cpus = libbpf_rs::num_possible_cpus().unwrap_or(1);
        let group_size = options.ring_cpus.max(1);
        let shape = RingShape { groups: rings::groups(cpus, group_size), bytes: rings::ring_size(options.ring_bytes) };
        let settings = Settings::new(vec![
            ("cc_self_tgid", u64::from(options.leave_out)),
            ("cc_group_inverse", (1u64 << 32).div_ceil(u64::from(group_size))),
            ("cc_wake_shift", u64::from((shape.bytes / 8).max(512).ilog2())),
            ("cc_syscall_threshold", options.syscall_threshold),
            ("cc_file_threshold", options.file_threshold),
            ("cc_key", secret()),
        ]);
        self.dials.begin(options.thresholds);
        for object in by_priority() {
            if !options.only.contains(&object.name) {
                continue;
            }
            if options.refuse.iter().any(|r| r.strip_prefix("kernel.") == Some(object.name)) {
                self.skipped.push((object.name, refusal::asked(object.name)));
                continue;
            }
            if let Some(skip) = Uprobe::of(object.name).and_then(|_| uretprobe::refusal()) {
                self.skipped.push((object.name, skip));
                continue;
            }
            match Loaded::load(object, &settings, options.thresholds, kernel.as_ref(), shape, options.sample_hz) {
                Ok(loaded) => self.dials.lock().loaded.push(loaded),
                Err(skip) => self.skipped.push((object.name, skip)),
            }
        }
    }

    /// Starts a consumer for each group of CPUs and waits until it has mapped its rings.
    fn consume(&mut self, sink: Arc<dyn Sink>, scope: &Arc<Scope>) -> Result<(), Skip> {
        let state = self.dials.lock();
        let groups = state.loaded.first().map_or(0, |l| l.rings.len());
        for group in 0..groups {
            let mut rings = Vec::new();
            for loaded in &state.loaded {
                let ring = libbpf_rs::MapHandle::try_from(&loaded.rings[group]);
                let ring =
                    ring.map_err(|e| Skip::new(format!("out of file descriptors ({e})"), "raise `ulimit -n`"))?;
                rings.push(Drained { ring, tallies: loaded.tallies.clone() });
            }
            let (sink, stop, scope) = (sink.clone(), self.stop.clone(), scope.clone());
            let pulse = Pulse::default();
            self.pulses.push(pulse.clone());
            let (ready, is_ready) = mpsc::channel();
            let thread = std::thread::Builder::new().name(format!("cc-kernel-{group}")).spawn(move || {
                consume::run(rings, Filter::new(scope), &*sink, &stop, pulse, || {
                    let _ = ready.send(());
                })
            });
            let thread = thread.map_err(|e| Skip::new(format!("cannot start a thread ({e})"), ""))?;
            self.consumers.push(thread);
            if is_ready.recv().is_err() {
                return Err(Skip::new("cannot map the rings", "give smaller ones: --ring-bytes 1MiB"));
            }
        }
        Ok(())
    }

    /// Does one thing to every object; one that fails is taken out and says why.
    fn step(&mut self, mut what: impl FnMut(&mut Loaded) -> Result<(), Skip>) {
        let mut failed = Vec::new();
        self.dials.lock().loaded.retain_mut(|loaded| match what(loaded) {
            Ok(()) => true,
            Err(skip) => {
                failed.push((loaded.object.name, skip));
                false
            }
        });
        self.skipped.extend(failed);
    }

    /// Starts the iterators that run each second.
    fn keep_pace(&mut self) -> Result<(), Skip> {
        let mut passes = Vec::new();
        self.step(|loaded| {
            passes.extend(loaded.passes()?);
            Ok(())
        });
        if !passes.is_empty() {
            let pace = Pace::start(passes).map_err(|e| Skip::new(format!("cannot start a thread ({e})"), ""))?;
            self.pace = Some(pace);
        }
        Ok(())
    }

    /// The objects that run, and how many events were read from each.
    pub fn running(&self) -> Vec<(&'static str, u64)> {
        self.dials.lock().loaded.iter().map(|l| (l.object.name, l.tallies.received())).collect()
    }

    /// What a person at the terminal should know of it.
    pub fn remarks(&self) -> Vec<String> {
        let unreadable = self.dials.lock().loaded.iter().map(Loaded::unreadable).max().unwrap_or(0);
        let remark = || {
            format!(
                "uprobes: {unreadable} processes could not be looked at: libraries that only they have are not seen"
            )
        };
        (unreadable > 0).then(remark).into_iter().collect()
    }

    /// The pulses of its consumers.
    pub fn pulses(&self) -> Vec<Pulse> {
        self.pulses.clone()
    }

    /// What can be changed of it while it runs.
    pub fn dials(&self) -> Dials {
        self.dials.clone()
    }

    /// Takes the sums that objects keep, as often as needed for none to be older than the rows may be.
    fn flush_sums(&mut self) -> Result<(), Skip> {
        let (dials, stop) = (self.dials.clone(), self.stop.clone());
        let thread = std::thread::Builder::new().name("cc-kernel-sums".to_owned()).spawn(move || {
            while !stop.load(Ordering::Acquire) {
                std::thread::park_timeout(FLUSH);
                dials.flush();
            }
        });
        self.sums = Some(thread.map_err(|e| Skip::new(format!("cannot start a thread ({e})"), ""))?);
        Ok(())
    }

    /// What became of the events of each object on each CPU. Exact once the capture has stopped.
    pub fn tallies(&self) -> Vec<RingTally> {
        let state = self.dials.lock();
        state.loaded.iter().flat_map(|l| l.tallies.against(l.object.name, &l.counters().unwrap_or_default())).collect()
    }

    /// Reads the counters: what each object did on each CPU since the last call.
    pub fn poll(&mut self) -> Vec<Polled> {
        let mut polled = Vec::new();
        for (loaded, before) in self.dials.lock().loaded.iter().zip(&mut self.before) {
            let Ok(now) = loaded.counters() else { continue };
            for (cpu, (now, before)) in now.iter().zip(before.iter_mut()).enumerate() {
                polled.push(Polled { object: loaded.object.name, cpu: cpu as i32, change: now.since(before) });
                *before = *now;
            }
        }
        polled
    }

    /// Stops taking in. Open intervals are written, rings are drained, rows handed over. Returns what went wrong.
    pub fn stop(&mut self) -> Vec<String> {
        let mut wrong = Vec::new();
        if let Some(Err(e)) = self.pace.take().map(Pace::stop) {
            wrong.push(e);
        }
        for loaded in &mut self.dials.lock().loaded {
            if let Err(e) = loaded.end() {
                wrong.push(format!("kernel.{}: open intervals are missing: {e}", loaded.object.name));
            }
        }
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.sums.take() {
            thread.thread().unpark();
            // One that panicked has flushed nothing since, as the iterators at the end did.
            let _ = thread.join();
        }
        if let Some(thread) = self.files.take() {
            rescan::wait(thread);
        }
        for consumer in self.consumers.drain(..) {
            match consumer.join() {
                Ok(Ok(())) => {}
                Ok(Err(e)) => wrong.push(e),
                Err(_) => wrong.push("a consumer of kernel events panicked".into()),
            }
        }
        wrong
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // The dials may outlive the capture; what it loaded does not.
        self.dials.lock().loaded.clear();
    }
}

/// A secret for this capture, so that identities do not tell kernel addresses.
fn secret() -> u64 {
    let mut bytes = [0; 8];
    match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()) {
        Ok(8) => u64::from_ne_bytes(bytes),
        // Not a password: any number that differs between captures will do.
        _ => crate::clock::boottime().0.rotate_left(32) ^ u64::from(std::process::id()),
    }
}
