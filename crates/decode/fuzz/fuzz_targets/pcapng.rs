//! pcapng sections.
#![no_main]

use coldcase_decode::pcapng;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let section = pcapng::decode(bytes);
    // A packet block takes at least 32 bytes: memory stays within a multiple of the input.
    assert!(section.packets.len() <= bytes.len() / 16);
});
