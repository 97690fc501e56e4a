//! What to record: one small configuration for each source, made from flags and `coldcase.toml`.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Which processes were asked for. All lists empty: all processes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scope {
    /// Processes, by kernel tgid.
    pub pids: Vec<u32>,
    /// Names of tasks, exact (at most 15 bytes, as the kernel cuts them).
    pub comms: Vec<String>,
}

impl Scope {
    /// Whether everything is in scope.
    pub fn is_all(&self) -> bool {
        self.pids.is_empty() && self.comms.is_empty()
    }
}

/// The kernel sources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelConfig {
    /// CPU samples per second and CPU.
    pub sample_hz: u64,
    /// Off-CPU intervals from this length on carry stacks.
    pub stack_threshold: Duration,
    /// CPUs that share a ring of a class.
    pub ring_cpus: u32,
    /// Bytes of each ring: a power of two, at least a page.
    pub ring_bytes: u32,
}

impl Default for KernelConfig {
    fn default() -> Self {
        KernelConfig { sample_hz: 99, stack_threshold: Duration::from_millis(1), ring_cpus: 8, ring_bytes: 4 << 20 }
    }
}

/// The packet tap.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PacketsConfig {
    /// Interfaces by name; empty for all that are up.
    pub interfaces: Vec<String>,
    /// A filter in tcpdump's syntax; empty for all packets.
    pub filter: String,
    /// Keep payloads too.
    pub payload: bool,
}

/// The OTLP receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtlpConfig {
    /// Where gRPC listens; `None` for nowhere.
    pub grpc: Option<SocketAddr>,
    /// Where HTTP listens; `None` for nowhere.
    pub http: Option<SocketAddr>,
}

impl Default for OtlpConfig {
    fn default() -> Self {
        let local = |port| Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        OtlpConfig { grpc: local(4317), http: local(4318) }
    }
}

/// Log files.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogConfig {
    /// Paths and globs. Empty: nothing is followed.
    pub files: Vec<PathBuf>,
    /// Take each file from its beginning; otherwise from its end at the start of the capture.
    pub from_start: bool,
}

/// Prometheus targets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricsConfig {
    /// URLs: `http://127.0.0.1:9100/metrics`. Empty: nothing is scraped.
    pub targets: Vec<String>,
    /// Time between two scrapes of a target.
    pub interval: Duration,
}

impl Default for MetricsConfig {
    fn default() -> Self {
        MetricsConfig { targets: Vec::new(), interval: Duration::from_secs(1) }
    }
}

/// Host metrics from `/proc`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostConfig {
    /// Time between two readings.
    pub interval: Duration,
}

impl Default for HostConfig {
    fn default() -> Self {
        HostConfig { interval: Duration::from_secs(1) }
    }
}
