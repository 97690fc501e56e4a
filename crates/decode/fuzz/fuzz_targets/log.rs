//! Log lines.
#![no_main]

use coldcase_decode::log;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    log::parse(bytes);
});
