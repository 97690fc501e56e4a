//! Processes of spans by the bytes of requests: a `traceparent` names the client's span, and the kernel knows who holds
//! the ends of its connection (W3C Trace Context, 3.2: the parent id in it is the span of the caller).

use std::collections::HashMap;

use coldcase_decode::otlp::{Span, SpanId, SpanKind, TraceId};
use coldcase_model::analysis::Flow;
use coldcase_timeline::{Binder, Bound, ProcessTier};

/// Processes at the client's and the server's end.
type Pids = (Option<u32>, Option<u32>);

/// Who held the connections of requests, by the span that their bytes name.
#[derive(Debug, Default)]
pub(crate) struct Wire(HashMap<(TraceId, SpanId), Pids>);

impl Wire {
    /// Of the requests of a flow.
    pub(crate) fn new(flow: &Flow) -> Wire {
        let mut out = HashMap::new();
        for r in &flow.requests {
            let Some(span) = r.span.as_ref().filter(|s| s.how == "traceparent") else { continue };
            let Some(c) = flow.connections.get(r.connection) else { continue };
            let Some(key) = TraceId::from_hex(&span.trace).zip(SpanId::from_hex(&span.span)) else { continue };
            let found = (pid(c.process_a.as_deref()), pid(c.process_b.as_deref()));
            // A request that is forwarded as it is has the same header on several connections: neither end is sure then.
            out.entry(key)
                .and_modify(|known: &mut Pids| {
                    known.0 = known.0.filter(|_| known.0 == found.0);
                    known.1 = known.1.filter(|_| known.1 == found.1);
                })
                .or_insert(found);
        }
        Wire(out)
    }

    /// Where a span ran: by what it tells, else by the bytes of its request.
    pub(crate) fn bind(&self, binder: &Binder<'_>, span: &Span) -> Bound {
        let bound = binder.bind(span);
        if bound.process.is_some() || self.0.is_empty() {
            return bound;
        }
        let of = |id: Option<SpanId>| span.trace.zip(id).and_then(|key| self.0.get(&key));
        let pid = match span.kind {
            SpanKind::Client => of(span.id).and_then(|p| p.0),
            SpanKind::Server => of(span.parent).and_then(|p| p.1),
            _ => None,
        };
        binder.with_process(span, pid.map(|pid| (pid, ProcessTier::Traceparent)))
    }
}

/// The pid in `orders[7]` or `orders[7]@container`.
fn pid(process: Option<&str>) -> Option<u32> {
    let (_, rest) = process?.rsplit_once('[')?;
    rest.split_once(']')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use coldcase_model::analysis::{Connection, SeenRequest, SpanOf};

    use super::*;

    #[test]
    fn a_header_that_is_forwarded_over_two_connections_names_only_the_ends_that_agree() {
        let connection = |a: &str, b: &str| Connection {
            process_a: Some(a.to_owned()),
            process_b: Some(b.to_owned()),
            ..Connection::default()
        };
        let request = |connection, span: &str, how: &str| SeenRequest {
            connection,
            span: Some(SpanOf { trace: "1".repeat(32), span: span.repeat(16), name: None, how: how.to_owned() }),
            ..SeenRequest::default()
        };
        let flow = Flow {
            connections: vec![connection("gateway[10]", "proxy[20]@web"), connection("proxy[20]@web", "orders[30]")],
            requests: vec![
                request(0, "2", "traceparent"),
                request(1, "2", "traceparent"),
                request(0, "3", "inferred"),
                request(1, "4", "traceparent"),
            ],
            ..Flow::default()
        };
        let wire = Wire::new(&flow);
        let of = |span: u8| wire.0.get(&(TraceId([0x11; 16]), SpanId([span; 8]))).copied();
        assert_eq!((of(0x22), of(0x33), of(0x44)), (Some((None, None)), None, Some((Some(20), Some(30)))));
    }
}
