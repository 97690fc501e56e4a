//! Scraped pages in both formats.
#![no_main]

use coldcase_decode::prometheus;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for content_type in ["text/plain; version=0.0.4", "application/openmetrics-text; version=1.0.0"] {
        let page = prometheus::parse(bytes, content_type);
        for sample in &page.samples {
            sample.label_text();
        }
    }
});
