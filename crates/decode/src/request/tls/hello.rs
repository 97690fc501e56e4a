//! ClientHello and ServerHello (RFC 8446 4.1), whole or cut: what is there of them is read.
//!
//! Our own code and not a TLS library's, as that refuses a hello whose end the capture does not have.

use super::super::route;

/// What is read of a ClientHello.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ClientHello {
    /// The highest version offered.
    pub(super) version: u16,
    pub(super) server_name: String,
    pub(super) alpn: Vec<String>,
}

/// What is read of a ServerHello.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ServerHello {
    /// The version chosen.
    pub(super) version: u16,
    pub(super) alpn: Option<String>,
    /// A pre-shared key was chosen: TLS 1.3 resumption.
    pub(super) pre_shared_key: bool,
    /// It is a HelloRetryRequest.
    pub(super) retry: bool,
}

/// The random of a HelloRetryRequest (RFC 8446 4.1.3).
const RETRY: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2, 0x11,
    0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// Takes parts off the front of a message.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(head)
    }

    /// As many as there are, but not more than `n`.
    fn most(&mut self, n: usize) -> &'a [u8] {
        let (head, rest) = self.0.split_at(n.min(self.0.len()));
        self.0 = rest;
        head
    }

    fn number(&mut self, bytes: usize) -> Option<usize> {
        Some(self.take(bytes)?.iter().fold(0, |n, &b| n << 8 | usize::from(b)))
    }

    /// A vector behind its length of so many bytes; the end may be cut.
    fn vector(&mut self, bytes: usize) -> Option<Cursor<'a>> {
        let n = self.number(bytes)?;
        Some(Cursor(self.most(n)))
    }
}

/// The extensions: type and content.
fn extensions<'a>(mut all: Cursor<'a>) -> impl Iterator<Item = (usize, Cursor<'a>)> {
    std::iter::from_fn(move || Some((all.number(2)?, all.vector(2)?)))
}

/// The protocol names of an ALPN extension (RFC 7301 3.1).
fn alpn(mut extension: Cursor<'_>) -> Vec<String> {
    let Some(mut list) = extension.vector(2) else { return Vec::new() };
    let mut names = Vec::new();
    while let Some(name) = list.vector(1).filter(|_| names.len() < 16) {
        names.push(String::from_utf8_lossy(name.0).into_owned());
    }
    names
}

/// The host name of a server_name extension (RFC 6066 3).
fn server_name(mut extension: Cursor<'_>) -> Option<String> {
    let mut list = extension.vector(2)?;
    let host = list.number(1)? == 0;
    let name = list.vector(2)?;
    host.then(|| route::bounded(&String::from_utf8_lossy(name.0)))
}

/// Reserved values that keep implementations tolerant (RFC 8701).
fn is_grease(value: usize) -> bool {
    value & 0x0f0f == 0x0a0a && value >> 8 == value & 0xff
}

impl ClientHello {
    /// Reads the body of the message.
    pub(super) fn read(body: &[u8]) -> Option<ClientHello> {
        let mut at = Cursor(body);
        let mut hello = ClientHello { version: at.number(2)? as u16, ..ClientHello::default() };
        at.take(32)?;
        at.vector(1)?;
        let (Some(_ciphers), Some(_compression)) = (at.vector(2), at.vector(1)) else { return Some(hello) };
        for (kind, mut extension) in at.vector(2).into_iter().flat_map(extensions) {
            match kind {
                0 => hello.server_name = server_name(extension).unwrap_or_default(),
                16 => hello.alpn = alpn(extension).into_iter().filter(|n| !n.bytes().any(|b| b >= 0x7f)).collect(),
                43 => {
                    let mut versions = extension.vector(1).unwrap_or(Cursor(&[]));
                    let best = std::iter::from_fn(|| versions.number(2)).filter(|v| !is_grease(*v)).max();
                    hello.version = best.map_or(hello.version, |v| v as u16);
                }
                _ => {}
            }
        }
        Some(hello)
    }
}

impl ServerHello {
    /// Reads the body of the message.
    pub(super) fn read(body: &[u8]) -> Option<ServerHello> {
        let mut at = Cursor(body);
        let mut hello = ServerHello { version: at.number(2)? as u16, ..ServerHello::default() };
        hello.retry = at.take(32)? == RETRY;
        at.vector(1)?;
        at.take(3)?;
        for (kind, mut extension) in at.vector(2).into_iter().flat_map(extensions) {
            match kind {
                16 => hello.alpn = alpn(extension).into_iter().next(),
                41 => hello.pre_shared_key = true,
                43 => hello.version = extension.number(2).map_or(hello.version, |v| v as u16),
                _ => {}
            }
        }
        Some(hello)
    }
}

/// As it is written.
pub(super) fn version_name(version: u16) -> String {
    match version {
        0x0300 => "SSL 3.0".to_owned(),
        0x0301..=0x0304 => format!("TLS 1.{}", version - 0x0301),
        other => format!("TLS {other:#06x}"),
    }
}

/// An alert's name (RFC 8446 6, and those of earlier versions).
pub(super) fn alert_name(description: u8) -> String {
    let name = match description {
        0 => "close_notify",
        10 => "unexpected_message",
        20 => "bad_record_mac",
        21 => "decryption_failed",
        22 => "record_overflow",
        30 => "decompression_failure",
        40 => "handshake_failure",
        41 => "no_certificate",
        42 => "bad_certificate",
        43 => "unsupported_certificate",
        44 => "certificate_revoked",
        45 => "certificate_expired",
        46 => "certificate_unknown",
        47 => "illegal_parameter",
        48 => "unknown_ca",
        49 => "access_denied",
        50 => "decode_error",
        51 => "decrypt_error",
        60 => "export_restriction",
        70 => "protocol_version",
        71 => "insufficient_security",
        80 => "internal_error",
        86 => "inappropriate_fallback",
        90 => "user_canceled",
        100 => "no_renegotiation",
        109 => "missing_extension",
        110 => "unsupported_extension",
        111 => "certificate_unobtainable",
        112 => "unrecognized_name",
        113 => "bad_certificate_status_response",
        114 => "bad_certificate_hash_value",
        115 => "unknown_psk_identity",
        116 => "certificate_required",
        120 => "no_application_protocol",
        other => return format!("alert {other}"),
    };
    name.to_owned()
}
