//! `coldcase replay`: a bundle once more.

mod load;
mod packets;
mod requests;

use std::path::PathBuf;
use std::time::Duration;

use coldcase_replay::requests::send::Pace;

use crate::exit::{Exit, Failure};
use crate::out::Out;
use crate::reading::Reading;

/// Send what was recorded again: its requests to a server, its packets onto an interface, or its shape as a load profile
#[derive(Debug, clap::Args)]
#[command(
    group = clap::ArgGroup::new("output").required(true).args(["load_profile", "requests_to", "packets_to"]),
    after_help = "\
Examples:
  coldcase replay incident.case --requests-to http://127.0.0.1:8080
  coldcase replay incident.case --requests-to http://127.0.0.1:8080 --speed 10 --from +30s --to +60s
  coldcase replay incident.case --requests-to http://staging:80 --yes-send -Y 'tcp port 8080' --json
  coldcase replay incident.case --load-profile load/ && k6 run -e TARGET=http://127.0.0.1:8080 load/load.js
  coldcase replay incident.case --packets-to veth0 --rewrite-ip 10.0.0.5=192.0.2.7
  coldcase replay capture.pcapng --packets-to eth1 --speed max --yes-send

Requests: HTTP/1 only, from bytes that were recorded with --payload. Each recorded connection is one connection now; its
requests keep their order, and their times unless the answer before them is late. Pipelined requests are sent one
after another. Headers are sent as recorded, in lower case, without those of one connection (Connection, TE, Upgrade, …),
without Expect, and without Authorization, Cookie, X-Api-Key and the like; what a path or a body tells is sent. Each
carries `coldcase-replay: BUNDLE-ID`.

Load profile: load.json says how requests arrived, which, how large and how many at a time; load.js is a k6 script that
makes such requests. Of requests that were not recorded, from the server spans; where there are none, from the sizes and
times of what connections carried: then it is the shape only, and says so. Paths stand in it as they were recorded.

Packets: whole Ethernet frames as they were captured, in their order at their times. Needs CAP_NET_RAW.

Exit codes: 0 sent, 1 failed or nothing was answered, 2 usage, not readable, or refused for want of --yes-send,
and with --strict 3 when the bundle is incomplete or evidence was lost."
)]
pub(crate) struct Args {
    /// The bundle, or a pcap or pcapng file
    #[arg(value_name = "BUNDLE")]
    bundle: PathBuf,
    #[command(flatten)]
    requests: requests::Args,
    #[command(flatten)]
    packets: packets::Args,
    #[command(flatten)]
    shared: Shared,
    #[command(flatten)]
    reading: Reading,
}

/// What several outputs take.
#[derive(Debug, clap::Args)]
struct Shared {
    /// How fast: 2 is twice as fast as recorded; max waits for nothing but answers
    #[arg(long, value_name = "0.01…1000|max", default_value = "1", value_parser = pace)]
    speed: Pace,
    /// Send to where it may do harm: packets to an interface that is not loopback or veth, requests that change
    /// something (not GET, HEAD, OPTIONS) to another machine
    #[arg(long)]
    yes_send: bool,
}

pub(crate) fn run(args: Args, out: &Out) -> Result<Exit, Failure> {
    let Args { bundle, requests, packets, shared, reading } = args;
    match packets.is_asked() {
        true => packets::run(&bundle, &packets, &shared, &reading, out),
        false => requests::run(&bundle, &requests, &shared, &reading, out),
    }
}

/// Reads `0.5`, `2`, `max`.
fn pace(text: &str) -> Result<Pace, String> {
    if text == "max" {
        return Ok(Pace::Max);
    }
    let speed = text.parse::<f64>().ok().filter(|s| (0.01..=1000.0).contains(s));
    speed.map(Pace::Speed).ok_or_else(|| format!("'{text}' is not a speed: 0.01 to 1000, or max"))
}

/// A stretch of time in words.
fn span(ns: u64) -> String {
    coldcase_model::Nanos(ns).to_string()
}

/// How long at most an answer is waited for.
fn timeout(text: &str) -> Result<Duration, String> {
    crate::args::duration(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds_are_numbers_or_max() {
        assert_eq!(pace("max"), Ok(Pace::Max));
        assert_eq!(pace("0.5"), Ok(Pace::Speed(0.5)));
        assert!(["0", "-1", "nan", "inf", "1001", "fast", ""].iter().all(|t| pace(t).is_err()));
    }
}
