//! TLS handshakes.
#![no_main]

use coldcase_decode::request::tls::Tls;
use coldcase_decode_fuzz::talk;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    talk(|| Box::<Tls>::default(), bytes);
});
