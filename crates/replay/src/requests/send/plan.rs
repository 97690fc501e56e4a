//! What is sent when on which connection, and what is not and why.

use std::collections::BTreeMap;

use bytes::Bytes;
use coldcase_model::analysis::Flow;
use hyper::header::HeaderValue;
use hyper::{Method, Request, Uri};

use super::headers::{Keep, choose};
use super::report::Count;
use super::target::Target;
use super::wire::Payload;
use crate::requests::extract::{Body, Extracted, Sent};
use crate::requests::head::Framing;

/// What stands in a body that was not captured.
pub const FILLER: u8 = b'x';

/// Longest body that is made of filler.
const FILLED: u64 = 64 << 20;

/// What is wanted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ask {
    /// Headers.
    pub keep: Keep,
    /// Bodies that were not captured are filled.
    pub fill: bool,
}

/// Why a request is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Skip {
    NotHttp1,
    Head,
    Body,
    BodyLength,
    BodyTooLarge,
    OtherProtocol,
    Target,
}

impl Skip {
    pub(super) fn words(self) -> &'static str {
        match self {
            Skip::NotHttp1 => "not HTTP/1",
            Skip::Head => "its head is not in the captured bytes",
            Skip::Body => "its body is not in the captured bytes (--fill-bodies sends filler)",
            Skip::BodyLength => "its body is not in the captured bytes, and its length is not known",
            Skip::BodyTooLarge => "its body is too large to be held",
            Skip::OtherProtocol => "it asks for another protocol or a tunnel (Upgrade, CONNECT)",
            Skip::Target => "its method or target is not valid (RFC 9110, RFC 3986)",
        }
    }
}

/// A request to be sent.
#[derive(Debug)]
pub(super) struct Item {
    /// Index in the flow.
    pub(super) request: usize,
    /// After the start, as recorded.
    pub(super) at: u64,
    pub(super) send: Request<Payload>,
}

/// A connection, with its requests in their order.
#[derive(Debug)]
pub(super) struct Line {
    /// When it was opened, after the start; 0 where that was before.
    pub(super) opened: u64,
    /// When it was last heard of, likewise.
    pub(super) last: u64,
    pub(super) items: Vec<Item>,
}

/// All that is sent.
#[derive(Debug, Default)]
pub struct Plan {
    pub(super) lines: Vec<Line>,
    pub(super) skipped: BTreeMap<Skip, u64>,
    pub(super) credentials: u64,
    pub(super) invalid: u64,
    pub(super) filled: u64,
    pub(super) head_cut: u64,
    pub(super) pipelined: u64,
    /// Methods that are not safe (RFC 9110 9.2.1), with how many requests have them.
    pub(super) unsafe_methods: BTreeMap<String, u64>,
}

impl Plan {
    /// Plans to send the HTTP/1 requests of a flow that `extracted` has.
    pub fn of(flow: &Flow, extracted: Extracted, bundle: &str, target: &Target, ask: &Ask) -> Plan {
        let mut plan = Plan::default();
        let sent = extracted.requests.keys().filter_map(|&n| flow.requests.get(n));
        let start = sent.map(|r| r.start).min().unwrap_or(0);
        let after = |time: i64| u64::try_from(time.saturating_sub(start)).unwrap_or(0);
        let mark = HeaderValue::from_str(bundle).unwrap_or(HeaderValue::from_static("unknown"));
        let mut requests = extracted.requests;
        let mut lines = BTreeMap::<usize, Line>::new();
        let mut ends = BTreeMap::<usize, i64>::new();
        for (n, r) in flow.requests.iter().enumerate() {
            let Some(sent) = requests.remove(&n) else {
                let why = if r.protocol == "http" { Skip::Head } else { Skip::NotHttp1 };
                *plan.skipped.entry(why).or_default() += 1;
                continue;
            };
            let end = r.duration.map_or(r.start, |d| r.start.saturating_add_unsigned(d));
            plan.pipelined += u64::from(ends.insert(r.connection, end).is_some_and(|before| r.start < before));
            let send = match plan.request(sent, target, &mark, ask) {
                Ok(send) => send,
                Err(why) => {
                    *plan.skipped.entry(why).or_default() += 1;
                    continue;
                }
            };
            if !send.method().is_safe() {
                *plan.unsafe_methods.entry(send.method().to_string()).or_default() += 1;
            }
            let line = lines.entry(r.connection).or_insert_with(|| {
                let (first, last) = flow.connections.get(r.connection).map_or((start, start), |c| (c.first, c.last));
                Line { opened: after(first), last: after(last), items: Vec::new() }
            });
            line.items.push(Item { request: n, at: after(r.start), send });
        }
        plan.lines = lines.into_values().collect();
        plan.lines.sort_by_key(|l| l.opened);
        plan
    }

    /// How many requests it sends.
    pub fn len(&self) -> usize {
        self.lines.iter().map(|l| l.items.len()).sum()
    }

    /// Whether it sends none.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// What it does not send, by why.
    pub fn skipped(&self) -> Vec<Count> {
        self.skipped.iter().map(|(why, &count)| Count { what: why.words().to_owned(), count }).collect()
    }

    /// Methods that may change something at the server (not safe, RFC 9110 9.2.1), with their counts.
    pub fn unsafe_methods(&self) -> &BTreeMap<String, u64> {
        &self.unsafe_methods
    }

    /// Most connections that were open at a time.
    pub(super) fn peak(&self) -> usize {
        let mut changes: Vec<(u64, i64)> =
            self.lines.iter().flat_map(|l| [(l.opened, 1), (l.last.max(l.opened) + 1, -1)]).collect();
        changes.sort_unstable();
        let running = changes.iter().scan(0i64, |open, &(_, change)| {
            *open += change;
            Some(*open)
        });
        usize::try_from(running.max().unwrap_or(0)).unwrap_or(0)
    }

    fn request(
        &mut self,
        sent: Sent,
        target: &Target,
        mark: &HeaderValue,
        ask: &Ask,
    ) -> Result<Request<Payload>, Skip> {
        let upgrade = sent.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("upgrade"));
        if upgrade || sent.method == "CONNECT" {
            return Err(Skip::OtherProtocol);
        }
        let method = Method::from_bytes(sent.method.as_bytes()).map_err(|_| Skip::Target)?;
        let uri = origin_form(&sent.target).ok_or(Skip::Target)?;
        let (body, filled) = payload(sent.body, sent.framing, ask.fill)?;
        let chosen = choose(&sent.headers, ask.keep, &target.authority, mark);
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = chosen.headers;
        if sent.framing == Framing::Length(0) {
            request.headers_mut().insert("content-length", HeaderValue::from_static("0"));
        }
        self.credentials += chosen.credentials;
        self.invalid += chosen.invalid;
        self.filled += u64::from(filled);
        self.head_cut += u64::from(!sent.head_whole);
        Ok(request)
    }
}

/// The target without scheme and authority (RFC 9112 3.2.1), which are the target's own now.
fn origin_form(target: &str) -> Option<Uri> {
    let uri: Uri = target.parse().ok()?;
    if target == "*" {
        return Some(uri);
    }
    uri.path_and_query().filter(|p| p.as_str().starts_with('/')).map(|p| Uri::from(p.clone()))
}

/// The body to send, and whether it is filler.
fn payload(body: Body, framing: Framing, fill: bool) -> Result<(Payload, bool), Skip> {
    let chunked = framing == Framing::Chunked;
    match body {
        Body::None => Ok((Payload::none(), false)),
        Body::Bytes(bytes) => Ok((Payload::of(Bytes::from(bytes), chunked), false)),
        Body::TooMuch(_) => Err(Skip::BodyTooLarge),
        Body::Missing(None) => Err(Skip::BodyLength),
        Body::Missing(Some(_)) if !fill => Err(Skip::Body),
        Body::Missing(Some(n)) if n > FILLED => Err(Skip::BodyTooLarge),
        Body::Missing(Some(n)) => Ok((Payload::filler(n, chunked), true)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn targets_are_sent_in_origin_form() {
        let form = |t: &str| origin_form(t).map(|u| u.to_string());
        assert_eq!(form("/a?b=c"), Some("/a?b=c".to_owned()));
        assert_eq!(form("http://old.example/a?b"), Some("/a?b".to_owned()));
        assert_eq!(form("*"), Some("*".to_owned()));
        assert_eq!(form("/a b"), None);
        assert_eq!(form("example.org:80"), None);
    }

    #[test]
    fn bodies_that_are_missing_are_filled_only_when_asked_for() {
        assert_eq!(payload(Body::Missing(Some(5)), Framing::Length(5), false).unwrap_err(), Skip::Body);
        assert_eq!(payload(Body::Missing(None), Framing::Chunked, true).unwrap_err(), Skip::BodyLength);
        let (_, filled) = payload(Body::Missing(Some(5)), Framing::Length(5), true).unwrap();
        assert!(filled);
        assert_eq!(payload(Body::Missing(Some(FILLED + 1)), Framing::Length(1), true).unwrap_err(), Skip::BodyTooLarge);
    }

    #[test]
    fn the_peak_is_of_connections_open_at_a_time() {
        let line = |opened, last| Line { opened, last, items: Vec::new() };
        let plan = Plan { lines: vec![line(0, 10), line(5, 6), line(6, 20), line(11, 12)], ..Plan::default() };
        assert_eq!(plan.peak(), 3);
    }
}
