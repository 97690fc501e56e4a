//! Where requests vanish: those without a whole answer, and those that their client sent again.

use std::collections::BTreeMap;

use coldcase_model::analysis::{Connection, RetriedRequests, SeenRequest, VanishedRequests};

use super::database::client;
use super::kinds::service;

/// So soon after a failure the same request is another attempt. Nanoseconds.
const SOON: i64 = 10_000_000_000;
/// A request that the client sends anyway is taken for another attempt only where it would come so soon by chance in
/// fewer than one of so many cases.
const ODDS: u128 = 10;

/// Requests without a whole answer, by who asked whom and how they ended, most first.
pub(crate) fn vanished(requests: &[SeenRequest], connections: &[Connection]) -> Vec<VanishedRequests> {
    let mut groups = BTreeMap::<(String, String, &str, &str), VanishedRequests>::new();
    for (at, r) in requests.iter().enumerate().filter(|(_, r)| !r.is_answered()) {
        let Some(c) = connections.get(r.connection) else { continue };
        let key = (client(c), service(c), r.protocol.as_str(), r.outcome.as_str());
        let group = groups.entry(key).or_insert_with(|| VanishedRequests { first: at, ..VanishedRequests::default() });
        group.count += 1;
        group.begun += u64::from(r.first.is_some());
    }
    let mut out: Vec<VanishedRequests> = groups
        .into_iter()
        .map(|((client, service, protocol, outcome), group)| VanishedRequests {
            client,
            service,
            protocol: protocol.to_owned(),
            outcome: outcome.to_owned(),
            ..group
        })
        .collect();
    // The order of the names stays where counts are the same.
    out.sort_by_key(|v| std::cmp::Reverse(v.count));
    out
}

/// Requests that were sent again, most retries first. Only what is said tells: bodies are not compared.
pub(crate) fn retried(requests: &[SeenRequest], connections: &[Connection]) -> Vec<RetriedRequests> {
    let mut alike = BTreeMap::<(String, &str, &str, &str), Vec<usize>>::new();
    for (at, r) in requests.iter().enumerate().filter(|(_, r)| is_told(r)) {
        let Some(c) = connections.get(r.connection) else { continue };
        alike.entry((client(c), &r.protocol, &r.key, &r.detail)).or_default().push(at);
    }
    let lasted = lasted(connections);
    let mut groups = BTreeMap::<(String, String, &str, &str), RetriedRequests>::new();
    for ((client, protocol, key, _), members) in &alike {
        for chain in chains(members, requests, connections, lasted) {
            let first = chain.first().and_then(|&at| requests.get(at));
            let asked = first.and_then(|r| connections.get(r.connection)).map(service);
            let name = (client.clone(), asked.unwrap_or_default(), *protocol, *key);
            add(groups.entry(name).or_default(), &chain, requests);
        }
    }
    let mut out: Vec<RetriedRequests> = groups
        .into_iter()
        .map(|((client, service, protocol, key), group)| RetriedRequests {
            client,
            service,
            protocol: protocol.to_owned(),
            key: key.to_owned(),
            ..group
        })
        .collect();
    out.sort_by_key(|r| std::cmp::Reverse((r.retries, r.longest)));
    out
}

/// Adds the attempts of one request, of which there are two at least.
fn add(group: &mut RetriedRequests, chain: &[usize], requests: &[SeenRequest]) {
    let [first, .., last] = chain else { return };
    let retries = chain.len() as u64 - 1;
    let on = |at: usize| requests.get(at).map(|r| r.connection);
    let start = |at: usize| requests.get(at).map_or(0, |r| r.start);
    group.requests += 1;
    group.retries += retries;
    group.recovered += u64::from(requests.get(*last).is_some_and(|r| r.outcome == "ok"));
    group.elsewhere += chain.windows(2).filter(|pair| on(pair[0]) != on(pair[1])).count() as u64;
    group.longest = group.longest.max(u64::try_from(start(*last).saturating_sub(start(*first))).unwrap_or(0));
    if retries > group.most {
        (group.most, group.attempts) = (retries, [*first, *last]);
    }
}

/// Attempts of one request each, in order: two at least. `members` are requests in the same words, by start.
fn chains(members: &[usize], requests: &[SeenRequest], connections: &[Connection], lasted: u64) -> Vec<Vec<usize>> {
    let of = |at: usize| requests.get(at);
    let answered = members.iter().filter(|&&at| of(at).is_some_and(|r| r.outcome == "ok")).count();
    let mut out: Vec<Vec<usize>> = Vec::new();
    let mut open: Option<Vec<usize>> = None;
    for pair in members.windows(2) {
        let (Some(before), Some(after)) = (of(pair[0]), of(pair[1])) else { continue };
        let again = is_again(before, after, connections)
            .is_some_and(|pause| answered as u128 * u128::from(pause) * ODDS < u128::from(lasted.max(1)));
        match (&mut open, again) {
            (Some(chain), true) => chain.push(pair[1]),
            (None, true) => open = Some(vec![pair[0], pair[1]]),
            (_, false) => out.extend(open.take()),
        }
    }
    out.extend(open);
    out
}

/// How long after `before` failed `after` was sent, where it may be another attempt. A client that was answered knows
/// of a failure when the answer is there; one that was not may give up at any time.
fn is_again(before: &SeenRequest, after: &SeenRequest, connections: &[Connection]) -> Option<u64> {
    if before.outcome == "ok" {
        return None;
    }
    let end = match before.duration.and_then(|d| i64::try_from(d).ok()) {
        Some(took) if before.outcome == "error" => before.start.saturating_add(took),
        // A connection that broke told its client then at the latest.
        _ if matches!(before.outcome.as_str(), "reset" | "closed") => {
            connections.get(before.connection).map_or(before.start, |c| c.last.min(after.start))
        }
        _ => before.start,
    };
    let pause = after.start.checked_sub(end.max(before.start))?;
    (0..=SOON).contains(&pause).then_some(pause as u64)
}

/// Whether anything of the request itself was read: of others nobody knows whether they are alike.
fn is_told(r: &SeenRequest) -> bool {
    r.request_bytes > 0 && !r.missing.iter().any(|m| m == "request" || m == "start")
}

/// From the first packet of all connections to the last, nanoseconds.
fn lasted(connections: &[Connection]) -> u64 {
    let (first, last) = (connections.iter().map(|c| c.first).min(), connections.iter().map(|c| c.last).max());
    u64::try_from(last.unwrap_or(0).saturating_sub(first.unwrap_or(0))).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    /// At these seconds, on this connection.
    fn request(at: i64, connection: usize, outcome: &str) -> SeenRequest {
        SeenRequest {
            protocol: "http".to_owned(),
            key: "GET /stock".to_owned(),
            detail: "GET /stock?item=7".to_owned(),
            outcome: outcome.to_owned(),
            connection,
            start: at * SECOND,
            duration: matches!(outcome, "ok" | "error").then_some(1_000_000),
            request_bytes: 80,
            ..SeenRequest::default()
        }
    }

    fn connections() -> Vec<Connection> {
        let one = |port: u16, server: &str| Connection {
            a: format!("10.0.0.1:{port}"),
            b: server.to_owned(),
            process_a: Some("cart[9]".to_owned()),
            first: 0,
            last: 100 * SECOND,
            ..Connection::default()
        };
        vec![one(4000, "10.0.0.2:80"), one(4001, "10.0.0.3:80")]
    }

    #[test]
    fn a_request_that_failed_and_is_sent_again_until_it_is_answered_is_one_with_retries() {
        let requests = [
            request(1, 0, "unfinished"),
            request(4, 1, "error"),
            request(6, 1, "ok"),
            // Long after: nobody's other attempt.
            request(60, 0, "reset"),
        ];
        let told = retried(&requests, &connections());
        assert_eq!(told.len(), 1);
        let r = &told[0];
        assert_eq!((r.client.as_str(), r.service.as_str(), r.key.as_str()), ("cart", "10.0.0.2:80", "GET /stock"));
        assert_eq!((r.requests, r.retries, r.most, r.recovered, r.elsewhere), (1, 2, 2, 1, 1));
        assert_eq!((r.longest, r.attempts), (5_000_000_000, [0, 2]));
    }

    #[test]
    fn other_words_another_client_and_a_long_pause_are_no_retries() {
        let mut connections = connections();
        connections.push(Connection { process_a: Some("mail[3]".to_owned()), ..connections[0].clone() });
        let mut other = request(3, 0, "ok");
        other.detail = "GET /stock?item=8".to_owned();
        let requests = [request(1, 0, "unfinished"), other, request(4, 2, "ok"), request(12, 0, "ok")];
        assert_eq!(retried(&requests, &connections), []);
    }

    #[test]
    fn what_is_sent_all_the_time_is_not_sent_again_because_one_failed() {
        let mut requests: Vec<SeenRequest> = (0..100).map(|i| request(i, 0, "ok")).collect();
        requests[50].outcome = "error".to_owned();
        assert_eq!(retried(&requests, &connections()), []);
        // A hundredth of the usual pause is another thing.
        requests[51].start = requests[50].start + 20_000_000;
        assert_eq!(retried(&requests, &connections())[0].retries, 1);
    }

    #[test]
    fn an_error_is_known_when_the_answer_is_there_and_not_before() {
        let mut requests = [request(1, 0, "error"), request(2, 0, "ok")];
        requests[0].duration = Some(5_000_000_000);
        assert_eq!(retried(&requests, &connections()), [], "both were under way at a time");
    }

    #[test]
    fn requests_that_were_not_read_are_not_alike() {
        let mut requests = [request(1, 0, "closed"), request(2, 0, "closed")];
        for r in &mut requests {
            r.request_bytes = 0;
        }
        assert_eq!(retried(&requests, &connections()), []);
    }

    #[test]
    fn requests_without_a_whole_answer_are_told_by_how_they_ended() {
        let mut begun = request(3, 0, "reset");
        begun.first = Some(7);
        let requests = [request(1, 0, "ok"), request(2, 0, "reset"), begun, request(4, 1, "unfinished")];
        let told = vanished(&requests, &connections());
        let told: Vec<_> =
            told.iter().map(|v| (v.service.as_str(), v.outcome.as_str(), v.count, v.begun, v.first)).collect();
        assert_eq!(told, [("10.0.0.2:80", "reset", 2, 1, 1), ("10.0.0.3:80", "unfinished", 1, 0, 3)]);
    }
}
