//! `coldcase timeline`: every event of one or more bundles, in one order.

mod cpu;
mod fields;
pub(crate) mod filter;
mod io;
mod library;
mod life;
mod line;
mod memory;
pub(crate) mod of_trace;
mod print;
mod socket;

use std::io::Write;
use std::path::PathBuf;

use coldcase_bundle::Bundle;
use coldcase_model::{CATALOGUE, catalogue};
use coldcase_timeline::{Entry, Merge, Options, StreamSet, Timeline};
use regex::Regex;

use crate::args::{DebugFiles, Scope};
use crate::exit::{Exit, Failure};
use crate::out::Out;
use crate::reading::Reading;
use filter::Filter;
use of_trace::{OfTrace, Request};
use print::Printer;

/// Print what happened, all streams in one order, one line an event
///
/// Times on the left count from the start of the recording; what has a length is shown when any part of it is in the
/// window. Without --stream, all that happened is shown; what the recorder noted of the host and of itself (host.*,
/// symbols, receipts, cost), and threads that slept throughout, are shown when their stream is named.
///
/// With --trace, each line ends with how it was joined to the trace: by its id, by the thread of a span, by the connection
/// of a request whose bytes name it, by process and time. What cannot be joined for certain is left out or says so.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  coldcase timeline incident.case --from +2s --to +5s
  coldcase timeline incident.case --stream kernel.offcpu,log --grep 'fsync|ERROR'
  coldcase timeline incident.case --trace 0af7651916cd43dd8448eb211c80319c
  coldcase timeline incident.case --json --stream kernel.block | jq 'select(.fields.duration > 1000000)'

With --json, one JSON object a line, with the raw fields and UTC nanoseconds. A stream is named in full or by the
beginning of its name: kernel, log, otlp.traces. Exit codes: 0 fine, 2 usage or not readable as a bundle, and with
--strict 3 when part of a bundle could not be read.")]
pub(crate) struct Args {
    /// Bundles
    #[arg(value_name = "BUNDLE", required = true)]
    bundles: Vec<PathBuf>,
    #[command(flatten)]
    scope: Scope,
    /// Only these streams, or streams whose names begin so
    #[arg(long, value_name = "STREAM", value_delimiter = ',')]
    stream: Vec<String>,
    /// Only lines in which this regular expression is found
    #[arg(long, value_name = "REGEX")]
    grep: Option<Regex>,
    /// Stop after this many lines
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    #[command(flatten)]
    debug_files: DebugFiles,
    /// Threads to decode with [default: one a CPU]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Exit with 3 when part of a bundle could not be read
    #[arg(long)]
    strict: bool,
}

/// Streams that say how things stood or how the recorder did, rather than what happened.
const QUIET: [&str; 14] = [
    "host.process",
    "host.socket",
    "host.nat",
    "host.mapping",
    "host.cgroup",
    "host.container",
    "host.metric",
    "symbols",
    "symbols.modules",
    "recorder.anchor",
    "recorder.cost",
    "recorder.backlog",
    "recorder.forward",
    "metrics.scrape",
];

impl Args {
    /// Everything of one bundle that a verb's scope has, of these streams.
    pub(crate) fn of(bundle: PathBuf, reading: &Reading, stream: Vec<String>) -> Args {
        Args {
            bundles: vec![bundle],
            scope: reading.scope().clone(),
            stream,
            grep: None,
            limit: None,
            debug_files: reading.debug_files().clone(),
            threads: reading.threads(),
            strict: reading.strict(),
        }
    }
}

/// What was listed.
pub(crate) struct Listed {
    /// Entries, and requests of traces among them.
    pub(crate) lines: u64,
    /// What could not be read.
    pub(crate) problems: Vec<String>,
}

pub(crate) fn run(args: Args, out: &Out) -> Result<Exit, Failure> {
    let mut stdout = std::io::BufWriter::new(std::io::stdout().lock());
    let listed = list(&args, out, out.json, &mut stdout)?;
    stdout.flush()?;
    drop(stdout);
    for problem in &listed.problems {
        out.warning(problem);
    }
    Ok(if args.strict && !listed.problems.is_empty() { Exit::Lost } else { Exit::Fine })
}

/// Writes the entries of all bundles in one order: a line each for people, or an object each.
pub(crate) fn list(args: &Args, out: &Out, as_json: bool, to: &mut impl Write) -> Result<Listed, Failure> {
    let who = args.scope.who();
    let [from, to_time] = args.scope.window.ends();
    // What threads did and logged for a trace is found by its spans.
    let joined = catalogue::SPAN_STREAMS.iter().copied().chain(["otlp.logs", "log.lines"]);
    let streams_held = if who.traces.is_empty() { StreamSet::None } else { StreamSet::named(joined) };
    let options = Options {
        threads: args.threads,
        from,
        to: to_time,
        streams: streams_held,
        debug_files: args.debug_files.wanted(),
    };
    let mut timelines = Vec::with_capacity(args.bundles.len());
    for path in &args.bundles {
        timelines.push(Timeline::of(Bundle::open(path)?, &options)?);
    }
    check_streams(&args.stream, &timelines)?;
    let of_traces = match who.traces.is_empty() {
        true => Vec::new(),
        false => {
            timelines.iter().map(|t| OfTrace::new(t, &who, [from, to_time], args.threads)).collect::<Result<_, _>>()?
        }
    };
    of_traces.iter().flat_map(|of: &OfTrace| &of.clocks).for_each(|note| out.remark(&format!("note: {note}")));
    let filters: Vec<Filter<'_>> =
        timelines.iter().enumerate().map(|(i, t)| Filter::new(t, &who, of_traces.get(i))).collect();
    let mut merges: Vec<Head<'_>> =
        timelines.iter().map(|t| Head::new(Merge::new(t, &streams(&args.stream, t)))).collect();
    let limit = args.limit.unwrap_or(u64::MAX);
    let mut printer = Printer {
        args,
        out,
        // The earliest, so that the columns of several bundles compare.
        start: timelines.iter().map(Timeline::start).min().unwrap_or_default(),
        several: timelines.len() > 1,
        left: limit,
        to,
        as_json,
        json: Vec::new(),
    };
    print(&mut printer, &timelines, &filters, &mut merges, &of_traces)?;
    let lines = limit - printer.left;
    let mut problems = Vec::new();
    for (t, head) in timelines.iter().zip(&merges) {
        let (opening, reading) = (t.problems(), head.merge.problems());
        let all = opening.iter().chain(reading.iter().filter(|p| !opening.contains(p)));
        problems.extend(all.map(|problem| format!("{}: {problem}", t.bundle().path().display())));
        out.not_fetched(&t.symbols().not_fetched());
    }
    Ok(Listed { lines, problems })
}

/// Prints the entries of all bundles, and the requests of traces among them, in one order.
fn print<W: Write>(
    printer: &mut Printer<'_, W>,
    timelines: &[Timeline],
    filters: &[Filter<'_>],
    merges: &mut [Head<'_>],
    of_traces: &[OfTrace],
) -> Result<(), Failure> {
    let named = &printer.args.stream;
    let with_requests = named.is_empty() || StreamSet::named(named).has("packets");
    let mut requests: Vec<&[Request]> = of_traces.iter().filter(|_| with_requests).map(|of| &of.requests[..]).collect();
    let mut text = String::new();
    while printer.left > 0 {
        let next = (0..merges.len()).filter_map(|i| merges[i].next.as_ref().map(|e| (e.utc, i))).min();
        let asked = (0..requests.len()).filter_map(|i| requests[i].first().map(|r| (r.utc, i))).min();
        if let Some((utc, i)) = asked
            && next.is_none_or(|n| utc <= n.0)
            && let Some((request, rest)) = requests[i].split_first()
        {
            requests[i] = rest;
            printer.request(&timelines[i], request)?;
            continue;
        }
        let Some((i, entry)) = next.and_then(|(_, i)| merges[i].take().map(|e| (i, e))) else { break };
        // A loss counter that stayed at zero is proof, not news; it is shown where its stream is asked for.
        if let Some(shown) = filters[i].passes(&entry)
            && !(printer.args.stream.is_empty() && line::is_no_news(&entry))
        {
            text.clear();
            line::write(&timelines[i], &entry, &mut text);
            printer.entry(&timelines[i], &entry, shown, &text)?;
        }
    }
    Ok(())
}

/// Appends the line of an entry, without its time and stream. Captured text in it is made visible.
pub(super) fn write_line(t: &Timeline, entry: &Entry, text: &mut String) {
    line::write(t, entry, text);
}

/// `+2.318042s kernel.offcpu`, in columns: what stands before the line of an entry.
pub(super) fn head_of(t: &Timeline, entry: &Entry) -> String {
    print::head(entry.utc, &entry.stream, t.start(), None)
}

/// Whether an entry says that nothing happened.
pub(super) fn is_no_news(entry: &Entry) -> bool {
    line::is_no_news(entry)
}

/// A merge and its next entry.
struct Head<'a> {
    merge: Merge<'a>,
    next: Option<Entry>,
}

impl<'a> Head<'a> {
    fn new(mut merge: Merge<'a>) -> Head<'a> {
        let next = merge.next();
        Head { merge, next }
    }

    fn take(&mut self) -> Option<Entry> {
        std::mem::replace(&mut self.next, self.merge.next())
    }
}

/// The streams that are shown: those that were asked for, else all that say what happened.
pub(super) fn streams(patterns: &[String], t: &Timeline) -> StreamSet {
    if !patterns.is_empty() {
        return StreamSet::named(patterns);
    }
    let all = t.bundle().streams();
    let shown = all.iter().map(|s| &*s.name).filter(|s| !QUIET.contains(s) && !s.ends_with(".receipts"));
    StreamSet::named(shown)
}

/// A pattern that no stream could ever have is a slip of the fingers.
pub(crate) fn check_streams(patterns: &[String], timelines: &[Timeline]) -> Result<(), Failure> {
    let recorded: Vec<_> = timelines.iter().flat_map(|t| t.bundle().streams()).map(|s| s.name).collect();
    let known: Vec<&str> = CATALOGUE
        .iter()
        .map(|d| d.stream)
        .chain(catalogue::RAW_STREAMS.iter().flat_map(|r| [r.stream, r.receipts]))
        .chain(recorded.iter().map(|s| &**s))
        .collect();
    match patterns.iter().find(|p| !known.iter().any(|s| StreamSet::pattern_has(p, s))) {
        None => Ok(()),
        Some(p) => {
            let mut names: Vec<&str> = recorded.iter().map(|s| &**s).filter(|s| !s.ends_with(".receipts")).collect();
            names.sort_unstable();
            names.dedup();
            Err(Failure::usage(format!("--stream {p}: there is no such stream"))
                .hint(format!("this bundle has {}", names.join(", "))))
        }
    }
}
