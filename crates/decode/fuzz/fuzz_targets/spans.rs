//! Spans in the JSON of Jaeger and of Zipkin.
#![no_main]

use coldcase_decode::spans;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = (spans::is_jaeger(bytes), spans::is_zipkin(bytes));
    let _ = spans::jaeger(bytes);
    let _ = spans::zipkin(bytes);
});
