//! The summary on the terminal: what an engineer reads in ten seconds.

use coldcase_model::analysis::{Analysis, Edge, Latency};
use coldcase_model::manifest::SourceStatus;
use coldcase_model::text::visible;

use crate::facts::{Facts, states};
use crate::text::{bytes, count, duration, offset, plural, share, shorten, utc};
pub use crate::waterfall_text::waterfall;

const BOLD: &str = "1";
const DIM: &str = "2";
const RED: &str = "31";
const YELLOW: &str = "33";
const GREEN: &str = "32";

struct Page {
    out: String,
    width: usize,
    colour: bool,
}

impl Page {
    fn paint(&self, style: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{style}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn line(&mut self, text: &str) {
        self.out.push_str(text.trim_end());
        self.out.push('\n');
    }

    /// A label in a column of its own, then text, wrapped under itself. `text` is plain; `style` paints all of it.
    fn entry(&mut self, label: &str, text: &str, style: Option<&str>) {
        const COLUMN: usize = 11;
        let room = self.width.saturating_sub(COLUMN).max(24);
        for (i, part) in wrap(&visible(text), room).iter().enumerate() {
            let head = format!("{:<COLUMN$}", if i == 0 { label } else { "" });
            let head = self.paint(DIM, &head);
            let part = style.map_or_else(|| part.clone(), |s| self.paint(s, part));
            self.line(&format!("{head}{part}"));
        }
    }
}

/// Breaks text at spaces so that no line is wider than `room` characters.
fn wrap(text: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let mut word: Vec<char> = word.chars().collect();
        let used = lines.last().map_or(0, |l| l.chars().count());
        if used > 0 && used + 1 + word.len() > room {
            lines.push(String::new());
        } else if used > 0
            && let Some(last) = lines.last_mut()
        {
            last.push(' ');
        }
        while word.len() > room {
            let rest = word.split_off(room);
            if let Some(last) = lines.last_mut() {
                last.extend(word);
            }
            lines.push(String::new());
            word = rest;
        }
        if let Some(last) = lines.last_mut() {
            last.extend(word);
        }
    }
    lines
}

/// The summary, with a newline at its end. Colour only where asked; captured text is made visible, never sent as it is.
pub fn summary(a: &Analysis, width: usize, colour: bool) -> String {
    let mut page = Page { out: String::new(), width: width.clamp(40, 160), colour };
    let facts = Facts::of(a);
    bundle(&mut page, a);
    quality(&mut page, a);
    page.line("");
    if a.summary.is_empty() {
        page.entry("summary", crate::facts::silence(a), None);
    }
    for (i, sentence) in a.summary.iter().take(9).enumerate() {
        page.entry(if i == 0 { "summary" } else { "" }, sentence, (i == 0).then_some(BOLD));
    }
    page.line("");
    numbers(&mut page, a);
    waits(&mut page, a, &facts);
    network(&mut page, a, &facts);
    logs(&mut page, a);
    worst(&mut page, a);
    metrics(&mut page, a);
    page.out
}

/// Characters of a row of bars.
const BARS: usize = 20;

fn bundle(page: &mut Page, a: &Analysis) {
    let b = &a.bundle;
    let name = page.paint(BOLD, &shorten(&visible(&b.file), page.width.saturating_sub(2).max(10)));
    page.line(&name);
    let mut facts = vec![];
    if !b.host.is_empty() {
        facts.push(b.host.clone());
    }
    if b.first != 0 {
        facts.push(format!("{} UTC", utc(b.first)));
        facts.push(duration(b.last.saturating_sub(b.first).max(0) as u64));
    }
    facts.push(bytes(b.bytes));
    if !b.kernel.is_empty() {
        facts.push(b.kernel.clone());
    }
    page.entry("bundle", &facts.join(" · "), None);
    if !b.complete {
        page.entry("", "not sealed: the recorder was stopped before it could finish", Some(YELLOW));
    }
}

fn quality(page: &mut Page, a: &Analysis) {
    let q = &a.quality;
    let (recorded, ..) = states(a);
    let of = |s| q.sources.iter().filter(move |e| e.status == s);
    let events: u64 = q.streams.iter().fold(0, |sum, s| sum.saturating_add(s.1));
    let names: Vec<&str> = of(SourceStatus::Recorded).map(|s| s.name.as_str()).collect();
    let text =
        if recorded == 0 { "nothing".to_owned() } else { format!("{} · {} events", names.join(" "), count(events)) };
    page.entry("recorded", &text, (recorded == 0).then_some(YELLOW));
    for (label, status, style) in [("skipped", SourceStatus::Skipped, YELLOW), ("failed", SourceStatus::Failed, RED)] {
        for (i, (names, reason, hint)) in crate::facts::alike(a, status).into_iter().enumerate() {
            let hint = if hint.is_empty() { String::new() } else { format!(" — {hint}") };
            page.entry(if i == 0 { label } else { "" }, &format!("{}: {reason}{hint}", names.join(", ")), Some(style));
        }
    }
    let lost: Vec<&coldcase_model::loss::LossTotal> = q.losses.iter().filter(|l| l.count > 0 || l.bytes > 0).collect();
    if lost.is_empty() {
        page.entry("lost", "nothing that was counted", Some(GREEN));
    }
    for (i, l) in lost.iter().enumerate() {
        let size = if l.bytes > 0 { format!(", {}", bytes(l.bytes)) } else { String::new() };
        let text = format!("{} {} from {} ({}{size})", count(l.count), l.class, l.source, l.reason);
        page.entry(if i == 0 { "lost" } else { "" }, &text, Some(RED));
    }
    let steps = crate::facts::steps(a);
    for (i, line) in steps.iter().take(4).enumerate() {
        page.entry(if i == 0 { "reduced" } else { "" }, line, Some(YELLOW));
    }
    if steps.len() > 4 {
        page.entry("", &format!("and {} more steps of the recorder", steps.len() - 4), Some(YELLOW));
    }
    for (i, p) in q.problems.iter().take(5).enumerate() {
        page.entry(if i == 0 { "unreadable" } else { "" }, p, Some(RED));
    }
    if q.problems.len() > 5 {
        page.entry("", &format!("and {} more", q.problems.len() - 5), Some(RED));
    }
    page.entry("clock", &clock(a), None);
}

/// Clock, frames and cost in one line.
fn clock(a: &Analysis) -> String {
    let q = &a.quality;
    let mut parts = vec![match q.clock_uncertainty {
        Some(ns) => format!("±{}", duration(ns)),
        None => "no anchors: times may be off".to_owned(),
    }];
    if !q.clock.is_empty() {
        parts.push(q.clock.clone());
    }
    if !q.clock_steps.is_empty() {
        parts.push(plural(q.clock_steps.len() as u64, "clock step", "clock steps"));
    }
    if q.requests_repeated > 0 {
        let requests = plural(q.requests_repeated, "OTLP request", "OTLP requests");
        parts.push(format!("{requests} repeated, counted once"));
    }
    if q.spans_left_out > 0 {
        let spans = plural(q.spans_left_out, "span", "spans");
        parts.push(format!("{spans} without a start, or with an end before it: in no figure"));
    }
    if let Some(named) = q.frames_named {
        parts.push(format!("{} of stack frames named", share(named)));
    }
    if q.recorder_rss > 0 {
        parts.push(format!("the recorder took {:.2} CPU s and {}", q.recorder_cpu, bytes(q.recorder_rss)));
    }
    parts.join(" · ")
}

/// Spans, devices and run queue as one table, the slowest first.
fn numbers(page: &mut Page, a: &Analysis) {
    // A narrow terminal has room for two figures.
    let figures = if page.width < 72 { 2 } else { 4 };
    let room = page.width.saturating_sub(11 + figures * 10);
    let right = |cells: [&str; 4]| {
        let first = if figures == 4 { 0 } else { 1 };
        cells.iter().skip(first).take(figures).map(|c| format!("{:>10}", shorten(c, 9))).collect::<String>()
    };
    let mut rows: Vec<(&str, &Latency)> = Vec::new();
    for (label, group, most) in [("spans", "span", 5), ("disk", "block", 2), ("run queue", "run_queue", 1)] {
        let mut series = crate::latency::ranked(a, group);
        if group != "run_queue" {
            series.sort_by(|x, y| y.p99.cmp(&x.p99).then_with(|| x.name.cmp(&y.name)));
        }
        rows.extend(series.into_iter().take(most).enumerate().map(|(i, l)| (if i == 0 { label } else { "" }, l)));
    }
    if rows.is_empty() {
        return;
    }
    let wide = rows.iter().map(|(_, l)| visible(&l.name).chars().count()).max().unwrap_or(0).min(room);
    let head = format!("{:11}{:wide$}{}", "", "", right(["count", "p50", "p99", "max"]));
    let head = page.paint(DIM, &head);
    page.line(&head);
    for (label, l) in rows {
        let label = page.paint(DIM, &format!("{label:11}"));
        let name = shorten(&visible(&l.name), wide);
        let cells = right([&count(l.count), &duration(l.p50), &duration(l.p99), &duration(l.max)]);
        page.line(&format!("{label}{name:wide$}{cells}"));
        if let Some(c) = l.change {
            let text = format!(
                "slow from {}: p99 {}, before {}",
                offset(c.time, a.bundle.first),
                duration(c.p99.1),
                duration(c.p99.0)
            );
            page.entry("", &text, Some(YELLOW));
        }
    }
}

fn waits(page: &mut Page, a: &Analysis, facts: &Facts<'_>) {
    if let Some(w) = facts.wait {
        let text = format!(
            "{} waited {} in {} ({}, longest {})",
            w.process,
            duration(w.total),
            w.reason,
            plural(w.count, "time", "times"),
            duration(w.max)
        );
        page.entry("off-CPU", &text, None);
    } else if let Some((stack, ns)) = heaviest(a) {
        page.entry("off-CPU", &format!("{} in {stack}", duration(ns)), None);
    }
}

/// The heaviest off-CPU stack by its ends, where waits were not added up.
fn heaviest(a: &Analysis) -> Option<(String, u64)> {
    let flame = a.flames.iter().find(|f| f.kind == "off-cpu" && f.unit == "ns")?;
    let (stack, weight) = flame.stacks.iter().max_by(|x, y| x.1.cmp(&y.1).then_with(|| y.0.cmp(&x.0)))?;
    let (first, last) = (stack.split(';').next()?, stack.rsplit(';').next()?);
    Some((format!("{first} … {}", last.trim_end_matches("_[k]")), *weight))
}

fn network(page: &mut Page, a: &Analysis, facts: &Facts<'_>) {
    let f = &a.flow;
    if f.packets == 0 && f.connections.is_empty() && f.edges.is_empty() {
        return;
    }
    let text = format!(
        "{} in {}, {}{}",
        plural(f.packets, "packet", "packets"),
        plural(f.connections.len() as u64, "connection", "connections"),
        bytes(f.bytes),
        if facts.trouble.is_empty() { "; no resets, retransmits or unanswered SYNs" } else { "" }
    );
    page.entry("network", &text, None);
    for e in facts.trouble.iter().take(4) {
        page.entry("", &trouble(e), Some(RED));
    }
    if facts.trouble.len() > 4 {
        page.entry("", &format!("and {} more such pairs", facts.trouble.len() - 4), Some(RED));
    }
}

fn trouble(e: &Edge) -> String {
    let wrong = crate::flow::wrong(e);
    format!(
        "{} → {}: {} in {}",
        e.from,
        e.to,
        wrong.unwrap_or_default(),
        plural(e.connections, "connection", "connections")
    )
}

/// Kinds of log lines that changed with the trouble; without any, those of most lines.
fn logs(page: &mut Page, a: &Analysis) {
    if a.log_kinds.is_empty() {
        return;
    }
    let lines: u64 = a.log_kinds.iter().map(|k| k.count).sum();
    let kinds = plural(a.log_kinds.len() as u64, "kind", "kinds");
    let changed = crate::facts::changed_logs(a);
    let told = if changed.is_empty() { String::new() } else { format!(", {} changed with the trouble", changed.len()) };
    page.entry("logs", &format!("{} of {kinds}{told}", plural(lines, "line", "lines")), None);
    let room = page.width.saturating_sub(15 + BARS);
    let shown: Vec<_> = if changed.is_empty() { a.log_kinds.iter().take(3).collect() } else { changed };
    for kind in shown.iter().take(5) {
        let how = kind.change.filter(|_| crate::facts::is_changed(kind));
        let how = how.map_or_else(|| count(kind.count), |change| crate::facts::how_logs(&change));
        let style = crate::facts::is_changed(kind).then_some(YELLOW);
        page.entry("", &format!("{} {}", bars(&kind.columns), shorten(&visible(&how), room)), style);
        page.entry(
            "",
            &format!("  {}", shorten(&visible(&kind.template), page.width.saturating_sub(14).max(20))),
            None,
        );
    }
    if shown.len() > 5 {
        page.entry("", &format!("and {} more, see the report", shown.len() - 5), None);
    }
}

/// Counts over time, one character for some columns.
fn bars(columns: &[u64]) -> String {
    let sums: Vec<u64> = columns.chunks(columns.len().div_ceil(BARS).max(1)).map(|c| c.iter().sum()).collect();
    let most = sums.iter().copied().max().unwrap_or(0).max(1);
    let level = |n: u64| ['·', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'][(n * 8).div_ceil(most) as usize];
    sums.into_iter().map(level).collect()
}

fn worst(page: &mut Page, a: &Analysis) {
    let Some(w) = &a.worst else { return };
    let text = format!("{} to {}: {}", offset(w.from, a.bundle.first), offset(w.to, a.bundle.first), w.why);
    page.entry("worst", &text, None);
    if !w.logs.is_empty() {
        let plain = plural(w.logs.len() as u64, "log line", "log lines");
        page.entry("", &format!("{plain} there, see the report"), None);
    }
}

/// Metrics that moved together, exemplars of slow events, and targets that did not answer.
fn metrics(page: &mut Page, a: &Analysis) {
    for (i, g) in a.metric_moves.iter().take(4).enumerate() {
        let style = g.incident.then_some(YELLOW);
        page.entry(if i == 0 { "metrics" } else { "" }, &crate::moves::line(a, g, 4), style);
    }
    let joined = a.exemplars.iter().filter(|e| e.joined != "none");
    for (i, e) in joined.take(2).enumerate() {
        let text = format!(
            "{} of {}: {} {}, trace {} (joined by {})",
            crate::text::number(e.value),
            e.name,
            e.service,
            e.span_name,
            e.trace,
            e.joined
        );
        page.entry(if i == 0 { "exemplars" } else { "" }, &text, None);
    }
    let sick = a.metric_targets.iter().filter(|t| t.missed > 0 || t.unread > 0);
    for (i, t) in sick.take(4).enumerate() {
        page.entry(if i == 0 { "scrapes" } else { "" }, &crate::moves::target(t), Some(RED));
    }
}

/// Where the report's files are, one line each, never wrapped, so that they can be copied.
pub fn files(written: &crate::Written, colour: bool) -> String {
    let mut page = Page { out: String::new(), width: usize::MAX, colour };
    for (i, file) in written.files.iter().enumerate() {
        page.entry(if i == 0 { "report" } else { "" }, &file.display().to_string(), None);
    }
    page.out
}

#[cfg(test)]
mod tests {
    use super::wrap;

    #[test]
    fn lines_are_never_wider_than_the_terminal() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("abcdefghij", 4), ["abcd", "efgh", "ij"]);
        assert!(wrap("a  b   c", 3).iter().all(|l| l.chars().count() <= 3));
    }
}
