//! What the packets source can be told.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Options of the packets source. `[packets]` in `coldcase.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct PacketsConfig {
    /// Interfaces to tap (`--interface`); empty: all that are up.
    pub interfaces: Vec<String>,
    /// A filter in tcpdump's syntax (`--filter`); none: every packet.
    pub filter: Option<String>,
    /// Bytes of payload to keep behind the headers of each packet (`--payload N`).
    pub payload: u32,
    /// Bytes of payload to keep where either port is this one (`--payload-port PORT=N`).
    pub payload_ports: BTreeMap<u16, u32>,
    /// Memory for the kernel's rings, all interfaces together, in bytes.
    pub ring_bytes: u64,
}

impl Default for PacketsConfig {
    fn default() -> Self {
        PacketsConfig {
            interfaces: Vec::new(),
            filter: None,
            payload: 0,
            payload_ports: BTreeMap::new(),
            ring_bytes: 32 << 20,
        }
    }
}
