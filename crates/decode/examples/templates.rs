//! Prints the templates of a log, the most frequent first, and how fast they were found on one core.
//! usage: templates FILE [REPETITIONS]
#![allow(clippy::print_stdout)]

use std::time::Instant;

use coldcase_decode::log::template::Miner;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let log = std::fs::read(arguments.next().ok_or("usage: templates FILE [REPETITIONS]")?)?;
    let repetitions: usize = arguments.next().map_or(Ok(1), |n| n.parse())?;
    let mut miner = Miner::default();
    let (mut lines, start) = (0u64, Instant::now());
    for _ in 0..repetitions {
        for line in log.strip_suffix(b"\n").unwrap_or(&log).split(|&b| b == b'\n') {
            miner.add(line);
            lines += 1;
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let mut found: Vec<_> = miner.templates().collect();
    found.sort_by_key(|(id, t)| (std::cmp::Reverse(t.count), *id));
    for (id, template) in found.iter().take(20) {
        // Captured text is hostile: nothing in it may steer the terminal.
        println!("{:>10}  {:>5}  {}", template.count, id.0, template.pattern().escape_debug());
    }
    let rate = lines as f64 / seconds;
    println!("{lines} lines, {} templates, {} lines overflow, {rate:.0} lines/s", found.len(), miner.overflow());
    Ok(())
}
