//! Metrics: Prometheus scrapes, and host metrics from `/proc`.

mod cgroup;
mod config;
mod credentials;
mod fetch;
mod file_sd;
mod frequency;
mod host;
mod proc;
mod scrape;
#[cfg(test)]
mod seen;
mod targets;
mod tls;

pub use config::{MetricsConfig, ScrapeTarget, TargetError};
pub use host::HostMetrics;
pub use scrape::Metrics;
