//! Every source there is, in the order in which they are started: the CPU sampler, which is the kernel's, comes last.

use crate::config::RecordConfig;
use crate::kernel::Kernel;
use crate::logs::Logs;
use crate::metrics::{HostMetrics, Metrics};
use crate::otlp::Otlp;
use crate::packets::Packets;
use crate::source::Source;

/// The sources of a configuration. All of them, wanted or not: the session leaves out what is not wanted.
pub fn all(config: &RecordConfig) -> Vec<Box<dyn Source>> {
    vec![
        Box::new(Otlp::new(config.otlp.clone())),
        Box::new(Logs::new(config.logs.clone())),
        Box::new(Metrics::new(config.metrics.clone())),
        Box::new(HostMetrics::new(config.host.clone())),
        Box::new(Packets::new(config.packets.clone())),
        Box::new(Kernel::new(&config.kernel, |name| config.wants(name))),
    ]
}
