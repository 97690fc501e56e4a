//! Axes: the one time axis that every picture shares, and ticks that people can read.

use coldcase_model::analysis::Analysis;

use crate::canvas::{Align, Canvas};
use crate::palette::Ink;

/// Width of every picture over time.
pub(crate) const WIDTH: f64 = 1120.0;
/// Where its plot begins.
pub(crate) const LEFT: f64 = 76.0;
/// Where its plot ends.
pub(crate) const RIGHT: f64 = 1040.0;

/// The time axis: seconds from the bundle's start.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct TimeAxis {
    /// The bundle's start, UTC nanoseconds.
    pub(crate) start: i64,
    /// Its length in nanoseconds, at least 1.
    pub(crate) length: f64,
}

impl TimeAxis {
    /// The bundle's own; when it has no times, those of the series.
    pub(crate) fn of(a: &Analysis) -> TimeAxis {
        let (mut start, mut end) = (a.bundle.first, a.bundle.last);
        if end <= start {
            let heats = a.latencies.iter().filter(|l| !l.heat.columns.is_empty());
            let heat_end = |h: &coldcase_model::analysis::Heat| {
                h.start.saturating_add(h.step.saturating_mul(h.columns.len() as u64).min(i64::MAX as u64) as i64)
            };
            start = heats.clone().map(|l| l.heat.start).min().unwrap_or(start);
            end = heats.map(|l| heat_end(&l.heat)).max().unwrap_or(end);
        }
        TimeAxis { start, length: (end.saturating_sub(start).max(1)) as f64 }
    }

    /// Position of a moment, kept inside the plot.
    pub(crate) fn x(&self, time: i64) -> f64 {
        let at = time.saturating_sub(self.start) as f64 / self.length;
        LEFT + at.clamp(0.0, 1.0) * (RIGHT - LEFT)
    }

    /// Whether a moment is on the axis.
    pub(crate) fn has(&self, time: i64) -> bool {
        let at = time.saturating_sub(self.start) as f64;
        (0.0..=self.length).contains(&at)
    }

    /// Ticks: position and label, the first with its unit.
    pub(crate) fn ticks(&self) -> Vec<(f64, String)> {
        let seconds = self.length / 1e9;
        let step = nice(seconds / 12.0);
        let places = if step >= 1.0 { 0 } else { (-step.log10().floor()) as usize };
        let many = ((seconds / step) + 1e-9).floor().min(64.0) as usize;
        (0..=many)
            .map(|i| {
                let s = i as f64 * step;
                let x = LEFT + (s / seconds).min(1.0) * (RIGHT - LEFT);
                (x, format!("+{s:.places$} s"))
            })
            .collect()
    }

    /// Draws the grid and labels of the axis under a plot.
    pub(crate) fn draw(&self, canvas: &mut Canvas<'_>, top: f64, bottom: f64) {
        for (x, label) in self.ticks() {
            canvas.line((x, top), (x, bottom), Ink::Grid, 0.75);
            canvas.text(&label, (x, bottom + 10.0), 10.5, Ink::Muted, Align::Middle);
        }
    }
}

/// The next larger of 1, 2, 5 times a power of ten.
pub(crate) fn nice(raw: f64) -> f64 {
    if !(raw.is_finite() && raw > 0.0) {
        return 1.0;
    }
    let power = 10f64.powf(raw.log10().floor());
    let lead = raw / power;
    power
        * if lead <= 1.0 {
            1.0
        } else if lead <= 2.0 {
            2.0
        } else if lead <= 5.0 {
            5.0
        } else {
            10.0
        }
}

/// Powers of ten in a range of nanoseconds, with their labels: `1 µs`, `10 µs`… Every third when they are many.
pub(crate) fn decades(low: f64, high: f64) -> Vec<(f64, String)> {
    let (first, last) = (low.max(1.0).log10().ceil() as i32, high.max(1.0).log10().floor() as i32);
    let step = if last - first > 5 {
        3
    } else if last - first > 3 {
        2
    } else {
        1
    };
    (first..=last)
        .filter(|p| (p - 9).rem_euclid(step) == 0)
        .map(|p| {
            let (unit, base) = match p {
                ..3 => ("ns", 0),
                3..6 => ("µs", 3),
                6..9 => ("ms", 6),
                _ => ("s", 9),
            };
            (10f64.powi(p), format!("{} {unit}", crate::text::count(10u64.saturating_pow((p - base).max(0) as u32))))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_seconds_from_the_start() {
        let axis = TimeAxis { start: 1_000, length: 20e9 };
        let labels: Vec<String> = axis.ticks().into_iter().map(|(_, l)| l).collect();
        assert_eq!(
            labels,
            ["+0 s", "+2 s", "+4 s", "+6 s", "+8 s", "+10 s", "+12 s", "+14 s", "+16 s", "+18 s", "+20 s"]
        );
        assert_eq!(axis.x(1_000), LEFT);
        assert!((axis.x(i64::MAX) - RIGHT).abs() < 1e-9);
    }

    #[test]
    fn durations_have_decades() {
        let labels: Vec<String> = decades(2_000.0, 3e7).into_iter().map(|(_, l)| l).collect();
        assert_eq!(labels, ["10 µs", "100 µs", "1 ms", "10 ms"]);
    }
}
