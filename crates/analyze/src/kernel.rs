//! Waits, CPU samples and block I/O added up in one pass.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use coldcase_model::Boottime;
use coldcase_model::analysis::Latency;
use coldcase_model::events::{BlockIo, CpuSample, OffCpu, OffCpuSum};
use coldcase_timeline::{Piece, Selection, Timeline};

use crate::axis::{Axis, COLUMNS};
use crate::flame::{self, Making, Weights};
use crate::functions::{self, Functions};
use crate::latency::block;
use crate::latency::offcpu::{self, Groups};
use crate::scope::Part;
use crate::throttle::Throttling;
use crate::trend;

/// The streams that are added up for a part: those of them that it holds.
fn streams(part: Part) -> &'static [&'static str] {
    match part {
        Part::Flame => &["kernel.cpu_sample", "kernel.offcpu", "kernel.offcpu_sum"],
        Part::Latency => &["kernel.block", "kernel.offcpu", "kernel.offcpu_sum"],
        Part::Flow | Part::Trace => &[],
        Part::Rest => &["kernel.cpu_sample"],
    }
}

/// What is wanted of them, and what it is measured by.
pub(crate) struct Wanted<'a> {
    pub(crate) timeline: &'a Timeline,
    pub(crate) axis: &'a Axis,
    pub(crate) selection: &'a Selection<'a>,
    pub(crate) throttling: &'a Throttling,
    pub(crate) parts: &'a [Part],
    /// How stacks are told apart and weighed.
    pub(crate) making: &'a Making<'a>,
    /// Whether the functions of a process are wanted; `None` when nobody's are.
    pub(crate) functions: Option<&'a (dyn Fn(&str) -> bool + Sync)>,
}

/// The sums.
#[derive(Default)]
pub(crate) struct Sums {
    pub(crate) waits: Groups,
    pub(crate) blocks: block::Groups,
    /// CPU samples of each process in each column of the axis.
    pub(crate) samples: BTreeMap<String, [u64; COLUMNS]>,
    pub(crate) on_cpu: Weights,
    pub(crate) off_cpu: Weights,
    functions: functions::Raw,
}

/// Adds up what a bundle holds, and what of it could not be read.
pub(crate) fn sums(wanted: &Wanted<'_>) -> (Sums, Vec<String>) {
    let names: BTreeSet<&str> = wanted.parts.iter().flat_map(|&part| streams(part)).copied().collect();
    let names: Vec<&str> = names.into_iter().collect();
    wanted.timeline.fold(&names, Sums::default, |sums, piece| sums.take(wanted, piece), Sums::merge)
}

impl Sums {
    fn take(&mut self, wanted: &Wanted<'_>, piece: &Piece<'_>) {
        let (t, axis, selection) = (wanted.timeline, wanted.axis, wanted.selection);
        let flame = wanted.parts.contains(&Part::Flame);
        if let Some(rows) = piece.rows::<OffCpu>() {
            offcpu::take(&mut self.waits, t, axis, selection, wanted.throttling, &rows);
            if flame {
                flame::off_cpu(&mut self.off_cpu, wanted.making, selection, wanted.throttling, &rows);
            }
            if let Some(of) = wanted.functions {
                functions::waiting(&mut self.functions, t, axis, of, &rows);
            }
        } else if let Some(rows) = piece.rows::<OffCpuSum>() {
            offcpu::take_sums(&mut self.waits, t, axis, selection, &rows);
            if flame {
                flame::off_cpu_sums(&mut self.off_cpu, wanted.making, selection, &rows);
            }
        } else if let Some(rows) = piece.rows::<CpuSample>() {
            trend::take_samples(&mut self.samples, t, axis, selection, &rows);
            if flame {
                flame::on_cpu(&mut self.on_cpu, wanted.making, selection, &rows);
            }
            if let Some(of) = wanted.functions {
                functions::running(&mut self.functions, t, axis, of, &rows);
            }
        } else if let Some(rows) = piece.rows::<BlockIo>() {
            block::take(&mut self.blocks, t, axis, selection, &rows);
        }
    }

    fn merge(mut self, other: Sums) -> Sums {
        for (key, group) in other.waits {
            self.waits.entry(key).or_default().merge(group);
        }
        for (key, series) in other.blocks {
            self.blocks.entry(key).or_default().merge(series);
        }
        for (process, columns) in other.samples {
            add_columns(self.samples.entry(process).or_insert([0; COLUMNS]), &columns);
        }
        self.on_cpu = flame::merge(self.on_cpu, other.on_cpu);
        self.off_cpu = flame::merge(self.off_cpu, other.off_cpu);
        self.functions = functions::merge(self.functions, other.functions);
        self
    }

    /// The latency of each block device, operation and origin, largest total first.
    pub(crate) fn block_latencies(&self, t: &Timeline, axis: &Axis, bundle: &str) -> Vec<Latency> {
        block::latencies(&self.blocks, t, axis, bundle)
    }

    /// The functions by name.
    pub(crate) fn functions(&mut self, t: &Timeline, arch: &str) -> Functions {
        functions::named(t, arch, std::mem::take(&mut self.functions))
    }
}

/// Adds columns to columns.
pub(crate) fn add_columns(sum: &mut [u64; COLUMNS], more: &[u64; COLUMNS]) {
    sum.iter_mut().zip(more).for_each(|(s, m)| *s += m);
}

/// What processes are called within one batch of rows, by pid: as they were at the first row of each.
pub(crate) struct Names<'a> {
    timeline: &'a Timeline,
    known: HashMap<u32, String>,
}

impl<'a> Names<'a> {
    /// None known yet.
    pub(crate) fn new(timeline: &'a Timeline) -> Names<'a> {
        Names { timeline, known: HashMap::new() }
    }

    /// What the process is called.
    pub(crate) fn of(&mut self, pid: u32, at: Boottime) -> &str {
        self.known.entry(pid).or_insert_with(|| crate::process_name(self.timeline, pid, at))
    }
}
