//! What to record: one small configuration for each source, made from flags and `coldcase.toml`.

use std::time::Duration;

pub use crate::logs::LogsConfig;
pub use crate::metrics::{MetricsConfig, ScrapeTarget};
pub use crate::otlp::OtlpConfig;
pub use crate::packets::PacketsConfig;

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
