//! One trace on the terminal: a row for each span below its parent, with a bar.

use coldcase_model::analysis::{TraceLog, TraceSpan, TraceView};
use coldcase_model::text::visible;

use crate::text::{count, duration, plural, share, shorten, utc};
use crate::waterfall::{clocks, name, remarks};

const BOLD: &str = "1";
const DIM: &str = "2";
const RED: &str = "31";
const YELLOW: &str = "33";
/// Levels that are indented.
const LEVELS: u32 = 16;
/// Operations that the path is summed up by.
const SUMMED: usize = 8;

struct Page<'a> {
    view: &'a TraceView,
    out: String,
    width: usize,
    colour: bool,
    /// Characters of names and of bars.
    names: usize,
    bars: usize,
}

/// The trace, with at most so many spans, and a newline at its end. Captured text is made visible.
pub fn waterfall(view: &TraceView, width: usize, rows: usize, colour: bool) -> String {
    let width = width.clamp(80, 220);
    let room = width - 36;
    let mut page =
        Page { view, out: String::new(), width, colour, names: room * 45 / 100, bars: room - room * 45 / 100 };
    page.head();
    let style =
        page.paint(DIM, &page.columns("span", "at", "took", "own", "█ on the critical path, ░ running otherwise"));
    page.line(&style);
    for (at, span) in view.spans.iter().enumerate().take(rows) {
        page.span(at, span);
    }
    let hidden = (view.spans.len() as u64).saturating_sub(rows as u64) + view.left_out;
    if hidden > 0 {
        page.line(&format!("and {} more (--top)", plural(hidden, "span", "spans")));
    }
    page.loose();
    page.path();
    page.out
}

impl Page<'_> {
    fn paint(&self, style: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{style}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn line(&mut self, text: &str) {
        self.out.push_str(text.trim_end());
        self.out.push('\n');
    }

    fn head(&mut self) {
        let v = self.view;
        let root = v.spans.first().map(name).unwrap_or_default();
        let title = format!("{} {}", shorten(&visible(&root), self.width.saturating_sub(14)), duration(v.duration));
        self.line(&self.paint(BOLD, &title));
        let mut services: Vec<&str> = v.spans.iter().map(|s| s.service.as_str()).filter(|s| !s.is_empty()).collect();
        services.sort_unstable();
        services.dedup();
        let of = plural(services.len() as u64, "service", "services");
        self.line(&format!("trace {} · {} UTC · {} of {of}", v.id, utc(v.start), plural(v.count, "span", "spans")));
        if !v.why.is_empty() {
            self.line(&visible(&v.why));
        }
        for remark in remarks(v).into_iter().chain(clocks(v)) {
            self.line(&self.paint(YELLOW, &format!("note: {}", visible(&remark))));
        }
    }

    fn columns(&self, name: &str, at: &str, took: &str, own: &str, bar: &str) -> String {
        let pad = |text: &str, width: usize| {
            let missing = width.saturating_sub(text.chars().count());
            format!("{text}{}", " ".repeat(missing))
        };
        format!("{} {at:>11} {took:>10} {own:>10} {bar}", pad(name, self.names))
    }

    fn span(&mut self, at: usize, s: &TraceSpan) {
        let indent = " ".repeat(s.depth.min(LEVELS) as usize);
        let mark = match (s.status.as_str(), s.place.as_deref()) {
            ("error", _) => "✗ ",
            (_, Some("missing")) => "? ",
            _ => "",
        };
        let label = format!("{indent}{mark}{}", visible(&name(s)));
        let label = shorten(&label, self.names);
        let (begun, took) = if s.timed {
            let took = duration(s.end.saturating_sub(s.start).max(0) as u64);
            (crate::waterfall::signed(s.start.saturating_sub(self.view.start)), took)
        } else {
            ("-".to_owned(), "-".to_owned())
        };
        let row = self.columns(&label, &begun, &took, &duration(s.own), &self.bar(at, s));
        let row = if s.status == "error" { self.paint(RED, &row) } else { row };
        self.line(&row);
        self.details(&indent, s);
    }

    /// What stands below a row: where it ran, what happened and was logged in it.
    fn details(&mut self, indent: &str, s: &TraceSpan) {
        let mut facts = Vec::new();
        if let Some(pid) = s.pid {
            let tid = s.tid.map_or_else(|| "thread unknown".to_owned(), |tid| format!("thread {tid}"));
            facts.push(format!("pid {pid} {tid} [{}]", s.tier));
        }
        facts.extend(s.place.as_deref().filter(|p| *p != "missing").map(str::to_owned));
        if s.corrected != 0 {
            facts.push(format!("corrected by {}", crate::waterfall::signed(s.corrected.saturating_neg())));
        }
        if s.concurrent > 1 {
            facts.push(format!("{} children at once", s.concurrent));
        }
        if !s.message.is_empty() {
            facts.push(format!("says: {}", s.message));
        }
        if !facts.is_empty() {
            self.detail(indent, &facts.join(" · "), None);
        }
        for event in &s.events {
            let at = self.since(event.time);
            let with = if event.attributes.is_empty() { String::new() } else { format!(" {}", event.attributes) };
            self.detail(indent, &format!("{at} event {}{with}", event.name), None);
        }
        for link in &s.links {
            let known = link.name.as_deref().map_or_else(|| "not in this bundle".to_owned(), str::to_owned);
            self.detail(indent, &format!("link to {} span {} ({known})", link.trace, link.span), None);
        }
        let logs = self.view.logs.iter().filter(|l| l.span.is_some() && l.span == s.span);
        for log in logs.cloned().collect::<Vec<_>>() {
            self.log(indent, &log);
        }
    }

    fn since(&self, time: i64) -> String {
        crate::waterfall::signed(time.saturating_sub(self.view.start))
    }

    fn log(&mut self, indent: &str, log: &TraceLog) {
        let severity = log.severity.as_deref().unwrap_or("-");
        let bad = matches!(severity, "warn" | "error" | "fatal");
        let origin = log.origin.rsplit('/').next().unwrap_or("");
        let text = format!("{} log {severity} {origin}: {} [{}]", self.since(log.time), log.line, log.how);
        self.detail(indent, &text, bad.then_some(YELLOW));
    }

    fn detail(&mut self, indent: &str, text: &str, style: Option<&str>) {
        let text = shorten(&visible(text), self.width.saturating_sub(indent.len() + 4));
        let line = format!("{indent}  · {text}");
        self.line(&self.paint(style.unwrap_or(DIM), &line));
    }

    /// Log lines that name no span of those shown.
    fn loose(&mut self) {
        let v = self.view;
        let named = |l: &&TraceLog| l.span.is_some() && v.spans.iter().any(|s| s.span == l.span);
        let loose: Vec<TraceLog> = v.logs.iter().filter(|l| !named(l)).cloned().collect();
        if !loose.is_empty() {
            self.line("");
            self.line(&self.paint(BOLD, "logged meanwhile, without the id of a span"));
        }
        loose.iter().for_each(|l| self.log("", l));
        if v.logs_left_out > 0 {
            self.line(&format!("and {} more", plural(v.logs_left_out, "log line", "log lines")));
        }
    }

    /// The path, summed up by operation.
    fn path(&mut self) {
        let v = self.view;
        let mut sums = std::collections::BTreeMap::<String, (u64, u64)>::new();
        for s in v.spans.iter().filter(|s| s.on_path > 0) {
            let sum = sums.entry(name(s)).or_default();
            *sum = (sum.0.saturating_add(s.on_path), sum.1 + 1);
        }
        let mut sums: Vec<(String, (u64, u64))> = sums.into_iter().collect();
        sums.sort_by(|x, y| y.1.0.cmp(&x.1.0).then_with(|| x.0.cmp(&y.0)));
        self.line("");
        let title =
            format!("critical path: {} in {}", duration(v.duration), plural(v.path.len() as u64, "part", "parts"));
        self.line(&self.paint(BOLD, &title));
        for (name, (time, spans)) in sums.iter().take(SUMMED) {
            let part = *time as f64 / (v.duration as f64).max(1.0);
            let of = if *spans > 1 { format!(" ({} spans)", count(*spans)) } else { String::new() };
            let name = shorten(&visible(name), self.width.saturating_sub(40));
            self.line(&format!("{:>10} {:>5}  {name}{of}", duration(*time), share(part)));
        }
        if sums.len() > SUMMED {
            self.line(&format!("and {} more operations", sums.len() - SUMMED));
        }
    }

    fn bar(&self, at: usize, s: &TraceSpan) -> String {
        let mut cells = vec![' '; self.bars];
        if s.timed {
            self.fill(&mut cells, s.start, s.end, '░');
            for part in self.view.path.iter().filter(|p| p.span == at as u64) {
                self.fill(&mut cells, part.from, part.to, '█');
            }
        }
        cells.into_iter().collect()
    }

    /// Fills the cells that a stretch of time touches; one at least.
    fn fill(&self, cells: &mut [char], from: i64, to: i64, with: char) {
        let (start, length) = (i128::from(self.view.from), i128::from(self.view.to) - i128::from(self.view.from));
        let (length, n) = (length.max(1), cells.len() as i128);
        let first = ((i128::from(from) - start) * n / length).clamp(0, n - 1);
        let end = (((i128::from(to) - start) * n + length - 1) / length).clamp(first + 1, n);
        cells[first as usize..end as usize].fill(with);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use coldcase_model::analysis::{ClockOffset, PathPart, TraceEvent, TraceFlaws};

    use super::*;

    fn view() -> TraceView {
        let span = |name: &str, depth, parent, start, end, on_path| TraceSpan {
            span: Some(format!("{name:0>16}")),
            parent,
            depth,
            name: name.to_owned(),
            service: "shop".to_owned(),
            start,
            end,
            timed: true,
            own: 1_000,
            on_path,
            tier: "unknown".to_owned(),
            ..TraceSpan::default()
        };
        let mut failed = span("pay\x1b[2J", 1, Some(0), 1_000_050_000, 1_000_100_000, 50_000);
        failed.status = "error".to_owned();
        failed.message = "no\nmoney".to_owned();
        failed.events = vec![TraceEvent { time: 1_000_060_000, name: "retry".to_owned(), attributes: String::new() }];
        TraceView {
            id: "ab".repeat(16),
            start: 1_000_000_000,
            duration: 100_000,
            from: 1_000_000_000,
            to: 1_000_100_000,
            count: 2,
            spans: vec![span("buy", 0, None, 1_000_000_000, 1_000_100_000, 50_000), failed],
            path: vec![
                PathPart { span: 0, from: 1_000_000_000, to: 1_000_050_000 },
                PathPart { span: 1, from: 1_000_050_000, to: 1_000_100_000 },
            ],
            flaws: TraceFlaws { missing: 1, roots: 1, ..TraceFlaws::default() },
            reference: "host a".to_owned(),
            clocks: vec![ClockOffset {
                clock: "host b".to_owned(),
                offset: 2_000_000,
                least: Some(1_000_000),
                most: Some(3_000_000),
                pairs: 4,
                hops: 1,
            }],
            logs: vec![TraceLog {
                time: 1_000_070_000,
                line: "broke\x07".to_owned(),
                how: "trace id".to_owned(),
                ..TraceLog::default()
            }],
            ..TraceView::default()
        }
    }

    #[test]
    fn bars_are_full_where_the_trace_waited_and_what_was_captured_is_visible_only() {
        let text = waterfall(&view(), 100, 50, false);
        let bar = |name: &str| {
            let of = |l: &&str| l.contains('█') && l.trim_start().trim_start_matches("✗ ").starts_with(name);
            let row = text.lines().find(of).unwrap();
            (row.chars().filter(|&c| c == '█').count(), row.chars().filter(|&c| c == '░').count())
        };
        let room = (100 - 36) - (100 - 36) * 45 / 100;
        let (buy, pay) = (bar("buy"), bar("pay"));
        assert_eq!(buy.0 + buy.1, room);
        assert_eq!((buy.0 + pay.0, pay.1), (room, 0), "{text}");
        assert!(!text.contains('\x1b') && !text.contains('\x07') && text.contains("says: no"), "{text}");
        assert!(
            text.contains("is ahead of host a by about 2.00ms (1.00ms to 3.00ms, 4 pairs)")
                && text.contains("--deskew"),
            "{text}"
        );
        assert!(
            text.contains("note: 1 parent is not in the bundle")
                && text.contains("the process of 2 spans")
                && text.contains("event retry"),
            "{text}"
        );
        assert!(text.contains("[trace id]") && text.contains("50%"), "{text}");
    }

    #[test]
    fn what_was_corrected_is_marked_and_what_is_not_shown_counted() {
        let mut v = view();
        v.deskewed = true;
        v.spans[1].corrected = 2_000_000;
        let text = waterfall(&v, 100, 50, false);
        assert!(
            text.contains("CORRECTED: 2.00ms was taken off the times of host b")
                && text.contains("corrected by -2.00ms"),
            "{text}"
        );
        assert!(waterfall(&v, 100, 1, false).contains("and 1 span more (--top)"));
    }

    #[test]
    fn times_at_the_end_of_all_time_are_drawn_as_well() {
        let mut v = view();
        (v.from, v.to, v.spans[0].end, v.path[0].from) = (i64::MIN, i64::MAX, i64::MAX, i64::MIN);
        assert!(!waterfall(&v, 80, 50, true).is_empty());
        assert!(crate::trace_svg(&v).unwrap().contains("<svg"));
    }
}
