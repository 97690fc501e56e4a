//! `coldcase trace`: traces by operation, and single ones span by span.

use std::path::PathBuf;

use coldcase_analyze::{Options, Part, TraceViews};
use coldcase_model::Nanos;
use coldcase_model::analysis::{Analysis, ClockPair, TraceOperation, TraceView};
use coldcase_model::text::visible;
use serde::Serialize;

use crate::exit::{Exit, Failure};
use crate::out::{Out, Style};
use crate::reading::{Document, Reading, documents, name, pages, write_picture};
use coldcase_model::columns::columns;

/// Show traces: by operation the slowest, failed and odd ones, or with --trace one of them span by span
///
/// A trace is put together from the spans of all services, with parents that are missing shown as such. Its critical path
/// is the chain of last returning children: each nanosecond of the root is in one span of it. Times are as the senders
/// sent them; where causality shows that a sender's clock is off, that is told, and corrected only with --deskew.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  coldcase trace incident.case                                              operations, slowest, failed, odd traces
  coldcase trace incident.case --trace 0af7651916cd43dd8448eb211c80319c     one trace as a waterfall
  coldcase trace incident.case --worst                                      the worst operation's slowest and failed one
  coldcase trace incident.case --trace 0af7651916cd43dd8448eb211c80319c --svg trace.svg
  coldcase trace incident.case --json | jq '.operations[] | select(.odd_count > 0)'")]
pub(crate) struct Args {
    /// Bundles, each shown by itself
    #[arg(value_name = "BUNDLE", required = true)]
    bundles: Vec<PathBuf>,
    /// Show the slowest and the slowest failed trace of the operation that is worst
    #[arg(long, conflicts_with = "trace")]
    worst: bool,
    /// Correct times by how far senders' clocks are found to be off; what was corrected is marked
    #[arg(long)]
    deskew: bool,
    /// Write the trace as SVG to this file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Replace the SVG file if it is there
    #[arg(long)]
    force: bool,
    /// How many operations, or spans of a trace, to print [default: 15 operations, 200 spans]
    #[arg(long, value_name = "N")]
    top: Option<usize>,
    #[command(flatten)]
    reading: Reading,
}

pub(crate) fn run(args: Args, out: &Out) -> Result<Exit, Failure> {
    let wanted = args.reading.scope().who().traces;
    let asked = args.worst || !wanted.is_empty();
    let trace_views = match args.worst {
        true => TraceViews::Worst,
        false if wanted.is_empty() => TraceViews::None,
        false => TraceViews::These(wanted.clone()),
    };
    // The bytes of requests tell where the spans of a trace ran.
    let parts = if asked { vec![Part::Trace, Part::Flow] } else { vec![Part::Trace] };
    let options = Options { parts, trace_views, deskew: args.deskew, ..Options::default() };
    let all = args.reading.each_as(&args.bundles, &options, out)?;
    found(&wanted, &all)?;
    if let Some(file) = &args.svg {
        let views: Vec<&TraceView> = all.iter().flat_map(|a| &a.traces.views).collect();
        let [view] = views[..] else {
            let line = format!("--svg: a picture is of one trace, and there are {}", views.len());
            return Err(Failure::usage(line).hint("name one with --trace"));
        };
        write_picture(file, coldcase_report::trace_svg(view), args.force)?;
    }
    if out.json {
        let body = |a| Document::new("coldcase.trace", Body::of(a));
        documents(out, &all.iter().map(body).collect::<Vec<_>>())?;
    } else {
        pages(out, &all, |a| if asked { views(a, args.top, out) } else { page(a, args.top.unwrap_or(15), out) })?;
    }
    Ok(args.reading.exit(&all))
}

/// What a document says. A trace may have a million spans: they are written as they are held.
#[derive(Serialize)]
struct Body<'a> {
    bundle: serde_json::Value,
    count: u64,
    spans_without_trace: u64,
    operations: &'a [TraceOperation],
    clocks: &'a [ClockPair],
    traces: &'a [TraceView],
}

impl<'a> Body<'a> {
    fn of(a: &'a Analysis) -> Body<'a> {
        let t = &a.traces;
        Body {
            bundle: name(a),
            count: t.count,
            spans_without_trace: t.spans_without_trace,
            operations: &t.operations,
            clocks: &t.clocks,
            traces: &t.views,
        }
    }
}

/// Refuses ids that no bundle has a span of.
fn found(wanted: &[String], all: &[Analysis]) -> Result<(), Failure> {
    let has = |id: &&String| all.iter().flat_map(|a| &a.traces.views).any(|v| v.id.eq_ignore_ascii_case(id));
    match wanted.iter().find(|id| !has(id)) {
        None => Ok(()),
        Some(id) => Err(Failure::usage(format!("--trace {id}: no span of this trace is here"))
            .hint("coldcase trace BUNDLE without --trace names some")),
    }
}

fn views(a: &Analysis, top: Option<usize>, out: &Out) -> String {
    if a.traces.views.is_empty() {
        return "no traces were recorded in this scope\n".to_owned();
    }
    let (width, colour) = out.page();
    let text = |v: &TraceView| coldcase_report::terminal::waterfall(v, width, top.unwrap_or(200), colour);
    a.traces.views.iter().map(text).collect::<Vec<_>>().join("\n")
}

fn page(a: &Analysis, top: usize, out: &Out) -> String {
    let t = &a.traces;
    if t.count == 0 {
        return "no traces were recorded in this scope\n".to_owned();
    }
    let mut parts = vec![operations(&t.operations, top, out)];
    parts.extend(named(&t.operations, top, out));
    parts.extend(odd(&t.operations, top, out));
    parts.extend(clocks(a, top, out));
    if t.spans_without_trace > 0 {
        parts.push(format!("{} spans have no trace id and are in none\n", t.spans_without_trace));
    }
    parts.join("\n")
}

fn called(o: &TraceOperation) -> String {
    if o.service.is_empty() { o.name.clone() } else { format!("{} ({})", o.name, o.service) }
}

fn operations(all: &[TraceOperation], top: usize, out: &Out) -> String {
    let rows: Vec<Vec<String>> = all
        .iter()
        .take(top)
        .map(|o| {
            let mut row = vec![called(o), o.traces.to_string(), o.failed.to_string()];
            row.extend([o.p50, o.p90, o.p99, o.p999, o.max].map(|n| Nanos(n).to_string()));
            row.extend([o.usual, o.shapes, o.odd_count, o.at_edge, o.flawed].map(|n| n.to_string()));
            row
        })
        .collect();
    let mut text = out.style(Style::Bold, "traces by the operation of their root");
    text.push('\n');
    let head = [
        "operation",
        "traces",
        "failed",
        "p50",
        "p90",
        "p99",
        "p99.9",
        "max",
        "of usual structure",
        "structures",
        "odd",
        "at the edge",
        "flawed",
    ];
    text.push_str(&columns(&head, &rows));
    more(&mut text, all.len(), top);
    text
}

/// The slowest and the failed ones.
fn named(all: &[TraceOperation], top: usize, out: &Out) -> Option<String> {
    let mut rows = Vec::new();
    for o in all.iter().take(top) {
        let kinds = [("slowest", o.slowest.first()), ("failed", o.failures.first())];
        for (kind, trace) in kinds.iter().filter_map(|(kind, trace)| trace.map(|t| (kind, t))) {
            let times = [Nanos(trace.duration).to_string(), trace.spans.to_string(), trace.errors.to_string()];
            rows.push([vec![called(o), (*kind).to_owned(), trace.id.clone()], times.to_vec()].concat());
        }
    }
    (!rows.is_empty()).then(|| {
        let title = out.style(Style::Bold, "slowest, and slowest failed");
        format!("{title}\n{}", columns(&["operation", "", "trace", "took", "spans", "failed spans"], &rows))
    })
}

fn odd(all: &[TraceOperation], top: usize, out: &Out) -> Option<String> {
    let odd = all.iter().flat_map(|o| o.odd.iter().map(move |odd| (o, odd)));
    let rows: Vec<Vec<String>> = odd
        .take(top)
        .map(|(o, odd)| {
            let usual = format!("{} of {}", o.usual, o.traces);
            vec![
                called(o),
                odd.trace.id.clone(),
                Nanos(odd.trace.duration).to_string(),
                odd.same.to_string(),
                usual,
                odd.differs.join(", "),
            ]
        })
        .collect();
    (!rows.is_empty()).then(|| {
        let title = out.style(Style::Bold, "traces with another structure than the usual one of their operation");
        let head = ["operation", "trace", "took", "traces like it", "usual", "differs"];
        format!("{title}\n{}", columns(&head, &rows))
    })
}

fn clocks(a: &Analysis, top: usize, out: &Out) -> Option<String> {
    let bound = |b: Option<i64>| b.map_or_else(|| "-".to_owned(), signed);
    let all = &a.traces.clocks;
    let rows: Vec<Vec<String>> = all
        .iter()
        .take(top)
        .map(|c| {
            let says = match (c.contradictory, c.offset) {
                (true, _) => "spans contradict each other",
                (false, 0) => "may be equal",
                (false, _) => "differ",
            };
            let clocks = format!("{} → {}", c.a, c.b);
            vec![clocks, signed(c.offset), bound(c.least), bound(c.most), c.pairs.to_string(), says.to_owned()]
        })
        .collect();
    (!rows.is_empty()).then(|| {
        let title = out.style(
            Style::Bold,
            "clocks by causality: how far the second is ahead of the first (never applied unless --deskew)",
        );
        let mut text =
            format!("{title}\n{}", columns(&["clocks", "ahead by", "at least", "at most", "pairs", ""], &rows));
        more(&mut text, all.len(), top);
        text
    })
}

fn signed(ns: i64) -> String {
    format!("{}{}", if ns < 0 { "-" } else { "" }, Nanos(ns.unsigned_abs()))
}

fn more(text: &mut String, all: usize, top: usize) {
    if all > top {
        text.push_str(&visible(&format!("and {} more (--top)", all - top)));
        text.push('\n');
    }
}
