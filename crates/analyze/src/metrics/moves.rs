//! Metrics that moved at the same time.

use coldcase_model::analysis::{MetricMove, MetricSeries, MovedMetric};
use rayon::prelude::*;

use super::segments::{changes, median};

/// Groups that are told.
const GROUPS: usize = 8;
/// Metrics of a group that are told.
const MEMBERS: usize = 12;
/// A change is at least this share of the higher level.
const LEAST: f64 = 0.1;
/// And so many times what both sides scatter.
const STRONG: f64 = 3.0;
/// Changes so far apart are at the same time, whatever the interval: readings of several targets do not coincide.
const TOGETHER: i64 = 1_000_000_000;

/// One change, and the time between two readings of its series.
struct Change {
    metric: MovedMetric,
    spacing: i64,
}

/// The changes of all series, grouped by time. `incident`: when the spans became slow, or the worst moment.
pub(crate) fn groups(series: &[MetricSeries], incident: Option<(i64, i64)>) -> Vec<MetricMove> {
    let mut all: Vec<Change> = series.par_iter().flat_map_iter(of_series).collect();
    all.sort_by(|a, b| {
        let key = |c: &Change| (c.metric.time, c.metric.origin.clone(), c.metric.name.clone());
        key(a).cmp(&key(b))
    });
    let mut groups: Vec<Vec<Change>> = Vec::new();
    for change in all {
        // The first of a group decides, so that a group cannot creep on.
        let joins = groups.last().and_then(|g| g.first()).is_some_and(|first| {
            change.metric.time.saturating_sub(first.metric.time) <= first.spacing.max(change.spacing).max(TOGETHER)
        });
        match groups.last_mut().filter(|_| joins) {
            Some(group) => group.push(change),
            None => groups.push(vec![change]),
        }
    }
    let mut out: Vec<(f64, MetricMove)> = groups.into_iter().map(|g| group(g, incident)).collect();
    out.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.time.cmp(&b.1.time)));
    out.truncate(GROUPS);
    out.into_iter().map(|(_, g)| g).collect()
}

/// A group, and the sum of its strengths.
fn group(changes: Vec<Change>, incident: Option<(i64, i64)>) -> (f64, MetricMove) {
    let time = changes.iter().map(|c| c.metric.time).min().unwrap_or(0);
    let until = changes.iter().map(|c| c.metric.time).max().unwrap_or(0);
    let slack = changes.iter().map(|c| c.spacing).max().unwrap_or(0).max(TOGETHER);
    let incident =
        incident.is_some_and(|(from, to)| time <= to.saturating_add(slack) && until >= from.saturating_sub(slack));
    let mut members: Vec<MovedMetric> = changes.into_iter().map(|c| c.metric).collect();
    members.sort_by(|a, b| {
        b.strength.total_cmp(&a.strength).then_with(|| (&a.origin, &a.name).cmp(&(&b.origin, &b.name)))
    });
    let weight = members.iter().map(|m| m.strength).sum();
    let left_out = members.len().saturating_sub(MEMBERS) as u64;
    members.truncate(MEMBERS);
    (weight, MetricMove { time, until, incident, members, left_out })
}

fn of_series(s: &MetricSeries) -> Vec<Change> {
    let values: Vec<f64> = s.points.iter().map(|p| p.1).collect();
    let cuts = changes(&values);
    let ends = cuts.iter().skip(1).copied().chain([values.len()]);
    let begins = std::iter::once(0).chain(cuts.iter().copied());
    let mut spacings: Vec<i64> = s.points.windows(2).map(|w| w[1].0.saturating_sub(w[0].0)).collect();
    spacings.sort_unstable();
    let spacing = spacings.get(spacings.len() / 2).copied().unwrap_or(0);
    let mut out = Vec::new();
    for ((&cut, begin), end) in cuts.iter().zip(begins).zip(ends) {
        let (left, right) = (&values[begin..cut], &values[cut..end]);
        let (before, after) = (median(left), median(right));
        let height = before.abs().max(after.abs());
        let scatter =
            |values: &[f64], middle: f64| median(&values.iter().map(|v| (v - middle).abs()).collect::<Vec<_>>());
        // A perfect step is not infinitely strong.
        let scatter = scatter(left, before).max(scatter(right, after)) + height / 50.0;
        let strength = (after - before).abs() / scatter;
        if !strength.is_finite() || strength < STRONG || (after - before).abs() < LEAST * height {
            continue;
        }
        // To thousandths: the last digits of a float are nobody's finding.
        let strength = (strength * 1000.0).round() / 1000.0;
        let (name, origin, unit) = (s.name.clone(), s.origin.clone(), s.unit.clone());
        let time = s.points[cut].0;
        out.push(Change { metric: MovedMetric { name, origin, unit, time, before, after, strength }, spacing });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000_000;

    fn series(name: &str, value: impl Fn(i64) -> f64) -> MetricSeries {
        let points = (0..40).map(|i| (i * S, value(i))).collect();
        MetricSeries { name: name.into(), points, ..MetricSeries::default() }
    }

    #[test]
    fn what_moved_together_is_one_group_and_the_incident_is_marked() {
        let wobble = |i: i64| (i * 7919 % 13) as f64 / 13.0;
        let all = [
            series("errors", |i| if i < 20 { 10.0 + wobble(i) } else { 31.0 + wobble(i) }),
            series("rate", |i| if i < 21 { 100.0 + wobble(i) } else { 60.0 + wobble(i) }),
            series("late", |i| if i < 33 { 5.0 + wobble(i) } else { 9.0 + wobble(i) }),
            series("noise", wobble),
            series("flat", |_| 3.0),
        ];
        let groups = groups(&all, Some((20 * S, 20 * S)));
        let told: Vec<(i64, bool, Vec<&str>)> = groups
            .iter()
            .map(|g| (g.time / S, g.incident, g.members.iter().map(|m| m.name.as_str()).collect()))
            .collect();
        // Ranks do not see how far a level is: the highest readings just before a rise may be counted to it.
        assert_eq!(told, [(20, true, vec!["errors", "rate"]), (31, false, vec!["late"])]);
        let errors = &groups[0].members[0];
        assert!((errors.after / errors.before - 3.0).abs() < 0.2, "{errors:?}");
    }

    #[test]
    fn what_moves_by_little_of_its_height_is_not_told() {
        let all = [series("clock", |i| 1e9 + if i < 20 { 0.0 } else { 100.0 })];
        assert_eq!(groups(&all, None), []);
    }
}
