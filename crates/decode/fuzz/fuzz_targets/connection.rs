//! TCP segments in any order, to the requests of whatever protocol they show.
#![no_main]

use coldcase_decode_fuzz::segments;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    segments(bytes);
});
