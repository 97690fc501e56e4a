//! What the log sources can be told.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use regex::bytes::Regex;
use serde::{Deserialize, Serialize};

/// The path that means standard input.
const STDIN: &str = "-";

/// Options of the log sources. `[logs]` in `coldcase.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct LogsConfig {
    /// Files and globs to follow, and `-` for standard input (`--log`).
    pub paths: Vec<String>,
    /// Read the files that exist at the start from their beginning, not from their end (`--log-from-start`).
    pub from_start: bool,
    /// What the first line of an entry has, a regular expression; lines without it join the one before
    /// (`--log-multiline`).
    pub multiline: Option<String>,
    /// Follow systemd's journal (`--journal`).
    pub journal: bool,
    /// The folder of journal files to follow instead of this host's journal (`--journal-dir`).
    pub journal_dir: Option<PathBuf>,
    /// Where messages are received by syslog (`--syslog`).
    pub syslog: Vec<SyslogAddress>,
}

impl LogsConfig {
    /// Whether standard input is read as a log.
    pub fn stdin(&self) -> bool {
        self.paths.iter().any(|path| path == STDIN)
    }

    /// The files and globs.
    pub(super) fn files(&self) -> impl Iterator<Item = &String> {
        self.paths.iter().filter(|path| *path != STDIN)
    }

    /// What the first line of an entry has. A pattern that is none was refused with the configuration.
    pub(super) fn pattern(&self) -> Option<Arc<Regex>> {
        self.multiline.as_deref().and_then(|pattern| Regex::new(pattern).ok()).map(Arc::new)
    }

    /// What nothing can be followed with.
    pub(crate) fn fault(&self) -> Option<String> {
        let error = Regex::new(self.multiline.as_deref()?).err()?;
        // The last line of the message says what is wrong; those before show where.
        Some(format!("logs.multiline: {}", error.to_string().lines().next_back().unwrap_or_default()))
    }
}

/// Where messages are received by syslog: `udp://127.0.0.1:5514`, `tcp://127.0.0.1:5514`, `unix:/run/log.sock`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum SyslogAddress {
    /// One message a datagram (RFC 5426).
    Udp(SocketAddr),
    /// Messages behind their length or each with a newline at its end (RFC 6587).
    Tcp(SocketAddr),
    /// One message a datagram of a Unix socket, as `/dev/log` has it.
    Unix(PathBuf),
}

impl fmt::Display for SyslogAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SyslogAddress::Udp(at) => write!(f, "udp://{at}"),
            SyslogAddress::Tcp(at) => write!(f, "tcp://{at}"),
            SyslogAddress::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl FromStr for SyslogAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<SyslogAddress, String> {
        let bad =
            |what: &str| format!("'{text}' {what}, as in udp://127.0.0.1:5514, tcp://127.0.0.1:5514 or unix:/path");
        let at = |at: &str| at.parse().map_err(|_| bad("has no numeric address and port"));
        if let Some(rest) = text.strip_prefix("udp://") {
            return at(rest).map(SyslogAddress::Udp);
        }
        if let Some(rest) = text.strip_prefix("tcp://") {
            return at(rest).map(SyslogAddress::Tcp);
        }
        let path = text.strip_prefix("unix:").map(|path| path.strip_prefix("//").unwrap_or(path));
        match path.filter(|path| path.starts_with('/')) {
            Some(path) => Ok(SyslogAddress::Unix(path.into())),
            None => Err(bad("is no address for syslog")),
        }
    }
}

impl From<SyslogAddress> for String {
    fn from(address: SyslogAddress) -> String {
        address.to_string()
    }
}

impl TryFrom<String> for SyslogAddress {
    type Error = String;

    fn try_from(text: String) -> Result<SyslogAddress, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_they_are_written() {
        for text in ["udp://127.0.0.1:5514", "tcp://[::1]:601", "unix:/run/log.sock"] {
            assert_eq!(text.parse::<SyslogAddress>().map(|a| a.to_string()).as_deref(), Ok(text));
        }
        for text in ["127.0.0.1:5514", "udp://localhost", "unix:relative", ""] {
            assert!(text.parse::<SyslogAddress>().is_err(), "{text}");
        }
    }
}
