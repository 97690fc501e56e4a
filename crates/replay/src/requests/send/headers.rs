//! Which recorded headers are sent again.

use hyper::header::{HeaderMap, HeaderName, HeaderValue};

/// Headers of one connection, which mean nothing on another (RFC 9110 7.6.1), and `Expect`: the body is sent at once.
const HOP: [&str; 10] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
    "expect",
];

/// Headers that carry who somebody is.
pub const CREDENTIALS: [&str; 9] = [
    "authorization",
    "proxy-authorization",
    "cookie",
    "cookie2",
    "x-api-key",
    "x-auth-token",
    "x-amz-security-token",
    "x-csrf-token",
    "x-xsrf-token",
];

/// The header that marks what is sent; its value is the id of the bundle.
pub const MARK: &str = "coldcase-replay";

/// What is done with headers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Keep {
    /// The recorded `Host` is sent instead of the target's.
    pub host: bool,
    /// Those of [`CREDENTIALS`] are sent.
    pub credentials: bool,
}

/// Headers to send, and how many were left out for what they carry.
#[derive(Debug, Default)]
pub(super) struct Chosen {
    pub(super) headers: HeaderMap,
    pub(super) credentials: u64,
    /// Those that are no headers to the client: their names or values are not allowed (RFC 9110 5.5).
    pub(super) invalid: u64,
}

/// Chooses the headers of a request. `host` is the target's authority, `bundle` goes into [`MARK`]. Framing is left to
/// the client: it knows the body.
pub(super) fn choose(recorded: &[(String, Vec<u8>)], keep: Keep, host: &HeaderValue, bundle: &HeaderValue) -> Chosen {
    let named = named_by_connection(recorded);
    let mut chosen = Chosen::default();
    for (name, value) in recorded {
        let name = name.to_ascii_lowercase();
        if HOP.contains(&name.as_str()) || named.contains(&name) || name == "content-length" || name == MARK {
            continue;
        }
        if CREDENTIALS.contains(&name.as_str()) && !keep.credentials {
            chosen.credentials += 1;
            continue;
        }
        if name == "host" && !keep.host {
            continue;
        }
        match (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value)) {
            (Ok(name), Ok(value)) => {
                chosen.headers.append(name, value);
            }
            _ => chosen.invalid += 1,
        }
    }
    if !chosen.headers.contains_key("host") {
        chosen.headers.insert("host", host.clone());
    }
    chosen.headers.insert(MARK, bundle.clone());
    chosen
}

/// The names that `Connection` lists: those are of the one connection too.
fn named_by_connection(recorded: &[(String, Vec<u8>)]) -> Vec<String> {
    let values = recorded.iter().filter(|(name, _)| name.eq_ignore_ascii_case("connection"));
    let names = values.flat_map(|(_, value)| value.split(|&b| b == b','));
    names.map(|n| String::from_utf8_lossy(n.trim_ascii()).to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(recorded: &[(&str, &str)], keep: Keep) -> (Vec<(String, String)>, u64, u64) {
        let recorded: Vec<_> = recorded.iter().map(|(n, v)| ((*n).to_owned(), v.as_bytes().to_vec())).collect();
        let (host, bundle) = (HeaderValue::from_static("new:1"), HeaderValue::from_static("b1"));
        let chosen = choose(&recorded, keep, &host, &bundle);
        let text = |v: &HeaderValue| String::from_utf8_lossy(v.as_bytes()).into_owned();
        let mut all: Vec<_> = chosen.headers.iter().map(|(n, v)| (n.to_string(), text(v))).collect();
        all.sort();
        (all, chosen.credentials, chosen.invalid)
    }

    fn pairs(all: &[(&str, &str)]) -> Vec<(String, String)> {
        all.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn hop_by_hop_headers_and_credentials_are_never_sent() {
        let recorded = [
            ("Host", "old"),
            ("Connection", "close, X-Hop"),
            ("X-Hop", "1"),
            ("Transfer-Encoding", "chunked"),
            ("Content-Length", "5"),
            ("Authorization", "Bearer x"),
            ("COOKIE", "a=b"),
            ("Accept", "a"),
            ("Accept", "b"),
            ("Expect", "100-continue"),
        ];
        let (all, credentials, invalid) = chosen(&recorded, Keep::default());
        let expected = [("accept", "a"), ("accept", "b"), ("coldcase-replay", "b1"), ("host", "new:1")];
        assert_eq!((all, credentials, invalid), (pairs(&expected), 2, 0));
    }

    #[test]
    fn host_and_credentials_are_kept_when_asked_for() {
        let keep = Keep { host: true, credentials: true };
        let (all, credentials, _) = chosen(&[("Host", "old"), ("Cookie", "a=b"), ("coldcase-replay", "b0")], keep);
        assert_eq!(all, pairs(&[("coldcase-replay", "b1"), ("cookie", "a=b"), ("host", "old")]));
        assert_eq!(credentials, 0);
    }

    #[test]
    fn a_header_that_cannot_be_sent_is_counted() {
        let (all, _, invalid) = chosen(&[("X-A", "a\nb"), ("X B", "c")], Keep::default());
        assert_eq!((all.len(), invalid), (2, 2));
    }
}
