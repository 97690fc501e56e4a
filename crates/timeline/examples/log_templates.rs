//! How fast the templates of a bundle's log lines are mined, and the most frequent ones.
//! usage: cargo run -p coldcase-timeline --example log_templates -- BUNDLE [ROUNDS]
//!
//! What is loaded before is not in the measured time; taking messages out of JSON and the like, masking, and the merge are.
#![allow(clippy::print_stdout)]

use std::time::Instant;

use coldcase_timeline::{Options, StreamSet, Timeline};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let Some(bundle) = args.next() else { return Err("usage: log_templates BUNDLE [ROUNDS]".into()) };
    let rounds: usize = args.next().and_then(|n| n.parse().ok()).unwrap_or(3);
    for threads in [1, 2] {
        let streams = StreamSet::named(["log", "otlp.logs"]);
        let t = Timeline::open(bundle.as_ref(), &Options { threads: Some(threads), streams, ..Options::default() })?;
        let mut seconds = f64::INFINITY;
        for _ in 0..rounds {
            let start = Instant::now();
            let found = t.log_templates();
            seconds = seconds.min(start.elapsed().as_secs_f64());
            std::hint::black_box(found);
        }
        let found = t.log_templates();
        let lines = found.logged.len();
        let rate = lines as f64 / seconds;
        println!("{threads} threads: {lines} lines, {} templates, {rate:.0} lines/s", found.templates.len());
        if threads == 2 {
            for template in found.templates.iter().take(10) {
                // Captured text is hostile: nothing in it may steer the terminal.
                println!("{:>10}  {}", template.count, template.pattern.escape_debug());
            }
        }
    }
    Ok(())
}
