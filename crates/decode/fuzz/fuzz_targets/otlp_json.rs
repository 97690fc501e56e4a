//! OTLP/JSON requests of all three signals.
#![no_main]

use coldcase_decode::otlp;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = otlp::signal_of(bytes);
    let _ = otlp::traces_json(bytes);
    let _ = otlp::logs_json(bytes);
    let _ = otlp::metrics_json(bytes);
});
