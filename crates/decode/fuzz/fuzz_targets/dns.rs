//! DNS datagrams, and the same bytes as a TCP conversation.
#![no_main]

use coldcase_decode::request::Stamp;
use coldcase_decode::request::detect::Opening;
use coldcase_decode::request::dns::{self, Datagrams};
use coldcase_decode_fuzz::talk;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut out = Vec::new();
    let mut flow = Datagrams::default();
    for datagram in bytes.split(|b| *b == 0xfe) {
        flow.datagram(Stamp::default(), datagram, datagram.len() as u32, &mut out);
    }
    flow.finish(&mut out);
    talk(|| Box::new(dns::Stream::new(Opening::default())), bytes);
});
