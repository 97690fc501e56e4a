//! Metrics: host metrics from `/proc`, and the scrapes of Prometheus targets.

crate::event! {
    /// One sample of a host metric.
    host HostMetric: kind 33, stream "host.metric", class Metric {
        /// When it was read.
        time: u64 [BootNs],
        /// Name as node_exporter calls it where it has one, e.g. `node_cpu_seconds_total`.
        name: String [None],
        /// Labels as in the exposition format without braces, e.g. `cpu="0",mode="user"`.
        labels: String [None],
        /// The value, in the unit that the name ends with.
        value: f64 [None],
    }
}

crate::event! {
    /// One scrape of a Prometheus target, whether it succeeded or not.
    host Scrape: kind 34, stream "metrics.scrape", class Metric {
        /// When the request was sent.
        time: u64 [BootNs],
        /// Until the last byte, or the failure.
        duration: u64 [DurNs],
        /// HTTP status; 0 when there was none.
        status: u32 [Flags],
        /// Bytes of the page.
        bytes: u32 [Bytes],
        /// Number of the page in `metrics.pages`; 2^64-1 when the scrape failed.
        page: u64 [Id],
        /// The target's URL, without credentials.
        target: String [None],
        /// What went wrong; empty when it succeeded.
        error: String [None],
        /// Who was asked, `address:port`; empty when there was no connection.
        peer: String [None],
        /// What discovery says of the target, in the exposition format without braces.
        labels: String [None],
    }
}
