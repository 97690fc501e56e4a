//! `coldcase recover`: a whole bundle of what is left of one.

use std::path::PathBuf;

use coldcase_bundle::{RecoverError, Recovery};
use coldcase_model::quantity::format_size;
use coldcase_model::text::visible;
use serde_json::json;

use crate::exit::{Exit, Failure};
use crate::out::Out;

/// Make a whole bundle of what can be read of a damaged or unsealed one
///
/// The rows keep their numbers, so that evidence ids stay true; what is missing is counted in the new bundle.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  coldcase recover incident.case -o whole.case

Exit codes: 0 everything was kept, 3 something was lost, 1 failed, 2 nothing in it can be read.")]
pub(crate) struct Args {
    /// The damaged bundle
    #[arg(value_name = "BUNDLE")]
    bundle: PathBuf,
    /// The bundle to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Replace the output if it exists
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(args: Args, out: &Out) -> Result<Exit, Failure> {
    let done = coldcase_bundle::recover(&args.bundle, &args.output, args.force).map_err(|e| match e {
        RecoverError::Open(e) => Failure::from(e),
        RecoverError::Write(e) => Failure::from(e),
        RecoverError::SameFile { .. } => Failure::usage(e.to_string()).hint("name another file with -o"),
    })?;
    let lost = done.bytes_lost > 0 || done.chunks_lost > 0 || done.rows_lost.values().any(|&n| n > 0);
    if out.json {
        out.document(&json!({
            "schema": {"name": "coldcase.recover", "version": 1},
            "bundle": args.output,
            "id": done.id,
            "chunks_kept": done.chunks_kept,
            "chunks_lost": done.chunks_lost,
            "bytes_lost": done.bytes_lost,
            "rows": done.rows,
            "rows_lost": done.rows_lost,
            "problems": done.problems.iter().map(|p| json!({"start": p.range.start, "end": p.range.end, "what": p.what}))
                .collect::<Vec<_>>(),
        }))?;
    } else {
        out.text(&text(&args, &done, lost))?;
    }
    Ok(if lost { Exit::Lost } else { Exit::Fine })
}

fn text(args: &Args, done: &Recovery, lost: bool) -> String {
    let output = args.output.display().to_string();
    let rows: u64 = done.rows.values().sum();
    let mut text = format!("{}: {rows} rows in {} chunks kept", visible(&output), done.chunks_kept);
    match lost {
        false => text.push_str(", nothing lost\n"),
        true => text.push_str(&format!(
            "; lost: {} chunks, {} unreadable\n",
            done.chunks_lost,
            format_size(done.bytes_lost)
        )),
    }
    for (stream, rows) in done.rows_lost.iter().filter(|(_, n)| **n > 0) {
        text.push_str(&format!("lost rows: {} {rows}\n", visible(stream)));
    }
    for p in &done.problems {
        text.push_str(&format!("bytes {} to {}: {}\n", p.range.start, p.range.end, visible(&p.what)));
    }
    text
}
