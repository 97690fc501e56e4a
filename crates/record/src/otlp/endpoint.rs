//! Where the receiver listens, and where requests are passed on to.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use hyper::Uri;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Where to listen: `127.0.0.1:4317`, or `unix:/run/otlp.sock`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// An address. Port 0: any free one.
    Tcp(SocketAddr),
    /// A socket in the file system. What may connect is told by the rights of its folder and by the umask.
    Unix(PathBuf),
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Endpoint, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return match path.starts_with('/') {
                true => Ok(Endpoint::Unix(path.into())),
                false => Err(format!("'{text}': unix: wants a path that begins with /")),
            };
        }
        text.parse().map(Endpoint::Tcp).map_err(|_| format!("'{text}' is neither ADDRESS:PORT nor unix:/PATH"))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Tcp(at) => at.fmt(f),
            Endpoint::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Port of OTLP over gRPC, as OTLP has it.
const GRPC: u16 = 4317;
/// Port of OTLP over HTTP.
const HTTP: u16 = 4318;

/// A collector: `grpc://HOST[:4317]`, `grpcs://…`, `http://HOST[:4318][/PREFIX]`, `https://…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collector {
    /// gRPC rather than HTTP.
    pub grpc: bool,
    /// With TLS, and a certificate that the host's roots vouch for.
    pub tls: bool,
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// What comes before `/v1/traces`; empty, or begins with a slash and does not end with one.
    pub prefix: String,
}

impl Collector {
    /// Host and port, as in a URL.
    pub(super) fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

impl FromStr for Collector {
    type Err = String;

    fn from_str(text: &str) -> Result<Collector, String> {
        let uri: Uri = text.parse().map_err(|e| format!("'{text}': {e}"))?;
        let (grpc, tls) = match uri.scheme_str() {
            Some("grpc") => (true, false),
            Some("grpcs") => (true, true),
            Some("http") => (false, false),
            Some("https") => (false, true),
            _ => return Err(format!("'{text}' begins with none of grpc://, grpcs://, http://, https://")),
        };
        let authority = uri.authority().ok_or_else(|| format!("'{text}': no host"))?;
        if authority.as_str().contains('@') {
            return Err("credentials in the URL are not taken: the senders' own headers are passed on".to_owned());
        }
        let prefix = uri.path().trim_end_matches('/').to_owned();
        if uri.query().is_some() || (grpc && !prefix.is_empty()) {
            return Err(format!(
                "'{text}': {} here",
                if grpc { "a path means nothing" } else { "a query means nothing" }
            ));
        }
        let port = authority.port_u16().unwrap_or(if grpc { GRPC } else { HTTP });
        Ok(Collector { grpc, tls, host: authority.host().to_owned(), port, prefix })
    }
}

impl fmt::Display for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.grpc { "grpc" } else { "http" };
        write!(f, "{scheme}{}://{}{}", if self.tls { "s" } else { "" }, self.authority(), self.prefix)
    }
}

macro_rules! as_text {
    ($($what:ty),+) => { $(
        impl Serialize for $what {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $what {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )+ };
}

as_text!(Endpoint, Collector);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_ports_have_defaults() {
        for text in ["127.0.0.1:4317", "[::1]:0", "unix:/run/otlp.sock"] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
        assert_eq!("unix:///run/a".parse::<Endpoint>().unwrap(), Endpoint::Unix("/run/a".into()));
        for (text, whole) in [
            ("grpc://collector", "grpc://collector:4317"),
            ("http://collector", "http://collector:4318"),
            ("https://c:443/otlp/", "https://c:443/otlp"),
            ("grpcs://[::1]:5", "grpcs://[::1]:5"),
        ] {
            assert_eq!(text.parse::<Collector>().unwrap().to_string(), whole);
        }
    }

    #[test]
    fn what_means_nothing_is_refused() {
        for text in ["collector:4317", "ftp://c", "http://me:secret@c", "grpc://c/path", "http://c/?x=1"] {
            let e = text.parse::<Collector>().unwrap_err();
            assert!(!e.contains("secret"), "{e}");
        }
        assert!("localhost".parse::<Endpoint>().is_err() && "unix:here".parse::<Endpoint>().is_err());
    }
}
