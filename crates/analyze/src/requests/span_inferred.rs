//! The span that a request belongs to where its bytes do not name one: by who was connected to whom, and when.
//!
//! A client's span encloses the request, a server's lies within it; a port that the span tells (`server.port`,
//! `network.peer.port`, `client.port` and their older names, OpenTelemetry semantic conventions) must be the
//! connection's. Where more than one span fits equally well, none is taken.

use std::collections::HashMap;

use coldcase_decode::otlp::{Attributes, Span, SpanKind, Value};
use coldcase_model::analysis::{Connection, SeenRequest, SpanOf};
use coldcase_timeline::Timeline;

/// How far the clocks of a capture and of a sender on the same host, and what either takes to read them, may lie apart.
const SLACK: i64 = 1_000_000;
/// Spans that begin before a request and are looked at, newest first.
const LOOKED_AT: usize = 256;

/// Service of a process, and whether the spans are a client's.
type Who<'a> = (&'a str, bool);

/// Joins the requests that no `traceparent` joined.
pub(crate) fn join(requests: &mut [SeenRequest], connections: &[Connection], t: &Timeline) {
    let spans = Spans::of(t.spans().iter().map(|s| &s.span));
    if spans.0.is_empty() {
        return;
    }
    for request in requests.iter_mut().filter(|r| r.span.is_none()) {
        let Some(connection) = connections.get(request.connection) else { continue };
        request.span = spans.of_request(request, connection).map(named);
    }
}

fn named(span: &Span) -> SpanOf {
    SpanOf {
        trace: span.trace.map(|id| id.to_string()).unwrap_or_default(),
        span: span.id.map(|id| id.to_string()).unwrap_or_default(),
        name: Some(span.name.clone()),
        how: "inferred".to_owned(),
    }
}

/// Spans of clients and servers by process, in the order of their starts.
struct Spans<'a>(HashMap<Who<'a>, Vec<&'a Span>>);

impl<'a> Spans<'a> {
    fn of(all: impl Iterator<Item = &'a Span>) -> Spans<'a> {
        let mut by = HashMap::<Who<'a>, Vec<&'a Span>>::new();
        for span in all {
            let is_client = span.kind == SpanKind::Client;
            if (is_client || span.kind == SpanKind::Server) && span.trace.is_some() && span.id.is_some() {
                by.entry((span.service(), is_client)).or_default().push(span);
            }
        }
        by.values_mut().for_each(|list| list.sort_by_key(|s| (s.start, s.id.map(|id| id.0))));
        Spans(by)
    }

    /// The client's span, which is the one that a `traceparent` would name; else the server's.
    fn of_request(&self, r: &SeenRequest, c: &Connection) -> Option<&'a Span> {
        let end = r.start.saturating_add(i64::try_from(r.duration?).ok()?);
        let port = |end: &str| end.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(0u16);
        let client = self.only(&c.process_a, true, r.start, |s| {
            s.end >= end.saturating_sub(SLACK) && fits(&s.attributes, &PEER_OF_CLIENT, port(&c.b))
        });
        client.or_else(|| {
            self.only(&c.process_b, false, r.start, |s| {
                let within = s.start >= r.start.saturating_sub(SLACK) && s.end <= end.saturating_add(SLACK);
                within && fits(&s.attributes, &PEER_OF_SERVER, port(&c.a))
            })
        })
    }

    /// The one span of a process that fits; `None` when several do.
    fn only(
        &self,
        process: &Option<String>,
        is_client: bool,
        start: i64,
        wanted: impl Fn(&Span) -> bool,
    ) -> Option<&'a Span> {
        let name = process.as_deref()?.rsplit_once('[').map(|(name, _)| name)?;
        let list = self.0.get(&(name, is_client))?;
        // A server's span begins when the request came in: at its first byte, or when that was read.
        let latest = start.saturating_add(if is_client { SLACK } else { 1_000_000_000 });
        let upto = list.partition_point(|s| s.start <= latest);
        let looked_at = &list[upto.saturating_sub(LOOKED_AT)..upto];
        let mut fitting = looked_at.iter().filter(|s| wanted(s));
        let only = fitting.next()?;
        fitting.next().is_none().then_some(*only)
    }
}

const PEER_OF_CLIENT: [&str; 3] = ["server.port", "network.peer.port", "net.peer.port"];
const PEER_OF_SERVER: [&str; 4] = ["client.port", "network.peer.port", "net.peer.port", "net.sock.peer.port"];

/// Whether no port that the span tells is another.
fn fits(attributes: &Attributes, names: &[&str], port: u16) -> bool {
    names.iter().filter_map(|name| attributes.get(name)).filter_map(Value::int).all(|told| told == i64::from(port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use coldcase_decode::otlp::{Resource, SpanId, SpanStatus, TraceId};

    fn span(id: u8, service: &str, kind: SpanKind, start: i64, end: i64, port: Option<(&str, i64)>) -> Span {
        Span {
            index: 0,
            trace: Some(TraceId([1; 16])),
            id: Some(SpanId([id; 8])),
            parent: None,
            name: format!("span {id}"),
            kind,
            start,
            end,
            status: SpanStatus::Unset,
            message: String::new(),
            thread: None,
            attributes: Attributes(port.into_iter().map(|(k, v)| (k.to_owned(), Value::Int(v))).collect()),
            events: Vec::new(),
            links: Vec::new(),
            scope: Arc::from(""),
            resource: Arc::new(Resource { service: service.to_owned(), ..Resource::default() }),
        }
    }

    fn found(spans: &[Span]) -> Option<String> {
        let connection = Connection {
            a: "10.0.0.1:4000".to_owned(),
            b: "10.0.0.2:5432".to_owned(),
            process_a: Some("orders[20]".to_owned()),
            process_b: Some("stock[30]".to_owned()),
            ..Connection::default()
        };
        let request = SeenRequest { start: 10_000_000, duration: Some(5_000_000), ..SeenRequest::default() };
        Spans::of(spans.iter()).of_request(&request, &connection).map(|s| s.name.clone())
    }

    #[test]
    fn the_only_span_of_the_client_that_encloses_a_request_is_its_own() {
        let client = |id, start, end, port| span(id, "orders", SpanKind::Client, start, end, port);
        let fits = client(1, 9_900_000, 15_100_000, Some(("server.port", 5432)));
        let early = client(2, 1_000_000, 8_000_000, None);
        let elsewhere = client(3, 9_800_000, 16_000_000, Some(("server.port", 6379)));
        assert_eq!(found(&[early.clone(), fits.clone(), elsewhere]).as_deref(), Some("span 1"));
        assert_eq!(found(&[fits.clone(), client(4, 9_000_000, 17_000_000, None)]), None, "two fit");
        assert_eq!(found(&[early]), None);
    }

    #[test]
    fn a_span_of_the_server_lies_within_the_request() {
        let server = |id, start, end, port| span(id, "stock", SpanKind::Server, start, end, port);
        let inside = server(1, 10_200_000, 14_000_000, Some(("client.port", 4000)));
        let of_another = server(2, 10_300_000, 14_000_000, Some(("client.port", 4001)));
        assert_eq!(found(&[inside.clone(), of_another]).as_deref(), Some("span 1"));
        assert_eq!(found(&[server(3, 10_200_000, 40_000_000, None)]), None);
    }
}
