//! What the OTLP receiver can be told.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};

/// Options of the OTLP receiver. `[otlp]` in `coldcase.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct OtlpConfig {
    /// Where gRPC is served (`--otlp-grpc`); none: not at all. Port 0: any free one.
    pub grpc: Option<SocketAddr>,
    /// Where HTTP is served (`--otlp-http`); none: not at all. Port 0: any free one.
    pub http: Option<SocketAddr>,
    /// Largest request in bytes after decompression; larger ones are refused and counted. A bundle takes none beyond
    /// 32 MiB.
    pub max_request: usize,
}

impl Default for OtlpConfig {
    fn default() -> Self {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        OtlpConfig {
            grpc: Some(SocketAddr::new(loopback, 4317)),
            http: Some(SocketAddr::new(loopback, 4318)),
            max_request: 32 << 20,
        }
    }
}
