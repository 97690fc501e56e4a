//! Traces on the page: by operation, those with another structure, and the worst of them span by span.

use coldcase_model::analysis::{Analysis, ClockPair, SomeTrace, TraceOperation, TraceView};

use super::table::{Cell, blank, code, fault, figure, left_out, table, tally, time, words};
use crate::ReportError;
use crate::canvas::Skin;
use crate::text::{escape, offset};
use crate::waterfall;

/// Rows of operations, of odd traces, of clocks.
const OPERATIONS: usize = 100;
const ODD: usize = 30;
const CLOCKS: usize = 50;

/// The section.
pub(crate) fn body(a: &Analysis) -> Result<String, ReportError> {
    let mut out = operations(a);
    out.push_str(&odd(a));
    for view in &a.traces.views {
        out.push_str(&one(a, view)?);
    }
    out.push_str(&clocks(a));
    Ok(out)
}

fn operations(a: &Analysis) -> String {
    let all = &a.traces.operations;
    let first = |t: &[SomeTrace]| t.first().map_or_else(blank, |t| code(&t.id));
    let row = |o: &TraceOperation| -> Vec<Cell> {
        let mut row = vec![words(&o.name), words(&o.service), tally(o.traces), fault(o.failed)];
        row.extend([o.p50, o.p90, o.p99, o.p999, o.max].map(time));
        row.extend([fault(o.odd_count), fault(o.flawed), first(&o.slowest), first(&o.failures)]);
        row
    };
    let columns = [
        "operation",
        "service",
        "#traces",
        "#failed",
        "#p50",
        "#p90",
        "#p99",
        "#p99.9",
        "#max",
        "#odd",
        "#flawed",
        "slowest",
        "slowest failed",
    ];
    let rows = all.iter().take(OPERATIONS).map(row).collect();
    table("Traces by operation", &columns, rows, left_out(OPERATIONS.min(all.len()), all.len(), "operations"))
}

fn odd(a: &Analysis) -> String {
    let all: Vec<_> = a.traces.operations.iter().flat_map(|o| o.odd.iter().map(move |odd| (o, odd))).collect();
    if all.is_empty() {
        return String::new();
    }
    let rows = all
        .iter()
        .take(ODD)
        .map(|(o, odd)| {
            let usual = format!("{} of {}", o.usual, o.traces);
            vec![
                words(&format!("{} ({})", o.name, o.service)),
                code(&odd.trace.id),
                words(&odd.differs.join(", ")),
                tally(odd.same),
                figure(o.usual as f64, &usual),
                time(odd.trace.duration),
            ]
        })
        .collect();
    let columns = ["operation", "trace", "differs from the usual", "#traces like it", "#usual", "#took"];
    let left = left_out(ODD.min(all.len()), all.len(), "that are named");
    format!("<h3>Traces with another structure</h3>\n{}", table("Odd traces", &columns, rows, left))
}

fn one(a: &Analysis, view: &TraceView) -> Result<String, ReportError> {
    let notes: String = waterfall::remarks(view)
        .iter()
        .chain(&waterfall::clocks(view))
        .map(|r| format!("<li>{}</li>", escape(r)))
        .collect();
    let notes = if notes.is_empty() { notes } else { format!("<ul>{notes}</ul>") };
    Ok(format!(
        "<figure class=\"sequence\"><figcaption><b>{}</b> <span>{}</span> <span>from {}</span></figcaption>{notes}\
<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Spans of a trace over time\">{}</div></figure>\n",
        escape(&waterfall::title(view)),
        escape(&view.why),
        offset(view.start, a.bundle.first),
        waterfall::svg(view, Skin::Page)?
    ))
}

/// What the spans tell of their senders' clocks; nothing where all may be equal.
fn clocks(a: &Analysis) -> String {
    let skewed = |c: &&ClockPair| c.offset != 0 || c.contradictory;
    let all: Vec<&ClockPair> = a.traces.clocks.iter().filter(skewed).collect();
    if all.is_empty() {
        return String::new();
    }
    let bound = |b: Option<i64>| b.map_or_else(blank, |b| figure(b as f64, &waterfall::signed(b)));
    let rows = all
        .iter()
        .take(CLOCKS)
        .map(|c| {
            let says = if c.contradictory { "its spans contradict each other: not corrected" } else { "" };
            let offset = figure(c.offset as f64, &waterfall::signed(c.offset));
            vec![words(&c.a), words(&c.b), offset, bound(c.least), bound(c.most), tally(c.pairs), words(says)]
        })
        .collect();
    let columns = ["clock", "and", "#ahead by", "#at least", "#at most", "#pairs", ""];
    format!(
        "<h3>Clocks that differ</h3>\n<p class=\"hint\">By causality between spans. The times on this page are as sent.</p>\n{}",
        table("Clocks", &columns, rows, left_out(CLOCKS.min(all.len()), all.len(), "pairs"))
    )
}
