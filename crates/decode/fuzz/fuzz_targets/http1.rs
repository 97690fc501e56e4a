//! HTTP/1 conversations, and what they become.
#![no_main]

use coldcase_decode::request::detect::Opening;
use coldcase_decode::request::http1::Http1;
use coldcase_decode_fuzz::{play_once, talk};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some((&first, bytes)) = bytes.split_first() {
        let opening = Opening { midway: first & 1 == 1, depth: 0 };
        let open = || -> coldcase_decode::request::detect::AnyDissector { Box::new(Http1::new(opening)) };
        // See http2.rs; and what a tunnel carries is found by what is there when one looks.
        let holds = |word: &[u8]| bytes.windows(word.len()).any(|w| w.eq_ignore_ascii_case(word));
        match holds(b"h2c") || holds(b"PRI") || holds(b"CONNECT") {
            true => play_once(open, bytes),
            false => talk(open, bytes),
        }
    }
});
