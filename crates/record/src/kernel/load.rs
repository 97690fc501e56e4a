//! Loads one object, attaches its programs by their sections, and takes it down again.

use std::collections::HashMap;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, IntoRawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use libbpf_rs::btf::Btf;
use libbpf_rs::{Iter, Link, MapCore, MapFlags, MapHandle, ObjectBuilder, OpenObject, ProgramMut};

use super::counters::Counters;
use super::dials::Thresholds;
use super::objects::Object;
use super::pace::Passes;
use super::probed::FileId;
use super::settings::Settings;
use super::tally::Tallies;
use super::uprobe::{self, File, Found, Probe};
use super::{optional, refusal, rings};
use crate::config::Uprobe;
use crate::perf;
use crate::source::Skip;

/// The map of the settings that change while it runs (`cc_dials` in `bpf/include/coldcase.bpf.h`).
const DIALS: &str = ".data.dials";

/// An object in the kernel.
pub(super) struct Loaded {
    /// Which.
    pub(super) object: &'static Object,
    /// Its rings, one per group of CPUs.
    pub(super) rings: Vec<MapHandle>,
    /// The count of what was read from them.
    pub(super) tallies: Arc<Tallies>,
    bpf: libbpf_rs::Object,
    counters: MapHandle,
    /// Where it reads its thresholds, if it has any.
    dials: Option<MapHandle>,
    links: Vec<Link>,
    /// Files whose functions it is attached to, and those that have none.
    files: HashMap<FileId, Attached>,
    /// Processes that could not be looked at for such files.
    unreadable: u32,
    attached: Arc<AtomicBool>,
    hertz: u64,
}

/// A file that was found.
struct Attached {
    file: File,
    /// Empty when it has none of the functions, or refused.
    links: Vec<Link>,
}

/// How rings are made.
#[derive(Debug, Clone, Copy)]
pub(super) struct RingShape {
    /// Groups of CPUs.
    pub(super) groups: u32,
    /// Bytes of each ring.
    pub(super) bytes: u32,
}

impl Loaded {
    /// Opens, configures and loads it. Nothing runs yet.
    pub(super) fn load(
        object: &'static Object,
        settings: &Settings,
        thresholds: Thresholds,
        kernel: Option<&Btf<'_>>,
        shape: RingShape,
        hertz: u64,
    ) -> Result<Loaded, Skip> {
        refusal::listen();
        let fail = |e: libbpf_rs::Error| refusal::skip("load", &e);
        let mut open: OpenObject =
            ObjectBuilder::default().name(object.name).and_then(|b| b.open_memory(object.bytes())).map_err(fail)?;
        settings.write(object, &mut open, kernel);
        optional::choose(&mut open, kernel)?;
        uprobe::prepare(&mut open);
        if let Some(mut outer) = open.maps_mut().find(|m| m.name() == "rings") {
            outer.set_max_entries(shape.groups).map_err(fail)?;
        }
        if let Some(mut dials) = open.maps_mut().find(|m| m.name() == DIALS) {
            let bytes = thresholds.bytes();
            if let Some(slot) = dials.initial_value_mut().and_then(|v| v.get_mut(..bytes.len())) {
                slot.copy_from_slice(&bytes);
            }
        }
        let bpf = open.load().map_err(fail)?;
        let (counters, outer) = match (map(&bpf, "counters")?, map(&bpf, "rings")?) {
            (Some(counters), Some(outer)) => (counters, outer),
            _ => return Err(Skip::new("its object has no rings or counters", "")),
        };
        let rings = rings::fill(object.name, &outer, shape.groups, shape.bytes).map_err(fail)?;
        let tallies = Arc::new(Tallies::new(libbpf_rs::num_possible_cpus().unwrap_or(1)));
        let dials = map(&bpf, DIALS)?;
        let (links, files) = (Vec::new(), HashMap::new());
        Ok(Loaded {
            object,
            rings,
            tallies,
            bpf,
            counters,
            dials,
            links,
            files,
            unreadable: 0,
            attached: Arc::default(),
            hertz,
        })
    }

    /// Attaches the programs on tracepoints, and on the functions of the files that were found. Those of `refuse` are
    /// refused.
    pub(super) fn attach(&mut self, found: Option<&Found>, refuse: &[String]) -> Result<(), Skip> {
        refusal::listen();
        for program in self.bpf.progs_mut() {
            let section = program.section().to_string_lossy();
            let elsewhere = section.starts_with("iter/") || section.starts_with("perf_event");
            if elsewhere || !program.autoload() {
                continue;
            }
            if refuse.iter().any(|r| *r == section) {
                return Err(refusal::asked(&section));
            }
            if Probe::of(&section).is_none() {
                let link = program.attach().map_err(|e| refusal::skip(&format!("attach {section}"), &e))?;
                self.links.push(link);
            }
        }
        if let (Some(target), Some(found)) = (self.target(), found) {
            self.unreadable = found.unreadable;
            let (attached, failed) = self.attach_files(found);
            for skip in &failed {
                tracing::warn!("kernel.{}: a file is left out: {}", target.name(), skip.reason);
            }
            if attached == 0 {
                return Err(failed.into_iter().next().unwrap_or_else(|| target.missing(found)));
            }
        }
        self.attached.store(true, Ordering::Release);
        Ok(())
    }

    /// Whose functions it is about, if any.
    pub(super) fn target(&self) -> Option<Uprobe> {
        Uprobe::of(self.object.name)
    }

    /// How many processes could not be looked at for files to attach to.
    pub(super) fn unreadable(&self) -> u32 {
        self.unreadable
    }

    /// Attaches to the functions of files that are new; says to how many, and why not to others. One that cannot be
    /// attached to, or lacks the functions, is not tried again.
    pub(super) fn attach_files(&mut self, found: &Found) -> (usize, Vec<Skip>) {
        refusal::listen();
        let (mut new, mut failed) = (0, Vec::new());
        for file in &found.found {
            if self.files.contains_key(&file.id) {
                continue;
            }
            let links = uprobe::attach(&self.bpf, file).unwrap_or_else(|skip| {
                failed.push(skip);
                Vec::new()
            });
            // Its process ended meanwhile; another may have it.
            if links.is_empty() && !file.is_there() {
                continue;
            }
            new += usize::from(!links.is_empty());
            self.files.insert(file.id, Attached { file: file.clone(), links });
        }
        (new, failed)
    }

    /// Gives up the files that no process has any more and that are gone from where they were. What keeps the programs on
    /// them is returned: to let go of it takes long.
    pub(super) fn forget_files(&mut self, found: &Found) -> Vec<Link> {
        let kept = |file: &File| found.found.iter().any(|f| f.id == file.id) || file.is_there();
        let gone = self.files.extract_if(|_, attached| !kept(&attached.file));
        gone.flat_map(|(_, attached)| attached.links).collect()
    }

    /// Runs the iterators that take stock once the programs are attached.
    pub(super) fn begin(&mut self) -> Result<(), Skip> {
        self.iterate("begin_").map_err(|e| refusal::skip("run the iterators of", &e))
    }

    /// Attaches the sampler, on every CPU that is online. Last of all: what it sees before is our own start.
    pub(super) fn attach_sampler(&mut self) -> Result<(), Skip> {
        refusal::listen();
        for program in self.bpf.progs_mut().filter(|p| p.section().to_string_lossy().starts_with("perf_event")) {
            attach_sampler(self.object.name, &program, self.hertz, &mut self.links)?;
        }
        Ok(())
    }

    /// Detaches all programs, then runs the iterators that write what is still open. Where they are off already, what
    /// stood open then has long ended unseen: nothing true can be written of it.
    pub(super) fn end(&mut self) -> Result<(), libbpf_rs::Error> {
        if !self.attached.load(Ordering::Acquire) {
            return Ok(());
        }
        self.unlink();
        self.iterate("end_")
    }

    /// Runs the iterators that write sums, while it runs.
    pub(super) fn flush(&mut self) -> Result<(), libbpf_rs::Error> {
        self.iterate("flush_")
    }

    /// Detaches all programs.
    pub(super) fn unlink(&mut self) {
        self.links.clear();
        self.files.clear();
        self.attached.store(false, Ordering::Release);
    }

    /// Whether any program is attached.
    pub(super) fn is_attached(&self) -> bool {
        !self.links.is_empty()
    }

    /// Tells the running programs their thresholds.
    pub(super) fn turn(&self, thresholds: Thresholds) -> Result<(), libbpf_rs::Error> {
        let Some(dials) = &self.dials else { return Ok(()) };
        dials.update(&0u32.to_ne_bytes(), &thresholds.bytes(), MapFlags::ANY)
    }

    fn iterate(&mut self, prefix: &str) -> Result<(), libbpf_rs::Error> {
        refusal::listen();
        for program in self.bpf.progs_mut().filter(|p| p.name().to_string_lossy().starts_with(prefix)) {
            let link = program.attach()?;
            std::io::copy(&mut Iter::new(&link)?.by_ref(), &mut std::io::sink())?;
        }
        Ok(())
    }

    /// The iterators that run while it records, if it has any.
    pub(super) fn passes(&self) -> Result<Option<Passes>, Skip> {
        refusal::listen();
        let asked = map(&self.bpf, "asked")?;
        let (mut each, mut when_asked) = (Vec::new(), Vec::new());
        for program in self.bpf.progs_mut() {
            let name = program.name().to_string_lossy().into_owned();
            if let Some(over) = name.strip_prefix("each_second_") {
                let link = match map(&self.bpf, over)? {
                    Some(map) => program.attach_iter(map.as_fd()),
                    None => program.attach(),
                };
                each.push(link.map_err(|e| refusal::skip("run the iterators of", &e))?);
            } else if name.starts_with("when_asked_") {
                when_asked.push(program.attach().map_err(|e| refusal::skip("run the iterators of", &e))?);
            }
        }
        let attached = self.attached.clone();
        let asked = asked.filter(|_| !when_asked.is_empty()).map(|map| (map, when_asked));
        Ok((!each.is_empty()).then_some(Passes { each, asked, attached }))
    }

    /// The counters of each CPU.
    pub(super) fn counters(&self) -> Result<Vec<Counters>, libbpf_rs::Error> {
        Counters::read(&self.counters)
    }
}

fn map(bpf: &libbpf_rs::Object, name: &str) -> Result<Option<MapHandle>, Skip> {
    let Some(map) = bpf.maps().find(|m| m.name() == name) else { return Ok(None) };
    MapHandle::try_from(&map).map(Some).map_err(|e| refusal::skip("load", &e))
}

/// Opens the perf event of an object's program on every CPU: for `memory` the major faults, one by one; else the sampler,
/// hardware cycles where there is a PMU, else the CPU clock.
pub(super) fn attach_sampler(
    object: &str,
    program: &ProgramMut<'_>,
    hertz: u64,
    links: &mut Vec<Link>,
) -> Result<(), Skip> {
    let (first, second) = match object {
        "memory" => (perf::major_faults(), perf::major_faults()),
        _ => (perf::sampler(true, hertz), perf::sampler(false, hertz)),
    };
    let cpus = perf::online_cpus().map_err(|e| Skip::new(format!("cannot list the CPUs ({e})"), ""))?;
    for cpu in cpus {
        let event = perf::open(&first, cpu).or_else(|_| perf::open(&second, cpu));
        let event = event.map_err(|e| {
            let limit = std::fs::read_to_string("/proc/sys/kernel/perf_event_max_sample_rate").ok();
            let limit = limit.and_then(|l| l.trim().parse::<u64>().ok()).filter(|&l| hertz > l);
            let hint = limit
                .map_or(String::new(), |l| format!("the kernel takes at most {l} samples per second: --sample-hz {l}"));
            Skip::new(format!("cannot open the perf event of CPU {cpu} ({e})"), hint)
        })?;
        let link = program.attach_perf_event(event.as_raw_fd()).map_err(|e| refusal::skip("attach the sampler", &e))?;
        // The link closes the event when it goes.
        let _ = event.into_raw_fd();
        links.push(link);
    }
    Ok(())
}
