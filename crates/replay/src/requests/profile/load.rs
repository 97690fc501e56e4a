//! The arithmetic of a load profile: from requests, wherever they were seen, to their sums.

use std::collections::BTreeMap;

use super::{Arrivals, AskedPath, Concurrency, Connections, Operation, Profile, Share, Source};
use crate::quantiles::{Quantiles, rank};
use crate::requests::server::most_first;

/// Most paths of an operation that are listed.
pub(super) const PATHS: usize = 50;
/// Most sizes of bodies that are listed.
pub(super) const SIZES: usize = 16;
/// Most buckets.
const BUCKETS: u64 = 600;
/// Widths of buckets: what people think in, nanoseconds.
const WIDTHS: [u64; 12] = [
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_000_000_000,
    5_000_000_000,
    10_000_000_000,
    30_000_000_000,
    60_000_000_000,
    300_000_000_000,
    600_000_000_000,
    1_800_000_000_000,
    3_600_000_000_000,
];

/// A request, as far as it is known.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    pub(super) start: i64,
    pub(super) duration: Option<u64>,
    pub(super) method: Option<String>,
    pub(super) route: Option<String>,
    pub(super) path: Option<String>,
    pub(super) protocol: String,
    pub(super) request_bytes: Option<u64>,
    pub(super) response_bytes: Option<u64>,
    pub(super) body_bytes: Option<u64>,
    pub(super) failed: bool,
}

/// Sums requests up. `connections`: how many requests each carried.
pub(super) fn profile(
    mut seen: Vec<Seen>,
    source: Source,
    server: String,
    connections: Option<Vec<u64>>,
    unknown: Vec<String>,
) -> Profile {
    seen.sort_by_key(|s| s.start);
    let starts: Vec<i64> = seen.iter().map(|s| s.start).collect();
    let start = starts.first().copied().unwrap_or(0);
    let span = starts.last().map_or(0, |&last| apart(start, last));
    let arrivals = arrivals(&starts, start, span);
    let seconds = arrivals.bucket as f64 / 1e9;
    let peak = arrivals.counts.iter().copied().max().unwrap_or(0);
    let lived = seen.iter().filter_map(|s| Some((s.start, s.start.saturating_add_unsigned(s.duration?))));
    let requests = seen.len() as u64;
    let mut protocols = BTreeMap::<&str, u64>::new();
    seen.iter().for_each(|s| *protocols.entry(s.protocol.as_str()).or_default() += 1);
    let protocols = most_first(protocols.into_iter().map(|(name, n)| (name.to_owned(), n)).collect());
    Profile {
        source,
        shape_only: seen.iter().all(|s| s.method.is_none()),
        unknown,
        server,
        requests,
        start,
        span,
        mean_rate: requests as f64 / (seconds * arrivals.counts.len().max(1) as f64),
        peak_rate: peak as f64 / seconds,
        arrivals,
        gaps: Quantiles::of(starts.windows(2).map(|w| apart(w[0], w[1]))),
        concurrency: concurrency(lived),
        connections: connections.map(used),
        protocols: protocols.into_iter().map(|(name, requests)| Share { name, requests }).collect(),
        operations: operations(seen),
    }
}

fn apart(from: i64, to: i64) -> u64 {
    u64::try_from(to.saturating_sub(from)).unwrap_or(0)
}

fn arrivals(starts: &[i64], start: i64, span: u64) -> Arrivals {
    let fits = |width: &&u64| span / **width < BUCKETS;
    // Of very long recordings there are whole multiples of the widest.
    let widest = WIDTHS[WIDTHS.len() - 1];
    let bucket = WIDTHS.iter().find(fits).copied().unwrap_or_else(|| widest * (span / widest / BUCKETS + 1));
    let mut counts = vec![0; (span / bucket + 1) as usize];
    for &at in starts {
        if let Some(count) = counts.get_mut((apart(start, at) / bucket) as usize) {
            *count += 1;
        }
    }
    Arrivals { bucket, counts }
}

/// How many of these stretches there are at a time, weighted by time; `None` where they take none.
fn concurrency(lived: impl Iterator<Item = (i64, i64)>) -> Option<Concurrency> {
    let mut changes: Vec<(i64, i64)> = lived.flat_map(|(start, end)| [(start, 1), (end, -1)]).collect();
    changes.sort_unstable();
    let mut at_level = BTreeMap::<u64, u64>::new();
    let (mut level, mut last, mut max) = (0i64, changes.first()?.0, 0);
    for (at, change) in changes {
        *at_level.entry(level.max(0) as u64).or_default() += apart(last, at);
        (last, level) = (at, level + change);
        max = max.max(level);
    }
    let total: u64 = at_level.values().sum();
    if total == 0 {
        return None;
    }
    let weighted: f64 = at_level.iter().map(|(&level, &time)| level as f64 * time as f64).sum();
    let at = |part: u64| {
        let mut left = (u128::from(total) * u128::from(part)).div_ceil(100);
        for (&level, &time) in &at_level {
            if left <= u128::from(time) {
                return level;
            }
            left -= u128::from(time);
        }
        max.max(0) as u64
    };
    Some(Concurrency { mean: weighted / total as f64, p50: at(50), p90: at(90), p99: at(99), max: max.max(0) as u64 })
}

fn used(requests: Vec<u64>) -> Connections {
    let (count, all): (u64, u64) = (requests.len() as u64, requests.iter().sum());
    Connections {
        count,
        reused: requests.iter().filter(|&&n| n > 1).count() as u64,
        keep_alive: all.saturating_sub(count) * 2 > all,
        requests: Quantiles::of(requests),
    }
}

fn operations(seen: Vec<Seen>) -> Vec<Operation> {
    let total = seen.len() as f64;
    let mut by_name = BTreeMap::<(Option<String>, Option<String>), Vec<Seen>>::new();
    for s in seen {
        by_name.entry((s.method.clone(), s.route.clone())).or_default().push(s);
    }
    let mut all: Vec<Operation> =
        by_name.into_iter().map(|((method, route), of)| operation(method, route, &of, total)).collect();
    all.sort_by(|a, b| b.requests.cmp(&a.requests).then_with(|| a.name.cmp(&b.name)));
    all
}

fn operation(method: Option<String>, route: Option<String>, of: &[Seen], total: f64) -> Operation {
    let mut paths = BTreeMap::<&str, u64>::new();
    of.iter().filter_map(|s| s.path.as_deref()).for_each(|p| *paths.entry(p).or_default() += 1);
    let mut paths = most_first(paths.into_iter().map(|(path, n)| (path.to_owned(), n)).collect());
    paths.truncate(PATHS);
    let listed: u64 = paths.iter().map(|p| p.1).sum();
    let mut bodies: Vec<u64> = of.iter().filter_map(|s| s.body_bytes).collect();
    bodies.sort_unstable();
    let name = match (&method, &route) {
        (Some(method), Some(route)) => format!("{method} {route}"),
        (Some(method), None) => method.clone(),
        _ => "?".to_owned(),
    };
    Operation {
        name,
        method,
        route,
        requests: of.len() as u64,
        weight: of.len() as f64 / total,
        paths: paths.into_iter().map(|(path, requests)| AskedPath { path, requests }).collect(),
        other_paths: of.len() as u64 - listed,
        request_bytes: Quantiles::of(of.iter().filter_map(|s| s.request_bytes)),
        response_bytes: Quantiles::of(of.iter().filter_map(|s| s.response_bytes)),
        body_bytes: spaced(&bodies),
        latency: Quantiles::of(of.iter().filter_map(|s| s.duration)),
        errors: of.iter().filter(|s| s.failed).count() as u64,
    }
}

/// Evenly spaced quantiles of sorted values, all of them where they are few.
fn spaced(sorted: &[u64]) -> Vec<u64> {
    if sorted.len() <= SIZES {
        return sorted.to_vec();
    }
    // The middle of each of the parts: their mean is near that of all.
    let parts = SIZES as u64;
    (0..parts).filter_map(|n| rank(sorted, 2 * n + 1, 2 * parts)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const MS: i64 = 1_000_000;

    fn at(ms: i64) -> Seen {
        let method = Some("GET".to_owned());
        Seen { start: ms * MS, duration: Some(10 * MS as u64), method, ..Seen::default() }
    }

    fn of(seen: Vec<Seen>) -> Profile {
        profile(seen, Source::Requests, String::new(), Some(vec![1, 3]), Vec::new())
    }

    #[test]
    fn arrivals_are_counted_in_buckets_from_the_first_on() {
        let p = of(vec![at(5000), at(5100), at(5249), at(5250), at(5999)]);
        assert_eq!((p.arrivals.bucket, &p.arrivals.counts[..]), (250_000_000, &[3, 1, 0, 1][..]));
        assert_eq!((p.requests, p.span, p.mean_rate, p.peak_rate), (5, 999 * MS as u64, 5.0, 12.0));
        assert_eq!(p.gaps.unwrap().max, 749 * MS as u64);
        let long = of((0..10_000).map(|s| at(s * 1000)).collect());
        assert_eq!(long.arrivals.counts.iter().sum::<u64>(), 10_000);
        assert!(long.arrivals.counts.len() as u64 <= BUCKETS, "{}", long.arrivals.counts.len());
        let years = arrivals(&[0, i64::MAX], 0, i64::MAX as u64);
        assert!(years.counts.len() as u64 <= BUCKETS && years.counts.iter().sum::<u64>() == 2);
    }

    #[test]
    fn concurrency_is_weighted_by_time() {
        // One for 40 ns, two for 30, none for 10.
        let c = concurrency([(0, 40), (10, 40), (50, 80)].into_iter()).unwrap();
        assert_eq!((c.p50, c.p90, c.p99, c.max), (1, 2, 2, 2));
        assert!((c.mean - 1.25).abs() < 1e-9, "{}", c.mean);
        assert_eq!(concurrency([(5, 5)].into_iter()), None);
        assert_eq!(concurrency(std::iter::empty()), None);
    }

    #[test]
    fn weights_sum_to_one_and_paths_are_bounded() {
        let mut seen: Vec<Seen> = (0..200).map(at).collect();
        for (n, s) in seen.iter_mut().enumerate() {
            s.route = Some(if n < 150 { "/a/{n}" } else { "/b" }.to_owned());
            s.path = (n % 2 == 0).then(|| format!("/a/{n}"));
            s.body_bytes = Some(n as u64);
        }
        let p = of(seen);
        let [a, b] = &p.operations[..] else { panic!("two operations") };
        assert_eq!((a.name.as_str(), a.requests, a.paths.len(), a.other_paths), ("GET /a/{n}", 150, PATHS, 100));
        assert_eq!((b.requests, a.weight + b.weight), (50, 1.0));
        assert_eq!((a.body_bytes.len(), a.body_bytes[0], a.body_bytes[SIZES - 1]), (SIZES, 4, 145));
    }

    #[test]
    fn keep_alive_is_told_by_requests_that_are_not_the_first_of_their_connection() {
        assert!(used(vec![5, 5]).keep_alive);
        assert!(!used(vec![1, 1, 1, 2]).keep_alive);
    }

    #[test]
    fn nothing_gives_no_division_by_zero() {
        let p = of(Vec::new());
        assert_eq!((p.requests, p.mean_rate, p.peak_rate, p.gaps), (0, 0.0, 0.0, None));
    }
}
