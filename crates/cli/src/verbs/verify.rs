//! `coldcase verify`: is a bundle, to the byte, what was sealed?

use std::path::{Path, PathBuf};

use coldcase_bundle::Verification;
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
  coldcase verify segments/*.case

With several bundles, --json prints an array of those that could be read. Exit codes, of several bundles the worst: 0
sealed and intact, 3 intact but not sealed, 1 damaged, 2 not readable as a bundle.")]
pub(crate) struct Args {
    /// Bundles
    #[arg(value_name = "BUNDLE", required = true)]
    bundles: Vec<PathBuf>,
}

pub(crate) fn run(args: Args, out: &Out) -> Result<Exit, Failure> {
    let (mut worst, mut documents, mut unreadable) = (Exit::Fine, Vec::new(), Vec::new());
    for bundle in &args.bundles {
        match coldcase_bundle::verify(bundle) {
            Ok(found) => {
                let exit = exit(&found);
                worst = worse(worst, exit);
                documents.push(document(bundle, &found));
                if !out.json {
                    print(bundle, &found, exit, out)?;
                }
            }
            Err(e) => unreadable.push(Failure::from(e)),
        }
    }
    match documents.as_slice() {
        [one] if out.json && args.bundles.len() == 1 => out.document(one)?,
        several if out.json && args.bundles.len() > 1 => out.document(&several)?,
        _ => {}
    }
    // The last failure is told by the caller.
    let last = unreadable.pop();
    unreadable.iter().for_each(|failure| out.failure(failure));
    last.map_or(Ok(worst), Err)
}

fn exit(found: &Verification) -> Exit {
    match (found.ok, found.sealed) {
        (true, true) => Exit::Fine,
        (true, false) => Exit::Lost,
        (false, _) => Exit::Failed,
    }
}

/// The one that says more: damage before the want of a seal.
fn worse(a: Exit, b: Exit) -> Exit {
    let rank = |e: &Exit| match e {
        Exit::Fine => 0,
        Exit::Lost => 1,
        _ => 2,
    };
    std::cmp::max_by_key(a, b, rank)
}

fn document(bundle: &Path, found: &Verification) -> serde_json::Value {
    json!({
        "schema": {"name": "coldcase.verify", "version": 1},
        "bundle": bundle,
        "ok": found.ok && found.sealed,
        "intact": found.ok,
        "sealed": found.sealed,
        "first_bad": found.first_bad.as_ref().map(|r| json!({"start": r.start, "end": r.end})),
        "chunks": found.chunks,
        "reasons": found.reasons,
    })
}

fn print(bundle: &Path, found: &Verification, exit: Exit, out: &Out) -> Result<(), Failure> {
    let verdict = match exit {
        Exit::Fine => out.style(Style::Good, "sealed and intact"),
        Exit::Lost => out.style(Style::Warn, "intact, but not sealed"),
        _ => out.style(Style::Bad, "damaged"),
    };
    let mut text = format!("{}: {verdict}, {} chunks\n", visible(&bundle.display().to_string()), found.chunks);
    if let Some(bad) = &found.first_bad {
        text.push_str(&format!("first bad bytes: {} to {}\n", bad.start, bad.end));
    }
    for reason in &found.reasons {
        text.push_str(&format!("{}\n", visible(reason)));
    }
    out.text(&text)?;
    if exit != Exit::Fine {
        out.remark(&format!("hint: coldcase recover {} -o whole.case", bundle.display()));
    }
    Ok(())
}
