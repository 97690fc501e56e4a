//! Log lines and logs in each of the formats.
#![no_main]

use coldcase_decode::log::container::Joiner;
use coldcase_decode::log::{cri, docker, journal, json, logfmt, parse_at, syslog, time};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    const NEAR: Option<i64> = Some(1_704_164_645_000_000_000);
    parse_at(bytes, NEAR);
    let _ = syslog::parse(bytes, NEAR);
    for entry in journal::entries(bytes).flatten() {
        let _ = (entry.time(), entry.severity(), entry.monotonic(), entry.pid());
    }
    let _ = json::fields(bytes);
    let text = String::from_utf8_lossy(bytes);
    let _ = (logfmt::fields(&text), time::leading(&text, NEAR), time::of_field(&text));
    let mut joiner = Joiner::new(64);
    for line in bytes.split(|&b| b == b'\n') {
        for entry in [cri::parse(line), docker::parse(line)].into_iter().flatten() {
            if let Some(joined) = joiner.push(&entry) {
                assert!(joined.text.len() <= 64);
            }
        }
    }
    assert!(joiner.finish().count() <= 2);
});
