//! Requests seen in packets, and what requests of one kind have in common: part of what `analyze` found.

use serde::{Deserialize, Serialize};

use crate::finding::Evidence;

/// One exchange seen in packets. Durations are nanoseconds from the first byte of the request.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SeenRequest {
    /// Its place among all requests, from 0, filtered or not.
    #[serde(default)]
    pub number: u64,
    /// `http`, `http2`, `grpc`, `tls`, `dns`, `postgres`, `mysql`, `redis`, `kafka` or `mongo`.
    pub protocol: String,
    /// What requests of one kind share: method and route template, fingerprint of a statement, command, topic.
    pub key: String,
    /// The request in its own words, cut at 1,024 bytes.
    pub detail: String,
    /// Authority, database or the like; empty where there is none.
    pub target: String,
    /// Status as the protocol writes it; empty before there is one.
    pub code: String,
    /// `ok`, `error` (answered with one), `unfinished` (the capture ended first), `closed` or `reset` (the connection
    /// was, before the whole answer).
    pub outcome: String,
    /// Its connection: index into the connections of the flow.
    pub connection: usize,
    /// First byte of the request, UTC nanoseconds.
    pub start: i64,
    /// To the last byte of the request.
    pub sent: Option<u64>,
    /// To the first byte of the answer.
    pub first: Option<u64>,
    /// To the first row or message of the answer, where the protocol has them.
    pub first_row: Option<u64>,
    /// To the end of its last statement, where the answer goes on behind that (Postgres: a commit).
    #[serde(default)]
    pub done: Option<u64>,
    /// To the last byte of the answer.
    pub duration: Option<u64>,
    /// Bytes of the request on the wire, framing included.
    pub request_bytes: u64,
    /// Bytes of the answer, likewise.
    pub response_bytes: u64,
    /// Rows or items of the answer where the protocol tells.
    pub rows: Option<u64>,
    /// The transaction of the connection behind the answer, where the protocol tells: `none`, `open` or `failed`.
    #[serde(default)]
    pub transaction: Option<String>,
    /// Stream or correlation id where the protocol has one.
    pub id: Option<u64>,
    /// `traceparent` as sent.
    pub traceparent: Option<String>,
    /// The span that it belongs to.
    #[serde(default)]
    pub span: Option<SpanOf>,
    /// What the capture does not have of it: `start` (the connection was met in its midst), `request`, `response`,
    /// `inferred` (the answer was matched by order where bytes are missing), `key` (the key was made from the words of a
    /// statement that is cut off or was not understood).
    pub missing: Vec<String>,
    /// Numbers of the packets with its first and its last byte, from 1 as Wireshark numbers frames.
    pub frames: [u64; 2],
    /// The display filter with which Wireshark and tshark show the packets of its connection from its first to its last
    /// byte, as in [`Connection::display_filter`](crate::analysis::Connection::display_filter).
    #[serde(default)]
    pub display_filter: String,
    /// The message of the stream `packets` that holds its first byte; none for a capture file.
    pub evidence: Option<Evidence>,
}

impl SeenRequest {
    /// Whether its whole answer came, good or bad.
    pub fn is_answered(&self) -> bool {
        matches!(self.outcome.as_str(), "ok" | "error")
    }

    /// How a request of this protocol without a whole answer ended, by its `outcome`, in words.
    pub fn ended(protocol: &str, outcome: &str) -> &'static str {
        match outcome {
            "closed" => "connection closed",
            "reset" => "connection reset",
            // A question over UDP waits for no connection.
            _ if protocol == "dns" => "no answer",
            _ => "capture ended",
        }
    }
}

/// How a request was joined to a span.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SpanOf {
    /// Trace id in hex.
    pub trace: String,
    /// Span id in hex.
    pub span: String,
    /// Name of the span, where it is in the bundle.
    pub name: Option<String>,
    /// `traceparent` (its bytes name the span), or `inferred` (by the ends of the connection and the time).
    pub how: String,
}

/// Requests of one kind to one service.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RequestKind {
    /// As in [`SeenRequest`].
    pub protocol: String,
    /// Who answers: process, or address and port.
    pub service: String,
    /// As in [`SeenRequest`].
    pub key: String,
    /// How many.
    pub count: u64,
    /// Of these, answered with an error.
    pub errors: u64,
    /// Of these, never answered in whole: the capture, or the connection, ended first.
    pub unanswered: u64,
    /// Sum of the durations of those that were answered.
    pub total: u64,
    /// Their mean, median, 99th percentile (nearest rank) and longest; 0 when none was answered.
    pub mean: u64,
    /// See `mean`.
    pub p50: u64,
    /// See `mean`.
    pub p99: u64,
    /// See `mean`.
    pub max: u64,
    /// Median time to the first byte of the answer.
    pub first: u64,
    /// Median time to the first row, where the protocol has rows.
    pub first_row: Option<u64>,
    /// Rows or items of all answers, where the protocol tells.
    pub rows: Option<u64>,
    /// Bytes of requests and of answers.
    pub request_bytes: u64,
    /// See `request_bytes`.
    pub response_bytes: u64,
    /// Share of `total` in that of all kinds of the same service, in thousandths.
    pub share: u64,
    /// The slowest: index into the requests.
    pub slowest: Option<usize>,
}

/// How one client uses one database service.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct DatabaseUse {
    /// Who asks: process, or address.
    pub client: String,
    /// Who answers: process and port, or address and port.
    pub service: String,
    /// As in [`SeenRequest`].
    pub protocol: String,
    /// Connections with requests.
    pub connections: u64,
    /// Of these, those whose beginning is in the capture.
    pub opened: u64,
    /// Requests on them.
    pub requests: u64,
    /// Sum of their durations.
    pub total: u64,
    /// Most requests at a time.
    pub most: u64,
    /// How long every open connection was busy: who wanted another had to wait or to open one.
    pub all_busy: u64,
    /// How long connections were in a transaction and nothing was asked, in sum.
    pub idle_in_transaction: u64,
    /// The longest of these times.
    pub idle_longest: u64,
    /// The request after which that was: index into the requests.
    pub idle_after: Option<usize>,
}

/// A statement that was sent again and again on one connection, one at a time: what a loop around a query does (N+1).
/// Inferred from order and time.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RepeatedRequest {
    /// Who asks.
    pub client: String,
    /// Who answers.
    pub service: String,
    /// As in [`SeenRequest`].
    pub protocol: String,
    /// As in [`SeenRequest`].
    pub key: String,
    /// How many runs.
    pub runs: u64,
    /// Requests in all of them.
    pub requests: u64,
    /// Requests in the longest.
    pub longest: u64,
    /// Time from the first to the last byte of the runs, in sum.
    pub total: u64,
    /// The first request of the longest run: index into the requests.
    pub first: usize,
}

/// Requests of one client to one service that never had a whole answer, and ended alike.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct VanishedRequests {
    /// Who asked: process, or address.
    pub client: String,
    /// Who was asked: process and port, or address and port.
    pub service: String,
    /// As in [`SeenRequest`].
    pub protocol: String,
    /// How they ended, as [`SeenRequest::outcome`]: `reset`, `closed` or `unfinished` (no answer until the capture
    /// ended).
    pub outcome: String,
    /// How many.
    pub count: u64,
    /// Of these, those of whose answer a first byte came.
    pub begun: u64,
    /// The first of them: index into the requests.
    pub first: usize,
}

/// Requests of one kind that their client sent again after an attempt had failed. Inferred: the same words within ten
/// seconds, sooner than the client sends them anyway.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RetriedRequests {
    /// Who asks: process, or address.
    pub client: String,
    /// Who was asked first.
    pub service: String,
    /// As in [`SeenRequest`].
    pub protocol: String,
    /// As in [`SeenRequest`].
    pub key: String,
    /// Requests that were sent again.
    pub requests: u64,
    /// How often, in sum.
    pub retries: u64,
    /// How often that one which was sent again most.
    pub most: u64,
    /// Of `requests`, those whose last attempt was answered, and not with an error.
    pub recovered: u64,
    /// Of `retries`, those on another connection than the attempt before.
    pub elsewhere: u64,
    /// The longest time from a first attempt to its last, nanoseconds.
    pub longest: u64,
    /// First and last attempt of the one that was sent again most: indices into the requests.
    pub attempts: [usize; 2],
}
