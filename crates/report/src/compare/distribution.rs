//! Durations of an operation on both sides, over each other.

use coldcase_model::compare::Distribution;

use crate::ReportError;
use crate::canvas::{Align, Skin, draw};
use crate::palette::Ink;
use crate::text::{duration, shorten};

const WIDTH: f64 = 1100.0;
const LEFT: f64 = 40.0;
const RIGHT: f64 = 1080.0;
const TOP: f64 = 22.0;
const BOTTOM: f64 = 150.0;
const HEIGHT: f64 = 200.0;

/// The picture, for the page: the share of requests in bins of equal ratio, the base as an area, the head as a line; below, the median of each
/// run.
pub(super) fn svg(d: &Distribution) -> Result<String, ReportError> {
    let title = format!("durations of {} in base and head", shorten(&d.operation, 120));
    let bins = d.bounds.len().max(1) as f64;
    let share = |of: &[u64]| {
        let all = of.iter().sum::<u64>().max(1) as f64;
        of.iter().map(|&n| n as f64 / all).collect::<Vec<f64>>()
    };
    let (base, head) = (share(&d.base), share(&d.head));
    let most = base.iter().chain(&head).copied().fold(0.0, f64::max).max(1e-9);
    let x = |bin: f64| LEFT + bin / bins * (RIGHT - LEFT);
    let steps = |of: &[f64]| -> Vec<(f64, f64)> {
        let y = |v: f64| BOTTOM - v / most * (BOTTOM - TOP - 4.0);
        of.iter().enumerate().flat_map(|(i, &v)| [(x(i as f64), y(v)), (x(i as f64 + 1.0), y(v))]).collect()
    };
    draw(&title, (WIDTH, HEIGHT), Skin::Page, |canvas| {
        canvas.rect((LEFT, TOP), (RIGHT, BOTTOM), Ink::Panel);
        for i in (0..d.bounds.len()).step_by((d.bounds.len() / 8).max(1)) {
            canvas.line((x(i as f64), TOP), (x(i as f64), BOTTOM), Ink::Grid, 0.75);
            canvas.text(&duration(d.bounds[i]), (x(i as f64), BOTTOM + 10.0), 10.5, Ink::Muted, Align::Middle);
        }
        let mut area = steps(&base);
        canvas.path(&area, Ink::Accent, 1.2, 0.9);
        area.extend([(RIGHT, BOTTOM), (LEFT, BOTTOM)]);
        canvas.polygon(&area, Ink::Accent, 0.18);
        canvas.path(&steps(&head), Ink::Bad, 1.8, 1.0);
        let place = |ns: u64| {
            let bin = d.bounds.partition_point(|&b| b <= ns).saturating_sub(1);
            let (low, high) = (d.bounds.get(bin).copied().unwrap_or(1).max(1), d.bounds.get(bin + 1).copied());
            let within = high
                .map_or(0.5, |h| (ns.max(low) as f64 / low as f64).ln() / (h.max(low + 1) as f64 / low as f64).ln());
            x(bin as f64 + within.clamp(0.0, 1.0)).min(RIGHT)
        };
        for (y, medians, ink) in
            [(BOTTOM + 26.0, &d.base_medians, Ink::Accent), (BOTTOM + 38.0, &d.head_medians, Ink::Bad)]
        {
            medians.iter().for_each(|&m| canvas.dot((place(m), y), 3.0, ink));
        }
        canvas.text("base", (LEFT - 4.0, BOTTOM + 26.0), 10.5, Ink::Accent, Align::End);
        canvas.text("head", (LEFT - 4.0, BOTTOM + 38.0), 10.5, Ink::Bad, Align::End);
        canvas.text(
            "base: area; head: line; dots: the median of each run",
            (LEFT, 10.0),
            10.5,
            Ink::Muted,
            Align::Start,
        );
        canvas.border((LEFT, TOP), (RIGHT, BOTTOM), Ink::Grid, 1.0);
    })
}
