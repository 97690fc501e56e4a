//! Metrics: Prometheus scrapes and host metrics from `/proc`.

mod config;

pub use config::{MetricsConfig, ScrapeTarget, TargetError};
