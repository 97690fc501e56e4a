//! Metrics: Prometheus scrapes, and host metrics from `/proc`.

mod cgroup;
mod config;
mod fetch;
mod frequency;
mod host;
mod proc;
mod scrape;
#[cfg(test)]
mod seen;

pub use config::{MetricsConfig, ScrapeTarget, TargetError};
pub use host::HostMetrics;
pub use scrape::Metrics;
