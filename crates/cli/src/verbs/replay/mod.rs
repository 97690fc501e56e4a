//! `coldcase replay`: a recording again. Its timeline to live receivers, its requests to a server, its packets onto an interface.

mod load;
mod outputs;
mod packets;
mod play;
mod requests;
mod steering;
mod summary;
mod view;

use std::path::PathBuf;
use std::time::Duration;

use coldcase_replay::Speed;
use coldcase_replay::requests::send::Pace;

use crate::exit::{Exit, Failure};
use crate::out::Out;
use crate::reading::Reading;

/// Play a recording again, in order and at its pace: to a terminal, a collector, a metrics store, a server, an interface
///
/// All times are moved by one offset, so that intervals and order stay as they were. Ids are kept, and what goes out is marked with the id of the
/// bundle. A request that was received (OTLP, Remote-Write, a scraped page) goes out as one, when it had come in; --from and --to mean that time.
/// What a receiver cannot take now is sent again when it asks for it, and the replay waits meanwhile. Nothing is sent anywhere that was not named.
#[derive(Debug, clap::Args)]
#[command(
    group = clap::ArgGroup::new("again").args(["load_profile", "requests_to", "packets_to"]),
    after_help = "\
Examples:
  coldcase replay incident.case                                      live in the terminal; its last line tells the keys
  coldcase replay incident.case --speed 10 --from +20s --to +50s --stream kernel.tcp,log
  coldcase replay incident.case --otlp http://127.0.0.1:4318 --plain
  coldcase replay incident.case --otlp grpc://tempo:4317 --loop 3 --new-ids
  coldcase replay incident.case --speed step --where 'ERROR|retransmit'
  coldcase replay incident.case --speed max --shift keep --no-mark --otlp http://127.0.0.1:4318 --json
  coldcase replay incident.case --requests-to http://127.0.0.1:8080 --speed 10 --from +30s --to +60s
  coldcase replay incident.case --requests-to http://staging:80 --yes-send -Y 'tcp port 8080' --json
  coldcase replay incident.case --load-profile load/ && k6 run -e TARGET=http://127.0.0.1:8080 load/load.js
  coldcase replay incident.case --packets-to veth0 --rewrite-ip 10.0.0.5=192.0.2.7

Times: with --shift now (the default) nothing lies in the future when it goes out: up to speed 1 the start is now; faster, the
end is when the replay ends. keep leaves times as they were; with --no-mark too, requests go out byte for byte.

With --speed step each line on stdin (Enter), or in the terminal the key '.', lets one event go; q ends it. Ctrl-C ends in good
order, a second one at once. The summary goes to stderr, or with --json as one document to stdout.

Requests: HTTP/1 only, from bytes that were recorded with --payload. Each recorded connection is one connection now; its
requests keep their order, and their times unless the answer before them is late. Pipelined requests are sent one
after another. Headers are sent as recorded, in lower case, without those of one connection (Connection, TE, Upgrade, …),
without Expect, and without Authorization, Cookie, X-Api-Key and the like; what a path or a body tells is sent. Each
carries `coldcase-replay: BUNDLE-ID`.

Load profile: load.json says how requests arrived, which, how large and how many at a time; load.js is a k6 script that
makes such requests. Of requests that were not recorded, from the server spans; where there are none, from the sizes and
times of what connections carried: then it is the shape only, and says so. Paths stand in it as they were recorded.

Packets: whole Ethernet frames as they were captured, in their order at their times. Needs CAP_NET_RAW.

Exit codes: 0 fine, also when ended by Ctrl-C; 1 an output failed or nothing was answered; 2 usage, not readable, or refused for
want of --yes-send; 3 something did not arrive: it was refused, given up, or cannot be carried (and with --strict when part of
the bundle could not be read or evidence was lost)."
)]
pub(crate) struct Args {
    /// The bundle; of requests and packets also a pcap or pcapng file
    #[arg(value_name = "BUNDLE")]
    bundle: PathBuf,
    #[command(flatten)]
    shared: Shared,
    #[command(flatten)]
    play: play::Args,
    #[command(flatten, next_help_heading = "Requests and packets")]
    requests: requests::Args,
    #[command(flatten, next_help_heading = "Requests and packets")]
    packets: packets::Args,
    #[command(flatten, next_help_heading = "What is read")]
    reading: Reading,
}

/// What several outputs take.
#[derive(Debug, clap::Args)]
#[group(skip)]
struct Shared {
    /// How fast: 0.1 to 100 times, max (without waiting but for answers) or step (one event a line on stdin)
    #[arg(long, value_name = "SPEED", default_value = "1")]
    speed: Speed,
    /// Send to where it may do harm: packets to an interface that is not loopback or veth, requests that change
    /// something (not GET, HEAD, OPTIONS) to another machine
    #[arg(long, requires = "again")]
    yes_send: bool,
    /// Replace files that exist
    #[arg(long)]
    force: bool,
}

impl Shared {
    /// How fast what is sent again goes: steps are of the timeline.
    fn pace(&self) -> Result<Pace, Failure> {
        match self.speed {
            Speed::Times(factor) => Ok(Pace::Speed(factor)),
            Speed::Max => Ok(Pace::Max),
            Speed::Step => Err(Failure::usage("--speed step: requests and packets go at a pace, not in steps")
                .hint("a number from 0.1 to 100, or max")),
        }
    }
}

pub(crate) fn run(args: Args, out: &Out) -> Result<Exit, Failure> {
    let Args { bundle, shared, play, requests, packets, reading } = args;
    if packets.is_asked() {
        packets::run(&bundle, &packets, &shared, &reading, out)
    } else if requests.is_asked() {
        requests::run(&bundle, &requests, &shared, &reading, out)
    } else {
        play::run(&bundle, &play, &shared, &reading, out)
    }
}

/// A stretch of time in words.
fn span(ns: u64) -> String {
    coldcase_model::Nanos(ns).to_string()
}

/// How long at most an answer is waited for.
fn timeout(text: &str) -> Result<Duration, String> {
    crate::args::duration(text)
}
