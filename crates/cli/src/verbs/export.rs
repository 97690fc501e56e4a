//! `coldcase export`: a bundle in the formats of other tools.

mod ndjson;
mod otlp;
mod otlp_json;
mod parquet;
mod pcapng;
mod perfetto;
mod profiles;

use std::path::{Path, PathBuf};

use coldcase_export::{Sink, SinkError};
use coldcase_model::quantity::format_size;
use coldcase_model::text::visible;

use crate::exit::{Exit, Failure};
use crate::out::Out;
use crate::reading::Reading;
use crate::verbs::flame::Kind;

/// Write a bundle in the formats of other tools: Perfetto, pprof, speedscope, Parquet, pcapng, OTLP and more
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  coldcase export --perfetto incident.perfetto incident.case         open it in https://ui.perfetto.dev
  coldcase export --perfetto - incident.case --service orders | gzip > orders.perfetto.gz
  coldcase export --ndjson - incident.case --stream log,otlp.traces | jq -r .text
  coldcase export --pprof incident.pb.gz incident.case && go tool pprof -top incident.pb.gz
  coldcase export --speedscope incident.speedscope.json incident.case --comm orders
  coldcase export --folded - incident.case --stacks off-cpu | inferno-flamegraph > off-cpu.svg
  coldcase export --parquet tables/ incident.case --table spans,kernel_offcpu --from +2s --to +5s
  python3 -c 'import polars as pl; print(pl.read_parquet(\"tables/spans.parquet\"))'
  coldcase export --pcapng incident.pcapng incident.case && wireshark incident.pcapng
  coldcase export --pcapng slow.pcapng incident.case --request 812
  coldcase export --pcapng trace.pcapng incident.case --trace 0af7651916cd43dd8448eb211c80319c
  coldcase export --otlp requests/ incident.case
  coldcase export --otlp-json requests/ incident.case                traces.jsonl for the Collector's otlpjsonfile receiver

Perfetto: processes and threads with their spans, waits and CPU samples, requests, block I/O, logs, counters; times are UTC.

NDJSON: one JSON object a line for each entry of the timeline, as `coldcase timeline --json` prints it.

pprof: CPU samples (samples, cpu) and time off the CPU (waits, delay) by stack, with the labels comm, thread, pid, tid,
reason and trace_id. speedscope: for each thread its samples, and its waits, in the order of time. Folded: what
`flame --folded` prints, samples or nanoseconds.

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
them all. OTLP/JSON: the same requests, all of them as JSON lines, as OTLP says; fields that have no name here are left out and counted.

Where one file is written, - is standard output. formats/exports.md says what goes where and what is left out.

Exit codes: 0 fine, 1 failed, 2 usage or not readable, and with --strict 3 when part of the bundle could not be read,
or for pcapng when evidence was lost.")]
pub(crate) struct Args {
    /// The bundle; for pcapng also a pcap or pcapng file
    #[arg(value_name = "BUNDLE")]
    bundle: PathBuf,
    #[command(flatten)]
    formats: Formats,
    /// Only these tables, for Parquet
    #[arg(long, value_name = "TABLE", value_delimiter = ',')]
    table: Vec<String>,
    /// Only these streams, or streams whose names begin so, for Perfetto and NDJSON
    #[arg(long, value_name = "STREAM", value_delimiter = ',')]
    stream: Vec<String>,
    /// Which stacks, for folded: CPU samples, or nanoseconds off the CPU [default: on-cpu]
    #[arg(long, value_name = "KIND", value_enum)]
    stacks: Option<Kind>,
    #[command(flatten)]
    packets: Packets,
    #[command(flatten)]
    reading: Reading,
    /// Replace files that exist
    #[arg(long)]
    force: bool,
}

/// The formats, of which one is written.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Formats {
    /// Write a Perfetto trace to this file
    #[arg(long, value_name = "FILE")]
    perfetto: Option<PathBuf>,
    /// Write the timeline as JSON lines to this file
    #[arg(long, value_name = "FILE")]
    ndjson: Option<PathBuf>,
    /// Write CPU samples and waits as a pprof profile to this file
    #[arg(long, value_name = "FILE")]
    pprof: Option<PathBuf>,
    /// Write CPU samples and waits, thread by thread, as a speedscope file
    #[arg(long, value_name = "FILE")]
    speedscope: Option<PathBuf>,
    /// Write folded stacks to this file
    #[arg(long, value_name = "FILE")]
    folded: Option<PathBuf>,
    /// Write one Parquet file a table into this folder
    #[arg(long, value_name = "DIR")]
    parquet: Option<PathBuf>,
    /// Write the packets to this file
    #[arg(long, value_name = "FILE")]
    pcapng: Option<PathBuf>,
    /// Write the OTLP requests into files in this folder
    #[arg(long, value_name = "DIR")]
    otlp: Option<PathBuf>,
    /// Write the OTLP requests as JSON lines into files in this folder
    #[arg(long, value_name = "DIR")]
    otlp_json: Option<PathBuf>,
}

/// A format: where it is to be written to if it was asked for, what writes it, and which choices it takes.
struct Format {
    to: fn(&Formats) -> Option<&PathBuf>,
    write: fn(&Args, &Path, &Out) -> Result<Exit, Failure>,
    takes: &'static [Choice],
}

/// What only some formats let one choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Choice {
    Table,
    Stream,
    Packets,
    Stacks,
}

const FORMATS: [Format; 9] = [
    Format { to: |f| f.perfetto.as_ref(), write: perfetto::run, takes: &[Choice::Stream] },
    Format { to: |f| f.ndjson.as_ref(), write: ndjson::run, takes: &[Choice::Stream] },
    Format { to: |f| f.pprof.as_ref(), write: profiles::pprof, takes: &[] },
    Format { to: |f| f.speedscope.as_ref(), write: profiles::speedscope, takes: &[] },
    Format { to: |f| f.folded.as_ref(), write: profiles::folded, takes: &[Choice::Stacks] },
    Format { to: |f| f.parquet.as_ref(), write: parquet::run, takes: &[Choice::Table] },
    Format { to: |f| f.pcapng.as_ref(), write: pcapng::run, takes: &[Choice::Packets] },
    Format { to: |f| f.otlp.as_ref(), write: otlp::run, takes: &[] },
    Format { to: |f| f.otlp_json.as_ref(), write: otlp_json::run, takes: &[] },
];

/// Which packets.
#[derive(Debug, Clone, Default, clap::Args)]
struct Packets {
    /// Only packets of these connections, for pcapng: index into connections of `flow --json`
    #[arg(long, value_name = "N", value_delimiter = ',')]
    conn: Vec<usize>,
    /// Only packets of these requests, for pcapng: index into requests of `flow --json`
    #[arg(long, value_name = "N", value_delimiter = ',')]
    request: Vec<usize>,
}

impl Args {
    /// Refuses what the format does not let one choose.
    fn check(&self, format: &Format) -> Result<(), Failure> {
        let chosen = [
            (
                Choice::Table,
                "--table",
                !self.table.is_empty(),
                "tables are chosen, and none are written",
                "--parquet DIR",
            ),
            (
                Choice::Stream,
                "--stream",
                !self.stream.is_empty(),
                "streams are chosen, and this format is not of streams",
                "--perfetto FILE",
            ),
            (
                Choice::Stacks,
                "--stacks",
                self.stacks.is_some(),
                "stacks are chosen, and no folded ones are written",
                "--folded FILE",
            ),
            (
                Choice::Packets,
                "--conn",
                !self.packets.conn.is_empty(),
                "packets are chosen, and none are written",
                "--pcapng FILE",
            ),
            (
                Choice::Packets,
                "--request",
                !self.packets.request.is_empty(),
                "packets are chosen, and none are written",
                "--pcapng FILE",
            ),
        ];
        match chosen.into_iter().find(|(choice, _, given, ..)| *given && !format.takes.contains(choice)) {
            None => Ok(()),
            Some((_, flag, _, why, who)) => {
                Err(Failure::usage(format!("{flag}: {why}")).hint(format!("coldcase export {who} BUNDLE takes it")))
            }
        }
    }
}

pub(crate) fn run(args: Args, out: &Out) -> Result<Exit, Failure> {
    // The command line is read so that it is one of them.
    let asked = FORMATS.iter().find_map(|f| Some((f, (f.to)(&args.formats)?.clone())));
    let Some((format, path)) = asked else {
        return Err(Failure::usage("one format is written, and none was named"));
    };
    args.check(format)?;
    (format.write)(&args, &path, out)
}

/// Begins the one file of a format.
fn begin(args: &Args, file: &Path, out: &Out) -> Result<Sink, Failure> {
    if out.json && Sink::is_stdout(file) {
        return Err(Failure::usage("--json: standard output is taken by the export itself")
            .hint("write to a file, and its facts are printed"));
    }
    Sink::create(file, args.force).map_err(sink_failure)
}

/// A failure to write one file.
fn sink_failure(e: SinkError) -> Failure {
    match e {
        SinkError::Io { source, .. } if source.kind() == std::io::ErrorKind::BrokenPipe => source.into(),
        e @ SinkError::Exists { .. } => {
            Failure::usage(e.to_string()).hint("choose another name, or --force to replace the file")
        }
        e @ SinkError::Io { .. } => Failure::failed(e.to_string()),
    }
}

/// Prints what a file has in it, on standard output unless that is the file.
fn tell(out: &Out, file: &Path, what: &str, bytes: u64) -> Result<(), Failure> {
    if out.quiet || Sink::is_stdout(file) {
        return Ok(());
    }
    let path = file.display().to_string();
    out.text(&format!("{what}, {}  {}\n", format_size(bytes), visible(&path)))
}
