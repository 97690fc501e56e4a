//! `coldcase dump`: the last minutes of a flight recording as one bundle.

use std::path::{Path, PathBuf};
use std::time::Duration;

use coldcase_model::manifest::DumpEntry;
use coldcase_model::quantity::format_size;
use coldcase_model::text::visible;
use coldcase_record::control::MarkError;
use coldcase_record::flight::{self, DumpError, Made, Wanted};
use serde_json::json;

use crate::args::duration;
use crate::exit::{Exit, Failure};
use crate::out::Out;

/// Make a bundle of the last minutes of a flight recording
///
/// Waits until the time after now that a dump holds (--post) is recorded, and prints where the bundle is. Where nobody
/// records into the folder any more, it is made of what is there.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  coldcase dump                                     the only flight recording that runs here
  coldcase dump /var/tmp/flight --reason 'page 4711'
  coldcase dump 1234 -o incident.case --post 0s

Exit codes: 0 made, 1 not made, 2 usage.")]
pub(crate) struct Args {
    /// Folder or process of the recording; the only one unless named
    #[arg(value_name = "FOLDER|PID")]
    recording: Option<PathBuf>,
    /// The bundle to write; in the recording's folder unless said
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Why, for whoever reads it
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    /// So much before now
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pre: Option<Duration>,
    /// So much after now
    #[arg(long, value_name = "TIME", value_parser = duration)]
    post: Option<Duration>,
}

/// Longest reason, in bytes.
const REASON_LIMIT: usize = 1024;

pub(crate) fn run(args: Args, out: &Out) -> Result<Exit, Failure> {
    if args.reason.len() > REASON_LIMIT {
        return Err(Failure::usage(format!("--reason: at most {REASON_LIMIT} bytes")));
    }
    let output = args.output.as_deref().map(std::path::absolute).transpose()?;
    if let Some(there) = output.as_ref().filter(|o| o.exists()) {
        let e = format!("{} exists already", there.display());
        return Err(Failure::usage(e).hint("choose another name"));
    }
    let wanted = Wanted { output, reason: args.reason.clone(), pre: args.pre, post: args.post };
    let made = match args.recording.as_deref() {
        None => flight::dump_of(None, &wanted),
        Some(recording) => match pid(recording) {
            Some(pid) => flight::dump_of(Some(pid), &wanted),
            None => flight::dump_here(recording, &wanted),
        },
    };
    let made = made.map_err(failure)?;
    if out.json {
        out.document(&document(&made))?;
    } else {
        out.text(&format!("{}\n", visible(&made.path.display().to_string())))?;
        out.remark(&format!("{}, {}, {} segments", format_size(made.bytes), made.window(), made.entry.segments.len()));
        for line in &made.entry.left_out {
            out.warning(&visible(line));
        }
    }
    Ok(Exit::Fine)
}

/// A process, where what was named is a number and no folder.
fn pid(recording: &Path) -> Option<u32> {
    recording.to_str().filter(|_| !recording.exists()).and_then(|text| text.parse().ok())
}

fn document(made: &Made) -> serde_json::Value {
    let DumpEntry { trigger, kind, text, value, threshold, fired, from, to, held_from, segments, left_out } =
        &made.entry;
    json!({
        "schema": {"name": "coldcase.dump", "version": 1},
        "bundle": made.path,
        "id": made.id,
        "bytes": made.bytes,
        "trigger": trigger,
        "kind": kind,
        "text": text,
        "value": value,
        "threshold": threshold,
        "fired": fired,
        "from": from,
        "to": to,
        "held_from": held_from,
        "segments": segments,
        "left_out": left_out,
    })
}

fn failure(e: DumpError) -> Failure {
    let hint = match &e {
        DumpError::Recording(MarkError::None) => "start one: coldcase record --flight 5m -o FOLDER; or name its folder",
        DumpError::Recording(MarkError::Several { .. }) => "name its process or its folder",
        _ => "",
    };
    Failure::failed(e.to_string()).hint(hint)
}
