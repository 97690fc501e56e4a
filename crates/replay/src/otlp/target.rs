//! Where OTLP goes: a URL, as exporters take it.

use std::str::FromStr;

/// A receiver of OTLP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// By gRPC; else by HTTP.
    pub grpc: bool,
    /// Over TLS.
    pub tls: bool,
    /// Name or address; IPv6 without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Of HTTP, what stands before `/v1/traces`; without a slash at its end.
    pub prefix: String,
}

/// A text that is no target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no receiver of OTLP: write http://127.0.0.1:4318 or grpc://127.0.0.1:4317")]
pub struct TargetError(String);

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Target, TargetError> {
        let bad = || TargetError(text.to_owned());
        let (scheme, rest) = text.split_once("://").ok_or_else(bad)?;
        let (named, tls) = match scheme {
            "http" => (None, false),
            "https" => (None, true),
            "grpc" => (Some(true), false),
            "grpcs" => (Some(true), true),
            _ => return Err(bad()),
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let prefix = path.trim_end_matches('/');
        // A port behind the last colon; one in brackets belongs to an IPv6 address.
        let (host, port) = match authority.rsplit_once(':').filter(|(_, port)| !port.contains(']')) {
            Some((host, port)) => (host, Some(port.parse::<u16>().ok().filter(|p| *p != 0).ok_or_else(bad)?)),
            None => (authority, None),
        };
        let grpc = named.unwrap_or(port == Some(4317));
        let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        let odd = |c: char| c.is_whitespace() || c.is_control() || "@?#[]".contains(c);
        if host.is_empty() || host.contains(odd) || prefix.contains(odd) || (grpc && !prefix.is_empty()) {
            return Err(bad());
        }
        let port = port.unwrap_or(if grpc { 4317 } else { 4318 });
        Ok(Target { grpc, tls, host: host.to_owned(), port, prefix: prefix.to_owned() })
    }
}

impl Target {
    /// `host:port`, as URLs have it.
    pub fn authority(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }

    /// Whether nothing leaves this host.
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = match (self.grpc, self.tls) {
            (true, false) => "grpc",
            (true, true) => "grpcs",
            (false, false) => "http",
            (false, true) => "https",
        };
        write!(f, "{scheme}://{}{}", self.authority(), self.prefix)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_scheme_or_the_port_tells_the_protocol() {
        let t = |text: &str| text.parse::<Target>().unwrap();
        assert!(!t("http://127.0.0.1:4318").grpc && t("http://127.0.0.1:4317").grpc && t("grpc://a:9").grpc);
        assert_eq!((t("grpc://a").port, t("http://a").port, t("https://a").tls), (4317, 4318, true));
        assert_eq!(t("https://a.b/otlp/").prefix, "/otlp");
        assert_eq!((t("http://[::1]:9").host, t("http://[::1]:9").authority()), ("::1".into(), "[::1]:9".into()));
        assert!(t("http://[::1]").is_loopback() && !t("http://10.0.0.1").is_loopback());
        assert_eq!(t("grpcs://a").to_string(), "grpcs://a:4317");
        for bad in [
            "127.0.0.1:4318",
            "ftp://a",
            "http://",
            "http://a:0",
            "http://a:99999",
            "http://u@a",
            "grpc://a/b",
            "http://a b",
        ] {
            assert!(bad.parse::<Target>().is_err(), "{bad}");
        }
    }
}
