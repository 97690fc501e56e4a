//! Requests: the exchanges that the bytes of a connection hold, one file per protocol.
//!
//! `reassembly` turns the segments of a TCP connection into ordered bytes and gaps per side; `detect` finds the
//! protocol by content; a [`Dissector`] reads the bytes of both sides and hands out [`Request`]s. All of it is pure:
//! the same segments give the same requests, whatever the pieces they come in.

pub mod buffer;
pub mod connection;
pub mod detect;
pub mod dns;
mod frames;
mod hpack;
pub mod http1;
pub mod http2;
mod ids;
pub mod kafka;
pub mod mongo;
pub mod mysql;
pub mod postgres;
pub mod reassembly;
pub mod redis;
pub mod route;
pub mod sql;
mod statement;
pub mod tls;
mod turns;

/// Who sent bytes: the side that opened the connection, or the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// The opener.
    Client,
    /// The side that was opened to.
    Server,
}

impl Side {
    /// The other side.
    pub fn other(self) -> Side {
        match self {
            Side::Client => Side::Server,
            Side::Server => Side::Client,
        }
    }

    /// 0 for the client, 1 for the server: an index into pairs.
    pub fn index(self) -> usize {
        usize::from(self == Side::Server)
    }
}

/// When and in which packet bytes were seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Stamp {
    /// UTC nanoseconds as the capture has it.
    pub time: i64,
    /// Number of the packet in its stream or file, from 0.
    pub packet: u64,
}

/// The protocol of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)] // they are their names
pub enum Protocol {
    Http1,
    Http2,
    Grpc,
    Tls,
    Dns,
    Postgres,
    Mysql,
    Redis,
    Kafka,
    Mongo,
}

impl Protocol {
    /// As reports write it.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Http1 => "http",
            Protocol::Http2 => "http2",
            Protocol::Grpc => "grpc",
            Protocol::Tls => "tls",
            Protocol::Dns => "dns",
            Protocol::Postgres => "postgres",
            Protocol::Mysql => "mysql",
            Protocol::Redis => "redis",
            Protocol::Kafka => "kafka",
            Protocol::Mongo => "mongo",
        }
    }
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Outcome {
    /// Answered, and the answer is no error.
    Ok,
    /// Answered with an error: [`Request::code`] has it.
    Error,
    /// The capture, or what is readable of it, ended before the answer did.
    #[default]
    Unfinished,
    /// The connection was closed before the whole answer.
    Closed,
    /// The connection was reset before the whole answer.
    Reset,
}

/// What is not whole about a request, as bits of [`Request::missing`].
pub mod missing {
    /// The connection was met in its midst: what was said before (names of headers, prepared statements) is unknown.
    pub const START: u8 = 1;
    /// Bytes of the request were cut or lost by the capture.
    pub const REQUEST: u8 = 1 << 1;
    /// Bytes of the answer were cut or lost by the capture.
    pub const RESPONSE: u8 = 1 << 2;
    /// The answer was found by its order, where bytes between are missing: it may be another's.
    pub const INFERRED: u8 = 1 << 3;
    /// The key of a statement was made from its words: it is cut off, or its grammar was not understood.
    pub const KEY: u8 = 1 << 4;
}

/// One exchange: a request and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Its protocol.
    pub protocol: Protocol,
    /// First byte of the request.
    pub start: Stamp,
    /// Last byte of the request.
    pub sent: Option<Stamp>,
    /// First byte of the answer.
    pub first: Option<Stamp>,
    /// Last byte of the answer.
    pub end: Option<Stamp>,
    /// Bytes of the request on the wire, headers and framing included.
    pub request_bytes: u64,
    /// Bytes of the answer, likewise.
    pub response_bytes: u64,
    /// What requests of one kind share: method and route template, SQL fingerprint, command, topic, type and name.
    pub key: String,
    /// The request in its own words, at most [`DETAIL`] bytes: method and target, SQL text, command with its key.
    pub detail: String,
    /// The authority of an HTTP request, the database of a query; empty where there is none.
    pub target: String,
    /// Status code, SQLSTATE, error name, gRPC status, rcode as the protocol writes it; empty before there is one.
    pub code: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Rows or items of the answer where the protocol tells.
    pub rows: Option<u64>,
    /// The first row or message of the answer, where it differs from `first`.
    pub first_row: Option<Stamp>,
    /// Stream or correlation id where the protocol has one.
    pub id: Option<u64>,
    /// `traceparent` as sent (W3C Trace Context 3.2).
    pub traceparent: Option<String>,
    /// What the capture does not have of it: bits of [`missing`].
    pub missing: u8,
    /// The last statement of it was done, where the answer goes on behind that until `end` (Postgres: CommandComplete
    /// against ReadyForQuery, between which lies a commit).
    pub done: Option<Stamp>,
    /// The transaction of the connection behind the answer, where the protocol tells.
    pub transaction: Option<Transaction>,
}

/// Whether a connection is in a transaction: one that is, and says nothing, holds its locks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transaction {
    /// In none.
    None,
    /// In one.
    Open,
    /// In one that failed and waits for its rollback.
    Failed,
}

/// Longest [`Request::detail`] and [`Request::key`].
pub const DETAIL: usize = 1024;

impl Request {
    /// A request that begins; all else is not known yet.
    pub fn begins(protocol: Protocol, start: Stamp) -> Request {
        Request {
            protocol,
            start,
            sent: None,
            first: None,
            end: None,
            request_bytes: 0,
            response_bytes: 0,
            key: String::new(),
            detail: String::new(),
            target: String::new(),
            code: String::new(),
            outcome: Outcome::Unfinished,
            rows: None,
            first_row: None,
            id: None,
            traceparent: None,
            missing: 0,
            done: None,
            transaction: None,
        }
    }
}

/// How the bytes of a connection came to an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum End {
    /// The capture ended, or nothing more can be read.
    Capture,
    /// Both sides closed, or one did and the other said nothing more.
    Closed,
    /// Reset.
    Reset,
}

/// Reads the bytes of one connection. Bytes come in the order in which they were received, each side's in the order of
/// its stream; in what pieces they come does not change what is handed out, except that a stamp is that of the piece.
/// Nothing panics whatever the bytes, and what is kept is bounded.
pub trait Dissector {
    /// Bytes of a side.
    fn bytes(&mut self, from: Side, at: Stamp, bytes: &[u8], out: &mut Vec<Request>);
    /// Bytes of a side that the capture does not have: `len` of them on the wire.
    fn gap(&mut self, from: Side, at: Stamp, len: u64, out: &mut Vec<Request>);
    /// One side sends no more (FIN).
    fn half_close(&mut self, _from: Side, _at: Stamp, _out: &mut Vec<Request>) {}
    /// The end; open requests are handed out.
    fn end(&mut self, how: End, at: Stamp, out: &mut Vec<Request>);
    /// Bytes that belong to no message that could be read.
    fn unread(&self) -> u64;
    /// What the rest of the connection speaks, once both sides agreed on another: no request comes any more.
    fn turned(&self) -> Option<Turn> {
        None
    }
}

/// What a connection turned to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Turn {
    /// TLS: what follows begins with a ClientHello.
    Tls,
    /// Encryption of another kind (GSSAPI).
    Encrypted,
    /// Compressed packets, which are not read.
    Compressed,
    /// A stream of changes to a replica.
    Replication,
}
