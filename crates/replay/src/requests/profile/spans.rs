//! A load profile of server spans, where the bytes of requests were not captured.

use std::collections::BTreeMap;

use coldcase_decode::otlp::{Span, SpanKind, Value};
use coldcase_timeline::{Scope, Timeline};

use super::load::{Seen, profile};
use super::{Profile, Source};
use crate::requests::server::most_first;

/// Whether a span is of an HTTP request that a server answered: of kind server, with a method by the semantic
/// conventions of OpenTelemetry (HTTP spans: `http.request.method`, before 1.23 `http.method`).
fn method(span: &Span) -> Option<String> {
    let names = ["http.request.method", "http.method"];
    (span.kind == SpanKind::Server && span.start > 0).then(|| names.iter().find_map(|n| text(span, n))).flatten()
}

fn text(span: &Span, name: &str) -> Option<String> {
    span.attributes.text(name).filter(|t| !t.is_empty())
}

fn number(span: &Span, names: [&str; 2]) -> Option<u64> {
    names.iter().find_map(|n| span.attributes.get(n).and_then(Value::int)).and_then(|n| u64::try_from(n).ok())
}

/// The services with server spans of HTTP requests in scope, with how many, most first.
pub fn services(t: &Timeline, scope: &Scope) -> Vec<(String, u64)> {
    let mut counts = BTreeMap::<&str, u64>::new();
    for row in t.spans().iter().filter(|r| method(&r.span).is_some() && scope.has_span(t, &r.span)) {
        *counts.entry(row.span.service()).or_default() += 1;
    }
    most_first(counts.into_iter().map(|(name, n)| (name.to_owned(), n)).collect())
}

/// The profile of the server spans in scope, which are of one service.
pub fn of_spans(t: &Timeline, scope: &Scope, service: &str) -> Profile {
    let (mut seen, mut others) = (Vec::new(), 0u64);
    for row in t.spans().iter().filter(|r| scope.has_span(t, &r.span) && r.span.service() == service) {
        match method(&row.span) {
            Some(method) => seen.push(of_span(&row.span, method)),
            None => others += u64::from(row.span.kind == SpanKind::Server),
        }
    }
    let mut unknown = vec![
        "what bodies held, and headers".to_owned(),
        "bytes of requests and answers on the wire, and how connections were used: spans do not tell".to_owned(),
        "requests that were not sampled, or that no span was sent of".to_owned(),
    ];
    if others > 0 {
        unknown.push(format!("{others} server spans without an HTTP method: they are left out"));
    }
    let paths = seen.iter().filter(|s| s.path.is_none()).count();
    if paths > 0 {
        unknown.push(format!("the path of {paths} requests, of which only the route is told"));
    }
    profile(seen, Source::ServerSpans, service.to_owned(), None, unknown)
}

fn of_span(span: &Span, method: String) -> Seen {
    let query = text(span, "url.query").map(|q| format!("?{}", q.trim_start_matches('?')));
    let path = text(span, "url.path").map(|p| p + query.as_deref().unwrap_or("")).or_else(|| text(span, "http.target"));
    let plain = |p: &String| coldcase_decode::request::route::template(p);
    let route = text(span, "http.route").or_else(|| path.as_ref().map(plain)).or_else(|| of_name(&span.name, &method));
    let status = number(span, ["http.response.status_code", "http.status_code"]);
    let version = text(span, "network.protocol.version").or_else(|| text(span, "http.flavor"));
    let body = number(span, ["http.request.body.size", "http.request_content_length"]);
    Seen {
        start: span.start,
        duration: Some(span.duration()),
        method: Some(method),
        route,
        path: path.filter(|p| p.starts_with('/')),
        protocol: match version.as_deref() {
            Some("2" | "2.0") => "http2".to_owned(),
            Some(v) if v.starts_with('1') => "http".to_owned(),
            _ => "unknown".to_owned(),
        },
        request_bytes: None,
        response_bytes: None,
        body_bytes: body,
        failed: status.is_some_and(|s| s >= 400) || span.status.name() == "error",
    }
}

/// The route in the name of a span: `METHOD ROUTE`, as the semantic conventions name HTTP spans.
fn of_name(name: &str, method: &str) -> Option<String> {
    let (first, route) = name.split_once(' ')?;
    (first == method && route.starts_with('/')).then(|| route.to_owned())
}

#[cfg(test)]
mod tests {
    use super::of_name;

    #[test]
    fn routes_stand_in_names_behind_the_method() {
        assert_eq!(of_name("GET /cart/{id}", "GET"), Some("/cart/{id}".to_owned()));
        assert_eq!(of_name("GET", "GET"), None);
        assert_eq!(of_name("checkout now", "GET"), None);
    }
}
