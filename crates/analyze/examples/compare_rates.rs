//! False alarms and power of `compare` on pools of recorded runs: `compare_rates RUNS DRAWS SEED BASE… [-- HEAD…]`. Prints one line of
//! JSON. Used by tests/compare/rates.py.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use coldcase_analyze::compare::{CompareOptions, rates};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |i: usize| args[i].parse::<u64>().unwrap();
    let files: Vec<std::path::PathBuf> = args[3..].iter().map(Into::into).collect();
    let at = args[3..].iter().position(|a| a == "--").unwrap_or(files.len());
    let head = files.get(at + 1..).unwrap_or_default();
    let drawn =
        rates(&files[..at], head, (number(0) as usize, number(1), number(2)), &CompareOptions::default()).unwrap();
    println!(
        "{{\"draws\":{},\"regressions\":{},\"inconclusive\":{},\"reasons\":{:?}}}",
        drawn.draws,
        drawn.regressions,
        drawn.inconclusive,
        drawn.reasons.iter().map(|(why, n)| format!("{n} x {why}")).collect::<Vec<_>>()
    );
}
