//! One trace over time: a row for each span below its parent, its bar where it ran, filled where the trace waited for it.

use coldcase_model::analysis::{TraceSpan, TraceView};

use crate::ReportError;
use crate::axis::{WIDTH, nice};
use crate::canvas::{Align, Canvas, Skin, draw};
use crate::palette::Ink;
use crate::text::{count, duration, plural, shorten, utc};

/// Rows of a picture.
const ROWS: usize = 120;
const ROW: f64 = 18.0;
const LEFT: f64 = 350.0;
const RIGHT: f64 = WIDTH - 84.0;
const HEAD: f64 = 40.0;
/// Pixels a level is indented, and levels that are.
const INDENT: f64 = 9.0;
const LEVELS: u32 = 14;
/// Least width of a bar, and of a stretch of the critical path.
const LEAST: f64 = 1.5;
/// Events of a span that are drawn.
const EVENTS: usize = 50;

/// The picture.
pub(crate) fn svg(view: &TraceView, skin: Skin) -> Result<String, ReportError> {
    let rows: Vec<(usize, &TraceSpan)> = view.spans.iter().enumerate().take(ROWS).collect();
    let head = if skin == Skin::File { 24.0 } else { 0.0 } + HEAD;
    let height = head + rows.len() as f64 * ROW + 26.0;
    draw("Spans of a trace over time", (WIDTH, height), skin, |canvas| {
        if skin == Skin::File {
            canvas.bold(&title(view), (8.0, 14.0), 13.0, Ink::Text, Align::Start);
        }
        legend(canvas, head - HEAD + 12.0);
        grid(canvas, view, head, height - 22.0);
        for (i, (at, span)) in rows.iter().enumerate() {
            row(canvas, view, *at, span, head + i as f64 * ROW);
        }
        let left = view.spans.len() as u64 - rows.len() as u64 + view.left_out;
        if left > 0 {
            let text = format!("and {} more", plural(left, "span", "spans"));
            canvas.text(&text, (8.0, height - 11.0), 11.0, Ink::Muted, Align::Start);
        }
    })
}

/// `GET /buy (gateway) · 1.2s · trace 0af7…`.
pub(crate) fn title(view: &TraceView) -> String {
    let root = view.spans.first().map(name).unwrap_or_default();
    format!("{} · {} · {} · trace {}", shorten(&root, 70), duration(view.duration), utc(view.start), view.id)
}

/// How a span is called.
pub(crate) fn name(span: &TraceSpan) -> String {
    match (span.place.as_deref(), span.service.as_str()) {
        (Some("missing"), _) => format!("(missing span {})", span.span.as_deref().unwrap_or("?")),
        (_, "") => span.name.clone(),
        (_, service) => format!("{} ({service})", span.name),
    }
}

/// What there is to say of how good the picture is: of spans, in sentences.
pub(crate) fn remarks(view: &TraceView) -> Vec<String> {
    let f = &view.flaws;
    let told = [
        (f.missing, "parent is not in the bundle", "parents are not in the bundle"),
        (f.duplicates, "span came again and is shown once", "spans came again and are shown once"),
        (f.conflicts, "span has the id of another and other content", "spans have the id of another and other content"),
        (f.cycles, "circle of parents was cut", "circles of parents were cut"),
        (f.without_id, "span has no id", "spans have no id"),
        (f.untimed, "span has no start, or an end before it", "spans have no start, or an end before it"),
        (f.late, "span arrived in a later message than the root", "spans arrived in later messages than the root"),
    ];
    let mut out: Vec<String> = told.iter().filter(|t| t.0 > 0).map(|t| plural(t.0, t.1, t.2)).collect();
    if f.roots > 1 {
        out.push(format!(
            "it is in {} parts that hang together with nothing; the path is of the first",
            count(f.roots)
        ));
    }
    let unbound = view.spans.iter().filter(|s| s.pid.is_none() && s.place.as_deref() != Some("missing")).count() as u64;
    if unbound > 0 {
        out.push(format!("the process of {} on the recorded host is unknown", plural(unbound, "span", "spans")));
    }
    if view.left_out > 0 {
        out.push(format!("{} beside the critical path are left out", plural(view.left_out, "span", "spans")));
    }
    out
}

/// What is known of the senders' clocks, in sentences.
pub(crate) fn clocks(view: &TraceView) -> Vec<String> {
    let bound = |b: Option<i64>| b.map_or_else(|| "unknown".to_owned(), signed);
    let sentence = |c: &coldcase_model::analysis::ClockOffset| {
        let bounds = format!("{} to {}, {}", bound(c.least), bound(c.most), plural(c.pairs, "pair", "pairs"));
        let hops = if c.hops > 1 { format!(" over {} clocks", c.hops) } else { String::new() };
        match (c.offset, view.deskewed) {
            (0, _) => {
                format!("the clock of {} may be that of {} ({bounds}{hops}): not corrected", c.clock, view.reference)
            }
            (o, true) => format!(
                "CORRECTED: {} was taken off the times of {}, whose clock is ahead of {} by {bounds}{hops}",
                signed(o),
                c.clock,
                view.reference
            ),
            (o, false) => format!(
                "the clock of {} is ahead of {} by about {} ({bounds}{hops}): times are as sent, `coldcase trace --deskew` corrects them",
                c.clock,
                view.reference,
                signed(o)
            ),
        }
    };
    view.clocks.iter().map(sentence).collect()
}

/// A duration with its sign.
pub(crate) fn signed(ns: i64) -> String {
    format!("{}{}", if ns < 0 { "-" } else { "" }, duration(ns.unsigned_abs()))
}

struct Scale {
    from: i64,
    length: f64,
}

impl Scale {
    fn of(view: &TraceView) -> Scale {
        Scale { from: view.from, length: (view.to.saturating_sub(view.from) as f64).max(1.0) }
    }

    fn x(&self, time: i64) -> f64 {
        let share = time.saturating_sub(self.from) as f64 / self.length;
        LEFT + share.clamp(0.0, 1.0) * (RIGHT - LEFT)
    }
}

fn legend(canvas: &mut Canvas<'_>, y: f64) {
    let mut x = LEFT;
    for (ink, text) in [
        (Ink::Accent, "on the critical path"),
        (Ink::Grid, "running otherwise"),
        (Ink::Bad, "failed"),
        (Ink::Warn, "event"),
    ] {
        canvas.rect((x, y - 4.0), (x + 12.0, y + 4.0), ink);
        canvas.text(text, (x + 17.0, y), 10.5, Ink::Muted, Align::Start);
        x += 132.0;
    }
}

fn grid(canvas: &mut Canvas<'_>, view: &TraceView, top: f64, bottom: f64) {
    let scale = Scale::of(view);
    let step = nice(scale.length / 6.0).max(1.0);
    for i in 0..40 {
        let at = f64::from(i) * step;
        if at > scale.length {
            break;
        }
        let x = LEFT + at / scale.length * (RIGHT - LEFT);
        canvas.line((x, top - 2.0), (x, bottom), Ink::Grid, 0.6);
        canvas.text(&format!("+{}", duration(at as u64)), (x, top - 9.0), 10.0, Ink::Muted, Align::Middle);
    }
}

fn row(canvas: &mut Canvas<'_>, view: &TraceView, at: usize, span: &TraceSpan, top: f64) {
    let scale = Scale::of(view);
    let middle = top + ROW / 2.0;
    let indent = 8.0 + f64::from(span.depth.min(LEVELS)) * INDENT;
    let failed = span.status == "error";
    let ink = if failed { Ink::Bad } else { Ink::Text };
    // About how many letters fit.
    let room = ((LEFT - indent - 10.0) / 6.2) as usize;
    canvas.text(&shorten(&name(span), room), (indent, middle), 11.0, ink, Align::Start);
    if !span.timed {
        canvas.text("no place in time", (LEFT, middle), 10.5, Ink::Muted, Align::Start);
        return;
    }
    let (from, to) = (scale.x(span.start), scale.x(span.end));
    let to = to.max(from + LEAST);
    canvas.rect((from, top + 4.0), (to, top + ROW - 4.0), Ink::Grid);
    for part in view.path.iter().filter(|p| p.span == at as u64) {
        let (a, b) = (scale.x(part.from), scale.x(part.to));
        canvas.rect((a, top + 4.0), (b.max(a + LEAST), top + ROW - 4.0), Ink::Accent);
    }
    if failed {
        canvas.border((from, top + 3.0), (to, top + ROW - 3.0), Ink::Bad, 1.2);
    }
    for event in span.events.iter().take(EVENTS) {
        canvas.dot((scale.x(event.time), middle), 2.4, Ink::Warn);
    }
    canvas.text(
        &duration(span.end.saturating_sub(span.start).max(0) as u64),
        (WIDTH - 8.0, middle),
        10.5,
        Ink::Muted,
        Align::End,
    );
}
