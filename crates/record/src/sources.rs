//! Every source there is, in the order in which they are started: the CPU sampler, which is the kernel's, comes last.

use crate::config::RecordConfig;
use crate::host::Host;
use crate::kernel::Kernel;
use crate::logs::{Journal, Logs, Stdin, Syslog};
use crate::metrics::{HostMetrics, Metrics};
use crate::nat::Translations;
use crate::otlp::Otlp;
use crate::packets::Packets;
use crate::remote_write::RemoteWrite;
use crate::source::Source;
use crate::symbols::Seen;

/// The sources of a configuration. All of them, wanted or not: the session leaves out what is not wanted.
pub fn all(config: &RecordConfig) -> Vec<Box<dyn Source>> {
    // What the kernel sees is named by the host's source, which stops after it.
    let seen = Seen::default();
    vec![
        Box::new(Otlp::new(config.otlp.clone())),
        Box::new(Logs::new(config.logs.clone())),
        Box::new(Stdin::new(config.logs.clone())),
        Box::new(Journal::new(config.logs.clone())),
        Box::new(Syslog::new(config.logs.syslog.clone())),
        Box::new(Metrics::new(config.metrics.clone()).judged(config.flight.judges_metrics())),
        Box::new(RemoteWrite::new(config.remote_write.clone())),
        Box::new(HostMetrics::new(config.host.clone())),
        Box::new(Translations),
        Box::new(Packets::new(config.packets.clone()).wanted(|name| config.wants(name))),
        Box::new(Host::new(seen.clone(), |name| config.wants(name)).again(config.flight.window.is_some())),
        Box::new(Kernel::new(&config.kernel, seen, |name| config.wants(name))),
    ]
}
