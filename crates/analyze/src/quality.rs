//! What the evidence is worth: sources, losses, clocks, cost.

use std::collections::BTreeMap;

use coldcase_model::analysis::{BundleSummary, MarkPoint, Quality, Reduction};
use coldcase_model::events::{Anchor, Cost, Loss, Mark, SourceState, Step};
use coldcase_model::loss::LossTotal;
use coldcase_model::manifest::{SourceEntry, SourceStatus};
use coldcase_timeline::Timeline;

use crate::flame::Frames;

/// Which bundle it is.
pub(crate) fn bundle(t: &Timeline) -> BundleSummary {
    let b = t.bundle();
    let file = b.path().file_name().map(|f| f.to_string_lossy().into_owned()).unwrap_or_default();
    let mut out = BundleSummary {
        id: b.id().to_owned(),
        file,
        complete: b.complete(),
        first: t.start().0,
        last: t.end().0,
        bytes: b.len(),
        marks: marks(t),
        ..BundleSummary::default()
    };
    if let Some(m) = b.manifest() {
        out.host = m.host.name.clone();
        out.kernel = m.host.kernel.clone();
        out.tool = m.tool.clone();
        out.cpus = m.host.cpus;
        out.command = m.command.join(" ");
        out.ended = m.ended.clone();
        out.policies = m.policies.clone();
    }
    out
}

fn marks(t: &Timeline) -> Vec<MarkPoint> {
    let mut out = Vec::new();
    for part in t.rows::<Mark>() {
        for i in 0..part.len() {
            out.push(MarkPoint { time: t.utc_of(part.cols.time[i]).0, text: part.cols.text.text(i).into_owned() });
        }
    }
    out.sort_by(|a, b| (a.time, &a.text).cmp(&(b.time, &b.text)));
    out
}

/// What the data is worth. `frames` are those of the flame graphs, `problems` what the analysis could not read.
pub(crate) fn quality(t: &Timeline, frames: Frames, problems: Vec<String>) -> Quality {
    let mut out = Quality {
        sources: sources(t),
        streams: t.bundle().streams().iter().map(|s| (s.name.to_string(), s.events)).collect(),
        losses: losses(t),
        clock_uncertainty: t.uncertainty().map(|n| n.0),
        clock: clock(t),
        clock_steps: t.clock().steps().iter().map(|&(at, by)| (t.utc(at).0, by)).collect(),
        reductions: reductions(t),
        problems: t.problems().to_vec(),
        pages_unread: t.decoded().refused.len() as u64,
        not_fetched: t.symbols().not_fetched(),
        frames_named: (frames.seen > 0).then(|| frames.named as f64 / frames.seen as f64),
        frames_bogus: frames.bogus,
        ..Quality::default()
    };
    out.problems.extend(problems);
    // A chunk that cannot be read is met by everyone who wants a stream of it.
    let mut told = std::collections::BTreeSet::new();
    out.problems.retain(|p| told.insert(p.clone()));
    out.streams.sort();
    let mut cpu = 0u64;
    for part in t.rows::<Cost>() {
        let c = &part.cols;
        cpu += c.user.iter().chain(c.system).sum::<u64>();
        out.recorder_bpf += c.bpf.iter().sum::<u64>();
        out.recorder_rss = c.rss.iter().copied().fold(out.recorder_rss, u64::max);
    }
    out.recorder_cpu = cpu as f64 / 1e9;
    out
}

/// The steps of the recorder's ladder, its pauses and what its watchdog did.
fn reductions(t: &Timeline) -> Vec<Reduction> {
    let mut out = Vec::new();
    for part in t.rows::<Step>() {
        out.extend((0..part.len()).map(|i| Reduction::of(&part.cols, i, t.utc_of(part.cols.time[i]).0)));
    }
    // Stable: rows of one moment stay in the order in which they were written.
    out.sort_by_key(|r| r.time);
    out
}

/// From the manifest; without one, from what the sources last said of themselves.
fn sources(t: &Timeline) -> Vec<SourceEntry> {
    if let Some(m) = t.bundle().manifest() {
        return m.sources.clone();
    }
    let mut last = BTreeMap::<String, SourceEntry>::new();
    for part in t.rows::<SourceState>() {
        for i in 0..part.len() {
            let name = part.cols.source.text(i).into_owned();
            let status = match &*part.cols.status.text(i) {
                "skipped" => SourceStatus::Skipped,
                "failed" => SourceStatus::Failed,
                _ => SourceStatus::Recorded,
            };
            let reason = part.cols.reason.text(i).into_owned();
            last.insert(name.clone(), SourceEntry { name, status, reason, hint: String::new() });
        }
    }
    last.into_values().collect()
}

/// The ledger summed, watched zeroes included. Without rows, what the manifest says.
fn losses(t: &Timeline) -> Vec<LossTotal> {
    let mut sums = BTreeMap::<(String, String, String), (u64, u64)>::new();
    for part in t.rows::<Loss>() {
        let c = &part.cols;
        for i in 0..part.len() {
            let key = (c.source.text(i).into_owned(), c.class.text(i).into_owned(), c.reason.text(i).into_owned());
            let sum = sums.entry(key).or_default();
            *sum = (sum.0.saturating_add(c.count[i]), sum.1.saturating_add(c.bytes[i]));
        }
    }
    if sums.is_empty() {
        return t.bundle().manifest().map(|m| m.losses.clone()).unwrap_or_default();
    }
    sums.into_iter()
        .map(|((source, class, reason), (count, bytes))| LossTotal { source, class, reason, count, bytes })
        .collect()
}

/// The NTP state in words.
fn clock(t: &Timeline) -> String {
    if let Some(m) = t.bundle().manifest().filter(|m| !m.clock.is_empty()) {
        return m.clock.clone();
    }
    let state = t.rows::<Anchor>().filter_map(|p| p.cols.ntp_state.last().copied()).last();
    match state {
        None | Some(-1) => "unknown",
        Some(5) => "not synchronised",
        Some(_) => "synchronised",
    }
    .to_owned()
}
