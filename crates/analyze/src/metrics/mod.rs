//! Metrics on the common time axis: of the host, of scrape targets, and as OTLP sent them.

pub(crate) mod exemplars;
mod histogram;
pub(crate) mod moves;
mod native;
mod rate;
mod segments;
pub(crate) mod targets;

use std::collections::{BTreeMap, HashMap};

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
    /// Where nothing is known.
    gaps: Vec<(i64, i64)>,
    /// When it was last seen, and at which of its target's scrapes.
    last: Option<(i64, Option<u64>)>,
    /// When it ended.
    ended: Option<i64>,
}

impl Readings {
    /// A reading at one of its target's scrapes; `attempt` counts those that were missed too.
    fn add(&mut self, time: i64, value: f64, attempt: Option<u64>) {
        let missed = match (self.last, attempt) {
            (Some((_, Some(before))), Some(now)) => now > before.saturating_add(1),
            _ => false,
        };
        if let Some((before, _)) = self.last.filter(|_| missed || self.ended.is_some()) {
            self.gaps.push((self.ended.take().map_or(before, |e| before.min(e)), time));
        }
        self.last = Some((time, attempt));
        self.points.push((time, value));
    }

    /// A staleness marker: it ended here, and may begin again.
    fn end(&mut self, time: i64) {
        self.ended.get_or_insert(time);
        // No rate reaches over an end.
        self.points.push((time, f64::NAN));
    }
}

/// All series that move, those first that moved most between one part of the recording and the rest.
pub(crate) fn series(t: &Timeline) -> Vec<MetricSeries> {
    let mut readings = BTreeMap::<Key, Readings>::new();
    let mut buckets = BTreeMap::<Key, Buckets>::new();
    let mut natives = BTreeMap::<Key, native::Natives>::new();
    host(t, &mut readings);
    scraped(t.samples(), &targets::attempts(t), &mut readings, &mut buckets, &mut natives);
    targets::series(t, &mut readings);
    otlp(t.metrics(), &mut readings);
    let readings: Vec<(Key, Readings)> = readings.into_iter().collect();
    let mut out: Vec<MetricSeries> = readings.into_par_iter().filter_map(|(key, r)| finish(key, r)).collect();
    // A native histogram tells more than the buckets beside it.
    buckets.retain(|key, _| !natives.contains_key(key));
    let quantiles = buckets.into_iter().map(|(key, b)| (key, b.quantiles(0.99)));
    let quantiles = quantiles.chain(natives.into_iter().map(|(key, n)| (key, n.quantiles(0.99))));
    for ((origin, name), points) in quantiles {
        let points = thin(points);
        let unit = if name.contains("seconds") { "s" } else { "" };
        let name = match name.split_once('{') {
            Some((base, labels)) => format!("{base} p99{{{labels}"),
            None => format!("{name} p99"),
        };
        if moves(&points) {
            out.push(MetricSeries { name, unit: unit.to_owned(), origin, points, ..MetricSeries::default() });
        }
    }
    let mut ranked: Vec<(u64, MetricSeries)> = out.into_iter().map(|s| (moved(&s.points), s)).collect();
    ranked.sort_by(|(x, a), (y, b)| y.cmp(x).then_with(|| (&a.origin, &a.name).cmp(&(&b.origin, &b.name))));
    ranked.truncate(MOST);
    ranked.into_iter().map(|(_, s)| s).collect()
}

fn finish((origin, name): Key, mut r: Readings) -> Option<MetricSeries> {
    r.points.sort_by_key(|p| p.0);
    let mut resets = Vec::new();
    let points = if r.counter {
        // A staleness marker is no number: what came before it and what comes after are two lives of one series.
        let lives = r.points.split(|p| p.1.to_bits() == coldcase_decode::prometheus::STALE || p.1.is_nan());
        lives
            .flat_map(|life| {
                resets.extend(rate::resets(life));
                rate::rates(life)
            })
            .collect()
    } else {
        r.points
    };
    let points = thin(points);
    moves(&points).then_some(MetricSeries { name, unit: r.unit, origin, points, gaps: r.gaps, resets })
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

fn scraped(
    samples: &[SampleRow],
    attempts: &HashMap<u64, u64>,
    out: &mut BTreeMap<Key, Readings>,
    buckets: &mut BTreeMap<Key, Buckets>,
    natives: &mut BTreeMap<Key, native::Natives>,
) {
    for row in samples {
        let s = &row.sample;
        let origin = row.target.to_string();
        if let Some(histogram) = &s.histogram {
            if !s.is_stale() {
                let key = (origin, with_labels(&s.name, &s.label_text()));
                natives.entry(key).or_default().add(row.utc.0, histogram.clone());
            }
            continue;
        }
        if let Some(base) = s.name.strip_suffix("_bucket")
            && let Some(at) = s.labels.iter().position(|(k, _)| k == "le")
        {
            let mut rest = s.clone();
            let (_, le) = rest.labels.remove(at);
            let key = (origin, with_labels(base, &rest.label_text()));
            if !s.is_stale() {
                buckets.entry(key).or_default().add(&le, row.utc.0, s.value);
            }
            continue;
        }
        // Since when a counter counts is no count.
        let counter = !s.name.ends_with("_created")
            && match &*s.kind {
                "counter" => true,
                "histogram" | "summary" | "untyped" | "unknown" => is_counter(&s.name),
                _ => false,
            };
        let r = out.entry((origin, with_labels(&s.name, &s.label_text()))).or_default();
        r.counter = counter;
        r.unit = unit(&s.name, counter);
        if s.is_stale() {
            r.end(row.utc.0);
        } else {
            let attempt = if row.stream == "metrics.pages" { attempts.get(&row.row).copied() } else { None };
            r.add(row.utc.0, s.value, attempt);
        }
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
    fn a_missed_scrape_and_an_end_are_gaps_and_no_rate_reaches_over_an_end() {
        const S: i64 = 1_000_000_000;
        let mut r = Readings { counter: true, ..Readings::default() };
        for (i, value) in [(0, 10.0), (1, 12.0), (4, 21.0), (5, 22.0)] {
            r.add(i * S, value, Some(i as u64));
        }
        r.end(6 * S);
        r.add(8 * S, 3.0, Some(8));
        r.add(9 * S, 5.0, Some(9));
        r.add(10 * S, 1.0, Some(10));
        let series = finish(("x".into(), "y".into()), r).unwrap_or_default();
        assert_eq!(series.gaps, [(S, 4 * S), (5 * S, 8 * S)]);
        let rates = [(S, 2.0), (4 * S, 3.0), (5 * S, 1.0), (9 * S, 2.0), (10 * S, 1.0)];
        assert_eq!(series.points, rates, "over a miss the mean, over an end nothing");
        assert_eq!(series.resets, [10 * S], "an end is no reset");
    }

    #[test]
    fn labels_and_units_are_read_from_names() {
        assert_eq!(label(r#"cpu="0",mode="user""#, "mode"), Some("user"));
        assert_eq!(label(r#"cpu="0""#, "mode"), None);
        assert_eq!(unit("node_disk_io_time_seconds_total", true), "s/s");
        assert_eq!(unit("node_memory_MemAvailable_bytes", false), "B");
    }
}
