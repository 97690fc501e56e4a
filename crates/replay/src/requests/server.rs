//! Which server the requests of a recording went to. Requests are sent again to one, so they must be of one.

use std::collections::BTreeMap;

use coldcase_model::analysis::Flow;

/// How many servers are named at most.
const NAMED: usize = 8;

/// The servers that the requests of these protocols went to, with how many each got, most first.
pub fn servers(flow: &Flow, protocols: &[&str]) -> Vec<(String, u64)> {
    let mut counts = BTreeMap::<&str, u64>::new();
    for r in flow.requests.iter().filter(|r| protocols.contains(&r.protocol.as_str())) {
        if let Some(c) = flow.connections.get(r.connection) {
            *counts.entry(c.b.as_str()).or_default() += 1;
        }
    }
    most_first(counts.into_iter().map(|(server, n)| (server.to_owned(), n)).collect())
}

/// Sorted by count, most first.
pub(crate) fn most_first(mut all: Vec<(String, u64)>) -> Vec<(String, u64)> {
    all.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    all
}

/// Servers in words: `10.0.0.1:80 (12), 10.0.0.2:81 (3)`.
pub fn listed(all: &[(String, u64)]) -> String {
    let named: Vec<String> = all.iter().take(NAMED).map(|(server, n)| format!("{server} ({n})")).collect();
    match all.len().saturating_sub(NAMED) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}
