//! Profiles of other tools: no text or message makes a stack deeper than is allowed.
#![no_main]

use coldcase_decode::profile::{DEPTH, folded, perf_script, pprof};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    for block in text.split("\n\n") {
        if let Ok(sample) = perf_script::sample(block) {
            assert!(sample.frames.len() <= DEPTH && sample.count == 1);
            sample.is_cpu();
        }
    }
    perf_script::is_perf_script(&text);
    folded::is_folded(&text);
    for line in text.lines() {
        if let Ok(sample) = folded::sample(line) {
            assert!((1..=DEPTH).contains(&sample.frames.len()));
        }
    }
    if let Ok(cpu) = pprof::Cpu::read(bytes) {
        assert!(cpu.samples().all(|s| s.frames.len() <= DEPTH));
    }
});
