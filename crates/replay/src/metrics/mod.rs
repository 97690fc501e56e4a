//! Metrics of scraped pages and of Remote-Write requests, to a store, into a file, or to be scraped.

mod exposition;
mod family;
mod openmetrics;
mod remote_write;
mod samples;
mod write_request;

pub use exposition::Exposition;
pub use openmetrics::OpenMetrics;
pub use remote_write::{RemoteWrite, RemoteWriteUrl, RemoteWriteUrlError};

use coldcase_timeline::StreamSet;

use crate::sink::Wants;

/// Streams that hold samples of Prometheus.
const STREAMS: [&str; 3] = ["metrics.pages", "prometheus.remote_write", "prometheus.remote_write.v2"];

fn wants() -> Wants {
    let streams = STREAMS.iter().map(|s| (*s).to_owned()).collect();
    Wants { entries: StreamSet::None, messages: StreamSet::Exact(streams) }
}
