//! Perfetto: a trace for <https://ui.perfetto.dev> and trace_processor.
//!
//! Times are UTC nanoseconds (CLOCK_REALTIME is the trace's clock; the anchors of the bundle lead from it to BOOTTIME). Every
//! packet is of one sequence. Entries are streamed in the order of the timeline; spans are held for a second, for the arrows.
//! Packets of one track stand in the file so that a stable sort by time nests them right, which is how trace_processor reads them.

mod proto;
mod requests;
mod rows;
mod signals;
mod spans;
mod tracks;
mod writer;

use std::io::{self, Write};

use coldcase_model::analysis::Flow;
use coldcase_timeline::{Binder, Body, Entry, Merge, StreamSet, Timeline};

use proto::{Clock, ClockSnapshot, SystemInfo, TracePacket, Utsname};
use spans::Spans;
use tracks::Tracks;
use writer::Writer;

pub use writer::Counts;

/// Streams that are not shown: what only describes the host or the recorder, sums over stretches whose times nobody knows, and
/// packets, of which requests and counters are shown.
pub const LEFT_OUT: [&str; 21] = [
    "host.cgroup",
    "host.cgroup_cpu",
    "host.container",
    "host.device",
    "host.enum",
    "host.mapping",
    "host.nat",
    "host.process",
    "host.socket",
    "kernel.irq",
    "kernel.offcpu_sum",
    "kernel.syscall_histogram",
    "kernel.thread_cgroup",
    "packets",
    "recorder.anchor",
    "recorder.backlog",
    "recorder.cost",
    "recorder.forward",
    "recorder.ring",
    "symbols",
    "symbols.modules",
];

/// What is written.
pub struct Wanted<'a> {
    /// The streams; of these, [`LEFT_OUT`] are left out.
    pub streams: &'a dyn Fn(&str) -> bool,
    /// Which entries.
    pub passes: &'a dyn Fn(&Entry) -> bool,
    /// Requests that were seen in packets.
    pub flow: Option<&'a Flow>,
    /// Samples of scraped pages and Remote-Write requests, which belong to no process.
    pub samples: bool,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// What was written.
    pub counts: Counts,
    /// Arrows that could not be drawn: the span at the other end is not in the bundle, began no earlier, or was over for long.
    pub without_flow: u64,
    /// What has no time, or one before 1970.
    pub without_time: u64,
    /// Samples of histogram buckets, which are no counters to look at.
    pub buckets: u64,
    /// What could not be read.
    pub problems: Vec<String>,
}

/// Whether a stream is shown.
fn is_shown(stream: &str) -> bool {
    !LEFT_OUT.contains(&stream)
        && !stream.ends_with(".receipts")
        && !stream.starts_with("metrics.")
        && !stream.starts_with("prometheus.")
}

/// Entries with the same start that are brought into order.
const AT_ONCE: usize = 4096;

/// Writes a bundle.
///
/// # Errors
/// When it cannot be written to `out`.
pub fn write<W: Write>(t: &Timeline, wanted: &Wanted<'_>, out: W) -> io::Result<Written> {
    let mut w = Writer::new(out);
    clocks(t, &mut w)?;
    let mut trace = Trace {
        t,
        binder: Binder::new(t),
        tracks: Tracks::new(t),
        spans: Spans::default(),
        flows: rows::Flows::default(),
        written: Written::default(),
    };
    let all = t.bundle().streams();
    let shown = all.iter().map(|s| &*s.name).filter(|s| is_shown(s) && (wanted.streams)(s));
    let mut merge = Merge::new(t, &StreamSet::named(shown));
    let mut same: Vec<Entry> = Vec::new();
    for entry in merge.by_ref().filter(|e| is_shown(&e.stream) && (wanted.passes)(e)) {
        if same.first().is_some_and(|first| first.utc != entry.utc) || same.len() >= AT_ONCE {
            trace.put_all(&mut w, &mut same)?;
        }
        same.push(entry);
    }
    trace.put_all(&mut w, &mut same)?;
    trace.spans.finish(&mut w)?;
    trace.written.problems.extend_from_slice(merge.problems());
    if wanted.samples {
        trace.samples(&mut w, wanted)?;
    }
    if let Some(flow) = wanted.flow {
        requests::put(&mut w, &mut trace.tracks, flow)?;
    }
    trace.written.without_flow = trace.spans.without_flow;
    Ok(Written { counts: w.finish()?, ..trace.written })
}

struct Trace<'a> {
    t: &'a Timeline,
    binder: Binder<'a>,
    tracks: Tracks<'a>,
    spans: Spans,
    flows: rows::Flows,
    written: Written,
}

impl Trace<'_> {
    /// Writes entries that begin at one time, the longest first: they may hold the others.
    fn put_all<W: Write>(&mut self, w: &mut Writer<W>, same: &mut Vec<Entry>) -> io::Result<()> {
        same.sort_by_key(|e| std::cmp::Reverse(e.end));
        same.drain(..).try_for_each(|e| self.put(w, &e))
    }

    fn put<W: Write>(&mut self, w: &mut Writer<W>, e: &Entry) -> io::Result<()> {
        if e.utc.0 <= 0 {
            self.written.without_time += 1;
            return Ok(());
        }
        match &e.body {
            Body::Row { columns, at } => rows::put(self.t, w, &mut self.tracks, e, (columns, *at), &mut self.flows),
            Body::Span(s) => self.span(w, &s.span),
            Body::Record(r) => self.record(w, e, r),
            Body::Line(l) => self.line(w, l),
            Body::Metric(m) => self.metric(w, m),
            // Of packets the requests are shown, and of pages the samples.
            Body::Packet(_) | Body::Page { .. } | Body::Written { .. } => Ok(()),
        }
    }
}

/// What the trace's clock is, where it came from, and how it stands to the host's clocks.
fn clocks<W: Write>(t: &Timeline, w: &mut Writer<W>) -> io::Result<()> {
    let clock = |id, timestamp| Clock { clock_id: Some(id), timestamp: Some(timestamp) };
    let mut last = 0;
    let mut snapshots = Vec::new();
    for a in t.clock().anchors() {
        // The trace's own clock must not run back; where the host's did, the anchors behind that tell nothing new.
        if let Ok(real) = u64::try_from(a.real.0)
            && real > last
        {
            last = real;
            snapshots.push(vec![clock(proto::REALTIME, real), clock(proto::BOOTTIME, a.boot.0)]);
        }
    }
    if snapshots.is_empty() {
        snapshots.push(vec![clock(proto::REALTIME, u64::try_from(t.start().0).unwrap_or(0))]);
    }
    for clocks in snapshots {
        let timestamp = clocks.first().and_then(|c| c.timestamp);
        let clock_snapshot = Some(ClockSnapshot { clocks, primary_trace_clock: Some(proto::REALTIME) });
        w.packet(TracePacket { timestamp, clock_snapshot, ..TracePacket::default() })?;
    }
    let Some(m) = t.bundle().manifest() else { return Ok(()) };
    let release = m.host.kernel.split_once(' ').map_or(m.host.kernel.as_str(), |(_, release)| release);
    let utsname = Utsname {
        sysname: Some("Linux".to_owned()),
        release: Some(release.to_owned()),
        machine: Some(m.host.arch.clone()),
    };
    let system_info = Some(SystemInfo { utsname: Some(utsname), num_cpus: Some(m.host.cpus) });
    w.packet(TracePacket { system_info, ..TracePacket::default() })
}
