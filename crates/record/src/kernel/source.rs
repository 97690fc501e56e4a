//! The kernel sources as one [`Source`]: `kernel.<object>` each, started and stopped together, skipped one by one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use coldcase_model::column::TextColumn;
use coldcase_model::events::{EnumName, Exec, RingCount, Statement};
use coldcase_model::loss::Reason;
use coldcase_model::{Class, Column, Columns, Event, EventDef, sql};

use super::consume::Sink;
use super::dials::{Dials, Thresholds};
use super::reduce::Reducer;
use super::{Capture, Options, by_priority, enums, flag_of, uretprobe};
use crate::clock;
use crate::config::{KernelConfig, Uprobe};
use crate::mask;
use crate::reduce::{Brake, Rung};
use crate::source::{Context, Running, Skip, Source, Started};
use crate::symbols::Seen;
use crate::watchdog::Pulse;

/// `kernel.task`, `kernel.tcp`, …: one per object.
pub struct Kernel {
    pub(super) options: Options,
    seen: Seen,
    dials: Dials,
    /// Wanted, but only with a flag that was not given.
    unasked: Vec<(&'static str, Skip)>,
}

impl Kernel {
    /// Configured; nothing is loaded yet. `seen` collects the addresses of stacks; `wanted` says which of the names to
    /// start.
    pub fn new(config: &KernelConfig, seen: Seen, wanted: impl Fn(&str) -> bool) -> Kernel {
        let asked = |object: &str| match object {
            "irq" => config.irq,
            "syscall" => config.syscalls,
            // Objects on functions of user space are named as their target is.
            _ => Uprobe::of(object).is_none() || config.uprobe.iter().any(|u| u.name() == object),
        };
        let wanted = by_priority().into_iter().map(|o| o.name).filter(|o| wanted(name(o)));
        let (only, unasked): (Vec<_>, Vec<_>) = wanted.partition(|o| asked(o));
        let skip = |object| {
            // What would keep it from starting is told all the same.
            let never = Uprobe::of(object).and_then(|_| uretprobe::refusal());
            let skip = never.map(|skip| Skip::unasked(skip.reason, skip.hint));
            let skip = skip.unwrap_or_else(|| Skip::unasked("not asked for", flag_of(object).unwrap_or_default()));
            (name(object), skip)
        };
        Kernel {
            seen,
            dials: Dials::default(),
            unasked: unasked.into_iter().map(skip).collect(),
            options: Options {
                sample_hz: config.sample_hz,
                thresholds: Thresholds {
                    row: config.row_threshold.as_nanos() as u64,
                    stack: config.stack_threshold.as_nanos() as u64,
                },
                syscall_threshold: config.syscall_threshold.as_nanos() as u64,
                file_threshold: config.file_threshold.as_nanos() as u64,
                ring_cpus: config.ring_cpus,
                ring_bytes: config.ring_bytes,
                leave_out: std::process::id(),
                only,
                scope: Arc::default(),
                refuse: config.refuse.clone(),
            },
        }
    }

    /// What can be changed of the capture while it runs. The handle may be taken before the start and kept.
    pub fn dials(&self) -> Dials {
        self.dials.clone()
    }
}

/// The source's name of an object: `sched` → `kernel.sched`.
pub(super) fn name(object: &str) -> &'static str {
    // Names of sources live as long as the program, and there are as many as objects: each is made once.
    static NAMES: std::sync::OnceLock<Vec<String>> = std::sync::OnceLock::new();
    let names = NAMES.get_or_init(|| by_priority().iter().map(|o| format!("kernel.{}", o.name)).collect());
    names.iter().find(|n| n.strip_prefix("kernel.") == Some(object)).map_or("kernel", |n| n.as_str())
}

fn class(object: &str) -> Class {
    Class::ALL.into_iter().find(|c| c.name() == object).unwrap_or(Class::Recorder)
}

impl Source for Kernel {
    fn names(&self) -> Vec<&'static str> {
        by_priority().iter().map(|o| name(o.name)).collect()
    }

    fn start(mut self: Box<Self>, context: Context) -> Result<Started, Skip> {
        self.options.scope = context.scope.clone();
        let broken = Arc::new(AtomicBool::new(false));
        let sink = Arc::new(ToWriter { context: context.clone(), seen: self.seen, broken: broken.clone() });
        let mut capture = Capture::start_with(&self.options, sink, self.dials)?;
        let failed = std::mem::take(&mut capture.skipped).into_iter().map(|(o, skip)| (name(o), skip));
        let skipped = failed.chain(self.unasked).collect();
        for (object, _) in capture.running() {
            for reason in [Reason::RingFull, Reason::StackFault, Reason::MapFull, Reason::RateLimited] {
                context.losses.watch(name(object), class(object), reason);
            }
        }
        put_names(&context);
        let reducer = Reducer::new(&capture);
        let remarks = capture.remarks();
        let running = Box::new(RunningKernel { capture, reducer, context, broken, told: false });
        Ok(Started { running, skipped, remarks })
    }
}

/// Writes the names of the kernel's enumerations that rows refer to.
fn put_names(context: &Context) {
    let mut rows = Columns::new(&EnumName::DEF);
    for (name, value, text) in enums::names() {
        EnumName { time: clock::boottime().0, name: name.into(), value, text }.push(&mut rows);
    }
    context.intake.add(rows.len() as u64, 0);
    // A writer that takes no more says so at the next rows of the kernel.
    let _ = context.writer.append(EnumName::DEF.stream, rows);
}

struct ToWriter {
    context: Context,
    seen: Seen,
    broken: Arc<AtomicBool>,
}

impl Sink for ToWriter {
    fn rows(&self, def: &'static EventDef, mut rows: Columns, waited: Duration) {
        if def.kind == Exec::DEF.kind {
            mask_arguments(&mut rows);
        }
        if def.kind == Statement::DEF.kind {
            mask_statements(&mut rows);
        }
        self.seen.rows(&rows);
        self.seen.recall.rows(def.stream, &rows);
        self.context.intake.add(rows.len() as u64, 0);
        self.context.intake.backlog(def.class, waited.as_nanos() as u64);
        if self.context.writer.append(def.stream, rows).is_err() {
            // The session sees why from the writer itself and ends the recording.
            self.broken.store(true, Ordering::Relaxed);
        }
    }
}

/// Arguments as the kernel has them, each ended by a zero byte, to what may be written.
fn mask_arguments(rows: &mut Columns) {
    let at = |name| rows.names.iter().position(|n| n == name);
    let (Some(argv), Some(cut)) = (at("argv"), at("cut")) else { return };
    let Some(Column::U32(cut)) = rows.columns.get(cut).cloned() else { return };
    let Some(Column::Text(raw)) = rows.columns.get_mut(argv) else { return };
    let mut masked = TextColumn::default();
    for (i, cut) in cut.iter().enumerate() {
        masked.push(mask::mask_bytes(raw.get(i), *cut > 0).as_bytes());
    }
    *raw = masked;
}

/// Statements as the program has them to what may be written.
fn mask_statements(rows: &mut Columns) {
    let Some(at) = rows.names.iter().position(|n| n == "query") else { return };
    let length = rows.len();
    let Some(Column::Text(raw)) = rows.columns.get_mut(at) else { return };
    let mut masked = TextColumn::default();
    for i in 0..length {
        masked.push(sql::mask(raw.get(i)).as_bytes());
    }
    *raw = masked;
}

struct RunningKernel {
    capture: Capture,
    reducer: Reducer,
    context: Context,
    broken: Arc<AtomicBool>,
    told: bool,
}

impl RunningKernel {
    fn count(&mut self) {
        for polled in self.capture.poll() {
            let (source, class, cpu) = (name(polled.object), class(polled.object), polled.cpu);
            let add = |reason, count, bytes| self.context.losses.add_on(source, class, reason, cpu, count, bytes);
            add(Reason::RingFull, polled.change.ring_full, polled.change.ring_full_bytes);
            add(Reason::StackFault, polled.change.stack_faults, 0);
            add(Reason::MapFull, polled.change.map_full, 0);
            add(Reason::RateLimited, polled.change.rate_limited, 0);
            add(Reason::Untraced, polled.change.untraced, 0);
            self.context.intake.add_bpf(polled.change.cost());
        }
    }
}

impl RunningKernel {
    /// Writes what became of the events of each source on each CPU.
    fn tell_rings(&self) {
        let mut rows = Columns::new(&RingCount::DEF);
        let time = clock::boottime().0;
        for t in self.capture.tallies() {
            let row = RingCount {
                time,
                source: name(t.object).to_owned(),
                cpu: t.cpu,
                emitted: t.emitted,
                refused: t.refused,
                received: t.received,
                missing: t.missing,
                left_out: t.left_out,
            };
            row.push(&mut rows);
        }
        if !rows.is_empty() && self.context.writer.append(RingCount::DEF.stream, rows).is_err() {
            self.broken.store(true, Ordering::Relaxed);
        }
    }
}

impl Running for RunningKernel {
    fn poll(&mut self) {
        self.count();
    }

    fn rungs(&self) -> Vec<Rung> {
        self.reducer.rungs()
    }

    fn reduce(&mut self, rung: &Rung, down: bool) -> Result<(), String> {
        self.reducer.reduce(rung, down)
    }

    fn pulses(&self) -> Vec<Pulse> {
        self.capture.pulses()
    }

    fn brake(&self) -> Option<Brake> {
        let dials = self.capture.dials();
        Some(Box::new(move || dials.detach_all().into_iter().map(|object| name(object).to_owned()).collect()))
    }

    fn segment_begins(&mut self) {
        put_names(&self.context);
    }

    fn failures(&mut self) -> Vec<(&'static str, String)> {
        if self.broken.load(Ordering::Relaxed) && !std::mem::replace(&mut self.told, true) {
            let running: Vec<_> = self.capture.running().into_iter().map(|(object, _)| name(object)).collect();
            return running.into_iter().map(|n| (n, "the bundle takes no more rows".to_owned())).collect();
        }
        Vec::new()
    }

    fn stop(mut self: Box<Self>) {
        for wrong in self.capture.stop() {
            tracing::warn!("{wrong}");
        }
        self.count();
        self.tell_rings();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_from_the_kernel_are_masked_and_what_is_half_is_left_out() {
        let mut rows = Columns::new(&Exec::DEF);
        for (text, cut) in [(&b"app\0--token\0hunter2\0"[..], 0u32), (b"app\0--password=hun", 40), (b"", 0)] {
            let event = Exec { cut, argv: coldcase_model::TextLen(text.len() as u32), ..Default::default() };
            let mut raw = vec![0; std::mem::size_of::<Exec>()];
            let put = |raw: &mut Vec<u8>, name: &str, value: u32| {
                if let Some(field) = Exec::DEF.fields.iter().find(|f| f.name == name) {
                    raw[field.offset..field.offset + 4].copy_from_slice(&value.to_le_bytes());
                }
            };
            put(&mut raw, "cut", event.cut);
            put(&mut raw, "argv", event.argv.0);
            raw.extend(text);
            assert!(rows.push_kernel(&Exec::DEF, &raw).is_ok());
        }
        mask_arguments(&mut rows);
        let Some(Column::Text(argv)) = rows.get("argv") else { return };
        let said: Vec<_> = (0..3).map(|i| argv.text(i).into_owned()).collect();
        assert_eq!(said, ["app --token ***", "app …", ""]);
    }
}
