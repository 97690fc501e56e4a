//! Scraped pages in all formats, and Remote-Write requests.
#![no_main]

use coldcase_decode::{exposition, prometheus, remote_write};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for content_type in ["text/plain; version=0.0.4", "application/openmetrics-text; version=1.0.0"] {
        let page = prometheus::parse(bytes, content_type);
        for sample in &page.samples {
            sample.label_text();
        }
    }
    let protobuf = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
    let page = exposition::read(bytes, protobuf).page;
    let written = [remote_write::v1(bytes), remote_write::v2(bytes)].into_iter().flatten().flat_map(|w| w.samples);
    for sample in page.samples.into_iter().chain(written) {
        sample.histogram.map(|h| h.buckets());
    }
});
