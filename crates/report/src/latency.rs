//! `latency.svg`: heat maps over time, one panel a series, all on the bundle's time axis.

use coldcase_model::analysis::{Analysis, Heat, Latency};

use crate::ReportError;
use crate::axis::{LEFT, RIGHT, TimeAxis, WIDTH, decades};
use crate::canvas::{Align, Canvas, Skin, draw};
use crate::palette::{HEAT, Ink, heat_step};
use crate::text::{count, duration, shorten};

/// Panels in a picture.
pub(crate) const PANELS: usize = 12;
const TITLE: f64 = 24.0;
const PLOT: f64 = 116.0;
const BELOW: f64 = 24.0;
const GAP: f64 = 16.0;

/// Height of one panel.
pub(crate) const PANEL: f64 = TITLE + PLOT + BELOW;

/// Groups in their order, and for how many of each there is room.
const ROOM: [(&str, usize); 12] = [
    ("span", 5),
    ("statement", 2),
    ("name_lookup", 1),
    ("tls", 1),
    ("block", 1),
    ("connect", 1),
    ("file", 1),
    ("fault", 1),
    ("lock", 1),
    ("kernel_lock", 1),
    ("run_queue", 1),
    ("off_cpu", 1),
];

/// The series worth a panel: those of spans first, then devices, the run queue and waits; in a group by total time.
/// A group leaves room for the others.
pub(crate) fn chosen(a: &Analysis) -> Vec<&Latency> {
    let mut out: Vec<&Latency> = Vec::new();
    let mut rest: Vec<&Latency> = Vec::new();
    for (group, room) in ROOM {
        let series = ranked(a, group);
        out.extend(series.iter().take(room));
        rest.extend(series.iter().skip(room));
    }
    for other in a.latencies.iter().filter(|l| ROOM.iter().all(|(group, _)| *group != l.group)) {
        rest.push(other);
    }
    rest.retain(|l| l.count > 0);
    let free = PANELS.saturating_sub(out.len());
    out.extend(rest.into_iter().take(free));
    out.truncate(PANELS);
    out
}

/// The series of a group, most total time first.
pub(crate) fn ranked<'a>(a: &'a Analysis, group: &str) -> Vec<&'a Latency> {
    let mut series: Vec<&Latency> = a.latencies.iter().filter(|l| l.group == group && l.count > 0).collect();
    series.sort_by(|x, y| y.total.cmp(&x.total).then_with(|| x.name.cmp(&y.name)));
    series
}

/// The file.
pub(crate) fn svg(a: &Analysis) -> Result<String, ReportError> {
    let series = chosen(a);
    let axis = TimeAxis::of(a);
    let head = 58.0 + marks_height(a);
    let height = head + (series.len().max(1) as f64) * (PANEL + GAP) + 14.0;
    draw("Latency over time", (WIDTH, height), Skin::File, |canvas| {
        let file = shorten(&a.bundle.file, 60);
        canvas.bold("Latency over time", (LEFT - 52.0, 24.0), 18.0, Ink::Text, Align::Start);
        let under = format!(
            "{file} · {} · colour: number of events, logarithmic · lines: p50 and p99 · pale band: the worst moment",
            shorten(&a.bundle.host, 40)
        );
        canvas.text(&under, (LEFT - 52.0, 44.0), 11.5, Ink::Muted, Align::Start);
        scale(canvas, 24.0);
        mark_labels(canvas, a, &axis, 58.0);
        if series.is_empty() {
            canvas.text("Nothing with a duration was recorded.", (LEFT, head + 40.0), 13.0, Ink::Muted, Align::Start);
        }
        for (i, latency) in series.iter().enumerate() {
            panel(canvas, a, &axis, latency, head + i as f64 * (PANEL + GAP));
        }
    })
}

/// One panel for the page.
pub(crate) fn panel_svg(a: &Analysis, latency: &Latency) -> Result<String, ReportError> {
    let axis = TimeAxis::of(a);
    let title = format!("Heat map of {}", shorten(&latency.name, 120));
    draw(&title, (WIDTH, PLOT + BELOW + 6.0), Skin::Page, |canvas| plot(canvas, a, &axis, latency, 6.0))
}

/// Where the plot of a panel lies in its picture for the page, as shares of its size: left, right, top, bottom.
pub(crate) fn plot_box() -> [f64; 4] {
    let height = PLOT + BELOW + 6.0;
    [LEFT / WIDTH, RIGHT / WIDTH, 6.0 / height, (6.0 + PLOT) / height]
}

fn panel(canvas: &mut Canvas<'_>, a: &Analysis, axis: &TimeAxis, l: &Latency, top: f64) {
    canvas.bold(&shorten(&l.name, 56), (LEFT - 52.0, top + 11.0), 13.0, Ink::Text, Align::Start);
    let errors = l.errors.filter(|&n| n > 0).map(|n| format!(" · {} failed", count(n))).unwrap_or_default();
    let facts = format!(
        "{}{errors} · p50 {} · p90 {} · p99 {} · max {}",
        count(l.count),
        duration(l.p50),
        duration(l.p90),
        duration(l.p99),
        duration(l.max)
    );
    canvas.text(&format!("{} {facts}", group_word(&l.group)), (RIGHT, top + 11.0), 11.5, Ink::Muted, Align::End);
    plot(canvas, a, axis, l, top + TITLE);
}

/// What the events of a group are called.
pub(crate) fn group_word(group: &str) -> &str {
    match group {
        "span" => "spans",
        "block" => "block I/O",
        "run_queue" => "run queue",
        "off_cpu" => "off-CPU",
        "fault" => "page faults",
        "kernel_lock" => "kernel lock",
        "statement" => "statements",
        "name_lookup" => "look-ups of names",
        "tls" => "TLS handshakes",
        "syscall" => "system call",
        other => other,
    }
}

/// The rows of a heat map that hold something, with one empty row on each side: first, one past the last.
pub(crate) fn occupied(heat: &Heat) -> Option<(usize, usize)> {
    let rows = heat.bounds.len();
    let used = |y: usize| heat.columns.iter().any(|c| c.get(y).is_some_and(|&n| n > 0));
    let first = (0..rows).find(|&y| used(y))?;
    let last = (0..rows).rev().find(|&y| used(y))?;
    Some((first.saturating_sub(1), (last + 2).min(rows)))
}

/// Lower and upper duration of rows `first..end`, in nanoseconds, at least 1.
pub(crate) fn range(heat: &Heat, first: usize, end: usize) -> (f64, f64) {
    let bound = |row: usize| heat.bounds.get(row).map(|&b| b as f64);
    // A row from zero has no place on a logarithmic scale: it is drawn from half of where it ends.
    let low = match bound(first) {
        Some(low) if low >= 1.0 => low,
        _ => bound(first + 1).map_or(1.0, |next| next / 2.0),
    };
    let low = low.max(1.0);
    // The last row has no next bound: it is drawn as high as the one below it.
    let high = bound(end).unwrap_or_else(|| {
        let n = heat.bounds.len();
        let (top, below) = (bound(n.wrapping_sub(1)).unwrap_or(1.0), bound(n.wrapping_sub(2)).unwrap_or(1.0));
        top * (top / below.max(1.0)).clamp(1.05, 10.0)
    });
    (low, high.max(low * 1.05))
}

fn plot(canvas: &mut Canvas<'_>, a: &Analysis, axis: &TimeAxis, l: &Latency, top: f64) {
    let bottom = top + PLOT;
    canvas.rect((LEFT, top), (RIGHT, bottom), Ink::Panel);
    if let Some(worst) = &a.worst {
        canvas.rect((axis.x(worst.from), top), (axis.x(worst.to).max(axis.x(worst.from) + 1.0), bottom), Ink::Worst);
    }
    axis.draw(canvas, top, bottom);
    let Some((first, end)) = occupied(&l.heat) else {
        canvas.text("no events with a time", (LEFT + 8.0, top + PLOT / 2.0), 11.0, Ink::Muted, Align::Start);
        return;
    };
    let (low, high) = range(&l.heat, first, end);
    let y = |ns: f64| bottom - (ns.clamp(low, high) / low).ln() / (high / low).ln() * PLOT;
    for (at, label) in decades(low, high) {
        canvas.line((LEFT, y(at)), (RIGHT, y(at)), Ink::Grid, 0.75);
        canvas.text(&label, (LEFT - 7.0, y(at).clamp(top + 5.0, bottom - 5.0)), 10.5, Ink::Muted, Align::End);
    }
    cells(canvas, axis, &l.heat, (first, end), &y);
    marks(canvas, a, axis, top, bottom);
    percentiles(canvas, l, &y, top, bottom);
    canvas.border((LEFT, top), (RIGHT, bottom), Ink::Grid, 1.0);
}

fn cells(canvas: &mut Canvas<'_>, axis: &TimeAxis, heat: &Heat, (first, end): (usize, usize), y: &dyn Fn(f64) -> f64) {
    let most = heat.columns.iter().flatten().copied().max().unwrap_or(0);
    for (i, column) in heat.columns.iter().enumerate() {
        let from = heat.start.saturating_add((heat.step as i64).saturating_mul(i as i64));
        let (x0, x1) = (axis.x(from), axis.x(from.saturating_add(heat.step as i64)));
        if x1 - x0 < 0.01 {
            continue;
        }
        for row in first..end {
            let n = column.get(row).copied().unwrap_or(0);
            if n > 0 {
                let (low, high) = range(heat, row, row + 1);
                let step = HEAT.get(heat_step(n, most)).copied().unwrap_or(HEAT[0]);
                canvas.rect_rgb((x0, y(high)), (x1, y(low)), step);
            }
        }
    }
}

/// Lines at p50 and p99 with their values in the right margin, pushed apart where they would overlap.
fn percentiles(canvas: &mut Canvas<'_>, l: &Latency, y: &dyn Fn(f64) -> f64, top: f64, bottom: f64) {
    let values = [("max", l.max), ("p99", l.p99), ("p90", l.p90), ("p50", l.p50)];
    let mut last = top - 12.0;
    let room = |left: usize| bottom - 5.0 - left as f64 * 12.0;
    for (i, (name, ns)) in values.into_iter().enumerate() {
        let at = y(ns as f64);
        if name == "p50" || name == "p99" {
            canvas.path(&[(LEFT, at), (RIGHT, at)], Ink::Text, 0.9, 0.55);
        }
        let label = at.max(last + 12.0).min(room(3 - i));
        canvas.path(&[(RIGHT, at), (RIGHT + 5.0, label)], Ink::Muted, 0.75, 0.8);
        canvas.text(&format!("{name} {}", duration(ns)), (RIGHT + 8.0, label), 10.5, Ink::Text, Align::Start);
        last = label;
    }
}

/// Marks as vertical lines.
pub(crate) fn marks(canvas: &mut Canvas<'_>, a: &Analysis, axis: &TimeAxis, top: f64, bottom: f64) {
    for mark in a.bundle.marks.iter().filter(|m| axis.has(m.time)).take(50) {
        let x = axis.x(mark.time);
        canvas.line((x, top), (x, bottom), Ink::Accent, 1.5);
    }
}

fn marks_height(a: &Analysis) -> f64 {
    a.bundle.marks.len().min(4) as f64 * 14.0
}

/// The notes of the first marks, one under the other, each at its time.
fn mark_labels(canvas: &mut Canvas<'_>, a: &Analysis, axis: &TimeAxis, top: f64) {
    for (i, mark) in a.bundle.marks.iter().filter(|m| axis.has(m.time)).take(4).enumerate() {
        let (x, y) = (axis.x(mark.time), top + 6.0 + i as f64 * 14.0);
        let align = if x > (LEFT + RIGHT) / 2.0 { Align::End } else { Align::Start };
        let aside = if align == Align::End { -6.0 } else { 6.0 };
        canvas.dot((x, y), 3.0, Ink::Accent);
        canvas.text(&shorten(&mark.text, 80), (x + aside, y), 11.0, Ink::Accent, align);
    }
}

/// The key of the colours.
fn scale(canvas: &mut Canvas<'_>, y: f64) {
    let left = RIGHT - HEAT.len() as f64 * 14.0 - 34.0;
    canvas.text("few", (left - 6.0, y), 10.5, Ink::Muted, Align::End);
    for (i, rgb) in HEAT.iter().enumerate() {
        let x = left + i as f64 * 14.0;
        canvas.rect_rgb((x, y - 5.0), (x + 14.0, y + 5.0), *rgb);
    }
    canvas.text("many", (left + HEAT.len() as f64 * 14.0 + 6.0, y), 10.5, Ink::Muted, Align::Start);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_a_place_on_a_logarithmic_scale_the_one_from_zero_too() {
        let heat = Heat { bounds: vec![0, 1_000, 2_000], columns: vec![vec![1, 0, 3]], ..Heat::default() };
        assert_eq!(occupied(&heat), Some((0, 3)));
        assert_eq!(range(&heat, 0, 3), (500.0, 4_000.0));
        assert_eq!(range(&heat, 0, 1), (500.0, 1_000.0));
        assert_eq!(range(&Heat::default(), 0, 1), (1.0, 1.05));
    }
}
