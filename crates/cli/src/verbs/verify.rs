//! `coldcase verify`: is a bundle, to the byte, what was sealed?

use std::path::PathBuf;

use coldcase_model::text::visible;
use serde_json::json;

use crate::exit::{Exit, Failure};
use crate::out::{Out, Style};

/// Check that a bundle is, to the byte, what was sealed
///
/// Follows the hash chain and the marks through the whole file, and names the first bytes that are not as they were
/// written.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  coldcase verify incident.case
  coldcase verify --json incident.case

Exit codes: 0 sealed and intact, 3 intact but not sealed, 1 damaged, 2 not readable as a bundle.")]
pub(crate) struct Args {
    /// The bundle
    #[arg(value_name = "BUNDLE")]
    bundle: PathBuf,
}

pub(crate) fn run(args: Args, out: &Out) -> Result<Exit, Failure> {
    let found = coldcase_bundle::verify(&args.bundle)?;
    let exit = match (found.ok, found.sealed) {
        (true, true) => Exit::Fine,
        (true, false) => Exit::Lost,
        (false, _) => Exit::Failed,
    };
    if out.json {
        out.document(&json!({
            "schema": {"name": "coldcase.verify", "version": 1},
            "bundle": args.bundle,
            "ok": found.ok && found.sealed,
            "intact": found.ok,
            "sealed": found.sealed,
            "first_bad": found.first_bad.as_ref().map(|r| json!({"start": r.start, "end": r.end})),
            "chunks": found.chunks,
            "reasons": found.reasons,
        }))?;
        return Ok(exit);
    }
    let verdict = match exit {
        Exit::Fine => out.style(Style::Good, "sealed and intact"),
        Exit::Lost => out.style(Style::Warn, "intact, but not sealed"),
        _ => out.style(Style::Bad, "damaged"),
    };
    let mut text = format!("{}: {verdict}, {} chunks\n", visible(&args.bundle.display().to_string()), found.chunks);
    if let Some(bad) = &found.first_bad {
        text.push_str(&format!("first bad bytes: {} to {}\n", bad.start, bad.end));
    }
    for reason in &found.reasons {
        text.push_str(&format!("{}\n", visible(reason)));
    }
    out.text(&text)?;
    if exit != Exit::Fine {
        out.remark(&format!("hint: coldcase recover {} -o whole.case", args.bundle.display()));
    }
    Ok(exit)
}
