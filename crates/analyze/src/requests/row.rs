//! Exchanges of connections as plain rows, in the order of their first bytes.

use coldcase_decode::request::{Outcome, Request, Stamp, Transaction, missing};
use coldcase_model::Evidence;
use coldcase_model::analysis::SeenRequest;

/// An exchange and the connection it was on: its index in the flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) connection: usize,
    pub(crate) request: Request,
}

/// The rows. `evidence` gives the message that holds a packet, by the packet's number.
pub(crate) fn rows(mut found: Vec<Found>, evidence: impl Fn(u64) -> Option<Evidence>) -> Vec<SeenRequest> {
    // Pipelined requests may begin in one packet: the order on their connection is then kept.
    found.sort_by_key(|f| (f.request.start, f.connection));
    let rows = found.into_iter().zip(0..);
    rows.map(|(f, number)| SeenRequest { number, ..row(f, &evidence) }).collect()
}

fn row(Found { connection, request: r }: Found, evidence: &impl Fn(u64) -> Option<Evidence>) -> SeenRequest {
    // A request of which no byte was seen began at a time that nobody knows.
    let unseen = r.sent.is_none() && r.request_bytes == 0;
    let since = |at: Option<Stamp>| at.map(|at| u64::try_from(at.time.saturating_sub(r.start.time)).unwrap_or(0));
    let last = [r.end, r.first, r.sent].into_iter().flatten().map(|s| s.packet).max().unwrap_or(r.start.packet);
    let bits = [
        (missing::START, "start"),
        (missing::REQUEST, "request"),
        (missing::RESPONSE, "response"),
        (missing::INFERRED, "inferred"),
        (missing::KEY, "key"),
    ];
    SeenRequest {
        number: 0,
        protocol: r.protocol.name().to_owned(),
        outcome: outcome(r.outcome).to_owned(),
        connection,
        start: r.start.time,
        sent: since(r.sent),
        first: since(r.first).filter(|_| !unseen),
        first_row: since(r.first_row).filter(|_| !unseen),
        done: since(r.done).filter(|_| !unseen),
        duration: since(r.end).filter(|_| !unseen),
        request_bytes: r.request_bytes,
        response_bytes: r.response_bytes,
        rows: r.rows,
        transaction: r.transaction.map(|t| transaction(t).to_owned()),
        id: r.id,
        span: r.traceparent.as_deref().and_then(super::span::of),
        missing: bits.iter().filter(|b| r.missing & b.0 != 0).map(|b| b.1.to_owned()).collect(),
        frames: [r.start.packet + 1, last.max(r.start.packet) + 1],
        // Known once the connections are.
        display_filter: String::new(),
        evidence: evidence(r.start.packet),
        key: r.key,
        detail: r.detail,
        target: r.target,
        code: r.code,
        traceparent: r.traceparent,
    }
}

fn outcome(o: Outcome) -> &'static str {
    match o {
        Outcome::Ok => "ok",
        Outcome::Error => "error",
        Outcome::Unfinished => "unfinished",
        Outcome::Closed => "closed",
        Outcome::Reset => "reset",
    }
}

fn transaction(t: Transaction) -> &'static str {
    match t {
        Transaction::None => "none",
        Transaction::Open => "open",
        Transaction::Failed => "failed",
    }
}
