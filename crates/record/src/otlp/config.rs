//! What the OTLP receiver can be told.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Collector, Endpoint};

/// Options of the OTLP receiver. `[otlp]` in `coldcase.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct OtlpConfig {
    /// Where gRPC is served (`--otlp-grpc`); none: not at all. Port 0: any free one.
    pub grpc: Option<Endpoint>,
    /// Where HTTP is served (`--otlp-http`); none: not at all. Port 0: any free one.
    pub http: Option<Endpoint>,
    /// Largest request in bytes after decompression; larger ones are refused and counted. A bundle takes none beyond
    /// 32 MiB.
    pub max_request: usize,
    /// When a request is acknowledged (`--ack`).
    pub ack: Ack,
    /// A file with a token that requests must bring (`--otlp-token`): `Authorization: Bearer …`.
    pub token: Option<PathBuf>,
    /// The certificate (chain, PEM) that is shown to senders who come by TCP (`--otlp-tls-cert`); with it they must speak TLS.
    pub tls_cert: Option<PathBuf>,
    /// Its private key, PEM (`--otlp-tls-key`).
    pub tls_key: Option<PathBuf>,
    /// Collectors that requests are passed on to (`--otlp-forward`): one for gRPC, one for HTTP at most.
    pub forward: Vec<Collector>,
}

impl OtlpConfig {
    /// What cannot be, in the words of the file; `None` when nothing is wrong.
    pub fn fault(&self) -> Option<String> {
        if self.tls_cert.is_some() != self.tls_key.is_some() {
            let missing = if self.tls_key.is_none() { "tls-key" } else { "tls-cert" };
            return Some(format!("otlp.{missing}: a certificate and its key are needed together"));
        }
        let twice = |grpc| self.forward.iter().filter(|c| c.grpc == grpc).count() > 1;
        (twice(true) || twice(false))
            .then(|| "otlp.forward: one collector for gRPC and one for HTTP at most".to_owned())
    }
}

/// When a request is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ack {
    /// When the recorder has it: a kill -9 within two seconds, a loss of power within seven, may lose it.
    #[default]
    Received,
    /// When its bytes are on the disk (`fdatasync`); many requests share one sync.
    Durable,
}

impl Ack {
    /// As `--ack` takes it.
    pub const fn name(self) -> &'static str {
        match self {
            Ack::Received => "received",
            Ack::Durable => "durable",
        }
    }
}

impl fmt::Display for Ack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Ack {
    type Err = String;

    fn from_str(text: &str) -> Result<Ack, String> {
        let known = [Ack::Received, Ack::Durable];
        known.into_iter().find(|a| a.name() == text).ok_or_else(|| format!("'{text}' is neither received nor durable"))
    }
}

impl Default for OtlpConfig {
    fn default() -> Self {
        let loopback = |port| Some(Endpoint::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, port))));
        OtlpConfig {
            grpc: loopback(4317),
            http: loopback(4318),
            max_request: 32 << 20,
            ack: Ack::default(),
            token: None,
            tls_cert: None,
            tls_key: None,
            forward: Vec::new(),
        }
    }
}
