//! The timeline of one bundle: its streams in memory, typed, on UTC, with names for everything.

use std::path::Path;
use std::sync::Arc;

use coldcase_bundle::{Bundle, ChunkStream};
use coldcase_model::catalogue::SPAN_STREAMS;
use coldcase_model::clock::ClockMap;
use coldcase_model::time::AnchorPoint;
use coldcase_model::{Boottime, Event, Evidence, Nanos, Utc, events};

use crate::cpu_groups::CpuGroups;
use crate::decoded::{Decoded, ExemplarRow, LogRow, MetricRow, Packet, RecordRow, SampleRow, SpanRow};
use crate::devices::Devices;
use crate::enums::EnumNames;
use crate::error::TimelineError;
use crate::load::{self, Decoder, Loaded, TimeFields};
use crate::options::{Options, StreamSet};
use crate::processes::Processes;
use crate::segment::{Rows, Segment};
use crate::sockets::Sockets;
use crate::symbols::Symbols;

/// Streams from which clocks, entities and symbols come, loaded whole whatever the window.
const SUPPORT: [&str; 16] = [
    "recorder.anchor",
    "host.process",
    "host.container",
    "host.socket",
    "host.nat",
    "host.mapping",
    "host.device",
    "host.enum",
    "host.cgroup_cpu",
    "kernel.task",
    "kernel.exec",
    "kernel.tcp_state",
    "kernel.socket",
    "kernel.thread_cgroup",
    "symbols",
    "symbols.modules",
];

/// A bundle, loaded.
#[derive(Debug)]
pub struct Timeline {
    bundle: Bundle,
    pool: Arc<rayon::ThreadPool>,
    clock: ClockMap,
    start: Utc,
    end: Utc,
    window: (Option<Utc>, Option<Utc>),
    /// Which streams are held.
    held: StreamSet,
    loaded: Loaded,
    processes: Processes,
    sockets: Sockets,
    cpu_groups: CpuGroups,
    symbols: Symbols,
    devices: Devices,
    enums: EnumNames,
    problems: Vec<String>,
}

/// Raw nanoseconds of a column as the time they are.
pub trait IntoBoot {
    /// As BOOTTIME.
    fn into_boot(self) -> Boottime;
}

impl IntoBoot for u64 {
    fn into_boot(self) -> Boottime {
        Boottime(self)
    }
}

impl Timeline {
    /// Opens a bundle and loads the streams that `options` names.
    pub fn open(path: &Path, options: &Options) -> Result<Timeline, TimelineError> {
        Timeline::of(Bundle::open(path)?, options)
    }

    /// Loads the streams that `options` names of a bundle.
    pub fn of(bundle: Bundle, options: &Options) -> Result<Timeline, TimelineError> {
        let threads = options.threads.unwrap_or(0);
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .map_err(|e| TimelineError::Threads { threads, why: e.to_string() })?;
        let mut t = Timeline {
            bundle,
            pool: Arc::new(pool),
            clock: ClockMap::default(),
            start: Utc(0),
            end: Utc(0),
            window: (None, None),
            held: options.streams.clone(),
            loaded: Loaded::default(),
            processes: Processes::default(),
            sockets: Sockets::default(),
            cpu_groups: CpuGroups::default(),
            symbols: Symbols::default(),
            devices: Devices::default(),
            enums: EnumNames::default(),
            problems: Vec::new(),
        };
        t.problems = t
            .bundle
            .problems()
            .iter()
            .map(|p| format!("bytes {} to {}: {}", p.range.start, p.range.end, p.what))
            .collect();
        let support =
            t.read(&Decoder::default(), &|s| SUPPORT.contains(&s) || s == "metrics.pages.receipts", &|_| true);
        t.clock = ClockMap::new(anchors(of(&support, "recorder.anchor")));
        t.bounds();
        t.window = (options.from.map(|w| w.utc(t.start)), options.to.map(|w| w.utc(t.start)));
        if let (Some(from), Some(to)) = t.window
            && from >= to
        {
            return Err(TimelineError::Window { from: from.0, to: to.0 });
        }
        t.processes = Processes::new(
            of(&support, "host.process"),
            of(&support, "kernel.task"),
            of(&support, "kernel.exec"),
            of(&support, "host.container"),
        );
        t.sockets = Sockets::new(
            of(&support, "host.socket"),
            of(&support, "kernel.socket"),
            of(&support, "kernel.tcp_state"),
            &t.processes,
        )
        .with_translations(of(&support, "host.nat"));
        t.enums = EnumNames::new(of(&support, "host.enum"));
        t.cpu_groups = CpuGroups::new(
            of(&support, "host.cgroup_cpu"),
            of(&support, "kernel.thread_cgroup"),
            of(&support, "kernel.task"),
        );
        t.symbols = Symbols::new(
            of(&support, "symbols"),
            of(&support, "symbols.modules"),
            of(&support, "host.mapping"),
            of(&support, "kernel.task"),
            &options.debug_files,
        )?;
        t.devices = Devices::new(of(&support, "host.device"));
        t.load(options, support);
        Ok(t)
    }

    /// Loads what was asked for, and names services by the spans whether or not spans were.
    fn load(&mut self, options: &Options, support: Loaded) {
        let want = |s: &str| SPAN_STREAMS.contains(&s) || (options.streams.has(s) && !SUPPORT.contains(&s));
        let decoder = Decoder {
            pages: load::pages(of(&support, "metrics.pages.receipts")),
            only_services: !SPAN_STREAMS.iter().any(|s| options.streams.has(s)),
        };
        let mut loaded = self.read(&decoder, &want, &|s| self.near(s));
        self.problems.extend_from_slice(&support.decoded.problems);
        self.problems.append(&mut loaded.decoded.problems);
        self.processes.name_services(loaded.services.iter().map(|(pid, name)| (*pid, name.as_str())));
        for (stream, segments) in support.segments {
            if options.streams.has(&stream) {
                loaded.segments.insert(stream, segments);
            }
        }
        self.loaded = loaded;
        if self.window != (None, None) {
            self.cut();
        }
    }

    fn read(
        &self,
        decoder: &Decoder,
        want: &(dyn Fn(&str) -> bool + Sync),
        within: &(dyn Fn(&ChunkStream) -> bool + Sync),
    ) -> Loaded {
        self.pool.install(|| load::load(&self.bundle, decoder, want, within))
    }

    /// Start and end of the recording: its first and last anchor, widened to all events for want of anchors.
    fn bounds(&mut self) {
        let anchors = self.clock.anchors();
        let streams = self.bundle.streams();
        let first = match anchors.first() {
            Some(a) => Some(a.boot),
            None => streams.iter().map(|s| s.first).min(),
        };
        let last = streams
            .iter()
            .filter(|s| !SUPPORT.contains(&&*s.name))
            .map(|s| s.last)
            .chain(anchors.last().map(|a| a.boot))
            .max();
        self.start = self.clock.utc(first.unwrap_or_default());
        self.end = self.clock.utc(last.unwrap_or_default()).max(self.start);
    }

    /// Whether a chunk may hold rows of the window. Streams whose rows tell their own times are always read: when
    /// they were received says little of when they were.
    pub(crate) fn near(&self, s: &ChunkStream) -> bool {
        self.near_window(s, self.window)
    }

    /// The same, of another window.
    pub(crate) fn near_window(&self, s: &ChunkStream, window: (Option<Utc>, Option<Utc>)) -> bool {
        let own = ["otlp.", "jaeger.", "zipkin.", "metrics.", "prometheus."].iter().any(|p| s.stream.starts_with(p))
            || &*s.stream == "log.lines";
        if own || !self.clock.steps().is_empty() {
            return true;
        }
        let slack = Nanos::SECOND.0 as i64;
        let (start, end) = (self.clock.utc(s.start).0, self.clock.utc(s.end).0);
        window.0.is_none_or(|from| end.saturating_add(slack) >= from.0)
            && window.1.is_none_or(|to| start.saturating_sub(slack) < to.0)
    }

    /// Whether an interval touches the window.
    pub fn in_window(&self, start: Utc, end: Utc) -> bool {
        self.window.0.is_none_or(|from| end >= from) && self.window.1.is_none_or(|to| start < to)
    }

    /// Leaves out what is outside the window.
    fn cut(&mut self) {
        let segments = std::mem::take(&mut self.loaded.segments);
        let kept = segments.into_iter().map(|(stream, segments)| {
            let cut = segments.into_iter().map(|s| self.cut_segment(&stream, s)).filter(|s| !s.is_empty()).collect();
            (stream, cut)
        });
        let kept = kept.collect();
        let mut d = std::mem::take(&mut self.loaded.decoded);
        d.spans.retain(|s| self.in_window(Utc(s.span.start), Utc(s.span.end)));
        d.records.retain(|r| self.in_window(r.utc, r.utc));
        d.metrics.retain(|m| self.in_window(m.utc, m.utc));
        d.samples.retain(|s| self.in_window(s.utc, s.utc));
        d.exemplars.retain(|e| self.in_window(e.utc, e.utc));
        d.packets.retain(|p| self.in_window(p.utc, p.utc));
        d.lines.retain(|l| self.in_window(l.utc, l.utc));
        self.loaded = Loaded { segments: kept, decoded: d, ..Loaded::default() };
    }

    /// The rows of a segment that touch the window.
    pub(crate) fn within(&self, stream: &str, s: Segment) -> Segment {
        if self.window == (None, None) { s } else { self.cut_segment(stream, s) }
    }

    fn cut_segment(&self, stream: &str, s: Segment) -> Segment {
        let columns = s.columns.clone();
        match TimeFields::of(stream, &columns) {
            Some(times) => s.filter(|i| self.in_window(self.utc(times.start(i)), self.utc(times.end(i)))),
            None => s,
        }
    }

    /// What the values of the kernel's enumerations are called.
    pub fn enum_names(&self) -> &EnumNames {
        &self.enums
    }

    /// The bundle.
    pub fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    /// The clocks of its host.
    pub fn clock(&self) -> &ClockMap {
        &self.clock
    }

    /// UTC of a BOOTTIME.
    pub fn utc(&self, boot: Boottime) -> Utc {
        self.clock.utc(boot)
    }

    /// UTC of the raw value of a BOOTTIME column.
    pub fn utc_of(&self, boot_ns: u64) -> Utc {
        self.clock.utc(Boottime(boot_ns))
    }

    /// BOOTTIME of a UTC of the host's real-time clock, to within the drift between two anchors: for looking up
    /// entities by the time of a packet, span or log line.
    pub fn boot(&self, utc: Utc) -> Boottime {
        let anchors = self.clock.anchors();
        let after = anchors.partition_point(|a| a.real <= utc);
        match anchors.get(after.saturating_sub(1)) {
            Some(a) => {
                let boot = i128::from(a.boot.0) + i128::from(utc.0) - i128::from(a.real.0);
                Boottime(boot.clamp(0, i128::from(u64::MAX)) as u64)
            }
            None => Boottime(u64::try_from(utc.0).unwrap_or(0)),
        }
    }

    /// Bound on the error of a derived UTC; `None` without anchors.
    pub fn uncertainty(&self) -> Option<Nanos> {
        self.clock.uncertainty()
    }

    /// Start of the recording: what `+2s` counts from.
    pub fn start(&self) -> Utc {
        self.start
    }

    /// End of the recording.
    pub fn end(&self) -> Utc {
        self.end
    }

    /// The window that was asked for: start and end where given.
    pub fn window(&self) -> (Option<Utc>, Option<Utc>) {
        self.window
    }

    /// The block devices of its host.
    pub fn devices(&self) -> &Devices {
        &self.devices
    }

    /// The loaded streams of columns, by name.
    pub fn streams(&self) -> impl Iterator<Item = (&str, &[Segment])> {
        self.loaded.segments.iter().map(|(name, segments)| (&**name, segments.as_slice()))
    }

    /// Whether a stream was loaded.
    pub(crate) fn holds(&self, stream: &str) -> bool {
        self.held.has(stream)
    }

    /// The segments of a stream, in order of rows; none when it was not loaded or recorded.
    pub fn segments(&self, stream: &str) -> &[Segment] {
        of(&self.loaded, stream)
    }

    /// The rows of an event's own stream, typed, segment by segment. A field that was appended after the bundle was
    /// written reads as zero or empty.
    pub fn rows<E: Event>(&self) -> impl Iterator<Item = Rows<'_, E>> {
        self.segments(E::DEF.stream).iter().filter_map(Rows::new)
    }

    /// Spans, in order of arrival.
    pub fn spans(&self) -> &[SpanRow] {
        &self.loaded.decoded.spans
    }

    /// OTLP log records, in order of arrival.
    pub fn records(&self) -> &[RecordRow] {
        &self.loaded.decoded.records
    }

    /// OTLP metric points, in order of arrival.
    pub fn metrics(&self) -> &[MetricRow] {
        &self.loaded.decoded.metrics
    }

    /// Samples of scraped pages and Remote-Write requests, by stream and in order of arrival.
    pub fn samples(&self) -> &[SampleRow] {
        &self.loaded.decoded.samples
    }

    /// Exemplars of those, likewise.
    pub fn exemplars(&self) -> &[ExemplarRow] {
        &self.loaded.decoded.exemplars
    }

    /// Packets, in order of capture.
    pub fn packets(&self) -> &[Packet] {
        &self.loaded.decoded.packets
    }

    /// Log lines, in order of reading.
    pub fn lines(&self) -> &[LogRow] {
        &self.loaded.decoded.lines
    }

    /// All that was decoded from raw streams.
    pub fn decoded(&self) -> &Decoded {
        &self.loaded.decoded
    }

    /// Processes and threads over time.
    pub fn processes(&self) -> &Processes {
        &self.processes
    }

    /// Owners of sockets.
    pub fn sockets(&self) -> &Sockets {
        &self.sockets
    }

    /// The CPU controller's cgroups and their threads.
    pub fn cpu_groups(&self) -> &CpuGroups {
        &self.cpu_groups
    }

    /// Names of addresses.
    pub fn symbols(&self) -> &Symbols {
        &self.symbols
    }

    /// What could not be read or decoded, in one line each.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// A row of this bundle, as evidence.
    pub fn evidence(&self, stream: &str, row: u64) -> Evidence {
        Evidence { bundle: self.bundle.id().to_owned(), stream: stream.to_owned(), row }
    }

    /// How many threads there are to decode with.
    pub(crate) fn threads(&self) -> usize {
        self.pool.current_num_threads().max(1)
    }

    /// Target and content type of each scraped page, by its number in `metrics.pages`.
    pub fn pages(&self) -> std::collections::HashMap<u64, (Arc<str>, String)> {
        let receipts = self.read(&Decoder::default(), &|s| s == "metrics.pages.receipts", &|_| true);
        load::pages(of(&receipts, "metrics.pages.receipts"))
    }

    /// Runs `work` on the threads that the options asked for; rayon's parallel iterators in it use those.
    pub fn install<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        self.pool.install(work)
    }
}

fn of<'a>(loaded: &'a Loaded, stream: &str) -> &'a [Segment] {
    loaded.segments.get(stream).map_or(&[], Vec::as_slice)
}

fn anchors(segments: &[Segment]) -> Vec<AnchorPoint> {
    let mut out = Vec::new();
    for cols in segments.iter().filter_map(|s| events::Anchor::cols(&s.columns).ok()) {
        for i in 0..cols.time.len() {
            out.push(AnchorPoint {
                boot: Boottime(cols.time[i]),
                real: Utc(cols.realtime[i]),
                width: Nanos(cols.width[i]),
            });
        }
    }
    out
}
