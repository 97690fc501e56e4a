//! A load profile of requests that were read from packets.

use std::collections::BTreeMap;

use coldcase_model::analysis::{Flow, SeenRequest};

use super::load::{Seen, profile};
use super::{Profile, Source};
use crate::requests::extract::{Body, Extracted};
use crate::requests::head::Framing;

/// The details of requests are cut at this many bytes, and their paths with them.
const CUT: usize = coldcase_decode::request::DETAIL;

/// The profile of the HTTP requests of a flow, which are of one server. `read` knows the lengths of HTTP/1 bodies.
pub fn of_requests(flow: &Flow, read: &Extracted) -> Profile {
    let http = flow.requests.iter().enumerate().filter(|(_, r)| matches!(r.protocol.as_str(), "http" | "http2"));
    let mut on = BTreeMap::<usize, u64>::new();
    let mut seen = Vec::new();
    let (mut unnamed, mut unanswered) = (0u64, 0u64);
    let mut server = String::new();
    for (n, r) in http {
        *on.entry(r.connection).or_default() += 1;
        let one = of_request(r, read.requests.get(&n).map(|sent| (sent.framing, &sent.body)));
        unnamed += u64::from(one.method.is_none());
        unanswered += u64::from(one.duration.is_none());
        seen.push(one);
        if server.is_empty() {
            server = flow.connections.get(r.connection).map(|c| c.b.clone()).unwrap_or_default();
        }
    }
    let mut unknown = Vec::new();
    let mut tell = |n: u64, what: &str| {
        if n > 0 {
            unknown.push(format!("{n} requests {what}"));
        }
    };
    tell(unnamed, "whose method and path were not in the captured bytes: they count as arrivals, under '?'");
    tell(unanswered, "without a whole answer: they are in no concurrency and no latency");
    let others = flow.requests.len() as u64 - seen.len() as u64;
    tell(others, "of other protocols than HTTP: they are left out");
    if seen.iter().any(|s| s.protocol == "http2") {
        unknown.push("the lengths of HTTP/2 bodies".to_owned());
    }
    unknown.push("what bodies held, and headers".to_owned());
    profile(seen, Source::Requests, server, Some(on.into_values().collect()), unknown)
}

fn of_request(r: &SeenRequest, sent: Option<(Framing, &Body)>) -> Seen {
    let named = r.detail.split_once(' ');
    let whole = r.detail.len() < CUT - 4;
    let route = r.key.split_once(' ').map(|(_, route)| route.to_owned());
    let body_bytes = sent.and_then(|(framing, body)| match (framing, body) {
        (_, Body::Bytes(bytes)) => Some(bytes.len() as u64),
        (_, Body::None) => Some(0),
        (Framing::Length(n), _) => Some(n),
        (_, Body::TooMuch(n)) => Some(*n),
        _ => None,
    });
    Seen {
        start: r.start,
        duration: r.duration,
        method: named.map(|(method, _)| method.to_owned()),
        route,
        // Of a path that is cut it is not known what it was.
        path: named.map(|(_, target)| path(target)).filter(|p| whole && p.starts_with('/')).map(str::to_owned),
        protocol: r.protocol.clone(),
        request_bytes: Some(r.request_bytes),
        response_bytes: Some(r.response_bytes),
        body_bytes,
        failed: r.outcome != "ok",
    }
}

/// The path and query of a target in origin or absolute form.
fn path(target: &str) -> &str {
    match target.split_once("://") {
        Some((scheme, rest)) if !scheme.contains(['/', '?']) => rest.find('/').map_or("/", |at| &rest[at..]),
        _ => target,
    }
}

#[cfg(test)]
mod tests {
    use super::path;

    #[test]
    fn paths_are_without_authority() {
        assert_eq!(path("/a?b=http://c"), "/a?b=http://c");
        assert_eq!(path("http://old/a?b"), "/a?b");
        assert_eq!(path("http://old"), "/");
    }
}
