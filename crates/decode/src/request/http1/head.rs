//! Heads of HTTP/1 messages: the first line and what of the headers matters to framing and identity.

use super::super::detect::Verdict;
use super::super::{Side, route};

/// Longest head that is read.
pub const HEAD: usize = 64 << 10;
/// Longest first line that is looked for where the place in the stream was lost.
pub(super) const LINE: usize = 4 << 10;
/// Most headers that are read of a head.
const HEADERS: usize = 128;

/// Methods that are looked for where the place in the stream was lost, and known from their first bytes (IANA's
/// registry, without those nobody uses).
const METHODS: [&str; 20] = [
    "GET",
    "POST",
    "PUT",
    "HEAD",
    "DELETE",
    "OPTIONS",
    "PATCH",
    "CONNECT",
    "TRACE",
    "PROPFIND",
    "PROPPATCH",
    "MKCOL",
    "COPY",
    "MOVE",
    "LOCK",
    "UNLOCK",
    "REPORT",
    "SEARCH",
    "NOTIFY",
    "PURGE",
];

/// How long a body is, as the headers have it (RFC 9112 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    Unstated,
    Length(u64),
    Chunked,
    /// The headers contradict themselves, or their end is not there.
    Unknown,
}

/// What a connection becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Upgrade {
    None,
    H2c,
    Other,
}

#[derive(Debug)]
pub(super) struct RequestHead {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) host: String,
    pub(super) traceparent: Option<String>,
    pub(super) body: Body,
    pub(super) upgrade: Upgrade,
}

#[derive(Debug)]
pub(super) struct ResponseHead {
    pub(super) status: u16,
    pub(super) body: Body,
    pub(super) upgrade: Upgrade,
}

/// The position behind the blank line that ends a head, looked for from `from` on.
pub fn end_of_head(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        at += bytes.get(at..)?.iter().position(|&b| b == b'\n')? + 1;
        match (bytes.get(at), bytes.get(at + 1)) {
            (Some(b'\n'), _) => return Some(at + 1),
            (Some(b'\r'), Some(b'\n')) => return Some(at + 2),
            _ => {}
        }
    }
}

/// The whole lines of a cut head, ended as a head is; of a first line that is cut itself, what there is.
fn completed(cut: &[u8], from: Side) -> Vec<u8> {
    let mut head = match cut.iter().rposition(|&b| b == b'\n') {
        Some(at) => cut[..=at].to_vec(),
        None if from == Side::Client => {
            // Of the version, if it is there in part, nothing is needed.
            let method = cut.iter().position(|&b| b == b' ').map_or(0, |at| at + 1);
            let target = cut[method..].iter().position(|&b| b == b' ').map_or(cut.len(), |at| method + at);
            [&cut[..target], b" HTTP/1.1\r\n"].concat()
        }
        None => [cut, b"\r\n"].concat(),
    };
    head.extend_from_slice(b"\r\n");
    head
}

/// Those headers that matter.
struct Seen {
    body: Body,
    upgrade: Upgrade,
    host: String,
    traceparent: Option<String>,
}

fn headers(headers: &[httparse::Header<'_>]) -> Seen {
    let mut seen = Seen { body: Body::Unstated, upgrade: Upgrade::None, host: String::new(), traceparent: None };
    for header in headers {
        let value = header.value.trim_ascii();
        let name = header.name;
        if name.eq_ignore_ascii_case("content-length") {
            seen.body = match (seen.body, length(value)) {
                // Chunked overrides it (RFC 9112 6.3).
                (Body::Chunked, _) => Body::Chunked,
                (Body::Unstated, Some(n)) => Body::Length(n),
                (Body::Length(was), Some(n)) if was == n => Body::Length(n),
                _ => Body::Unknown,
            };
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            let last = value.rsplit(|&b| b == b',').next().unwrap_or_default().trim_ascii();
            if last.eq_ignore_ascii_case(b"chunked") {
                seen.body = Body::Chunked;
            }
        } else if name.eq_ignore_ascii_case("upgrade") {
            let h2c = value.split(|&b| b == b',').any(|t| t.trim_ascii().eq_ignore_ascii_case(b"h2c"));
            seen.upgrade = if h2c { Upgrade::H2c } else { Upgrade::Other };
        } else if name.eq_ignore_ascii_case("host") {
            seen.host = route::bounded(&String::from_utf8_lossy(value));
        } else if name.eq_ignore_ascii_case("traceparent") {
            seen.traceparent = Some(route::bounded(&String::from_utf8_lossy(value)));
        }
    }
    seen
}

/// A Content-Length; a list of the same number is that number (RFC 9110 8.6).
fn length(value: &[u8]) -> Option<u64> {
    let mut numbers = value.split(|&b| b == b',').map(|n| {
        let n = n.trim_ascii();
        let digits = !n.is_empty() && n.iter().all(u8::is_ascii_digit);
        digits.then(|| std::str::from_utf8(n).ok()?.parse::<u64>().ok()).flatten()
    });
    let first = numbers.next()??;
    numbers.all(|n| n == Some(first)).then_some(first)
}

fn config() -> httparse::ParserConfig {
    let mut config = httparse::ParserConfig::default();
    config
        .allow_spaces_after_header_name_in_responses(true)
        .allow_obsolete_multiline_headers_in_responses(true)
        .allow_multiple_spaces_in_request_line_delimiters(true)
        .allow_multiple_spaces_in_response_status_delimiters(true)
        .ignore_invalid_headers_in_responses(true)
        .ignore_invalid_headers_in_requests(true);
    config
}

/// The first lines of a head with more headers than are read.
fn fewer(head: &[u8]) -> Option<&[u8]> {
    let mut lines = head.iter().enumerate().filter(|&(_, &b)| b == b'\n').map(|(at, _)| at + 1);
    lines.nth(HEADERS).map(|end| &head[..end])
}

/// Reads the head of a request. `cut` where its end is not there.
pub(super) fn request(head: &[u8], cut: bool) -> Option<RequestHead> {
    if cut {
        let mut read = request(&completed(head, Side::Client), false)?;
        read.body = Body::Unknown;
        return Some(read);
    }
    let mut slots = [httparse::EMPTY_HEADER; HEADERS];
    let mut parsed = httparse::Request::new(&mut slots);
    match config().parse_request(&mut parsed, head) {
        Ok(httparse::Status::Complete(_)) => {}
        Err(httparse::Error::TooManyHeaders) => return request(fewer(head)?, true),
        _ => return None,
    }
    let (method, target) = (parsed.method?, parsed.path?);
    let seen = headers(parsed.headers);
    Some(RequestHead {
        method: route::bounded(method),
        target: target.to_owned(),
        host: seen.host,
        traceparent: seen.traceparent,
        body: seen.body,
        upgrade: if method == "CONNECT" { Upgrade::Other } else { seen.upgrade },
    })
}

/// Reads the head of a response. `cut` where its end is not there.
pub(super) fn response(head: &[u8], cut: bool) -> Option<ResponseHead> {
    if cut {
        let mut read = response(&completed(head, Side::Server), false)?;
        read.body = Body::Unknown;
        return Some(read);
    }
    let mut slots = [httparse::EMPTY_HEADER; HEADERS];
    let mut parsed = httparse::Response::new(&mut slots);
    match config().parse_response(&mut parsed, head) {
        Ok(httparse::Status::Complete(_)) => {}
        Err(httparse::Error::TooManyHeaders) => return response(fewer(head)?, true),
        _ => return None,
    }
    let seen = headers(parsed.headers);
    Some(ResponseHead { status: parsed.code?, body: seen.body, upgrade: seen.upgrade })
}

/// The size in a chunk's first line (RFC 9112 7.1).
pub fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line.split(|&b| b == b';').next()?.trim_ascii();
    if digits.is_empty() || digits.len() > 15 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// Where the next head may begin, in bytes of which the beginning is not known.
pub(super) fn find(from: Side, bytes: &[u8]) -> Option<usize> {
    match from {
        Side::Server => bytes.windows(13).position(is_status_line),
        Side::Client => {
            const VERSION: &[u8] = b" HTTP/1.";
            let mut start = 0;
            while let Some(at) = bytes.get(start..)?.windows(VERSION.len()).position(|w| w == VERSION) {
                let at = start + at;
                let end = bytes.get(at + VERSION.len()..)?;
                if matches!(end, [b'0' | b'1', b'\r' | b'\n', ..])
                    && let Some(begin) = request_line_before(&bytes[..at])
                {
                    return Some(begin);
                }
                start = at + 1;
            }
            None
        }
    }
}

/// The beginning of a request line whose target ends where `bytes` do.
fn request_line_before(bytes: &[u8]) -> Option<usize> {
    let space = bytes.iter().rposition(|&b| b <= b' ' || b == 0x7f)?;
    if bytes[space] != b' ' || space + 1 == bytes.len() {
        return None;
    }
    METHODS.iter().filter(|m| bytes[..space].ends_with(m.as_bytes())).map(|m| space - m.len()).min()
}

fn is_status_line(bytes: &[u8]) -> bool {
    matches!(bytes, [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0' | b'1', b' ', b'1'..=b'9', b, c, b' ' | b'\r' | b'\n', ..]
        if b.is_ascii_digit() && c.is_ascii_digit())
}

/// Whether bytes are HTTP/1.
pub fn probe(from: Side, bytes: &[u8]) -> Verdict {
    match from {
        Side::Server if bytes.len() >= 13 => {
            if is_status_line(bytes) {
                Verdict::Yes
            } else {
                Verdict::No
            }
        }
        Side::Server => {
            let fits = bytes.iter().zip(b"HTTP/1.").all(|(a, b)| a == b);
            if fits { Verdict::More } else { Verdict::No }
        }
        Side::Client => probe_request(bytes),
    }
}

fn probe_request(bytes: &[u8]) -> Verdict {
    let method = bytes.iter().position(|b| !b.is_ascii_uppercase() && *b != b'-').unwrap_or(bytes.len());
    if method == 0 || method > 24 {
        return Verdict::No;
    }
    let Some(rest) = bytes.get(method + 1..) else { return Verdict::More };
    if bytes[method] != b' ' {
        return Verdict::No;
    }
    let known = METHODS.iter().any(|m| m.as_bytes() == &bytes[..method]);
    match rest.iter().position(|&b| b == b'\n') {
        Some(end) => {
            let line = rest[..end].trim_ascii_end();
            let version = line.len().checked_sub(9).map(|at| &line[at..]);
            if matches!(version, Some(b" HTTP/1.0" | b" HTTP/1.1")) { Verdict::Yes } else { Verdict::No }
        }
        None if known && matches!(rest.first(), Some(b'/')) => Verdict::Likely,
        None => Verdict::More,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn bytes_are_known_as_http_by_their_first_line() {
        let client = |b: &str| probe(Side::Client, b.as_bytes());
        assert_eq!(client("GET / HTTP/1.1\r\n"), Verdict::Yes);
        assert_eq!(client("BREW-IT /pot HTTP/1.0\n"), Verdict::Yes);
        assert_eq!(client("PRI * HTTP/2.0\r\n"), Verdict::No);
        assert_eq!(client("GET key\r\n"), Verdict::No);
        assert_eq!(client("GE"), Verdict::More);
        assert_eq!(client("GET /a/long"), Verdict::Likely);
        assert_eq!(client("\x16\x03\x01"), Verdict::No);
        let server = |b: &str| probe(Side::Server, b.as_bytes());
        assert_eq!(server("HTTP/1.1 200 OK\r\n"), Verdict::Yes);
        assert_eq!(server("HTTP/1"), Verdict::More);
        assert_eq!(server("HTTP/2 200 OK\r\n"), Verdict::No);
        assert_eq!(server("+OK\r\n"), Verdict::No);
    }

    #[test]
    fn heads_end_with_a_blank_line() {
        let end = |bytes: &[u8]| end_of_head(bytes, 0);
        assert_eq!(end(b"GET / HTTP/1.1\r\n\r\nbody"), Some(18));
        assert_eq!(end(b"GET / HTTP/1.1\n\nbody"), Some(16));
        assert_eq!(end(b"GET / HTTP/1.1\r\n\r"), None);
    }

    #[test]
    fn a_head_is_found_among_other_bytes() {
        assert_eq!(find(Side::Client, b"xx GET} HTTP/1.1 yPOST /a HTTP/1.1\r\n"), Some(18));
        assert_eq!(find(Side::Client, b"x /a HTTP/1.1\r\n"), None);
        assert_eq!(find(Side::Server, b"..HTTP/1.x 2HTTP/1.1 204 \r\n"), Some(12));
    }

    #[test]
    fn framing_headers_are_read_as_receivers_must() {
        let body = |h: &str| request(format!("POST / HTTP/1.1\r\n{h}\r\n\r\n").as_bytes(), false).unwrap().body;
        assert_eq!(body("Content-Length: 5"), Body::Length(5));
        assert_eq!(body("content-length: 5, 5"), Body::Length(5));
        assert_eq!(body("Content-Length: 5\r\nContent-Length: 6"), Body::Unknown);
        assert_eq!(body("Content-Length: +5"), Body::Unknown);
        assert_eq!(body("Content-Length: 5\r\nTransfer-Encoding: gzip, Chunked"), Body::Chunked);
        assert_eq!(body("Transfer-Encoding: chunked\r\nContent-Length: 5"), Body::Chunked);
        assert_eq!(body("Host: x"), Body::Unstated);
        assert_eq!((chunk_size(b"1aF;x=y"), chunk_size(b""), chunk_size(b"-1")), (Some(0x1af), None, None));
    }

    #[test]
    fn of_a_cut_head_the_whole_lines_are_read() {
        let cut = request(b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Len", true).unwrap();
        assert_eq!((cut.target.as_str(), cut.host.as_str(), cut.body), ("/a", "h", Body::Unknown));
        assert_eq!(request(b"GET /lon", true).unwrap().target, "/lon");
        assert_eq!(response(b"HTTP/1.1 503 Serv", true).unwrap().status, 503);
        assert!(request(b"GE", true).is_none());
    }

    #[test]
    fn a_head_with_very_many_headers_is_read_in_part() {
        let head = format!("GET /a HTTP/1.1\r\nHost: h\r\n{}\r\n", "a: b\r\n".repeat(1000));
        let read = request(head.as_bytes(), false).unwrap();
        assert_eq!((read.host.as_str(), read.body), ("h", Body::Unknown));
    }
}
