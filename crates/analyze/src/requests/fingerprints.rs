//! Requests of one kind together: how many, how long, how much of the time of the service that they ask.

use std::collections::BTreeMap;

use coldcase_decode::request::{Outcome, Protocol, missing};

use super::Seen;
use crate::quantile::quantile;

/// The requests with one key to one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Who was asked.
    pub server: u64,
    /// The protocol.
    pub protocol: Protocol,
    /// What the requests share: the fingerprint of their statement, their command, their route.
    pub key: String,
    /// How many there are.
    pub count: u64,
    /// Those answered with an error.
    pub errors: u64,
    /// Those that were not answered to the end.
    pub unanswered: u64,
    /// Those whose answer is taken by its order, where bytes are missing.
    pub inferred: u64,
    /// Those whose time is known; the times below are theirs.
    pub timed: u64,
    /// Nanoseconds together.
    pub total: u64,
    /// Nanoseconds, by nearest rank: the half, and 99 of a hundred, took no longer.
    pub p50: u64,
    /// See `p50`.
    pub p99: u64,
    /// The longest, and its place among the requests.
    pub longest: Option<(u64, usize)>,
    /// Nanoseconds to the first row, of those that have one: the half took no longer.
    pub first_row_p50: Option<u64>,
    /// Rows together.
    pub rows: u64,
    /// Bytes asked with, and answered with.
    pub bytes: (u64, u64),
    /// Nanoseconds of all requests to the server.
    pub of_server: u64,
}

impl Group {
    /// Nanoseconds on average, rounded down; 0 where no time is known.
    pub fn mean(&self) -> u64 {
        self.total.checked_div(self.timed).unwrap_or(0)
    }

    /// Its share of the server's time, from 0 to 1.
    pub fn share(&self) -> f64 {
        if self.of_server == 0 { 0.0 } else { self.total as f64 / self.of_server as f64 }
    }
}

/// The groups, those with the most time first.
pub fn group(seen: &[Seen<'_>]) -> Vec<Group> {
    let mut members: BTreeMap<(u64, Protocol, &str), Vec<usize>> = BTreeMap::new();
    let mut of_server: BTreeMap<u64, u64> = BTreeMap::new();
    for (at, s) in seen.iter().enumerate() {
        members.entry((s.server, s.request.protocol, &s.request.key)).or_default().push(at);
        *of_server.entry(s.server).or_default() += s.time().unwrap_or(0);
    }
    let total = |server| of_server.get(&server).copied().unwrap_or(0);
    let mut groups: Vec<_> = members
        .into_iter()
        .map(|((server, protocol, key), members)| Group {
            protocol,
            key: key.into(),
            ..one(seen, server, &members, total(server))
        })
        .collect();
    groups.sort_by(|a, b| b.total.cmp(&a.total).then_with(|| (a.server, &a.key).cmp(&(b.server, &b.key))));
    groups
}

fn one(seen: &[Seen<'_>], server: u64, members: &[usize], of_server: u64) -> Group {
    let all = || members.iter().map(|&at| &seen[at]);
    let count = |such: fn(&Seen<'_>) -> bool| all().filter(|s| such(s)).count() as u64;
    let mut times: Vec<u64> = all().filter_map(Seen::time).collect();
    times.sort_unstable();
    let mut first_rows: Vec<u64> =
        all().filter_map(|s| u64::try_from(s.request.first_row?.time - s.request.sent?.time).ok()).collect();
    first_rows.sort_unstable();
    let longest = members.iter().filter_map(|&at| Some((seen[at].time()?, at)));
    Group {
        server,
        protocol: Protocol::Postgres,
        key: String::new(),
        count: members.len() as u64,
        errors: count(|s| s.request.outcome == Outcome::Error),
        unanswered: count(|s| !s.answered()),
        inferred: count(|s| s.request.missing & missing::INFERRED != 0),
        timed: times.len() as u64,
        total: times.iter().sum(),
        p50: quantile(&times, 50),
        p99: quantile(&times, 99),
        // Of several as long the first.
        longest: longest.max_by_key(|&(time, at)| (time, std::cmp::Reverse(at))),
        first_row_p50: (!first_rows.is_empty()).then(|| quantile(&first_rows, 50)),
        rows: all().filter_map(|s| s.request.rows).sum(),
        bytes: (all().map(|s| s.request.request_bytes).sum(), all().map(|s| s.request.response_bytes).sum()),
        of_server,
    }
}
