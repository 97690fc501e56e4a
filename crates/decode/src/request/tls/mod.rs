//! TLS (RFC 8446, RFC 5246) as far as it is in the clear: one request for the handshake of a connection.
//!
//! `start` is the first byte of the ClientHello, `first` that of the ServerHello. `end` is the end of the handshake:
//! up to TLS 1.2 the last message of the side that finishes last; in TLS 1.3, where all behind the ServerHello is
//! encrypted, the client's first encrypted flight, which holds its Finished. `first_row` is the first application data
//! behind that. `key` is the version that was agreed on, `target` the server name (SNI), `detail` names version, ALPN
//! and whether a session was resumed; `code` is the alert that ended it.

mod hello;

use hello::{ClientHello, ServerHello};

use super::buffer::Buffer;
use super::detect::Verdict;
use super::{Dissector, End, Outcome, Protocol, Request, Side, Stamp, missing, route};

/// Longest record body (RFC 8446 5.2).
const RECORD: usize = (1 << 14) + 2048;
/// Longest handshake message that is kept; hellos with post-quantum key shares take 2 kB.
const MESSAGE: usize = 64 << 10;

/// Content types (RFC 8446 5.1).
mod content {
    pub(super) const CHANGE_CIPHER_SPEC: u8 = 20;
    pub(super) const ALERT: u8 = 21;
    pub(super) const HANDSHAKE: u8 = 22;
    pub(super) const APPLICATION: u8 = 23;
}

/// What one side sends.
#[derive(Debug, Default)]
struct Reader {
    buffer: Buffer,
    /// Of the record that is being passed over: bytes left.
    skip: u64,
    /// Handshake messages in the clear that are not whole yet.
    messages: Vec<u8>,
    /// ChangeCipherSpec was sent: what follows is encrypted.
    encrypted: bool,
    /// Sent a handshake record behind that: its Finished, up to TLS 1.2.
    finished: bool,
    /// Records of application data; in TLS 1.3 they may be of the handshake.
    application: u32,
    lost: bool,
}

/// The dissector of TLS.
#[derive(Debug, Default)]
pub struct Tls {
    readers: [Reader; 2],
    request: Option<Request>,
    client: Option<ClientHello>,
    server: Option<ServerHello>,
    /// The server sent a certificate: nothing was resumed.
    certificate: bool,
    /// Handed out; what follows is application data.
    over: bool,
    unread: u64,
}

/// Whether bytes are TLS: a handshake record with a hello.
pub fn probe(from: Side, bytes: &[u8]) -> Verdict {
    let hello = match from {
        Side::Client => 1,
        Side::Server => 2,
    };
    let fits = |(at, &b): (usize, &u8)| match at {
        0 => b == content::HANDSHAKE,
        1 => b == 3,
        2 => b <= 4,
        3 => b <= 0x48,
        5 => b == hello,
        6 => b == 0,
        9 => b == 3,
        10 => b <= 3,
        _ => true,
    };
    if !bytes.iter().take(11).enumerate().all(fits) {
        Verdict::No
    } else if bytes.len() >= 11 {
        Verdict::Yes
    } else {
        Verdict::More
    }
}

impl Tls {
    fn is_13(&self) -> bool {
        self.server.as_ref().is_some_and(|s| s.version >= 0x0304)
    }

    /// Reads what is whole of a side.
    fn read(&mut self, from: Side, out: &mut Vec<Request>) {
        loop {
            let reader = &mut self.readers[from.index()];
            let left = reader.buffer.left();
            let Some(&[kind, major, _, a, b]) = left.first_chunk::<5>() else { return };
            let length = usize::from(u16::from_be_bytes([a, b]));
            if !(content::CHANGE_CIPHER_SPEC..=24).contains(&kind) || major != 3 || length > RECORD {
                reader.lost = true;
                self.unread += reader.buffer.clear() as u64;
                return;
            }
            let Some(body) = left.get(5..5 + length) else { return };
            let body = body.to_vec();
            let Some((first, last)) = reader.buffer.take(5 + length) else { return };
            self.record(from, kind, &body, length as u64, (first, last), out);
        }
    }

    /// A record, of which `body` is what there is, or nothing where it was passed over.
    fn record(
        &mut self,
        from: Side,
        kind: u8,
        body: &[u8],
        length: u64,
        stamps: (Stamp, Stamp),
        out: &mut Vec<Request>,
    ) {
        if self.over {
            return;
        }
        let encrypted = self.readers[from.index()].encrypted;
        match kind {
            content::HANDSHAKE if !encrypted => self.handshake(from, body, stamps),
            content::HANDSHAKE => self.readers[from.index()].finished = true,
            // TLS 1.3 sends it for middleboxes only (RFC 8446 D.4), with a HelloRetryRequest even before the hellos.
            content::CHANGE_CIPHER_SPEC => {
                self.readers[from.index()].encrypted = self.server.as_ref().is_some_and(|s| s.version < 0x0304);
            }
            content::ALERT => return self.alert(from, body, length, stamps, out),
            content::APPLICATION => return self.application(from, length, stamps, out),
            _ => {}
        }
        self.count(from, length + 5);
        if self.readers.iter().all(|r| r.finished) && !self.is_13() {
            let newest = stamps.1;
            if let Some(request) = &mut self.request
                && request.end.is_none()
            {
                request.end = Some(newest);
            }
        }
    }

    fn count(&mut self, from: Side, length: u64) {
        if let Some(request) = &mut self.request {
            match from {
                Side::Client => request.request_bytes += length,
                Side::Server => request.response_bytes += length,
            }
        }
    }

    /// Handshake messages in the clear; they may span records.
    fn handshake(&mut self, from: Side, body: &[u8], (first, last): (Stamp, Stamp)) {
        let messages = &mut self.readers[from.index()].messages;
        messages.extend_from_slice(&body[..body.len().min(MESSAGE.saturating_sub(messages.len()))]);
        if from == Side::Client && self.request.is_none() {
            self.request = Some(Request::begins(Protocol::Tls, first));
        }
        if from == Side::Server {
            self.begun_midway(first);
            if let Some(request) = &mut self.request {
                request.first.get_or_insert(first);
            }
        }
        loop {
            let messages = &self.readers[from.index()].messages;
            let Some(&[kind, a, b, c]) = messages.first_chunk::<4>() else { return };
            let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
            if length + 4 > MESSAGE {
                // Not kept; what follows it in the clear is not read.
                return;
            }
            let Some(message) = messages.get(4..4 + length) else { return };
            let message = message.to_vec();
            self.readers[from.index()].messages.drain(..4 + length);
            self.message(from, kind, &message, last);
        }
    }

    /// A connection whose ClientHello was not seen.
    fn begun_midway(&mut self, at: Stamp) {
        self.request.get_or_insert_with(|| {
            let mut request = Request::begins(Protocol::Tls, at);
            request.missing = missing::REQUEST;
            request
        });
    }

    /// One handshake message (RFC 8446 4).
    fn message(&mut self, from: Side, kind: u8, message: &[u8], last: Stamp) {
        match (from, kind) {
            (Side::Client, 1) => {
                // The first one has the offers, the last one (after a HelloRetryRequest) is when it was sent.
                if self.client.is_none() {
                    self.client = ClientHello::read(message);
                }
                if let Some(request) = &mut self.request {
                    request.sent.get_or_insert(last);
                }
            }
            (Side::Server, 2) => {
                if let Some(hello) = ServerHello::read(message).filter(|h| !h.retry) {
                    self.server = Some(hello);
                    // What the client sent before was early data.
                    self.readers[0].application = 0;
                }
            }
            // Its extensions have the ALPN of TLS 1.2 in the ServerHello, of 1.3 encrypted.
            (Side::Server, 11) => self.certificate = true,
            _ => {}
        }
    }

    fn application(&mut self, from: Side, length: u64, stamps: (Stamp, Stamp), out: &mut Vec<Request>) {
        let index = from.index();
        self.readers[index].application = self.readers[index].application.saturating_add(1);
        // In 1.3 the client's first encrypted flight ends the handshake, and before it there is no other data but
        // early data and the server's half of the handshake.
        let handshake = match (self.is_13(), from) {
            (true, Side::Client) => self.readers[0].application == 1,
            (true, Side::Server) => self.readers[0].application == 0,
            (false, _) => false,
        };
        if handshake {
            self.count(from, length + 5);
            let Some(request) = &mut self.request else { return };
            if from == Side::Client {
                request.end = Some(stamps.1);
                // Finished takes 32 bytes and more, an alert two; both with type and tag (RFC 8446 5.2).
                if length == 19 {
                    request.code = "encrypted alert".to_owned();
                    self.hand_out(Outcome::Error, out);
                }
            }
            return;
        }
        if let Some(request) = &mut self.request {
            request.first_row.get_or_insert(stamps.0);
        }
        // Before the server said anything it is early data (RFC 8446 2.3).
        if self.request.as_ref().is_some_and(|r| r.first.is_some()) {
            self.hand_out(Outcome::Ok, out);
        }
    }

    fn alert(&mut self, from: Side, body: &[u8], length: u64, stamps: (Stamp, Stamp), out: &mut Vec<Request>) {
        self.count(from, length + 5);
        let Some(request) = &mut self.request else { return };
        let clear = length == 2;
        // A warning may precede the ServerHello (unrecognized_name) and ends nothing; close_notify ends all.
        match body {
            [1, description, ..] if clear && *description != 0 => return,
            [_, description, ..] if clear => request.code = hello::alert_name(*description),
            _ => request.code = "encrypted alert".to_owned(),
        }
        let whole = request.end.is_some();
        if whole {
            // The handshake was done: this closes the connection.
            request.code.clear();
        } else {
            request.end = Some(stamps.1);
        }
        self.hand_out(if whole { Outcome::Ok } else { Outcome::Error }, out);
    }

    /// A hello that is cut tells something as well.
    fn cut_hello(&mut self, from: Side) {
        let messages = std::mem::take(&mut self.readers[from.index()].messages);
        let body = messages.get(4..).unwrap_or_default();
        match (from, messages.first()) {
            (Side::Client, Some(1)) if self.client.is_none() => self.client = ClientHello::read(body),
            (Side::Server, Some(2)) if self.server.is_none() => {
                self.server = ServerHello::read(body).filter(|h| !h.retry);
            }
            _ => {}
        }
    }

    fn hand_out(&mut self, outcome: Outcome, out: &mut Vec<Request>) {
        self.cut_hello(Side::Client);
        self.cut_hello(Side::Server);
        let resumed = self.server.as_ref().is_some_and(|s| {
            if s.version >= 0x0304 { s.pre_shared_key } else { self.readers[1].encrypted && !self.certificate }
        });
        let Some(mut request) = self.request.take() else { return };
        self.over = true;
        request.outcome = outcome;
        let offered = self.client.as_ref();
        let version = self.server.as_ref().map(|s| s.version);
        request.key = match version.or(offered.map(|c| c.version)) {
            Some(version) => hello::version_name(version),
            None => "TLS".to_owned(),
        };
        request.target = offered.map(|c| c.server_name.clone()).unwrap_or_default();
        let mut detail = request.key.clone();
        if version.is_none() {
            detail.push_str(" offered");
        }
        let chosen = self.server.as_ref().and_then(|s| s.alpn.clone());
        match (chosen, offered) {
            (Some(alpn), _) => detail.push_str(&format!(", ALPN {alpn}")),
            (None, Some(c)) if !c.alpn.is_empty() => detail.push_str(&format!(", ALPN offered {}", c.alpn.join(" "))),
            _ => {}
        }
        if resumed {
            detail.push_str(", resumed");
        }
        request.detail = route::bounded(&detail);
        out.push(request);
    }
}

impl Dissector for Tls {
    fn bytes(&mut self, from: Side, at: Stamp, bytes: &[u8], out: &mut Vec<Request>) {
        let reader = &mut self.readers[from.index()];
        if self.over {
            return;
        }
        if reader.lost {
            self.unread += bytes.len() as u64;
            return;
        }
        let skip = reader.skip.min(bytes.len() as u64);
        reader.skip -= skip;
        for part in bytes[skip as usize..].chunks(1 << 15) {
            let reader = &mut self.readers[from.index()];
            if !reader.buffer.push(at, part) {
                reader.lost = true;
            }
            self.read(from, out);
        }
    }

    fn gap(&mut self, from: Side, at: Stamp, len: u64, out: &mut Vec<Request>) {
        if self.over {
            return;
        }
        let bit = if from == Side::Client { missing::REQUEST } else { missing::RESPONSE };
        if let Some(request) = &mut self.request {
            request.missing |= bit;
        }
        let reader = &mut self.readers[from.index()];
        let inside = reader.skip.min(len);
        reader.skip -= inside;
        let len = len - inside;
        if len == 0 || reader.lost {
            return;
        }
        let left = reader.buffer.left();
        let Some(&[kind, _, _, a, b]) = left.first_chunk::<5>() else {
            reader.lost = true;
            return;
        };
        let length = u64::from(u16::from_be_bytes([a, b]));
        let body = left[5..].to_vec();
        let rest = (length + 5).saturating_sub(left.len() as u64);
        let first = reader.buffer.stamp(0).unwrap_or(at);
        reader.buffer.clear();
        reader.lost = len > rest;
        reader.skip = rest.saturating_sub(len);
        self.record(from, kind, &body, length, (first, at), out);
        self.cut_hello(from);
        if let Some(request) = &mut self.request {
            request.missing |= bit;
        }
    }

    fn end(&mut self, how: End, _at: Stamp, out: &mut Vec<Request>) {
        let outcome = match how {
            _ if self.request.as_ref().is_some_and(|r| r.end.is_some()) => Outcome::Ok,
            End::Capture => Outcome::Unfinished,
            End::Closed => Outcome::Closed,
            End::Reset => Outcome::Reset,
        };
        self.hand_out(outcome, out);
    }

    fn unread(&self) -> u64 {
        self.unread
    }
}

#[cfg(test)]
mod tests;
