//! A frame of any link type: the first two bytes choose it.
#![no_main]

use coldcase_decode::packet;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some((link, frame)) = bytes.split_first_chunk::<2>() {
        packet::decode(u16::from_le_bytes(*link), frame, frame.len() as u32);
    }
});
