//! Templates of lines, mined and merged: every line is counted once.
#![no_main]

use coldcase_decode::log::template::{Config, Miner};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut miner = Miner::new(Config { similarity: 50, templates: 8, children: 3 });
    let lines: Vec<&[u8]> = bytes.split(|&b| b == b'\n').collect();
    lines.iter().for_each(|line| _ = miner.add(line));
    let mut all = miner.clone();
    all.merge(&miner);
    let counted = all.templates().map(|(_, t)| t.count).sum::<u64>() + all.overflow();
    assert_eq!(counted, 2 * lines.len() as u64);
    all.templates().for_each(|(_, t)| _ = t.pattern());
});
