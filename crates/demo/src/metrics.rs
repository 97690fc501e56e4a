//! What a service counts about itself, in Prometheus' text format.

use std::time::Duration;

use anyhow::Result;
use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
};
use prometheus::{Registry, TextEncoder};

/// Upper bounds of the time buckets, in seconds.
const BUCKETS: [f64; 14] = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];

/// The metrics of one service.
pub(crate) struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    duration: HistogramVec,
    pub(crate) in_flight: IntGauge,
    pub(crate) queue_length: IntGauge,
    pub(crate) queue_wait: Histogram,
    pub(crate) resets: IntCounter,
    pub(crate) commit: Histogram,
    pub(crate) query: Histogram,
    pub(crate) syncs: IntCounter,
    pub(crate) fault: IntGaugeVec,
}

impl Metrics {
    pub(crate) fn new() -> Result<Self> {
        let registry = Registry::new();
        let metrics = Self {
            requests: IntCounterVec::new(
                Opts::new("shop_requests_total", "Requests answered"),
                &["method", "route", "status"],
            )?,
            duration: HistogramVec::new(
                times("shop_request_duration_seconds", "From the arrival of a request to its answer, queue included"),
                &["method", "route"],
            )?,
            in_flight: IntGauge::new("shop_requests_in_flight", "Requests that a worker has begun")?,
            queue_length: IntGauge::new("shop_queue_length", "Connections with a request that no worker has taken")?,
            queue_wait: Histogram::with_opts(times("shop_queue_wait_seconds", "Time until a worker took a request"))?,
            resets: IntCounter::new("shop_resets_total", "Connections closed with a reset")?,
            commit: Histogram::with_opts(times("shop_db_commit_seconds", "Time of a database commit"))?,
            query: Histogram::with_opts(times("shop_db_query_seconds", "Time of a database query"))?,
            syncs: IntCounter::new("shop_audit_syncs_total", "Synchronous writes of the audit file")?,
            fault: IntGaugeVec::new(Opts::new("shop_fault_active", "1 while this fault is switched on"), &["kind"])?,
            registry,
        };
        metrics.register()?;
        Ok(metrics)
    }

    fn register(&self) -> Result<()> {
        self.registry.register(Box::new(self.requests.clone()))?;
        self.registry.register(Box::new(self.duration.clone()))?;
        self.registry.register(Box::new(self.in_flight.clone()))?;
        self.registry.register(Box::new(self.queue_length.clone()))?;
        self.registry.register(Box::new(self.queue_wait.clone()))?;
        self.registry.register(Box::new(self.resets.clone()))?;
        self.registry.register(Box::new(self.fault.clone()))?;
        Ok(())
    }

    /// Adds the metrics that only the service with the database has.
    pub(crate) fn register_store(&self) -> Result<()> {
        self.registry.register(Box::new(self.commit.clone()))?;
        self.registry.register(Box::new(self.query.clone()))?;
        self.registry.register(Box::new(self.syncs.clone()))?;
        Ok(())
    }

    /// Counts one answered request. Paths that do not exist share a label, so that strangers cannot make new ones.
    pub(crate) fn count(&self, method: &str, path: &str, status: u16, took: Duration) {
        let route = match path {
            "/order" | "/metrics" | "/fault" | "/healthz" => path,
            _ => "other",
        };
        let method = if matches!(method, "GET" | "POST") { method } else { "other" };
        self.requests.with_label_values(&[method, route, status.to_string().as_str()]).inc();
        self.duration.with_label_values(&[method, route]).observe(took.as_secs_f64());
    }

    /// The text that a scrape gets.
    pub(crate) fn text(&self) -> Result<String> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(String::from_utf8(text)?)
    }
}

fn times(name: &str, help: &str) -> HistogramOpts {
    HistogramOpts::new(name, help).buckets(BUCKETS.to_vec())
}
