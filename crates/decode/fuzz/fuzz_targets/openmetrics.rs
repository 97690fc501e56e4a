//! Pages against the rules of OpenMetrics: what is taken must be read without an error by the lenient reader too.
#![no_main]

use coldcase_decode::{openmetrics, prometheus};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(families) = openmetrics::parse(bytes) {
        let page = prometheus::parse(bytes, "application/openmetrics-text; version=1.0.0");
        assert!(page.errors.is_empty(), "{:?}", page.errors);
        assert!(families.iter().map(|f| f.samples.len()).sum::<usize>() <= page.samples.len());
    }
});
