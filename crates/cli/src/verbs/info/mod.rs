//! `coldcase info`: what is in a bundle, who made it, and what is missing from it.

mod facts;
mod text;

use std::path::PathBuf;

use coldcase_bundle::Bundle;

use crate::exit::{Exit, Failure};
use crate::out::Out;

/// Show what is in a bundle: host, time, sources, streams, losses, privacy
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  coldcase info incident.case
  coldcase info --json incident.case | jq '.streams[] | {name, events, lost}'
  coldcase info before.case after.case

With several bundles, --json prints an array of those that could be read. Exit codes: 0 fine, 2 not readable as a bundle, and with --strict
3 when the bundle is incomplete or evidence was lost.")]
pub(crate) struct Args {
    /// Bundles
    #[arg(value_name = "BUNDLE", required = true)]
    bundles: Vec<PathBuf>,
    /// Exit with 3 when a bundle is incomplete or evidence was lost
    #[arg(long)]
    strict: bool,
}

pub(crate) fn run(args: Args, out: &Out) -> Result<Exit, Failure> {
    let (mut all, mut unreadable) = (Vec::new(), Vec::new());
    for path in &args.bundles {
        match Bundle::open(path) {
            Ok(bundle) => all.push(facts::gather(&bundle)),
            Err(e) => unreadable.push(Failure::from(e)),
        }
    }
    match all.as_slice() {
        [one] if out.json && args.bundles.len() == 1 => out.document(one)?,
        several if out.json && args.bundles.len() > 1 => out.document(&several)?,
        _ if out.json => {}
        several => {
            let texts: Vec<String> = several.iter().map(|f| text::render(f, out)).collect();
            out.text(&texts.join("\n"))?;
        }
    }
    // The last failure is told by the caller.
    if let Some(last) = unreadable.pop() {
        unreadable.iter().for_each(|failure| out.failure(failure));
        return Err(last);
    }
    let flawed = |f: &facts::Facts| !f.complete || !f.problems.is_empty() || f.losses.iter().any(|l| l.count > 0);
    Ok(if args.strict && all.iter().any(flawed) { Exit::Lost } else { Exit::Fine })
}
