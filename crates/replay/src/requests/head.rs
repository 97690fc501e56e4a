//! Heads of HTTP/1 requests with all their headers (RFC 9112).

/// Most headers of a head.
const HEADERS: usize = 256;

/// How the body behind a head is framed (RFC 9112 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    None,
    /// So many bytes.
    Length(u64),
    /// In chunks.
    Chunked,
    /// The headers contradict each other, or were not captured whole.
    Unknown,
}

/// The head of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) headers: Vec<(String, Vec<u8>)>,
    pub(super) framing: Framing,
}

/// Reads a head; of one that is `cut`, the lines that are whole. `None` where it is no head, or its first line is cut.
pub(super) fn read(bytes: &[u8], cut: bool) -> Option<Head> {
    if cut {
        let whole = bytes.iter().rposition(|&b| b == b'\n')? + 1;
        let mut ended = bytes.get(..whole)?.to_vec();
        ended.extend_from_slice(b"\r\n");
        let head = read(&ended, false)?;
        // Without Content-Length among those lines, it may be among the others.
        let framing = if head.framing == Framing::None { Framing::Unknown } else { head.framing };
        return Some(Head { framing, ..head });
    }
    let mut config = httparse::ParserConfig::default();
    config.allow_multiple_spaces_in_request_line_delimiters(true).ignore_invalid_headers_in_requests(true);
    let mut slots = [httparse::EMPTY_HEADER; HEADERS];
    let mut parsed = httparse::Request::new(&mut slots);
    if !matches!(config.parse_request(&mut parsed, bytes), Ok(httparse::Status::Complete(_))) {
        return None;
    }
    let headers: Vec<(String, Vec<u8>)> =
        parsed.headers.iter().map(|h| (h.name.to_owned(), h.value.trim_ascii().to_vec())).collect();
    let framing = framing(&headers);
    Some(Head { method: parsed.method?.to_owned(), target: parsed.path?.to_owned(), headers, framing })
}

fn framing(headers: &[(String, Vec<u8>)]) -> Framing {
    let mut framing = Framing::None;
    for (name, value) in headers {
        if name.eq_ignore_ascii_case("transfer-encoding") {
            let last = value.rsplit(|&b| b == b',').next().unwrap_or_default().trim_ascii();
            // Chunked overrides Content-Length (RFC 9112 6.3); a request in another coding has no end.
            return if last.eq_ignore_ascii_case(b"chunked") { Framing::Chunked } else { Framing::Unknown };
        }
        if name.eq_ignore_ascii_case("content-length") {
            framing = match (framing, length(value)) {
                (Framing::None, Some(n)) => Framing::Length(n),
                (Framing::Length(was), Some(n)) if was == n => framing,
                _ => Framing::Unknown,
            };
        }
    }
    framing
}

/// A Content-Length: digits only.
fn length(value: &[u8]) -> Option<u64> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    digits.then(|| std::str::from_utf8(value).ok()?.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn framing_of(headers: &str) -> Framing {
        read(format!("POST / HTTP/1.1\r\n{headers}\r\n\r\n").as_bytes(), false).unwrap().framing
    }

    #[test]
    fn bodies_are_framed_as_rfc_9112_says() {
        assert_eq!(framing_of("Host: x"), Framing::None);
        assert_eq!(framing_of("Content-Length: 5"), Framing::Length(5));
        assert_eq!(framing_of("Content-Length: 5\r\nContent-Length: 6"), Framing::Unknown);
        assert_eq!(framing_of("Content-Length: +5"), Framing::Unknown);
        assert_eq!(framing_of("Content-Length: 5\r\nTransfer-Encoding: gzip, Chunked"), Framing::Chunked);
        assert_eq!(framing_of("Transfer-Encoding: gzip"), Framing::Unknown);
    }

    #[test]
    fn of_a_cut_head_the_whole_lines_are_read() {
        let head = read(b"POST /a HTTP/1.1\r\nHost: h\r\nAccept: te", true).unwrap();
        assert_eq!((head.target.as_str(), head.headers.len(), head.framing), ("/a", 1, Framing::Unknown));
        assert!(read(b"GET /a/long/pa", true).is_none());
        let known = read(b"POST /a HTTP/1.1\r\nContent-Length: 9\r\nAcc", true).unwrap();
        assert_eq!(known.framing, Framing::Length(9));
    }
}
