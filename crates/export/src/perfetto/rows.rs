//! Rows of columns as slices and instants: on their thread where they tell one, else on their process, else by themselves.

use std::io::{self, Write};

use coldcase_analyze::waits::{self, RUN_QUEUE};
use coldcase_model::events::{BlockIo, CpuSample, HostMetric, Loss, OffCpu};
use coldcase_model::{Boottime, Column, Columns, Event, Utc};
use coldcase_timeline::{Entry, Timeline};

use super::proto::{self, PerfSample, TracePacket, TrackEvent};
use super::tracks::Tracks;
use super::writer::{Said, Writer};

/// Where waits stand, below their thread.
const STATE: &str = "state";
/// `kernel.offcpu.flags`: woken by an interrupt, not by the thread that it interrupted.
const INTERRUPT: u32 = 4;

/// Writes a row.
pub(super) fn put<W: Write>(
    t: &Timeline,
    w: &mut Writer<W>,
    tracks: &mut Tracks<'_>,
    e: &Entry,
    (columns, i): (&Columns, usize),
    flows: &mut Flows,
) -> io::Result<()> {
    match &*e.stream {
        s if s == OffCpu::DEF.stream => off_cpu(t, w, tracks, e, (columns, i), flows),
        s if s == CpuSample::DEF.stream => cpu_sample(t, w, tracks, e, (columns, i)),
        s if s == HostMetric::DEF.stream => host_metric(w, tracks, e, (columns, i)),
        s if s == Loss::DEF.stream && nothing_lost(columns, i) => Ok(()),
        _ => plain(t, w, tracks, e, (columns, i)),
    }
}

/// Numbers of arrows, apart from those of spans.
#[derive(Default)]
pub(super) struct Flows(u64);

impl Flows {
    fn next(&mut self) -> u64 {
        self.0 += 1;
        self.0 | 1 << 63
    }
}

/// A loss counter that stayed at zero.
fn nothing_lost(columns: &Columns, i: usize) -> bool {
    Loss::cols(columns).is_ok_and(|c| c.count[i] == 0 && c.bytes[i] == 0)
}

/// An interval off the CPU, and in it the time in the run queue; from whoever woke it leads an arrow to that.
fn off_cpu<W: Write>(
    t: &Timeline,
    w: &mut Writer<W>,
    tracks: &mut Tracks<'_>,
    e: &Entry,
    (columns, i): (&Columns, usize),
    flows: &mut Flows,
) -> io::Result<()> {
    let Ok(c) = OffCpu::cols(columns) else { return plain(t, w, tracks, e, (columns, i)) };
    let at = Boottime(c.time[i]);
    let mut frames = Vec::new();
    for (n, &addr) in c.kernel_stack.get(i).iter().enumerate() {
        t.symbols().kernel(addr, n == 0, &mut frames);
    }
    let wait = waits::wait(t, &c, i, &frames);
    let name = if wait.class == wait.call { wait.class.to_owned() } else { format!("{}: {}", wait.class, wait.call) };
    let mut event = w.event(OffCpu::DEF.stream, &name);
    columns_as_annotations(w, &mut event, e, columns, i);
    let thread = tracks.thread(w, (c.pid[i], c.tid[i]), at)?;
    let track = tracks.free(w, (thread, STATE), (e.utc.0, e.end.0))?;
    w.put(proto::SLICE_BEGIN, e.utc.0, track, event)?;
    *w.counts.slices.entry(e.stream.to_string()).or_default() += 1;
    let woken = e.end.0.saturating_sub(i64::try_from(wait.queued).unwrap_or(i64::MAX)).max(e.utc.0);
    if wait.waited > 0 && wait.queued > 0 {
        let mut queued = w.event(RUN_QUEUE, RUN_QUEUE);
        let waker = c.waker_tid[i];
        if waker != 0
            && c.flags[i] & INTERRUPT == 0
            && let Some(pid) = t.processes().pid_of(waker, Boottime(c.time[i].saturating_add(wait.waited)))
        {
            let flow = flows.next();
            let mut wakes = w.event("wakeup", &format!("wakes {}", t.processes().describe(c.tid[i], c.pid[i], at)));
            wakes.flow_ids.push(flow);
            queued.terminating_flow_ids.push(flow);
            let thread = tracks.thread(w, (pid, waker), at)?;
            let state = tracks.named(w, thread, STATE)?;
            w.put(proto::INSTANT, woken, state, wakes)?;
            *w.counts.instants.entry("wakeup".to_owned()).or_default() += 1;
            w.counts.flows += 1;
        }
        w.put(proto::SLICE_BEGIN, woken, track, queued)?;
        w.put(proto::SLICE_END, e.end.0, track, TrackEvent::default())?;
        *w.counts.slices.entry(RUN_QUEUE.to_owned()).or_default() += 1;
    }
    w.put(proto::SLICE_END, e.end.0, track, TrackEvent::default())
}

/// A sample of the CPU, as `perf` samples stand in a trace: with its stack.
fn cpu_sample<W: Write>(
    t: &Timeline,
    w: &mut Writer<W>,
    tracks: &mut Tracks<'_>,
    e: &Entry,
    (columns, i): (&Columns, usize),
) -> io::Result<()> {
    let Ok(c) = CpuSample::cols(columns) else { return plain(t, w, tracks, e, (columns, i)) };
    let (kernel, user) = (c.kernel_stack.get(i), c.user_stack.get(i));
    let frames = t.symbols().stack(c.pid[i], Boottime(c.time[i]), kernel, user);
    let callstack_iid = w.stack(&frames);
    if callstack_iid.is_none() && !frames.is_empty() {
        w.counts.without_stack += 1;
    }
    // Names the thread.
    tracks.thread(w, (c.pid[i], c.tid[i]), Boottime(c.time[i]))?;
    let perf_sample = Some(PerfSample {
        cpu: Some(u32::from(c.cpu[i])),
        pid: Some(c.pid[i]),
        tid: Some(c.tid[i]),
        callstack_iid,
        cpu_mode: Some(if c.flags[i] & 1 != 0 { proto::MODE_KERNEL } else { proto::MODE_USER }),
    });
    w.counts.cpu_samples += 1;
    w.packet(TracePacket { timestamp: Some(u64::try_from(e.utc.0).unwrap_or(0)), perf_sample, ..Default::default() })
}

fn host_metric<W: Write>(
    w: &mut Writer<W>,
    tracks: &mut Tracks<'_>,
    e: &Entry,
    (columns, i): (&Columns, usize),
) -> io::Result<()> {
    let Ok(c) = HostMetric::cols(columns) else { return Ok(()) };
    let (name, labels) = (c.name.text(i), c.labels.text(i));
    let series = if labels.is_empty() { name.into_owned() } else { format!("{name}{{{labels}}}") };
    counter(w, tracks, ("host", HostMetric::DEF.stream), (&series, ""), e.utc, c.value[i])
}

/// A sample of a counter, below a track for those of one origin. What is no finite number is left out.
pub(super) fn counter<W: Write>(
    w: &mut Writer<W>,
    tracks: &mut Tracks<'_>,
    (origin, category): (&str, &str),
    series: (&str, &str),
    utc: Utc,
    value: f64,
) -> io::Result<()> {
    if !value.is_finite() {
        return Ok(());
    }
    let above = tracks.named(w, 0, &format!("metrics {origin}"))?;
    let track = tracks.counter(w, above, series)?;
    *w.counts.counters.entry(category.to_owned()).or_default() += 1;
    w.put(proto::COUNTER, utc.0, track, TrackEvent { double_counter_value: Some(value), ..TrackEvent::default() })
}

/// Any other row, by what its columns tell.
fn plain<W: Write>(
    t: &Timeline,
    w: &mut Writer<W>,
    tracks: &mut Tracks<'_>,
    e: &Entry,
    (columns, i): (&Columns, usize),
) -> io::Result<()> {
    let mut event = w.event(&e.stream, &title(t, e, columns, i));
    columns_as_annotations(w, &mut event, e, columns, i);
    let (above, name) = place(t, w, tracks, e, (columns, i))?;
    if e.end > e.utc {
        let track = tracks.free(w, (above, &name), (e.utc.0, e.end.0))?;
        *w.counts.slices.entry(e.stream.to_string()).or_default() += 1;
        w.put(proto::SLICE_BEGIN, e.utc.0, track, event)?;
        w.put(proto::SLICE_END, e.end.0, track, TrackEvent::default())
    } else {
        let track = tracks.named(w, above, &name)?;
        *w.counts.instants.entry(e.stream.to_string()).or_default() += 1;
        w.put(proto::INSTANT, e.utc.0, track, event)
    }
}

/// The track above, and the name of the one that a row stands on.
fn place<W: Write>(
    t: &Timeline,
    w: &mut Writer<W>,
    tracks: &mut Tracks<'_>,
    e: &Entry,
    (columns, i): (&Columns, usize),
) -> io::Result<(u64, String)> {
    if let (true, Ok(c)) = (&*e.stream == BlockIo::DEF.stream, BlockIo::cols(columns)) {
        return Ok((0, format!("block I/O {}", t.devices().name(c.dev[i]))));
    }
    let number = |name: &str| columns.get(name).and_then(|c| c.int(i)).and_then(|n| u32::try_from(n).ok());
    let at = columns.get("time").and_then(|c| c.int(i)).and_then(|n| u64::try_from(n).ok()).map(Boottime);
    let at = at.unwrap_or_else(|| t.boot(e.utc));
    // Of a change that an interrupt made, pid and tid are those of whoever was interrupted.
    let own = number("on_behalf").is_none_or(|on_behalf| on_behalf == 1);
    let name = e.stream.rsplit('.').next().unwrap_or(&e.stream).to_owned();
    let tid = number("tid").filter(|&n| n != 0 && own);
    let pid = number("pid").filter(|&n| n != 0 && own).or_else(|| t.processes().pid_of(tid?, at));
    let above = match (pid, tid) {
        (Some(pid), Some(tid)) => tracks.thread(w, (pid, tid), at)?,
        (Some(pid), None) => tracks.process(w, pid, at)?,
        (None, _) => match owner(t, columns, i, at) {
            Some(pid) => tracks.process(w, pid, at)?,
            None => return Ok((0, e.stream.to_string())),
        },
    };
    Ok((above, name))
}

/// The process that has the socket of a row.
fn owner(t: &Timeline, columns: &Columns, i: usize, at: Boottime) -> Option<u32> {
    let end = |address: &str, port: &str| {
        let Some(Column::Ip(ips)) = columns.get(address) else { return None };
        Some((ips.get(i)?.addr(), u16::try_from(columns.get(port)?.int(i)?).ok()?))
    };
    let (local, remote) = (end("local_addr", "local_port")?, end("remote_addr", "remote_port")?);
    t.sockets().owner(6, local, remote, at).map(|o| o.pid)
}

/// Columns that say in words what a row is about, the first of them that is not empty.
const SUBJECTS: [&str; 8] = ["query", "text", "name", "path", "step", "reason", "source", "comm"];
/// Operations of `BlockIo::op`, as in `include/linux/blk_types.h`.
const OPERATIONS: [(i128, &str); 4] = [(0, "read"), (1, "write"), (2, "flush"), (3, "discard")];

fn title(t: &Timeline, e: &Entry, columns: &Columns, i: usize) -> String {
    let what = e.stream.rsplit('.').next().unwrap_or(&e.stream).replace('_', " ");
    if *e.stream == *BlockIo::DEF.stream {
        let op = columns.get("op").and_then(|c| c.int(i)).map_or(0, |n| n & 0xff);
        return OPERATIONS.iter().find(|o| o.0 == op).map_or_else(|| format!("operation {op}"), |o| o.1.to_owned());
    }
    if let Some(number) = columns.get("syscall").and_then(|c| c.int(i)) {
        let arch = t.bundle().manifest().map_or("x86_64", |m| m.host.arch.as_str());
        let name = i32::try_from(number).ok().and_then(|n| coldcase_model::syscall::name(arch, n));
        return name.map_or_else(|| format!("{what} {number}"), |name| format!("{what} {name}"));
    }
    let subject = SUBJECTS.iter().find_map(|name| match columns.get(name) {
        Some(Column::Text(c)) if !c.get(i).is_empty() => Some(c.text(i)),
        _ => None,
    });
    match subject {
        Some(subject) => format!("{what} {subject}"),
        None => what,
    }
}

/// All columns that say something but time and length, and which row it is.
fn columns_as_annotations<W: Write>(w: &mut Writer<W>, event: &mut TrackEvent, e: &Entry, columns: &Columns, i: usize) {
    w.annotate(event, "row", Said::Uint(e.row));
    for (name, column) in columns.names.iter().zip(&columns.columns) {
        if matches!(&**name, "reserved" | "time" | "duration") {
            continue;
        }
        match (column, column.int(i)) {
            (_, Some(0)) => {}
            (_, Some(n)) => match (i64::try_from(n), u64::try_from(n)) {
                (Ok(n), _) => w.annotate(event, name, Said::Int(n)),
                (_, Ok(n)) => w.annotate(event, name, Said::Uint(n)),
                _ => {}
            },
            (Column::F64(v), _) => w.annotate(event, name, Said::Float(v.get(i).copied().unwrap_or(0.0))),
            (Column::Ip(v), _) => {
                if let Some(ip) = v.get(i) {
                    w.annotate(event, name, Said::Text(&ip.addr().to_string()));
                }
            }
            (Column::Text(c), _) if !c.get(i).is_empty() => w.annotate(event, name, Said::Text(&c.text(i))),
            _ => {}
        }
    }
}
