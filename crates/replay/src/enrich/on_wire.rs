//! Requests that packets show, by the span that they belong to.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use coldcase_analyze::{AnalyzeError, Options, Part, analyze};
use coldcase_decode::otlp::{Span, SpanId, SpanKind, TraceId};
use coldcase_timeline::Timeline;
use opentelemetry_proto::tonic::common::v1::KeyValue;

use super::held::Of;
use crate::otlp::proto::attribute;

/// A request of a span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) of: Of,
    how: String,
    protocol: String,
    outcome: String,
    /// To the first and to the last byte of the answer.
    first: Option<u64>,
    duration: Option<u64>,
    display_filter: String,
}

impl Request {
    pub(super) fn attributes(&self) -> Vec<KeyValue> {
        let mut out = vec![
            attribute("coldcase.request.protocol", self.protocol.as_str()),
            attribute("coldcase.request.outcome", self.outcome.as_str()),
            attribute("coldcase.request.joined_by", self.how.as_str()),
        ];
        out.extend(self.first.map(|ns| attribute("coldcase.request.first_byte_ns", ns)));
        out.extend(self.duration.map(|ns| attribute("coldcase.request.duration_ns", ns)));
        if !self.display_filter.is_empty() {
            out.push(attribute("coldcase.request.display_filter", self.display_filter.as_str()));
        }
        out
    }
}

/// The requests of spans. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct OnWire(Arc<HashMap<(TraceId, SpanId), Request>>);

impl OnWire {
    /// Of a bundle, by one analysis of its packets; nothing where it has none.
    ///
    /// # Errors
    /// When the bundle cannot be read.
    pub fn read(timeline: &Timeline, threads: Option<usize>) -> Result<OnWire, AnalyzeError> {
        if !timeline.bundle().streams().iter().any(|s| &*s.name == "packets" && s.events > 0) {
            return Ok(OnWire::default());
        }
        let options = Options { parts: vec![Part::Trace, Part::Flow], threads, ..Options::default() };
        let flow = analyze(timeline.bundle().path(), &options)?.flow;
        let mut out = HashMap::new();
        for r in &flow.requests {
            let (Some(span), Some(c)) = (&r.span, flow.connections.get(r.connection)) else { continue };
            let Some(key) = TraceId::from_hex(&span.trace).zip(SpanId::from_hex(&span.span)) else { continue };
            let (Ok(a), Ok(b)) = (c.a.parse::<SocketAddr>(), c.b.parse::<SocketAddr>()) else { continue };
            // The first: one that is forwarded as it is has the same header on several connections.
            out.entry(key).or_insert_with(|| Request {
                of: Of::connection(a, b),
                how: span.how.clone(),
                protocol: r.protocol.clone(),
                outcome: r.outcome.clone(),
                first: r.first,
                duration: r.duration,
                display_filter: r.display_filter.clone(),
            });
        }
        Ok(OnWire(Arc::new(out)))
    }

    /// The request that a span made, or that a server's answers.
    pub(super) fn of(&self, span: &Span) -> Option<Request> {
        let get = |id: Option<SpanId>| span.trace.zip(id).and_then(|key| self.0.get(&key)).cloned();
        get(span.id).or_else(|| get(span.parent).filter(|_| span.kind == SpanKind::Server))
    }
}
