//! `coldcase import`: a bundle of the files of other tools.

use std::path::PathBuf;

use coldcase_import::{Done, Format, ImportError, Imported, Options};
use coldcase_model::quantity::format_size;
use coldcase_model::text::visible;
use serde_json::json;

use crate::exit::{Exit, Failure};
use crate::out::Out;

/// Make a bundle of files of other tools: captures, OTLP, Jaeger, Zipkin, Prometheus pages, CPU profiles, systemd's journal, logs
///
/// A file is recognised by its content, whatever its name, compressed with gzip or zstd or not. Every verb takes the bundle; what the files hold stays in
/// it as it was.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  coldcase import capture.pcapng -o b.case
  coldcase import lb.pcap traces.jsonl app.log.gz -o b.case     several files, one timeline
  perf script -F +pid > perf.txt; coldcase import perf.txt -o b.case
  coldcase import requests/*.pb requests/*.jsonl -o b.case      of the OpenTelemetry Collector's file exporter
  coldcase import traces-1ef2.json -o b.case                    what Jaeger's page downloads, or Zipkin's API
  coldcase import backfill.om -o b.case              what promtool tsdb create-blocks-from openmetrics takes
  kubectl logs pod | coldcase import - -o b.case
  coldcase import --as pcap strange.bin -o b.case

Exit codes: 0 all was imported, 3 a file was cut or damaged or says that packets were dropped, 1 failed,
2 a file cannot be read or is of no known format.")]
pub(crate) struct Args {
    /// The files; - is standard input
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// The bundle to write
    #[arg(short, long, value_name = "BUNDLE")]
    output: PathBuf,
    /// Take the files for this format, whatever they look like
    #[arg(long = "as", value_name = "FORMAT", value_parser = format)]
    format: Option<Format>,
    /// Replace the output if it exists
    #[arg(long)]
    force: bool,
}

fn names() -> String {
    Format::all().map(Format::name).collect::<Vec<_>>().join(", ")
}

fn format(name: &str) -> Result<Format, String> {
    Format::named(name).ok_or_else(|| format!("one of {}", names()))
}

pub(crate) fn run(args: Args, out: &Out) -> Result<Exit, Failure> {
    let command = std::env::args_os().map(|a| a.to_string_lossy().into_owned()).collect();
    let options = Options { format: args.format, force: args.force, command };
    let done = coldcase_import::import(&args.files, &args.output, &options).map_err(failure)?;
    for file in &done.files {
        if let Some(problem) = &file.problem {
            out.warning(&format!("{}: {problem}", file.path.display()));
        }
    }
    if out.json {
        out.document(&document(&args, &done))?;
    } else {
        out.text(&text(&args, &done))?;
    }
    Ok(if done.lost() { Exit::Lost } else { Exit::Fine })
}

fn failure(e: ImportError) -> Failure {
    let formats = names();
    match e {
        ImportError::Write(e) => e.into(),
        ImportError::Format(_) => Failure::usage(e.to_string()).hint(format!("what can be imported: {formats}")),
        ImportError::Other { .. } => Failure::usage(e.to_string()).hint("without --as the content tells"),
        ImportError::Journalctl { .. } => Failure::usage(e.to_string()).hint(
            "apt-get install systemd, or on the host: journalctl -o export > journal.export; coldcase import takes that too",
        ),
        ImportError::Io { .. } => Failure::usage(e.to_string()),
    }
}

fn document(args: &Args, done: &Done) -> serde_json::Value {
    let file = |f: &Imported| {
        json!({
            "path": f.path,
            "format": f.format.name(),
            "stream": f.stream,
            "messages": f.messages,
            "items": f.items,
            "bytes": f.bytes,
            "bytes_lost": f.bytes_lost,
            "dropped": f.dropped,
            "problem": f.problem,
            "note": f.note,
        })
    };
    json!({
        "schema": {"name": "coldcase.import", "version": 1},
        "bundle": args.output,
        "id": done.id,
        "first": done.time.map(|t| t.0.0),
        "last": done.time.map(|t| t.1.0),
        "lost": done.lost(),
        "files": done.files.iter().map(file).collect::<Vec<_>>(),
    })
}

fn text(args: &Args, done: &Done) -> String {
    let mut text = format!("{}\n", visible(&args.output.display().to_string()));
    for f in &done.files {
        let path = f.path.display().to_string();
        text.push_str(&format!("{} ({}): {} {}", visible(&path), f.format.name(), f.items, f.format.items()));
        if f.dropped > 0 {
            text.push_str(&format!(", {} dropped when it was captured", f.dropped));
        }
        if f.problem.is_some() {
            text.push_str(&format!(", {} not read", format_size(f.bytes_lost)));
        }
        text.push_str(&f.note.as_ref().map_or_else(String::new, |note| format!(" ({note})")));
        text.push('\n');
    }
    text
}
