//! Entities: processes, threads, connections, and how they are told apart over time.

use serde::{Deserialize, Serialize};

/// A process, unique on its host even when pids are reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProcessKey {
    /// Kernel tgid.
    pub pid: u32,
    /// Start of the process, BOOTTIME nanoseconds.
    pub started: u64,
}

/// Transport of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Protocol {
    Tcp,
    Udp,
}
