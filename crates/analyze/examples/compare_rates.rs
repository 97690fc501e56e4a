//! False alarms and power of `compare` on pools of recorded runs: `compare_rates RUNS DRAWS SEED WORDS HOW BASE… [-- HEAD…]`, where one of
//! the words (parted by `|`) is looked for in the first three causes, and HOW is `turns` (pairs of neighbours) or `any`. Prints one line of JSON. Used by tests/compare/rates.py.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use coldcase_analyze::compare::{CompareOptions, Pools};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |i: usize| args[i].parse::<u64>().unwrap();
    let words: Vec<String> = args[3].split('|').filter(|w| !w.is_empty()).map(str::to_owned).collect();
    let files: Vec<std::path::PathBuf> = args[5..].iter().map(Into::into).collect();
    let at = args[5..].iter().position(|a| a == "--").unwrap_or(files.len());
    let head = files.get(at + 1..).unwrap_or_default();
    let options = CompareOptions::default();
    let pools = Pools::read(&files[..at], head, &options).unwrap();
    let drawn = pools.rates((number(0) as usize, number(1), number(2)), args[4] == "turns", &words, &options).unwrap();
    let counted = |of: &[(String, u64)]| of.iter().take(5).map(|(why, n)| format!("{n} x {why}")).collect::<Vec<_>>();
    let json = serde_json::json!({
        "draws": drawn.draws, "regressions": drawn.regressions, "inconclusive": drawn.inconclusive, "alarmed": drawn.alarmed, "named": drawn.named,
        "reasons": counted(&drawn.reasons), "causes": counted(&drawn.causes),
    });
    println!("{json}");
}
