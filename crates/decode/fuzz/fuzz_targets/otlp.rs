//! OTLP requests of all three signals.
#![no_main]

use coldcase_decode::otlp;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = otlp::traces(bytes);
    let _ = otlp::logs(bytes);
    let _ = otlp::metrics(bytes);
    let _ = otlp::signal_of_protobuf(bytes);
});
