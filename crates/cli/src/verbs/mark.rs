//! `coldcase mark`: a note on the timeline of a running recording.

use coldcase_record::control::{self, MarkError};
use serde_json::json;

use crate::exit::{Exit, Failure};
use crate::out::Out;

/// Put a note on the timeline of a running recording
///
/// Reaches the recordings of this user (root reaches all). With several running, --pid chooses one.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  coldcase mark \"deploy 42\"
  coldcase mark --pid 4711 \"load doubled\"")]
pub(crate) struct Args {
    /// The note
    #[arg(value_name = "TEXT")]
    text: String,
    /// Process of the recording
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,
}

pub(crate) fn run(args: Args, out: &Out) -> Result<Exit, Failure> {
    if args.text.is_empty() || args.text.len() > control::NOTE_LIMIT {
        return Err(Failure::usage(format!("TEXT: a note has 1 to {} bytes", control::NOTE_LIMIT)));
    }
    let (pid, time) = control::mark(&args.text, args.pid).map_err(|e| {
        let hint = match &e {
            MarkError::None => "start one: coldcase record -o incident.case",
            MarkError::Several { .. } => "choose one with --pid",
            _ => "",
        };
        Failure::failed(e.to_string()).hint(hint)
    })?;
    if out.json {
        out.document(&json!({
            "schema": {"name": "coldcase.mark", "version": 1}, "pid": pid, "time": time, "text": args.text,
        }))?;
    } else {
        out.remark(&format!("marked the recording of process {pid}"));
    }
    Ok(Exit::Fine)
}
