//! Strips: one metric over the bundle's time axis.

use coldcase_model::analysis::{Analysis, MetricSeries};

use crate::ReportError;
use crate::axis::{LEFT, RIGHT, TimeAxis, WIDTH};
use crate::canvas::{Align, Skin, draw};
use crate::palette::Ink;
use crate::text::{measured, shorten};

const PLOT: f64 = 58.0;
const TOP: f64 = 6.0;
const BELOW: f64 = 22.0;
/// Points drawn of a series; longer ones are drawn as the lowest and highest of each pixel.
const POINTS: usize = 900;

/// The strip's picture for the page.
pub(crate) fn svg(a: &Analysis, m: &MetricSeries, axis_labels: bool) -> Result<String, ReportError> {
    let axis = TimeAxis::of(a);
    let below = if axis_labels { BELOW } else { 6.0 };
    let title = format!("{} over time", shorten(&m.name, 120));
    draw(&title, (WIDTH, TOP + PLOT + below), Skin::Page, |canvas| {
        let bottom = TOP + PLOT;
        canvas.rect((LEFT, TOP), (RIGHT, bottom), Ink::Panel);
        if let Some(worst) = &a.worst {
            canvas.rect(
                (axis.x(worst.from), TOP),
                (axis.x(worst.to).max(axis.x(worst.from) + 1.0), bottom),
                Ink::Worst,
            );
        }
        for (x, label) in axis.ticks() {
            canvas.line((x, TOP), (x, bottom), Ink::Grid, 0.75);
            if axis_labels {
                canvas.text(&label, (x, bottom + 10.0), 10.5, Ink::Muted, Align::Middle);
            }
        }
        let points = thinned(m, &axis);
        let (low, high) = span(&points);
        let y = |v: f64| bottom - 4.0 - (v - low) / (high - low) * (PLOT - 8.0);
        let line: Vec<(f64, f64)> = points.iter().map(|&(t, v)| (axis.x(t), y(v))).collect();
        if let (0.0, Some(first), Some(last)) = (low, line.first(), line.last()) {
            let mut area = line.clone();
            area.extend([(last.0, bottom), (first.0, bottom)]);
            canvas.polygon(&area, Ink::Accent, 0.10);
        }
        // No line over a gap: nothing is known there.
        let lives = points.chunk_by(|a, b| !m.gaps.iter().any(|&(from, to)| a.0 <= from && to <= b.0));
        for life in lives {
            let line: Vec<(f64, f64)> = life.iter().map(|&(t, v)| (axis.x(t), y(v))).collect();
            match line.as_slice() {
                [only] => canvas.dot(*only, 1.4, Ink::Accent),
                line => canvas.path(line, Ink::Accent, 1.4, 1.0),
            }
        }
        for &(from, to) in &m.gaps {
            canvas.rect((axis.x(from), TOP), (axis.x(to), bottom), Ink::Grid);
        }
        if let [only] = line.as_slice() {
            canvas.dot(*only, 2.5, Ink::Accent);
        }
        crate::latency::marks(canvas, a, &axis, TOP, bottom);
        if points.is_empty() {
            canvas.text("no values", (LEFT + 8.0, TOP + PLOT / 2.0), 11.0, Ink::Muted, Align::Start);
        } else {
            canvas.text(&measured(high, &m.unit), (LEFT - 7.0, TOP + 5.0), 10.5, Ink::Muted, Align::End);
            canvas.text(&measured(low, &m.unit), (LEFT - 7.0, bottom - 5.0), 10.5, Ink::Muted, Align::End);
        }
        if let Some(&(_, v)) = points.last() {
            canvas.text(&measured(v, &m.unit), (RIGHT + 8.0, y(v)), 10.5, Ink::Text, Align::Start);
        }
        canvas.border((LEFT, TOP), (RIGHT, bottom), Ink::Grid, 1.0);
    })
}

/// Where the plot lies in the picture, as shares of its size: left, right, top, bottom.
pub(crate) fn plot_box(axis_labels: bool) -> [f64; 4] {
    let height = TOP + PLOT + if axis_labels { BELOW } else { 6.0 };
    [LEFT / WIDTH, RIGHT / WIDTH, TOP / height, (TOP + PLOT) / height]
}

/// The values' range: from zero unless that would flatten the line; what hardly moves is shown as hardly moving.
fn span(points: &[(i64, f64)]) -> (f64, f64) {
    let (low, high) = points.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), p| (l.min(p.1), h.max(p.1)));
    if !(low.is_finite() && high.is_finite()) {
        return (0.0, 1.0);
    }
    if low >= 0.0 && (low < high * 0.8 || high == 0.0) {
        return (0.0, if high > 0.0 { high } else { 1.0 });
    }
    // Halves first: the sum of two large values may not be finite.
    let (middle, half) = (low / 2.0 + high / 2.0, high / 2.0 - low / 2.0);
    let half = half.max(middle.abs() * 0.1).min(f64::MAX / 4.0);
    (middle - half, middle + half)
}

/// The points that are drawn: all, or the lowest and highest of each slice of time.
pub(crate) fn thinned(m: &MetricSeries, axis: &TimeAxis) -> Vec<(i64, f64)> {
    let points: Vec<(i64, f64)> = m.points.iter().copied().filter(|p| p.1.is_finite() && axis.has(p.0)).collect();
    if points.len() <= POINTS {
        return points;
    }
    let slice = points.len().div_ceil(POINTS / 2);
    let mut out = Vec::with_capacity(POINTS);
    for part in points.chunks(slice) {
        let low = part.iter().min_by(|a, b| a.1.total_cmp(&b.1));
        let high = part.iter().max_by(|a, b| a.1.total_cmp(&b.1));
        let mut two: Vec<(i64, f64)> = low.into_iter().chain(high).copied().collect();
        two.sort_by_key(|p| p.0);
        two.dedup();
        out.extend(two);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_series_keeps_its_peaks() {
        let mut points: Vec<(i64, f64)> = (0..50_000).map(|i| (i, 1.0)).collect();
        if let Some(p) = points.get_mut(31_337) {
            p.1 = 99.0;
        }
        let m = MetricSeries { points, ..MetricSeries::default() };
        let thin = thinned(&m, &TimeAxis { start: 0, length: 50_000.0 });
        assert!(thin.len() <= POINTS + 2);
        assert!(thin.contains(&(31_337, 99.0)));
    }
}
