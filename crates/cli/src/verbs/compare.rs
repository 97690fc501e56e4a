//! `coldcase compare`: what changed between two sides of runs, and whether that fails a build.

use std::path::PathBuf;

use coldcase_analyze::compare::{CompareError, CompareOptions};
use coldcase_model::compare::Verdict;
use coldcase_report::{compare_github, compare_junit, compare_markdown, compare_text};

use crate::exit::{Exit, Failure};
use crate::out::Out;
use crate::reading::{Document, failure as unread, write_new};

/// Say what changed between two sides of runs, how sure it is, and whether it is a regression
///
/// A run is a bundle; what is compared is one value a run, because requests of one run share its luck. Three runs a side are the least, five tell
/// more; recorded in turns (base, head, base, …) both sides see the same hours. Counts that are the same in all runs of a side (calls in a request,
/// kinds of errors) are compared exactly, with one run too.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  coldcase compare base-*.case -- head-*.case
  coldcase compare runs/base/ -- runs/head/            all bundles of a folder
  coldcase compare --json base-*.case -- head-*.case | jq '.measures[] | select(.decision == \"worse\")'
  coldcase compare --markdown comment.md --junit compare.xml --github base/ -- head/

Options stand before the `--`.
Exit codes: 0 pass, 1 regression, 2 a bundle cannot be read or wrong usage, 3 inconclusive.")]
pub(crate) struct Args {
    /// Bundles, or folders of them, to hold against
    #[arg(value_name = "BASE", required = true)]
    base: Vec<PathBuf>,
    /// Bundles, or folders of them, in question
    #[arg(value_name = "HEAD", last = true, required = true, allow_hyphen_values = false)]
    head: Vec<PathBuf>,
    /// How many measures to print
    #[arg(long, value_name = "N", default_value_t = 25)]
    top: usize,
    /// Write a comment for a pull request to this file
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Write JUnit XML to this file
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Print annotations of GitHub Actions on stdout, before everything else
    #[arg(long, conflicts_with = "json")]
    github: bool,
    /// Replace these files if they are there
    #[arg(long)]
    force: bool,
    /// Threads to work with [default: one per CPU]; the result does not depend on it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
}

pub(crate) fn run(args: Args, out: &Out) -> Result<Exit, Failure> {
    let (base, head) = (bundles(&args.base)?, bundles(&args.head)?);
    let options = CompareOptions { threads: args.threads.map(usize::from) };
    let c = coldcase_analyze::compare::compare(&base, &head, &options).map_err(failure)?;
    for (path, text) in [(&args.markdown, compare_markdown(&c)), (&args.junit, compare_junit(&c))] {
        if let Some(path) = path {
            write_new(path, &text, args.force)?;
        }
    }
    if args.github {
        out.text(&compare_github(&c))?;
    }
    if out.json {
        out.document(&Document::new("coldcase.compare", &c))?;
    } else {
        out.text(&compare_text(&c, args.top))?;
    }
    Ok(match c.verdict {
        Verdict::Pass => Exit::Fine,
        Verdict::Regression => Exit::Failed,
        Verdict::Inconclusive => Exit::Lost,
    })
}

/// The bundles that are named, those of folders in the order of their names.
fn bundles(named: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut all = Vec::new();
    for path in named {
        if path.as_os_str().as_encoded_bytes().starts_with(b"--") {
            return Err(Failure::usage(format!("{}: an option behind the bundles of the head", path.display()))
                .hint("options stand before the `--`"));
        }
        if !path.is_dir() {
            all.push(path.clone());
            continue;
        }
        let cannot = |e: std::io::Error| Failure::usage(format!("{}: {e}", path.display()));
        let entries = std::fs::read_dir(path).and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(cannot)?;
        let mut found: Vec<PathBuf> = entries.into_iter().map(|e| e.path()).collect();
        found.retain(|p| p.extension().is_some_and(|e| e == "case"));
        if found.is_empty() {
            return Err(Failure::usage(format!("{}: no bundle in this folder", path.display())).hint("bundles end in .case"));
        }
        found.sort();
        all.extend(found);
    }
    Ok(all)
}

fn failure(e: CompareError) -> Failure {
    match e {
        CompareError::Analyze(e) => unread(e),
        e @ CompareError::Empty(_) => Failure::usage(e.to_string()).hint("coldcase compare BASE… -- HEAD…"),
        e @ CompareError::Twice { .. } => Failure::usage(e.to_string()).hint("record the command again for the other side"),
    }
}
