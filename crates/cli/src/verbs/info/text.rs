//! `info` for people. Everything that comes from the bundle is made visible: it may come from a stranger.

use coldcase_model::catalogue::raw_stream;
use coldcase_model::manifest::SourceStatus;
use coldcase_model::quantity::format_size;
use coldcase_model::text::visible;
use coldcase_model::time::{Nanos, Utc};

use super::facts::{Facts, Flight, Stream};
use crate::args::rfc3339;
use crate::out::{Out, Style};

/// The whole page.
pub(super) fn render(f: &Facts, out: &Out) -> String {
    let mut t = String::new();
    head(f, out, &mut t);
    sources(f, out, &mut t);
    streams(f, out, &mut t);
    losses(f, out, &mut t);
    reductions(f, out, &mut t);
    for p in &f.problems {
        let line = format!("unreadable: bytes {} to {}: {}", p.start, p.end, visible(&p.what));
        t.push_str(&format!("{}\n", out.style(Style::Bad, &line)));
    }
    t
}

fn field(t: &mut String, name: &str, value: &str) {
    if !value.is_empty() {
        t.push_str(&format!("{name:<9} {}\n", visible(value)));
    }
}

fn head(f: &Facts, out: &Out, t: &mut String) {
    let state = if f.complete {
        out.style(Style::Good, "sealed")
    } else {
        out.style(Style::Warn, "INCOMPLETE: never sealed; what follows is read from its chunks")
    };
    let name = out.style(Style::Bold, &visible(&f.file));
    t.push_str(&format!("{name}  {}, {} chunks, {state}\n", format_size(f.bytes), f.chunks));
    field(t, "id", &format!("{}  ({})", f.id, f.format));
    let h = &f.host;
    if !h.name.is_empty() {
        let machine = format!("{} CPUs {}, {} memory", h.cpus, h.cpu_model, format_size(h.memory));
        field(t, "host", &format!("{}  {} {}, {machine}", h.name, h.kernel, h.arch));
        field(t, "boot", &h.boot_id);
    }
    if let Some(span) = &f.time {
        field(t, "time", &format!("{} to {}  ({})", span.first_text, span.last_text, Nanos(span.duration)));
    }
    let by = if f.user.is_empty() { String::new() } else { format!(" by {}", f.user) };
    field(t, "recorded", &format!("{}{by}", f.tool));
    field(t, "command", &f.command.join(" "));
    field(t, "ended", &f.ended);
    if let Some(child) = &f.child {
        field(t, "recorded", &format!("{}  (exit code {})", child.command.join(" "), child.exit_code));
    }
    if let Some(parent) = &f.parent {
        field(t, "parent", parent);
    }
    if let Some(flight) = &f.flight {
        segment_or_dump(flight, t);
    }
    field(t, "clock", &clock(f));
    field(t, "privacy", &privacy(f));
    without_dump(f, t);
    for m in &f.marks {
        field(t, "mark", &format!("{}  {}  (uid {})", rfc3339(Utc(m.time), 3), m.text, m.uid));
    }
}

fn segment_or_dump(flight: &Flight, t: &mut String) {
    let Some(d) = &flight.dump else { return field(t, "flight", &format!("segment {}", flight.segment)) };
    let stamp = |utc: i64| rfc3339(Utc(utc), 3);
    let text = if d.text.is_empty() { String::new() } else { format!(": {}", d.text) };
    field(t, "trigger", &format!("{}  {} ({}){text}", stamp(d.fired), d.trigger, d.kind));
    if d.threshold != 0.0 || d.value != 0.0 {
        field(t, "measured", &format!("{}, threshold {}", d.value, d.threshold));
    }
    field(t, "window", &format!("{} to {}, held from {}", stamp(d.from), stamp(d.to), stamp(d.held_from)));
    field(
        t,
        "segments",
        &d.segments.iter().map(|s| format!("{} ({})", s.segment, s.id)).collect::<Vec<_>>().join(", "),
    );
    for line in &d.left_out {
        field(t, "missing", line);
    }
}

/// Triggers that fired and made no dump: this one may hold what they saw, too.
fn without_dump(f: &Facts, t: &mut String) {
    for x in f.triggers.iter().filter(|x| x.outcome != "dump") {
        let line =
            format!("{}  {} ({}) {} times, no dump: {}", rfc3339(Utc(x.time), 3), x.name, x.kind, x.count, x.outcome);
        field(t, "fired", &line);
    }
}

fn clock(f: &Facts) -> String {
    let bound = f.clock.uncertainty.map_or("no anchors: times are since boot".to_owned(), |u| {
        format!("UTC within {}, {} anchors", Nanos(u), f.clock.anchors)
    });
    let steps = match f.clock.steps.len() {
        0 => String::new(),
        n => format!(", stepped {n} times"),
    };
    format!("{}, {bound}{steps}", f.clock.state)
}

fn privacy(f: &Facts) -> String {
    let mut parts = Vec::new();
    if !f.policies.is_empty() {
        parts.push(format!("policies {}", f.policies.join(" ")));
    }
    if !f.stored_as_sent.is_empty() {
        parts.push(format!("stored as sent: {}", f.stored_as_sent.join(", ")));
    }
    parts.join("; ")
}

fn sources(f: &Facts, out: &Out, t: &mut String) {
    if f.sources.is_empty() {
        return;
    }
    t.push_str(&format!("\n{}\n", out.style(Style::Bold, "sources")));
    for s in &f.sources {
        let (word, style) = match s.status {
            SourceStatus::Recorded => ("recorded", Style::Good),
            SourceStatus::Skipped => ("skipped", Style::Warn),
            SourceStatus::Failed => ("failed", Style::Bad),
        };
        let line =
            format!("  {:<14} {} {}", visible(&s.name), out.style(style, &format!("{word:<8}")), visible(&s.reason));
        t.push_str(line.trim_end());
        t.push('\n');
    }
}

fn streams(f: &Facts, out: &Out, t: &mut String) {
    let seconds = f.time.as_ref().map_or(0.0, |s| s.duration as f64 / 1e9);
    let rows: Vec<[String; 5]> = f.streams.iter().map(|s| stream(s, seconds)).collect();
    let names = ["streams", "events", "events/s", "bytes", "lost"].map(str::to_owned);
    let mut widths = [0; 5];
    for row in rows.iter().chain([&names]) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    t.push_str(&format!("\n{}\n", out.style(Style::Bold, &table_row(&names, &widths))));
    for row in &rows {
        t.push_str(&table_row(row, &widths));
        t.push('\n');
    }
    let note =
        "bytes are before compression; msgs: whole messages, stored as they came; lost counts what a class lost\n";
    t.push_str(&out.style(Style::Dim, note));
}

fn stream(s: &Stream, seconds: f64) -> [String; 5] {
    let count = s.items.unwrap_or(s.events);
    let rate = if seconds > 0.0 { format!("{:.1}", count as f64 / seconds) } else { String::new() };
    let uncounted = s.items.is_none() && raw_stream(&s.name).is_some();
    let count = if uncounted { format!("{count} msgs") } else { count.to_string() };
    [visible(&s.name).into_owned(), count, rate, format_size(s.bytes), s.lost.to_string()]
}

fn table_row(cells: &[String; 5], widths: &[usize; 5]) -> String {
    let mut line = format!("  {:<width$}", cells[0], width = widths[0]);
    for (cell, width) in cells.iter().zip(widths).skip(1) {
        line.push_str(&format!("  {cell:>width$}"));
    }
    line
}

/// Reductions that are shown; --json has all.
const REDUCTIONS: usize = 20;

fn reductions(f: &Facts, out: &Out, t: &mut String) {
    for r in f.reductions.iter().take(REDUCTIONS) {
        let line = format!("reduced: {}  {}", rfc3339(Utc(r.time), 3), visible(&r.words()));
        t.push_str(&format!("{}\n", out.style(if r.direction == "up" { Style::Dim } else { Style::Warn }, &line)));
    }
    if f.reductions.len() > REDUCTIONS {
        t.push_str(&out.style(Style::Dim, &format!("and {} more steps: --json\n", f.reductions.len() - REDUCTIONS)));
    }
}

fn losses(f: &Facts, out: &Out, t: &mut String) {
    let (lost, watched): (Vec<_>, Vec<_>) = f.losses.iter().partition(|l| l.count > 0 || l.bytes > 0);
    t.push('\n');
    for l in &lost {
        let bytes = if l.bytes > 0 { format!(", {}", format_size(l.bytes)) } else { String::new() };
        let line =
            format!("lost: {} {} ({}){bytes}: {}", visible(&l.source), l.count, visible(&l.class), visible(&l.reason));
        t.push_str(&format!("{}\n", out.style(Style::Warn, &line)));
    }
    if lost.is_empty() && !watched.is_empty() {
        // What was counted says nothing of what became of the file.
        let (word, style) = match f.complete && f.problems.is_empty() {
            true => ("nothing lost", Style::Good),
            false => ("no loss counted", Style::Warn),
        };
        let line = format!("{word}: {} counters were polled and stayed at zero\n", watched.len());
        t.push_str(&out.style(style, &line));
    } else if lost.is_empty() {
        t.push_str(&out.style(Style::Warn, "losses unknown: no counter was recorded\n"));
    }
}
