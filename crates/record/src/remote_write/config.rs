//! What the Remote-Write receiver can be told.

use std::net::SocketAddr;

use serde::Deserialize;

/// Options of the Prometheus Remote-Write receiver. `[remote-write]` in `coldcase.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct RemoteWriteConfig {
    /// Where `/api/v1/write` is served (`--remote-write`); none: not at all. Port 0: any free one.
    pub listen: Option<SocketAddr>,
    /// Largest request in bytes after decompression; larger ones are refused and counted. A bundle takes none beyond
    /// 32 MiB.
    pub max_request: usize,
}

impl Default for RemoteWriteConfig {
    fn default() -> Self {
        RemoteWriteConfig { listen: None, max_request: 32 << 20 }
    }
}
