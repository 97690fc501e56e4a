//! Metrics on the page: strips on the bundle's time axis, those that moved most first, grouped by unit.

use coldcase_model::analysis::{Analysis, MetricExemplar, MetricMove, MetricSeries};
use serde_json::{Value, json};

use super::Charts;
use super::table::left_out;
use crate::ReportError;
use crate::axis::TimeAxis;
use crate::facts::moved;
use crate::strip::{plot_box, svg, thinned};
use crate::text::{duration, escape, measured, number, offset, plural, shorten};

/// Strips shown at once.
const FIRST: usize = 12;
/// Exemplars that are listed.
const EXEMPLARS: usize = 20;
/// Strips folded away.
const MORE: usize = 48;

/// The section.
pub(crate) fn body(a: &Analysis, charts: &mut Charts) -> Result<String, ReportError> {
    let mut order: Vec<(f64, &MetricSeries)> = a.metrics.iter().map(|m| (moved(m), m)).collect();
    order.sort_by(|x, y| y.0.total_cmp(&x.0).then_with(|| (&x.1.origin, &x.1.name).cmp(&(&y.1.origin, &y.1.name))));
    let all: Vec<&MetricSeries> = order.into_iter().map(|m| m.1).collect();
    let (first, rest) = all.split_at(all.len().min(FIRST));
    let mut out = String::from(
        "<p class=\"hint\">The series that moved most, grouped by unit, on the time axis of the heat maps.</p>\n",
    );
    out.insert_str(0, &moves(a));
    out.push_str(&strips(a, first, 0, charts)?);
    if !rest.is_empty() {
        let shown = &rest[..rest.len().min(MORE)];
        out.push_str(&format!("<details><summary>{} further series</summary>\n", shown.len()));
        out.push_str(&strips(a, shown, first.len(), charts)?);
        out.push_str("</details>\n");
        if let Some(text) = left_out(first.len() + shown.len(), all.len(), "series") {
            out.push_str(&format!("<p class=\"hint\">{text}</p>\n"));
        }
    }
    Ok(out)
}

/// What moved together, who was scraped, and exemplars.
fn moves(a: &Analysis) -> String {
    let mut out = String::new();
    let mut list = |title: &str, items: Vec<String>| {
        if !items.is_empty() {
            let items: String = items.iter().map(|i| format!("<li>{i}</li>\n")).collect();
            out.push_str(&format!("<h3>{title}</h3>\n<ul>\n{items}</ul>\n"));
        }
    };
    let moved = |g: &MetricMove| {
        let members: String = g
            .members
            .iter()
            .map(|m| {
                format!(
                    "<li>{} <span>{}</span>: {} ({} → {})</li>",
                    escape(&shorten(&m.name, 160)),
                    escape(&shorten(&m.origin, 80)),
                    escape(&crate::moves::change(m)),
                    escape(&measured(m.before, &m.unit)),
                    escape(&measured(m.after, &m.unit))
                )
            })
            .collect();
        let more = if g.left_out > 0 { format!("<li>and {} more</li>", g.left_out) } else { String::new() };
        format!("<b>{}</b><ul>{members}{more}</ul>", escape(&crate::moves::when(a, g)))
    };
    list("Moved at the same time", a.metric_moves.iter().map(moved).collect());
    let exemplar = |e: &MetricExemplar| {
        let span = match e.duration {
            Some(d) => format!("{} {}, {}", e.service, e.span_name, duration(d)),
            None => "its span was not recorded".to_owned(),
        };
        escape(&format!(
            "{} {} of {}: {span}, trace {} (joined by {})",
            offset(e.time, a.bundle.first),
            number(e.value),
            shorten(&e.name, 160),
            e.trace,
            e.joined
        ))
    };
    list("Exemplars", a.exemplars.iter().take(EXEMPLARS).map(exemplar).collect());
    list("Targets", a.metric_targets.iter().map(|t| escape(&crate::moves::target(t))).collect());
    out
}

fn strips(a: &Analysis, series: &[&MetricSeries], from: usize, charts: &mut Charts) -> Result<String, ReportError> {
    let mut units: Vec<&str> = Vec::new();
    for m in series {
        if !units.contains(&m.unit.as_str()) {
            units.push(&m.unit);
        }
    }
    let mut out = String::new();
    let mut number = from;
    for unit in units {
        let members: Vec<&&MetricSeries> = series.iter().filter(|m| m.unit == unit).collect();
        let name = if unit.is_empty() { "no unit".to_owned() } else { escape(&shorten(unit, 60)) };
        out.push_str(&format!("<h3 class=\"unit\">{name}</h3>\n"));
        for (i, m) in members.iter().enumerate() {
            let id = format!("strip{number}");
            number += 1;
            let labels = i + 1 == members.len();
            charts.insert(id.clone(), values(a, m, labels));
            out.push_str(&format!(
                "<figure class=\"time strip\" data-chart=\"{id}\"><figcaption><b>{}</b> <span>{}</span></figcaption><div class=\"scroll\"><div class=\"chart\">{}</div></div></figure>\n",
                escape(&shorten(&m.name, 160)),
                escape(&shorten(&told(m), 120)),
                svg(a, m, labels)?
            ));
        }
    }
    Ok(out)
}

/// Where a series comes from, how often it began anew, and how often nothing is known of it.
fn told(m: &MetricSeries) -> String {
    let mut out = m.origin.clone();
    if !m.resets.is_empty() {
        out.push_str(&format!(" · {}", plural(m.resets.len() as u64, "counter reset", "counter resets")));
    }
    if !m.gaps.is_empty() {
        out.push_str(&format!(" · {}", plural(m.gaps.len() as u64, "gap", "gaps")));
    }
    out
}

/// What the read-out of a strip needs: numbers, and which unit.
fn values(a: &Analysis, m: &MetricSeries, labels: bool) -> Value {
    let axis = TimeAxis::of(a);
    let points: Vec<(i64, f64)> =
        thinned(m, &axis).into_iter().map(|(t, v)| (t.saturating_sub(axis.start), v)).collect();
    json!({ "box": plot_box(labels), "points": points, "unit": shorten(&m.unit, 40) })
}
