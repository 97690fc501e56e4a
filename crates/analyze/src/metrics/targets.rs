//! Scrapes: which were missed, how long they took, and which process answers.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

use coldcase_model::Boottime;
use coldcase_model::analysis::MetricTarget;
use coldcase_model::events::Scrape;
use coldcase_timeline::Timeline;

use super::{Key, Readings};

/// One scrape of a target.
struct Attempt {
    time: u64,
    duration: u64,
    page: Option<u64>,
    peer: String,
}

/// The scrapes of each target and its labels, in order of time.
fn scrapes(t: &Timeline) -> BTreeMap<(String, String), Vec<Attempt>> {
    let mut out = BTreeMap::<(String, String), Vec<Attempt>>::new();
    for part in t.rows::<Scrape>() {
        let c = &part.cols;
        for i in 0..part.len() {
            let key = (c.target.text(i).into_owned(), c.labels.text(i).into_owned());
            out.entry(key).or_default().push(Attempt {
                time: c.time[i],
                duration: c.duration[i],
                page: Some(c.page[i]).filter(|&p| p != u64::MAX),
                peer: c.peer.text(i).into_owned(),
            });
        }
    }
    out.values_mut().for_each(|a| a.sort_by_key(|a| a.time));
    out
}

/// By page of `metrics.pages`: the how manieth scrape of its target it came of, the missed ones counted.
pub(super) fn attempts(t: &Timeline) -> HashMap<u64, u64> {
    let all = scrapes(t);
    all.values().flat_map(|a| (0u64..).zip(a).filter_map(|(n, a)| Some((a.page?, n)))).collect()
}

/// What Prometheus itself would record of each target: `up`, how long the scrape took, and how many samples came.
pub(super) fn series(t: &Timeline, out: &mut BTreeMap<Key, Readings>) {
    let samples = samples(t);
    for ((target, _), attempts) in scrapes(t) {
        for a in attempts {
            let time = t.utc_of(a.time).0;
            let mut add = |name: &str, unit: &str, value: f64| {
                let r = out.entry((target.clone(), name.to_owned())).or_default();
                unit.clone_into(&mut r.unit);
                r.add(time, value, None);
            };
            add("up", "", f64::from(u8::from(a.page.is_some())));
            add("scrape_duration_seconds", "s", a.duration as f64 / 1e9);
            if let Some(page) = a.page {
                add("scrape_samples_scraped", "", samples.get(&page).copied().unwrap_or(0) as f64);
            }
        }
    }
}

/// Samples by page.
fn samples(t: &Timeline) -> HashMap<u64, u64> {
    let mut out = HashMap::new();
    for s in t.samples().iter().filter(|s| s.stream == "metrics.pages") {
        *out.entry(s.row).or_default() += 1;
    }
    out
}

/// The targets, each with the process that listens where it was asked.
pub(crate) fn targets(t: &Timeline) -> Vec<MetricTarget> {
    let samples = samples(t);
    let refused: std::collections::HashSet<u64> = t.decoded().refused.iter().map(|r| r.1).collect();
    let mut out = Vec::new();
    for ((target, labels), attempts) in scrapes(t) {
        let mut durations: Vec<u64> = attempts.iter().map(|a| a.duration).collect();
        durations.sort_unstable();
        let pages = || attempts.iter().filter_map(|a| a.page);
        // The last connection: a target that was started anew has another process.
        let asked = attempts.iter().rev().find_map(|a| Some((a.peer.parse::<SocketAddr>().ok()?, a.time)));
        let owner = asked.and_then(|(peer, at)| {
            let nobody = (std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);
            t.sockets().owner(6, (peer.ip(), peer.port()), nobody, Boottime(at)).map(|o| (o.pid, at))
        });
        out.push(MetricTarget {
            target,
            labels,
            scrapes: attempts.len() as u64,
            missed: attempts.iter().filter(|a| a.page.is_none()).count() as u64,
            unread: pages().filter(|p| refused.contains(p)).count() as u64,
            samples: pages().next_back().and_then(|p| samples.get(&p).copied()).unwrap_or(0),
            p50: durations.get(durations.len().saturating_sub(1) / 2).copied().unwrap_or(0),
            max: durations.last().copied().unwrap_or(0),
            peer: asked.map_or(String::new(), |(peer, _)| peer.to_string()),
            process: owner.map_or(String::new(), |(pid, at)| crate::process_name(t, pid, Boottime(at))),
            how: if owner.is_some() { "socket" } else { "unknown" }.to_owned(),
        });
    }
    out
}
