//! Spans for the tests here.

use std::sync::Arc;

use coldcase_decode::otlp::{Attributes, Resource, Span, SpanId, SpanKind, SpanStatus, TraceId};
use coldcase_model::Utc;
use coldcase_timeline::SpanRow;

/// What a span of a test is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Made {
    pub(crate) id: u8,
    pub(crate) parent: u8,
    /// Ids beyond 255, in place of the two above.
    pub(crate) wide: u64,
    pub(crate) wide_parent: u64,
    pub(crate) trace: u8,
    pub(crate) from: i64,
    pub(crate) to: i64,
    pub(crate) service: &'static str,
    pub(crate) name: &'static str,
    pub(crate) kind: SpanKind,
    pub(crate) failed: bool,
}

impl Default for Made {
    fn default() -> Made {
        Made {
            id: 0,
            parent: 0,
            wide: 0,
            wide_parent: 0,
            trace: 1,
            from: 0,
            to: 0,
            service: "a",
            name: "op",
            kind: SpanKind::Internal,
            failed: false,
        }
    }
}

/// The row of a span of a test.
pub(crate) fn made(m: Made) -> SpanRow {
    let id = |short: u8, wide: u64| match wide {
        0 => SpanId::from_bytes(&[short; 8]),
        wide => SpanId::from_bytes(&wide.to_be_bytes()),
    };
    SpanRow {
        stream: "otlp.traces",
        row: 0,
        received: Utc(0),
        span: Span {
            index: 0,
            trace: TraceId::from_bytes(&[m.trace; 16]),
            id: id(m.id, m.wide),
            parent: id(m.parent, m.wide_parent),
            name: m.name.to_owned(),
            kind: m.kind,
            start: m.from,
            end: m.to,
            status: if m.failed { SpanStatus::Error } else { SpanStatus::Unset },
            message: String::new(),
            thread: None,
            attributes: Attributes::default(),
            events: Vec::new(),
            links: Vec::new(),
            scope: Arc::from(""),
            resource: Arc::new(Resource { service: m.service.to_owned(), ..Resource::default() }),
        },
    }
}
