//! Flame, latency and flow: from the timeline of a bundle to findings and tables.
//!
//! ```no_run
//! let a = coldcase_analyze::analyze("incident.case".as_ref(), &coldcase_analyze::Options::default())?;
//! for sentence in &a.summary {
//!     println!("{sentence}");
//! }
//! # Ok::<(), coldcase_analyze::AnalyzeError>(())
//! ```
//!
//! The same bundle gives the same analysis, whatever the number of threads: sums are of integers, lists are sorted by
//! what they hold, and packets are followed in order.

mod axis;
mod change;
pub mod compare;
mod events;
mod findings;
mod flame;
pub mod flow;
mod functions;
mod heat;
mod kernel;
mod latency;
mod log_kinds;
mod metrics;
mod quality;
mod quantile;
mod requests;
mod scope;
mod series;
mod summary;
mod throttle;
mod trace;
mod trend;
mod wait_class;
pub mod waits;
mod wording;
mod worst;

use std::collections::BTreeSet;
use std::path::Path;

use coldcase_model::Boottime;
use coldcase_model::analysis::{Analysis, Flow, Traces};
use coldcase_model::catalogue::SPAN_STREAMS;
use coldcase_timeline::{Scope, Selection, StreamSet, Timeline, TimelineError};

use axis::Axis;
use findings::Seen;
use flame::{Making, Window};
use trend::Trouble;

pub use scope::{GroupBy, Options, Part};
pub use trace::{Joined, TraceViews, joined_logs};

/// Why a window cannot be held against the rest of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DiffError {
    /// Neither start nor end of a window was given.
    #[error("a difference is of a window and the rest of the recording, and no window was given")]
    NoWindow,
    /// The window lies outside of the recording.
    #[error("the window holds nothing of the recording")]
    Outside,
    /// The window is the recording.
    #[error("the window covers the whole recording: nothing is left to hold it against")]
    NoBase,
}

/// Why there is no analysis.
#[derive(Debug, thiserror::Error)]
pub enum AnalyzeError {
    /// The bundle could not be loaded.
    #[error(transparent)]
    Timeline(#[from] TimelineError),
    /// A difference was asked for, and there is no window, nothing in it, or nothing beside it.
    #[error("{0}")]
    Diff(DiffError),
    /// A capture file could not be read.
    #[error(transparent)]
    Capture(#[from] flow::capture::CaptureError),
}

/// Streams that the parts of an analysis read, held in memory. Packets are streamed.
fn streams(parts: &[Part], scope: &Scope) -> StreamSet {
    let mut names = vec!["recorder"];
    for part in parts {
        names.extend(match part {
            Part::Flame => &STACKS[..],
            Part::Trace => &["otlp.traces", "jaeger.traces", "zipkin.spans", "otlp.logs", "log"],
            Part::Latency => &[
                "otlp.traces",
                "jaeger.traces",
                "zipkin.spans",
                "metrics.pages",
                "prometheus",
                "host.metric",
                "kernel.block",
                "kernel.offcpu",
                "kernel.syscall",
                "kernel.task",
                "kernel.tcp_info",
                "kernel.file",
                "kernel.major_fault",
                "kernel.lock",
                "kernel.name_lookup",
                "kernel.statement",
                "kernel.tls",
            ],
            Part::Flow => &["kernel.tcp_retransmit", "kernel.tcp_info", "kernel.drop"],
            Part::Rest => &[
                "otlp",
                "jaeger.traces",
                "zipkin.spans",
                "log",
                "metrics",
                "prometheus",
                "host.metric",
                "host.cgroup",
                "kernel.cpu_sample",
                "kernel.task",
                "kernel.oom_kill",
            ],
        });
    }
    if !scope.traces.is_empty() {
        names.extend(SPAN_STREAMS);
    }
    names.sort_unstable();
    names.dedup();
    StreamSet::named(names)
}

/// Analyses a bundle.
///
/// # Errors
/// When it cannot be opened, or the window is empty. What cannot be read of an opened bundle is told in
/// [`coldcase_model::analysis::Quality::problems`].
pub fn analyze(path: &Path, options: &Options) -> Result<Analysis, AnalyzeError> {
    let parts = if options.parts.is_empty() { &Part::ALL[..] } else { &options.parts };
    // The rest of the recording is needed as well where the window is held against it.
    let (from, to) = if options.diff { (None, None) } else { (options.from, options.to) };
    let t = Timeline::open(
        path,
        &coldcase_timeline::Options {
            threads: options.threads,
            from,
            to,
            streams: streams(parts, &options.scope),
            debug_files: options.debug_files.clone(),
        },
    )?;
    let window = if options.diff { Some(window(&t, options)?) } else { None };
    let making = Making { arch: arch(&t), by: options.by, window };
    Ok(t.install(|| of_timeline(&t, options, parts, &making)))
}

/// The streams that flame graphs are made of.
const STACKS: [&str; 2] = ["kernel.cpu_sample", "kernel.offcpu"];

/// The window that is held against the rest of the recording.
fn window(t: &Timeline, options: &Options) -> Result<Window, AnalyzeError> {
    if options.from.is_none() && options.to.is_none() {
        return Err(AnalyzeError::Diff(DiffError::NoWindow));
    }
    let [from, to] = [options.from, options.to].map(|end| end.map(|when| when.utc(t.start())));
    if let (Some(from), Some(to)) = (from, to)
        && from >= to
    {
        return Err(TimelineError::Window { from: from.0, to: to.0 }.into());
    }
    // Before its probes are live and after they are taken off, a recording holds no stacks: that would thin out the rest.
    let streams = t.bundle().streams().into_iter().filter(|s| STACKS.contains(&&*s.name));
    let (start, end) = streams.fold((u64::MAX, 0), |(start, end), s| (start.min(s.first.0), end.max(s.last.0)));
    let (start, end) = if start < end { (start, end) } else { (t.boot(t.start()).0, t.boot(t.end()).0) };
    let from = from.map_or(start, |utc| t.boot(utc).0).max(start);
    let to = to.map_or(end, |utc| t.boot(utc).0).min(end);
    match (to.saturating_sub(from), end.saturating_sub(start).saturating_sub(to.saturating_sub(from))) {
        (0, _) => Err(AnalyzeError::Diff(DiffError::Outside)),
        (_, 0) => Err(AnalyzeError::Diff(DiffError::NoBase)),
        (_, base) => Ok(Window { from, to, base }),
    }
}

/// Analyses a capture file of another tool: its flow is all that it tells. It is read a second time for `sequences`.
///
/// # Errors
/// When it cannot be read or is neither pcap nor pcapng.
pub fn analyze_capture(path: &Path, sequences: flow::Sequences) -> Result<Analysis, AnalyzeError> {
    let mut tap = flow::Tap::default();
    let problems = flow::capture::read(path, &mut tap)?;
    let owner = &|_, _, _, _| None;
    let translated = &|_, _, _| None;
    let (kernel, sockets, narrow) = (None, None, false);
    let parts = flow::Parts { bundle: "", tap: &mut tap, kernel, sockets, owner, translated, narrow };
    let mut flow = parts.finish();
    let times = tap.times();
    drop(tap);
    if let Some(mut picker) = flow::sequence::Picker::new(&flow.connections, sequences) {
        // What cannot be read was told the first time.
        let _ = flow::capture::read(path, &mut picker)?;
        flow.sequences = picker.finish();
    }
    let mut a = Analysis::default();
    a.bundle.file = path.file_name().map(|f| f.to_string_lossy().into_owned()).unwrap_or_default();
    a.bundle.complete = problems.is_empty();
    (a.bundle.first, a.bundle.last) = times.unwrap_or((0, 0));
    a.bundle.bytes = std::fs::metadata(path).map(|m| m.len()).unwrap_or(0);
    a.quality.streams = vec![("packets".to_owned(), flow.packets)];
    a.quality.problems = problems;
    a.flow = flow;
    Ok(a)
}

fn of_timeline(t: &Timeline, options: &Options, parts: &[Part], making: &Making<'_>) -> Analysis {
    let has = |part| parts.contains(&part);
    let id = t.bundle().id().to_owned();
    let arch = making.arch;
    let (from, to) = t.window();
    let axis = Axis::new(from.unwrap_or(t.start()).0, to.unwrap_or(t.end()).0);
    let scope = &options.scope;
    let selection = Selection::new(t, scope);
    let spans = latency::span::group(t, &axis, scope, &id);
    let trouble = Trouble::of(&spans);
    let services = services(t);
    // Only a change is explained by functions.
    let looked_at = |p: &str| services.is_empty() || services.contains(p);
    let functions: Option<&(dyn Fn(&str) -> bool + Sync)> = if trouble.is_some() { Some(&looked_at) } else { None };
    let throttling = throttle::of(t, &selection, &id);
    let wanted = kernel::Wanted {
        timeline: t,
        axis: &axis,
        selection: &selection,
        throttling: &throttling,
        parts,
        making,
        functions,
    };
    let (mut sums, mut problems) = kernel::sums(&wanted);
    let blocks = sums.block_latencies(t, &axis, &id);
    let input = flame::Input { timeline: t, selection: &selection, throttling: &throttling, making };
    let flames = flame::flames(&input, &mut sums);
    let functions = sums.functions(t, arch);
    let flow = if has(Part::Flow) {
        let (flow, unread) = flow::recorded::flow(t, scope, options.sequences);
        problems.extend(unread);
        flow
    } else {
        Flow::default()
    };
    let traces = match has(Part::Trace) {
        true => trace::traces(t, scope, &flow, &options.trace_views, options.deskew),
        false => Traces::default(),
    };
    let mut wait_rows = latency::offcpu::rows(&sums.waits, arch, &id, |process, reason| {
        // Elsewhere on a busy host something always begins to wait: only the services' waits are told by growth.
        let group = sums.waits.get(&(process.to_owned(), reason)).filter(|_| services.contains(process));
        group.zip(trouble.as_ref()).is_some_and(|(g, t)| t.rates(&axis, &g.columns).grew(trend::LEAST_WAIT))
    });
    for row in &mut wait_rows {
        row.service = services.contains(&row.process);
    }
    let mut quality = quality::quality(t, flames.frames, problems);
    quality.spans_left_out = latency::span::left_out(t, scope);
    quality.requests_repeated = t.decoded().repeated;
    let worst = if has(Part::Rest) { worst::moment(t, &axis, &spans, scope) } else { None };
    let log_kinds = match has(Part::Rest) {
        true => {
            let worst = worst.as_ref().map(|w| axis.column(w.from));
            log_kinds::kinds(t, &axis, scope, trouble.as_ref().map(|t| t.change.column).or(worst))
        }
        false => Vec::new(),
    };
    let seen = Seen {
        timeline: t,
        axis: &axis,
        arch,
        spans: &spans,
        blocks: &blocks,
        trouble: trouble.as_ref(),
        services: &services,
        waits: &sums.waits,
        wait_rows: &wait_rows,
        functions: &functions,
        samples: &sums.samples,
        flow: &flow,
        log_kinds: &log_kinds,
        quality: &quality,
    };
    let mut summary: Vec<String> = events::first(t).into_iter().collect();
    summary.extend(summary::sentences(&seen));
    summary.extend(events::last(t, scope, &selection));
    let findings = findings::all(&seen);
    let mut latencies: Vec<_> = spans.iter().map(|s| s.latency.clone()).collect();
    latencies.extend(blocks.iter().cloned());
    if has(Part::Latency) {
        latencies.extend(latency::connect::latencies(t, &axis, scope, &id));
    }
    latencies.extend(latency::file::latencies(t, &axis, &selection, &id));
    latencies.extend(latency::fault::latencies(t, &axis, &selection, &id));
    if has(Part::Latency) {
        latencies.extend(latency::lock::latencies(t, &axis, &selection, arch, &id));
        latencies.extend(latency::lock::kernel_latencies(t, &axis, &selection, &id));
    }
    latencies.extend(latency::library::latencies(t, &axis, &selection, &id));
    latencies.extend(latency::offcpu::latencies(&sums.waits, &axis, arch, &id));
    latencies.extend(latency::syscall::latencies(t, &axis, scope, arch, &id));
    let metrics = if has(Part::Rest) { metrics::series(t) } else { Vec::new() };
    let incident = trouble.as_ref().map(|t| (t.change.time, t.change.time));
    let incident = incident.or(worst.as_ref().map(|w| (w.from, w.to)));
    Analysis {
        bundle: quality::bundle(t),
        flames: flames.flames,
        flame_diffs: flames.diffs,
        latencies,
        traces,
        log_kinds,
        metric_moves: metrics::moves::groups(&metrics, incident),
        metric_targets: if has(Part::Rest) { metrics::targets::targets(t) } else { Vec::new() },
        exemplars: metrics::exemplars::joined(t, scope),
        metrics,
        worst,
        summary,
        findings,
        tables: Vec::new(),
        waits: wait_rows,
        cpu_cgroups: throttling.groups,
        flow,
        quality,
    }
}

/// The architecture of a recorded host.
fn arch(t: &Timeline) -> &str {
    t.bundle().manifest().map_or("x86_64", |m| m.host.arch.as_str())
}

/// The processes that sent spans.
fn services(t: &Timeline) -> BTreeSet<String> {
    let named = t.processes().all().filter(|p| p.service.is_some());
    named.map(|p| process_name(t, p.key.pid, Boottime(p.key.started))).collect()
}

/// How a process is called: service or name, and pid; and the container that it is in.
fn process_name(t: &Timeline, pid: u32, at: Boottime) -> String {
    match t.processes().get(pid, at) {
        None => format!("pid {pid}"),
        Some(p) => match &p.container {
            Some(container) => format!("{}[{pid}]@{}", p.label(at), container.label()),
            None => format!("{}[{pid}]", p.label(at)),
        },
    }
}
