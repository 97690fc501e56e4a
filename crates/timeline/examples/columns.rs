//! How fast a bundle becomes typed columns: events per second on one thread and on two.
//! usage: cargo run -p coldcase-timeline --example columns -- BUNDLE [ROUNDS]
//!        cargo run -p coldcase-timeline --example columns -- --make ROWS BUNDLE    (three times as many, generated)
//!
//! Counts the rows of columns and what is decoded from raw streams. Opening, decompression, column decoding, entities
//! and symbols are all inside the measured time; the file is in the page cache.
#![allow(clippy::print_stdout)]

use std::time::Instant;

use coldcase_timeline::{Options, StreamSet, Timeline};

fn events(t: &Timeline) -> u64 {
    let rows: usize = t.streams().flat_map(|(_, segments)| segments).map(|s| s.len()).sum();
    let d = t.decoded();
    let decoded = d.spans.len() + d.records.len() + d.metrics.len() + d.samples.len() + d.packets.len();
    (rows + decoded) as u64
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let Some(bundle) = args.next() else { return Err("usage: columns BUNDLE [ROUNDS]".into()) };
    if bundle == "--make" {
        let (Some(rows), Some(path)) = (args.next(), args.next()) else { return Err("--make ROWS BUNDLE".into()) };
        coldcase_testkit::bundle::sample(path.as_ref(), rows.parse()?)?.seal()?;
        return Ok(());
    }
    let rounds: usize = args.next().and_then(|n| n.parse().ok()).unwrap_or(5);
    let sets = [("all streams", StreamSet::All), ("kernel streams", StreamSet::named(["kernel"]))];
    for (what, streams) in sets {
        for threads in [1, 2] {
            let mut seconds = Vec::new();
            let mut count = 0;
            for _ in 0..rounds {
                let options = Options { threads: Some(threads), streams: streams.clone(), ..Options::default() };
                let start = Instant::now();
                let t = Timeline::open(bundle.as_ref(), &options)?;
                seconds.push(start.elapsed().as_secs_f64());
                count = events(&t);
            }
            seconds.sort_by(f64::total_cmp);
            let median = seconds[seconds.len() / 2];
            println!(
                "{what}: {count} events, {threads} thread{}: {:.1} ms, {:.2} M events/s",
                if threads == 1 { "" } else { "s" },
                median * 1e3,
                count as f64 / median / 1e6
            );
        }
    }
    Ok(())
}
