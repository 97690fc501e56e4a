//! HTTP/2 and gRPC conversations. Where the next frame is found behind nonsense depends on the pieces, so they are not
//! varied.
#![no_main]

use coldcase_decode::request::detect::Opening;
use coldcase_decode::request::http2::Http2;
use coldcase_decode_fuzz::play_once;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some((&first, bytes)) = bytes.split_first() {
        let opening = Opening { midway: first & 1 == 1, depth: 0 };
        play_once(|| Box::new(Http2::new(opening)), bytes);
    }
});
