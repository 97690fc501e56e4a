//! OTLP requests that were received again: a sender that saw no answer sends the same bytes once more.
//!
//! What is in them is counted once, where it stood first. Only requests that tell themselves apart count as the same: each of their spans has an
//! id, each record and point a time. Two heartbeats without a time may be two.

use std::collections::{HashMap, HashSet};

use coldcase_decode::otlp::{LogRecord, MetricPoint, Span};

use crate::decoded::Decoded;

/// A request, by its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Request {
    stream: &'static str,
    row: u64,
    hash: blake3::Hash,
}

impl Request {
    /// Of a request that tells itself apart from any other that its sender could mean.
    pub(crate) fn of(stream: &'static str, row: u64, bytes: &[u8]) -> Request {
        Request { stream, row, hash: blake3::hash(bytes) }
    }
}

/// What requests hold, as far as it tells them apart.
pub(crate) trait Told {
    /// Whether two of them with the same bytes are the same.
    fn is_told(&self) -> bool;
}

impl Told for Span {
    fn is_told(&self) -> bool {
        self.id.is_some() && self.trace.is_some()
    }
}

impl Told for LogRecord {
    fn is_told(&self) -> bool {
        self.time.or(self.observed).is_some()
    }
}

impl Told for MetricPoint {
    fn is_told(&self) -> bool {
        self.time.is_some()
    }
}

/// Whether a request with these in it tells itself apart.
pub(crate) fn all_told<T: Told>(items: &[T]) -> bool {
    !items.is_empty() && items.iter().all(Told::is_told)
}

/// Leaves each request where it stands first.
pub(crate) fn leave_out(decoded: &mut Decoded, mut requests: Vec<Request>) {
    // Chunks stand in the file in any order, rows in that of receipt.
    requests.sort_by_key(|r| (r.stream, r.row));
    let mut first = HashMap::with_capacity(requests.len());
    let again: HashSet<(&str, u64)> = requests
        .iter()
        .filter(|r| *first.entry((r.stream, *r.hash.as_bytes())).or_insert(r.row) != r.row)
        .map(|r| (r.stream, r.row))
        .collect();
    decoded.repeated = again.len() as u64;
    if !again.is_empty() {
        decoded.spans.retain(|s| !again.contains(&(s.stream, s.row)));
        decoded.records.retain(|r| !again.contains(&(r.stream, r.row)));
        decoded.metrics.retain(|m| !again.contains(&(m.stream, m.row)));
    }
}
