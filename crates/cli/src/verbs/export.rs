//! `coldcase export`: a bundle in the formats of other tools.

mod otlp;
mod parquet;
mod pcapng;

use std::path::PathBuf;

use crate::exit::{Exit, Failure};
use crate::out::Out;
use crate::reading::Reading;

/// Write a bundle in the formats of other tools: Parquet, pcapng, OTLP
#[derive(Debug, clap::Args)]
#[command(
    group = clap::ArgGroup::new("format").required(true).args(["parquet", "pcapng", "otlp"]),
    after_help = "\
Examples:
  coldcase export --parquet tables/ incident.case
  coldcase export --parquet tables/ incident.case --table spans,kernel_offcpu --from +2s --to +5s
  python3 -c 'import polars as pl; print(pl.read_parquet(\"tables/spans.parquet\"))'
  coldcase export --pcapng incident.pcapng incident.case && wireshark incident.pcapng
  coldcase export --pcapng slow.pcapng incident.case --request 812
  coldcase export --pcapng trace.pcapng incident.case --trace 0af7651916cd43dd8448eb211c80319c
  coldcase export --otlp requests/ incident.case

Parquet: one file a table: a table for each stream (kernel.offcpu is kernel_offcpu), and spans, span_events, logs, log_templates,
metrics and packets. Times are nanoseconds: utc since 1970, others as recorded. It takes --from and --to.

pcapng: the packets of the bundle, or of a pcap or pcapng file, as they were captured, with comments: the first packet
of a connection names both processes and how they were found, the first of a request says what came of it, and what is
found wrong stands at the message that it cites. Of several conditions all must hold. --conn and --request count as
`coldcase flow --json` with the same --from, --to, --pid and the like. Packets that only some are wanted of are numbered
anew: the display_filter of `flow` is for an export of all of them.

OTLP: the requests as they were received, byte for byte, in the formats of the OpenTelemetry Collector's file exporter:
traces.pb, metrics.pb, logs.pb hold those that came in protobuf, each behind its length (4 bytes, big-endian); traces.jsonl and
so on those in JSON, one a line; traces.json.framed those in JSON with line breaks, behind lengths. `coldcase import` takes
them all.

Exit codes: 0 fine, 1 failed, 2 usage or not readable, and with --strict 3 when part of the bundle could not be read,
or for pcapng when evidence was lost."
)]
pub(crate) struct Args {
    /// The bundle; for pcapng also a pcap or pcapng file
    #[arg(value_name = "BUNDLE")]
    bundle: PathBuf,
    /// Write one Parquet file a table into this folder
    #[arg(long, value_name = "DIR")]
    parquet: Option<PathBuf>,
    /// Write the packets to this file
    #[arg(long, value_name = "FILE")]
    pcapng: Option<PathBuf>,
    /// Write the OTLP requests into files in this folder
    #[arg(long, value_name = "DIR")]
    otlp: Option<PathBuf>,
    /// Only these tables
    #[arg(long, value_name = "TABLE", value_delimiter = ',', conflicts_with_all = ["pcapng", "otlp"])]
    table: Vec<String>,
    #[command(flatten)]
    packets: Packets,
    #[command(flatten)]
    reading: Reading,
    /// Replace files that exist
    #[arg(long)]
    force: bool,
}

/// Which packets.
#[derive(Debug, Clone, Default, clap::Args)]
struct Packets {
    /// Only packets of these connections: index into connections of `flow --json`
    #[arg(long, value_name = "N", value_delimiter = ',')]
    conn: Vec<usize>,
    /// Only packets of these requests: index into requests of `flow --json`
    #[arg(long, value_name = "N", value_delimiter = ',')]
    request: Vec<usize>,
}

impl Packets {
    /// Refuses a choice of packets where none are written.
    fn refuse(&self) -> Result<(), Failure> {
        match (self.conn.is_empty(), self.request.is_empty()) {
            (true, true) => Ok(()),
            (false, _) => Err(Failure::usage("--conn: packets are chosen, and none are written")),
            _ => Err(Failure::usage("--request: packets are chosen, and none are written")),
        }
        .map_err(|e| e.hint("coldcase export --pcapng FILE BUNDLE takes it"))
    }
}

pub(crate) fn run(args: Args, out: &Out) -> Result<Exit, Failure> {
    match (&args.parquet, &args.pcapng, &args.otlp) {
        (Some(dir), None, None) => parquet::run(&args, dir, out),
        (None, Some(file), None) => pcapng::run(&args, file, out),
        (None, None, Some(dir)) => otlp::run(&args, dir, out),
        // The command line is read so that it is one of them.
        _ => Err(Failure::usage("one format is written: --parquet DIR, --pcapng FILE or --otlp DIR")),
    }
}
