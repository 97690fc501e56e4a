//! Metrics: Prometheus scrapes, and host metrics from `/proc`.

mod config;
mod fetch;
mod host;
mod proc;
mod scrape;

pub use config::{MetricsConfig, ScrapeTarget, TargetError};
pub use host::HostMetrics;
pub use scrape::Metrics;
