//! Where requests are sent: `http://host:port`.

use std::net::{SocketAddr, ToSocketAddrs};

use hyper::Uri;
use hyper::header::HeaderValue;

/// A server, with its addresses looked up.
#[derive(Debug, Clone)]
pub struct Target {
    /// As it was named.
    pub url: String,
    /// What `Host` says.
    pub(super) authority: HeaderValue,
    /// Where connections go: to the first address of the name that takes them.
    pub addresses: Vec<SocketAddr>,
}

/// Why a target cannot be sent to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// It is not of the form that is taken.
    #[error("'{0}' is not http://HOST[:PORT]")]
    Form(String),
    /// TLS is not spoken.
    #[error("'{0}': requests are sent without TLS")]
    Tls(String),
    /// The name is not known.
    #[error("'{name}': {why}")]
    Name {
        /// The name.
        name: String,
        /// What the resolver said.
        why: String,
    },
}

impl Target {
    /// Reads a URL and looks its name up.
    ///
    /// # Errors
    /// When it is no such URL, has a path or user in it, or its name is not known.
    pub fn of(url: &str) -> Result<Target, TargetError> {
        let form = || TargetError::Form(url.to_owned());
        let uri: Uri = url.parse().map_err(|_| form())?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => return Err(TargetError::Tls(url.to_owned())),
            _ => return Err(form()),
        }
        let authority = uri.authority().ok_or_else(form)?;
        if authority.as_str().contains('@') || !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(form());
        }
        let host = authority.host();
        let name = host.trim_start_matches('[').trim_end_matches(']');
        let why = |why: String| TargetError::Name { name: host.to_owned(), why };
        let found = (name, authority.port_u16().unwrap_or(80)).to_socket_addrs().map_err(|e| why(e.to_string()))?;
        let addresses: Vec<SocketAddr> = found.collect();
        if addresses.is_empty() {
            return Err(why("has no address".to_owned()));
        }
        let value = HeaderValue::from_str(authority.as_str()).map_err(|_| form())?;
        Ok(Target { url: url.to_owned(), authority: value, addresses })
    }

    /// Whether it is this machine's loopback, by each of its addresses.
    pub fn is_loopback(&self) -> bool {
        self.addresses.iter().all(|a| a.ip().to_canonical().is_loopback())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_plain_http_servers() {
        let loopback = |url: &str| Target::of(url).map(|t| (t.addresses[0].port(), t.is_loopback()));
        assert_eq!(loopback("http://127.0.0.1:8080"), Ok((8080, true)));
        assert_eq!(loopback("http://[::1]/"), Ok((80, true)));
        assert_eq!(loopback("http://192.0.2.1"), Ok((80, false)));
        assert_eq!(loopback("https://127.0.0.1"), Err(TargetError::Tls("https://127.0.0.1".to_owned())));
        for bad in ["127.0.0.1:80", "http://127.0.0.1/path", "http://a:b@127.0.0.1", "ftp://127.0.0.1", ""] {
            assert_eq!(loopback(bad), Err(TargetError::Form(bad.to_owned())), "{bad}");
        }
    }
}
