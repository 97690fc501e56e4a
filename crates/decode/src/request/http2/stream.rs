//! One stream of HTTP/2: a request and its answer.

use super::super::{Outcome, Protocol, Request, Side, Stamp, missing, route};

/// Counts the length-prefixed messages of gRPC in the bytes of one side.
#[derive(Debug, Default)]
struct Messages {
    prefix: [u8; 5],
    have: usize,
    left: u64,
    count: u64,
    /// Bytes are missing, so that prefixes can not be told from messages.
    lost: bool,
}

impl Messages {
    /// Takes bytes; returns whether a message began in them.
    fn bytes(&mut self, mut bytes: &[u8]) -> bool {
        let before = self.count;
        while !bytes.is_empty() && !self.lost {
            let n = self.left.min(bytes.len() as u64);
            self.left -= n;
            bytes = &bytes[n as usize..];
            while let Some((&b, rest)) = bytes.split_first().filter(|_| self.left == 0) {
                bytes = rest;
                self.prefix[self.have] = b;
                self.have += 1;
                if self.have == self.prefix.len() {
                    let [flag, a, b, c, d] = self.prefix;
                    self.have = 0;
                    self.left = u64::from(u32::from_be_bytes([a, b, c, d]));
                    self.count += 1;
                    // Compressed or not (gRPC over HTTP/2, Length-Prefixed-Message); else it is no message.
                    self.lost = flag > 1;
                }
            }
        }
        self.count > before
    }

    fn gap(&mut self, len: u64) {
        self.lost |= len > self.left;
        self.left = self.left.saturating_sub(len);
    }
}

/// A stream that is open.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) request: Request,
    method: Option<String>,
    path: Option<String>,
    status: String,
    grpc_status: Option<String>,
    grpc: bool,
    /// The last of the server's header blocks has fields that are not known: the status of gRPC may be among them.
    doubtful: bool,
    messages: [Messages; 2],
}

/// A header field that matters, or that is not known.
pub(super) fn field(name: Option<&[u8]>, value: Option<&[u8]>) -> Option<(&'static str, String)> {
    const NAMES: [&str; 9] =
        [":method", ":path", ":authority", ":status", "host", "content-type", "traceparent", "grpc-status", "te"];
    let name = name?;
    let name = NAMES.iter().find(|n| n.as_bytes() == name)?;
    Some((name, route::bounded(&String::from_utf8_lossy(value?))))
}

impl Stream {
    /// A stream that begins.
    pub(super) fn new(id: u32, start: Stamp) -> Stream {
        let mut request = Request::begins(Protocol::Http2, start);
        request.id = Some(u64::from(id));
        Stream {
            request,
            method: None,
            path: None,
            status: String::new(),
            grpc_status: None,
            grpc: false,
            doubtful: false,
            messages: Default::default(),
        }
    }

    /// The stream that an HTTP/1 request became (RFC 7540 3.2).
    pub(super) fn upgraded(request: Request) -> Stream {
        let mut stream = Stream::new(1, request.start);
        let (method, path) = request.detail.split_once(' ').unwrap_or((&request.detail, ""));
        stream.method = Some(method.to_owned());
        stream.path = Some(path.to_owned());
        stream.request =
            Request { protocol: Protocol::Http2, id: Some(1), first: None, code: String::new(), ..request };
        stream
    }

    /// A header field of a side.
    pub(super) fn header(&mut self, from: Side, name: &str, value: String) {
        match (from, name) {
            (Side::Client, ":method") => self.method = Some(value),
            (Side::Client, ":path") => self.path = Some(value),
            (Side::Client, ":authority") => self.request.target = value,
            (Side::Client, "host") if self.request.target.is_empty() => self.request.target = value,
            (Side::Client, "traceparent") => self.request.traceparent = Some(value),
            (_, "content-type") => {
                let grpc = value.starts_with("application/grpc") && !value.starts_with("application/grpc-web");
                self.grpc |= grpc;
            }
            (Side::Server, ":status") => self.status = value,
            (Side::Server, "grpc-status") => {
                self.grpc = true;
                self.grpc_status = Some(value);
            }
            _ => {}
        }
    }

    /// A header block of a side came; whether it has fields that are not known, and whether it is cut.
    pub(super) fn block(&mut self, from: Side, unknown: bool, cut: bool) {
        if unknown {
            self.request.missing |= missing::START;
        }
        if cut {
            self.mark(from);
        }
        if from == Side::Server {
            self.doubtful = unknown || cut;
        }
    }

    /// Whether the answer's head so far is an interim one (RFC 9113 8.1); it is forgotten then.
    pub(super) fn is_interim(&mut self) -> bool {
        let interim = self.status.starts_with('1');
        if interim {
            self.status.clear();
        }
        interim
    }

    /// Counts bytes of a side.
    pub(super) fn add(&mut self, from: Side, n: u64) {
        match from {
            Side::Client => self.request.request_bytes += n,
            Side::Server => self.request.response_bytes += n,
        }
    }

    /// Bytes of a body.
    pub(super) fn body(&mut self, from: Side, at: Stamp, bytes: &[u8]) {
        if self.messages[from.index()].bytes(bytes) && from == Side::Server {
            self.request.first_row.get_or_insert(at);
        }
    }

    /// Bytes of a body that are missing.
    pub(super) fn body_gap(&mut self, from: Side, len: u64) {
        self.messages[from.index()].gap(len);
        self.mark(from);
    }

    /// Bytes of a side may be missing.
    pub(super) fn mark(&mut self, from: Side) {
        self.request.missing |= if from == Side::Client { missing::REQUEST } else { missing::RESPONSE };
    }

    /// The request as it is handed out: with what its status tells, or ended by `otherwise`.
    pub(super) fn over(mut self, otherwise: Option<(Outcome, String)>) -> Request {
        let request = &mut self.request;
        let method = self.method.as_deref().unwrap_or("?");
        let path = self.path.as_deref();
        let route = match path {
            Some(path) if self.grpc => path.to_owned(),
            Some(path) => route::template(path),
            None => "?".to_owned(),
        };
        request.detail = route::bounded(&format!("{method} {}", path.unwrap_or("?")));
        request.key =
            if method == "CONNECT" { method.to_owned() } else { route::bounded(&format!("{method} {route}")) };
        if self.grpc {
            request.protocol = Protocol::Grpc;
            let answers = &self.messages[1];
            request.rows = (!answers.lost).then_some(answers.count);
        } else {
            request.first_row = None;
        }
        let doubtful = self.doubtful && self.grpc_status.is_none();
        let failed = self.status.starts_with(['4', '5']) || self.grpc_status.as_deref().is_some_and(|s| s != "0");
        request.code = self.grpc_status.unwrap_or(self.status);
        request.outcome = match otherwise {
            Some((outcome, code)) => {
                if !code.is_empty() {
                    request.code = code;
                }
                outcome
            }
            None if failed => Outcome::Error,
            None if request.code.is_empty() || doubtful => Outcome::Unfinished,
            None => Outcome::Ok,
        };
        self.request
    }
}
