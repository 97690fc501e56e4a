//! Metrics on the common time axis: of the host, of scrape targets, and as OTLP sent them.

mod histogram;
mod rate;

use std::collections::BTreeMap;

use coldcase_decode::otlp::{MetricKind, PointValue};
use coldcase_model::analysis::MetricSeries;
use coldcase_model::events::HostMetric;
use coldcase_timeline::{MetricRow, SampleRow, Timeline};
use rayon::prelude::*;

use histogram::Buckets;

/// Most series that are kept.
const MOST: usize = 120;
/// Most points of a series; more are averaged.
const POINTS: usize = 600;

/// What a series is called; ordered, so that the result does not depend on the order of arrival.
type Key = (String, String);

/// Readings of one thing over time.
#[derive(Debug, Default)]
struct Readings {
    unit: String,
    counter: bool,
    points: Vec<(i64, f64)>,
}

/// All series that move, those first that moved most between one part of the recording and the rest.
pub(crate) fn series(t: &Timeline) -> Vec<MetricSeries> {
    let mut readings = BTreeMap::<Key, Readings>::new();
    let mut buckets = BTreeMap::<Key, Buckets>::new();
    host(t, &mut readings);
    scraped(t.samples(), &mut readings, &mut buckets);
    otlp(t.metrics(), &mut readings);
    let readings: Vec<(Key, Readings)> = readings.into_iter().collect();
    let mut out: Vec<MetricSeries> = readings.into_par_iter().filter_map(|(key, r)| finish(key, r)).collect();
    for ((origin, name), buckets) in buckets {
        let points = thin(buckets.quantiles(0.99));
        let unit = if name.contains("seconds") { "s" } else { "" };
        let name = match name.split_once('{') {
            Some((base, labels)) => format!("{base} p99{{{labels}"),
            None => format!("{name} p99"),
        };
        if moves(&points) {
            out.push(MetricSeries { name, unit: unit.to_owned(), origin, points });
        }
    }
    let mut ranked: Vec<(u64, MetricSeries)> = out.into_iter().map(|s| (moved(&s.points), s)).collect();
    ranked.sort_by(|(x, a), (y, b)| y.cmp(x).then_with(|| (&a.origin, &a.name).cmp(&(&b.origin, &b.name))));
    ranked.truncate(MOST);
    ranked.into_iter().map(|(_, s)| s).collect()
}

fn finish((origin, name): Key, mut r: Readings) -> Option<MetricSeries> {
    r.points.sort_by_key(|p| p.0);
    let points = thin(if r.counter { rate::rates(&r.points) } else { r.points });
    moves(&points).then_some(MetricSeries { name, unit: r.unit, origin, points })
}

/// What the host's metrics are summed over: one series for all CPUs, not one each.
fn host(t: &Timeline, out: &mut BTreeMap<Key, Readings>) {
    let mut cpu = BTreeMap::<(String, i64), f64>::new();
    for part in t.rows::<HostMetric>() {
        for i in 0..part.len() {
            let (name, labels) = (part.cols.name.text(i), part.cols.labels.text(i));
            let (time, value) = (t.utc_of(part.cols.time[i]).0, part.cols.value[i]);
            if name == "node_cpu_seconds_total" {
                if let Some(mode) = label(&labels, "mode").filter(|m| *m != "idle") {
                    *cpu.entry((mode.to_owned(), time)).or_default() += value;
                }
                continue;
            }
            let full = if labels.is_empty() { name.to_string() } else { format!("{name}{{{labels}}}") };
            let r = out.entry(("host".to_owned(), full)).or_default();
            r.counter = is_counter(&name);
            r.unit = unit(&name, r.counter);
            r.points.push((time, value));
        }
    }
    for ((mode, time), seconds) in cpu {
        let r = out.entry(("host".to_owned(), format!("node_cpu_seconds_total{{mode=\"{mode}\"}}"))).or_default();
        r.counter = true;
        r.unit = "CPUs".to_owned();
        r.points.push((time, seconds));
    }
}

/// The value of a label in the exposition format.
fn label<'a>(labels: &'a str, key: &str) -> Option<&'a str> {
    labels.split(',').find_map(|l| l.strip_prefix(key)?.strip_prefix("=\"")?.strip_suffix('"'))
}

fn is_counter(name: &str) -> bool {
    ["_total", "_count", "_sum"].iter().any(|s| name.ends_with(s))
}

/// The unit for the axis, from the name.
fn unit(name: &str, counter: bool) -> String {
    let base = name.strip_suffix("_total").unwrap_or(name);
    let unit = match base.rsplit('_').next() {
        Some("seconds") => "s",
        Some("bytes") => "B",
        Some("ratio") => "ratio",
        _ => "",
    };
    if counter { format!("{unit}/s") } else { unit.to_owned() }
}

fn scraped(samples: &[SampleRow], out: &mut BTreeMap<Key, Readings>, buckets: &mut BTreeMap<Key, Buckets>) {
    for row in samples {
        let s = &row.sample;
        let origin = row.target.to_string();
        if let Some(base) = s.name.strip_suffix("_bucket")
            && let Some(at) = s.labels.iter().position(|(k, _)| k == "le")
        {
            let mut rest = s.clone();
            let (_, le) = rest.labels.remove(at);
            let key = (origin, with_labels(base, &rest.label_text()));
            buckets.entry(key).or_default().add(&le, row.utc.0, s.value);
            continue;
        }
        let counter = match &*s.kind {
            "counter" => true,
            "histogram" | "summary" | "untyped" | "unknown" => is_counter(&s.name),
            _ => false,
        };
        let r = out.entry((origin, with_labels(&s.name, &s.label_text()))).or_default();
        r.counter = counter;
        r.unit = unit(&s.name, counter);
        r.points.push((row.utc.0, s.value));
    }
}

fn with_labels(name: &str, labels: &str) -> String {
    if labels.is_empty() { name.to_owned() } else { format!("{name}{{{labels}}}") }
}

fn otlp(rows: &[MetricRow], out: &mut BTreeMap<Key, Readings>) {
    let mut cumulative = BTreeMap::<Key, (String, Vec<f64>, Vec<u64>)>::new();
    for row in rows {
        let p = &row.point;
        let origin = if p.resource.service.is_empty() { "otlp".to_owned() } else { p.resource.service.clone() };
        let name = with_labels(&p.name, &p.attributes.to_string());
        match &p.value {
            Some(PointValue::Number(value)) => {
                let r = out.entry((origin, name)).or_default();
                r.counter = p.kind == MetricKind::Sum && p.monotonic && p.cumulative;
                r.unit = if r.counter { format!("{}/s", p.unit) } else { p.unit.to_string() };
                r.points.push((row.utc.0, *value));
            }
            Some(PointValue::Histogram { bounds, counts, .. }) => {
                let key = (origin, format!("{name} p99"));
                let fresh = if p.cumulative {
                    let (_, old_bounds, old) =
                        cumulative.entry(key.clone()).or_insert_with(|| (String::new(), bounds.clone(), Vec::new()));
                    let same = old_bounds == bounds && old.len() == counts.len();
                    let grown = same && old.iter().zip(counts).all(|(o, n)| n >= o);
                    let fresh = counts.iter().enumerate().map(|(i, n)| if grown { n - old[i] } else { *n }).collect();
                    *old_bounds = bounds.clone();
                    *old = counts.clone();
                    fresh
                } else {
                    counts.clone()
                };
                let fresh: Vec<f64> = fresh.iter().map(|&n| n as f64).collect();
                if let Some(q) = histogram::quantile(0.99, bounds, &fresh) {
                    let r = out.entry(key).or_default();
                    r.unit = p.unit.to_string();
                    r.points.push((row.utc.0, q));
                }
            }
            Some(PointValue::Summary { .. }) | None => {}
        }
    }
}

/// At most [`POINTS`] points: neighbours are averaged.
fn thin(points: Vec<(i64, f64)>) -> Vec<(i64, f64)> {
    if points.len() <= POINTS {
        return points.into_iter().filter(|p| p.1.is_finite()).collect();
    }
    let run = points.len().div_ceil(POINTS);
    points
        .chunks(run)
        .map(|c| (c[c.len() - 1].0, c.iter().map(|p| p.1).sum::<f64>() / c.len() as f64))
        .filter(|p| p.1.is_finite())
        .collect()
}

fn moves(points: &[(i64, f64)]) -> bool {
    points.len() >= 2 && points.iter().any(|p| p.1 != points[0].1)
}

/// How much a series moved, in thousandths: the largest difference between the means before and after any moment,
/// against what it scatters on both sides (and a twentieth of its height, so that a perfect step is not infinite).
fn moved(points: &[(i64, f64)]) -> u64 {
    let n = points.len();
    let height = points.iter().map(|p| p.1.abs()).fold(0.0, f64::max);
    let (sum, squares) = points.iter().fold((0.0, 0.0), |(s, q), p| (s + p.1, q + p.1 * p.1));
    let (mut left, mut left_squares) = (0.0, 0.0);
    let mut most = 0.0f64;
    for (i, p) in points.iter().enumerate().take(n.saturating_sub(1)) {
        left += p.1;
        left_squares += p.1 * p.1;
        let (a, b) = ((i + 1) as f64, (n - i - 1) as f64);
        if a < 2.0 || b < 2.0 {
            continue;
        }
        let (x, y) = (left / a, (sum - left) / b);
        let within = (left_squares - a * x * x) + (squares - left_squares - b * y * y);
        let scatter = (within.max(0.0) / n as f64).sqrt() + height / 20.0;
        // A step that few points show weighs less.
        let weight = (4.0 * a * b).sqrt() / n as f64;
        most = most.max((x - y).abs() / scatter * weight);
    }
    if most.is_finite() { (most * 1000.0) as u64 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_moved_more_than_noise() {
        let step: Vec<(i64, f64)> = (0..40).map(|i| (i, if i < 20 { 1.0 } else { 5.0 })).collect();
        let noise: Vec<(i64, f64)> = (0..40).map(|i| (i, ((i * 7919) % 13) as f64)).collect();
        assert!(moved(&step) > 4 * moved(&noise), "{} {}", moved(&step), moved(&noise));
        assert_eq!(moved(&[]), 0);
    }

    #[test]
    fn long_series_are_thinned_to_their_means() {
        let points: Vec<(i64, f64)> = (0..6_000).map(|i| (i, i as f64)).collect();
        let thin = thin(points);
        assert_eq!(thin.len(), POINTS);
        assert_eq!(thin[0], (9, 4.5));
    }

    #[test]
    fn labels_and_units_are_read_from_names() {
        assert_eq!(label(r#"cpu="0",mode="user""#, "mode"), Some("user"));
        assert_eq!(label(r#"cpu="0""#, "mode"), None);
        assert_eq!(unit("node_disk_io_time_seconds_total", true), "s/s");
        assert_eq!(unit("node_memory_MemAvailable_bytes", false), "B");
    }
}
