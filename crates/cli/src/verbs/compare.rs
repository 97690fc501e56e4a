//! `coldcase compare`: what changed between two sides of runs, and whether that fails a build.

#[cfg(target_os = "linux")]
mod interleave;

use std::path::{Path, PathBuf};

use coldcase_analyze::compare::{CompareError, CompareOptions, Gates, share};
use coldcase_model::compare::{Comparison, Verdict};
use coldcase_report::{compare_explained, compare_github, compare_html, compare_junit, compare_markdown, compare_text};

use crate::exit::{Exit, Failure};
use crate::out::Out;
use crate::reading::{Document, failure as unread, write_new};

/// Say what changed between two sides of runs, how sure it is, and whether it is a regression
///
/// A run is a bundle; what is compared is one value a run, because requests of one run share its luck. Three runs a side are the least, five tell
/// more; recorded in turns (base, head, base, …; --interleave does that) both sides see the same hours. Counts that are the same in all runs of a
/// side (calls in a request, kinds of errors) are compared exactly, with one run too.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  coldcase compare base-*.case -- head-*.case
  coldcase compare runs/base/ -- runs/head/            all bundles of a folder
  coldcase compare --gates coldcase.toml --html compare.html base/ -- head/
  coldcase compare --explain 'latency p99@POST *' base/ -- head/
  coldcase compare --json base-*.case -- head-*.case | jq '.causes[0].sentence'
  coldcase compare --markdown comment.md --junit compare.xml --github base/ -- head/
  coldcase compare --interleave './bench-old' './bench-new' --runs 5 -o runs/      records in turns, then compares

Options stand before the `--`.
Exit codes: 0 pass, 1 regression, 2 a bundle cannot be read or wrong usage, 3 inconclusive.")]
pub(crate) struct Args {
    /// Bundles, or folders of them, to hold against
    #[cfg_attr(target_os = "linux", arg(value_name = "BASE", required_unless_present = "interleave"))]
    #[cfg_attr(not(target_os = "linux"), arg(value_name = "BASE", required = true))]
    base: Vec<PathBuf>,
    /// Bundles, or folders of them, in question
    #[cfg_attr(target_os = "linux", arg(value_name = "HEAD", last = true, required_unless_present = "interleave"))]
    #[cfg_attr(not(target_os = "linux"), arg(value_name = "HEAD", last = true, required = true))]
    head: Vec<PathBuf>,
    /// Gates from the section [compare] of this file (coldcase.toml): how much worse what may be
    #[arg(long, value_name = "FILE")]
    gates: Option<PathBuf>,
    /// Say how this measure was judged: its values, estimate, interval, tolerance, p and decision. * and ? stand for other
    /// characters
    #[arg(long, value_name = "METRIC[@OPERATION]")]
    explain: Option<String>,
    /// Learn how runs scatter from the earlier bundles in this folder, where a side has fewer than three
    #[arg(long, value_name = "DIR")]
    history: Option<PathBuf>,
    /// Pass only where critical measures are shown to be equal within this share (two one-sided tests)
    #[arg(long, value_name = "SHARE", value_parser = some_share)]
    equivalent: Option<f64>,
    /// How many measures to print
    #[arg(long, value_name = "N", default_value_t = 25)]
    top: usize,
    /// Write a page to this file, which needs no other
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write a comment for a pull request to this file
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Write JUnit XML to this file
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Print annotations of GitHub Actions on stdout, before everything else
    #[arg(long, conflicts_with = "json")]
    github: bool,
    /// Replace these files, and bundles of --interleave, if they are there
    #[arg(long)]
    force: bool,
    /// Record these two shell commands in turns, and compare them
    #[cfg(target_os = "linux")]
    #[arg(long, num_args = 2, value_names = ["BASE-COMMAND", "HEAD-COMMAND"], conflicts_with_all = ["base", "head"], requires = "output")]
    interleave: Option<Vec<std::ffi::OsString>>,
    /// With --interleave: runs of each
    #[cfg(target_os = "linux")]
    #[arg(long, value_name = "N", default_value_t = 5, requires = "interleave", value_parser = clap::value_parser!(u32).range(1..=1000))]
    runs: u32,
    /// With --interleave: the folder for base-1.case, head-1.case, …
    #[cfg(target_os = "linux")]
    #[arg(short, long, value_name = "DIR", requires = "interleave")]
    output: Option<PathBuf>,
    /// With --interleave: settings of the recorder
    #[cfg(target_os = "linux")]
    #[arg(long, value_name = "FILE", requires = "interleave")]
    config: Option<PathBuf>,
    /// Threads to work with [default: one per CPU]; the result does not depend on it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
}

pub(crate) fn run(args: Args, out: &Out) -> Result<Exit, Failure> {
    // What is wrong with the file is told before an hour of recording.
    let gates = args.gates.as_deref().map(Gates::read).transpose();
    let gates = gates.map_err(|e| {
        Failure::usage(e.to_string()).hint("[[compare.gate]] with metric = 'latency p50': formats/compare.md")
    })?;
    let (base, head) = sides(&args, out)?;
    let history =
        args.history.iter().map(|dir| bundles(std::slice::from_ref(dir))).collect::<Result<Vec<_>, _>>()?.concat();
    let options = CompareOptions {
        threads: args.threads.map(usize::from),
        gates: gates.unwrap_or_default(),
        history,
        equivalent: args.equivalent,
    };
    let mut c = coldcase_analyze::compare::compare(&base, &head, &options).map_err(failure)?;
    if let Some(asked) = &args.explain {
        c.explained = explained(asked, &c)?;
    }
    if let Some(path) = &args.html {
        let page = compare_html(&c).map_err(|e| Failure::failed(e.to_string()))?;
        write_new(path, &page, args.force)?;
    }
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
    } else if c.explained.is_empty() {
        out.text(&compare_text(&c, args.top))?;
    } else {
        out.text(&compare_explained(&c))?;
    }
    Ok(match c.verdict {
        Verdict::Pass => Exit::Fine,
        Verdict::Regression => Exit::Failed,
        Verdict::Inconclusive => Exit::Lost,
    })
}

/// The bundles of both sides: those that are named, or those that are recorded now.
fn sides(args: &Args, out: &Out) -> Result<(Vec<PathBuf>, Vec<PathBuf>), Failure> {
    #[cfg(target_os = "linux")]
    if let (Some(commands), Some(folder)) = (&args.interleave, &args.output) {
        let plan =
            interleave::Plan { commands, folder, runs: args.runs, config: args.config.as_deref(), force: args.force };
        return interleave::record(&plan, out);
    }
    let _ = out;
    Ok((bundles(&args.base)?, bundles(&args.head)?))
}

/// The measures of `METRIC[@OPERATION]`.
fn explained(asked: &str, c: &Comparison) -> Result<Vec<usize>, Failure> {
    let found = coldcase_analyze::compare::explained(asked, c);
    if found.is_empty() {
        let mut names: Vec<&str> = c.measures.iter().map(|m| m.measure.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        return Err(Failure::usage(format!("--explain '{asked}': no measure is called so"))
            .hint(format!("there are: {}", names.join(", "))));
    }
    Ok(found)
}

fn some_share(text: &str) -> Result<f64, String> {
    share(text).filter(|s| *s > 0.0).ok_or_else(|| format!("'{text}' is no share above 0 (5% or 0.05)"))
}

/// The bundles that are named, those of folders in the order of their names.
fn bundles(named: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut all = Vec::new();
    for path in named {
        if path.as_os_str().as_encoded_bytes().starts_with(b"--") {
            return Err(Failure::usage(format!("{}: an option behind the bundles of the head", path.display()))
                .hint("options stand before the `--`"));
        }
        match path.is_dir() {
            true => all.extend(of_folder(path)?),
            false => all.push(path.clone()),
        }
    }
    Ok(all)
}

fn of_folder(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    let cannot = |e: std::io::Error| Failure::usage(format!("{}: {e}", path.display()));
    let entries = std::fs::read_dir(path).and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(cannot)?;
    let mut found: Vec<PathBuf> = entries.into_iter().map(|e| e.path()).collect();
    found.retain(|p| p.extension().is_some_and(|e| e == "case"));
    if found.is_empty() {
        return Err(
            Failure::usage(format!("{}: no bundle in this folder", path.display())).hint("bundles end in .case")
        );
    }
    found.sort();
    Ok(found)
}

fn failure(e: CompareError) -> Failure {
    match e {
        CompareError::Analyze(e) => unread(e),
        e @ CompareError::Empty(_) => Failure::usage(e.to_string()).hint("coldcase compare BASE… -- HEAD…"),
        e @ CompareError::Twice { .. } => {
            Failure::usage(e.to_string()).hint("record the command again for the other side")
        }
    }
}
