//! Calls into libraries and databases: statements by their masked text, look-ups by name, TLS handshakes by process.

use std::collections::BTreeMap;

use coldcase_model::analysis::Latency;
use coldcase_model::events::{NameLookup, Statement, TlsCall};
use coldcase_model::{Event, library, text};
use coldcase_timeline::{IntoBoot, Selection, Timeline};

use crate::axis::Axis;
use crate::series::Series;

/// What has a line of its own, of each kind.
const MOST: usize = 200;
/// Flag bits: not seen to return, or to begin. How long such a call takes is not known.
const UNKNOWN_LENGTH: u32 = 1 | 2 | 4;
/// Flag bits of a statement. What a parallel worker did is part of another's.
const WORKER: u32 = 128;
const NO_PORTAL: u32 = 8;
const FAILED: u32 = 16;
/// Calls for one connection that touched no socket, further apart than this, belong to different handshakes: nothing else
/// tells that the object is used again.
const ONE_HANDSHAKE: u64 = 30_000_000_000;
/// Flag bits of a look-up, or of a call into a TLS library.
const NOT_RETURNED: u32 = 1 | 2;

/// All of them, by kind, largest total first.
pub(crate) fn latencies(t: &Timeline, axis: &Axis, selection: &Selection<'_>, bundle: &str) -> Vec<Latency> {
    let mut all = statements(t, axis, selection, bundle);
    all.extend(lookups(t, axis, selection, bundle));
    all.extend(handshakes(t, axis, selection, bundle));
    all
}

fn finish(series: BTreeMap<String, Series>, axis: &Axis, group: &str, bundle: &str, stream: &str) -> Vec<Latency> {
    let mut out: Vec<Latency> =
        series.into_iter().map(|(name, s)| s.finish(axis, group, name, bundle, stream)).collect();
    out.sort_by(|x, y| y.total.cmp(&x.total).then_with(|| x.name.cmp(&y.name)));
    out.truncate(MOST);
    out
}

/// Statements that were executed or failed; a parse or a bind alone is none.
fn statements(t: &Timeline, axis: &Axis, selection: &Selection<'_>, bundle: &str) -> Vec<Latency> {
    let mut series = BTreeMap::<String, Series>::new();
    for part in t.rows::<Statement>() {
        let c = &part.cols;
        for i in 0..part.len() {
            let counts = c.flags[i] & (UNKNOWN_LENGTH | WORKER) == 0 && c.flags[i] & (NO_PORTAL | FAILED) != NO_PORTAL;
            if counts && selection.has(c.pid[i], c.tid[i], c.time[i], c.duration[i]) {
                let series = series.entry(text::visible(&c.query.text(i)).into_owned()).or_default();
                series.push(axis, t.utc_of(c.time[i]).0, c.duration[i], part.row(i), None);
                series.outcome(c.flags[i] & FAILED != 0);
            }
        }
    }
    finish(series, axis, "statement", bundle, Statement::DEF.stream)
}

fn lookups(t: &Timeline, axis: &Axis, selection: &Selection<'_>, bundle: &str) -> Vec<Latency> {
    let mut series = BTreeMap::<String, Series>::new();
    for part in t.rows::<NameLookup>() {
        let c = &part.cols;
        for i in (0..part.len()).filter(|&i| c.flags[i] & NOT_RETURNED == 0 && !c.name.get(i).is_empty()) {
            if selection.has(c.pid[i], c.tid[i], c.time[i], c.duration[i]) {
                let series = series.entry(text::visible(&c.name.text(i)).into_owned()).or_default();
                series.push(axis, t.utc_of(c.time[i]).0, c.duration[i], part.row(i), None);
                series.outcome(c.result[i] != 0);
            }
        }
    }
    finish(series, axis, "name_lookup", bundle, NameLookup::DEF.stream)
}

/// What became of a handshake with a call.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Done,
    GivenUp,
    Again,
}

/// Handshakes that succeeded: from the first call for a connection to the end of that which finished it. On a socket that
/// does not block a handshake is several calls.
fn handshakes(t: &Timeline, axis: &Axis, selection: &Selection<'_>, bundle: &str) -> Vec<Latency> {
    let mut calls = Vec::new();
    for part in t.rows::<TlsCall>() {
        let c = &part.cols;
        for i in (0..part.len()).filter(|&i| c.function[i] == library::TLS_HANDSHAKE) {
            if selection.has(c.pid[i], c.tid[i], c.time[i], c.duration[i]) {
                let end = c.time[i].saturating_add(c.duration[i]);
                // -1 may mean that it has to be called again; 0 that the other end gave up. A process that ended calls no more.
                let outcome = match (c.flags[i] & NOT_RETURNED, c.result[i]) {
                    (0, 1) => Outcome::Done,
                    (0, 0) | (1.., _) => Outcome::GivenUp,
                    _ => Outcome::Again,
                };
                calls.push((c.time[i], end, c.connection[i], c.socket[i], c.pid[i], outcome, part.row(i)));
            }
        }
    }
    calls.sort_unstable();
    // Objects are used again: a call about another socket belongs to another handshake.
    let mut begun = BTreeMap::<(u64, u64), (u64, u64)>::new();
    let mut series = BTreeMap::<String, Series>::new();
    for (time, end, connection, socket, pid, outcome, row) in calls {
        let of = (connection, socket);
        let joined = |last: u64| socket != 0 || time.saturating_sub(last) <= ONE_HANDSHAKE;
        let began = begun.get(&of).filter(|&&(_, last)| joined(last)).map_or(time, |&(began, _)| began);
        match outcome {
            Outcome::Again => _ = begun.insert(of, (began, end)),
            Outcome::GivenUp => _ = begun.remove(&of),
            Outcome::Done => {
                begun.remove(&of);
                let name = crate::process_name(t, pid, time.into_boot());
                series.entry(name).or_default().push(axis, t.utc_of(began).0, end - began, row, None);
            }
        }
    }
    finish(series, axis, "tls", bundle, TlsCall::DEF.stream)
}
