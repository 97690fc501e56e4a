//! `coldcase analyze`: flame, latency and flow of a bundle, as a report.

use std::path::{Path, PathBuf};

use coldcase_analyze::flow::Sequences;
use coldcase_analyze::{Options, TraceViews};
use coldcase_model::analysis::Analysis;
use serde::Serialize;

use crate::exit::{Exit, Failure};
use crate::out::Out;
use crate::reading::{Document, Reading, documents};

/// Explain a bundle: a report with flame graphs, latencies, connections, metrics and findings
///
/// Writes report.html, flame.svg, latency.svg, flow.svg and findings.json into a folder, and prints a summary.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  coldcase analyze incident.case                     writes incident.case.report/
  coldcase analyze incident.case -o /tmp/report
  coldcase analyze incident.case --from +8s --to +12s --comm orders
  coldcase analyze incident.case --json | jq .summary
  coldcase analyze gateway.case orders.case          a report of each; with --json an array

Exit codes: 0 fine, 1 failed, 2 usage or unreadable input, 3 evidence was lost (only with --strict).")]
pub(crate) struct Args {
    /// Bundles, each with a report of its own
    #[arg(value_name = "BUNDLE", required = true)]
    bundles: Vec<PathBuf>,
    /// The folder to write to, with several bundles one in it for each [default: BUNDLE.report; with --json nothing is
    /// written unless this is given]
    #[arg(long, short, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Write into a folder that this command did not make
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    reading: Reading,
}

#[derive(Serialize)]
struct Body<'a> {
    files: Vec<String>,
    #[serde(flatten)]
    analysis: &'a Analysis,
}

pub(crate) fn run(args: Args, out: &Out) -> Result<Exit, Failure> {
    let dirs = folders(&args, out.json)?;
    if !args.force {
        dirs.iter().flatten().try_for_each(|dir| refuse_others(dir))?;
    }
    let (mut all, mut written) = (Vec::new(), Vec::new());
    for (bundle, dir) in args.bundles.iter().zip(&dirs) {
        // Only the page shows connections segment by segment.
        let sequences = if dir.is_some() { Sequences::Sickest } else { Sequences::None };
        let options = Options { sequences, trace_views: TraceViews::Worst, ..Options::default() };
        let mut analysis = args.reading.analyze_as(bundle, &options, out)?;
        written.push(match dir {
            Some(dir) => Some(coldcase_report::render_all(&analysis, dir).map_err(|e| Failure::failed(e.to_string()))?),
            None => None,
        });
        // They are in the picture; `flow --conn` tells them as JSON.
        analysis.flow.sequences.clear();
        all.push(analysis);
    }
    if out.json {
        let document = |(analysis, written): (_, &Option<coldcase_report::Written>)| {
            let files = written.iter().flat_map(|w| &w.files).map(|f| f.display().to_string()).collect();
            Document::new("coldcase.analysis", Body { files, analysis })
        };
        documents(out, &all.iter().zip(&written).map(document).collect::<Vec<_>>())?;
    } else {
        let (width, colour) = out.page();
        let pages: Vec<String> = all
            .iter()
            .zip(&written)
            .map(|(analysis, written)| {
                let mut text = coldcase_report::terminal::summary(analysis, width, colour);
                text.push('\n');
                text.extend(written.iter().map(|w| coldcase_report::terminal::files(w, colour)));
                text
            })
            .collect();
        out.text(&pages.join("\n"))?;
    }
    Ok(args.reading.exit(&all))
}

/// Where each bundle's report goes; nowhere with `--json` alone.
fn folders(args: &Args, json: bool) -> Result<Vec<Option<PathBuf>>, Failure> {
    let Some(output) = &args.output else {
        return Ok(args.bundles.iter().map(|b| (!json).then(|| beside(b))).collect());
    };
    if let [_] = args.bundles.as_slice() {
        return Ok(vec![Some(output.clone())]);
    }
    let mut names = std::collections::BTreeSet::new();
    args.bundles
        .iter()
        .map(|bundle| {
            let name = bundle.file_name().unwrap_or(bundle.as_os_str());
            match names.insert(name.to_owned()) {
                true => Ok(Some(output.join(beside(Path::new(name))))),
                false => Err(Failure::usage(format!("{}: another bundle has the same name", bundle.display()))
                    .hint("without -o each report is written beside its bundle")),
            }
        })
        .collect()
}

/// `incident.case.report` beside `incident.case`.
fn beside(bundle: &Path) -> PathBuf {
    let mut name = bundle.as_os_str().to_owned();
    name.push(".report");
    name.into()
}

/// Refuses a folder that holds anything but what this verb writes.
fn refuse_others(dir: &Path) -> Result<(), Failure> {
    let refuse = |what: &str| {
        Err(Failure::usage(format!("{}: {what}", dir.display()))
            .hint("choose another folder with -o, or --force to write into it"))
    };
    if dir.exists() && !dir.is_dir() {
        return Err(Failure::usage(format!("{}: not a folder", dir.display())).hint("choose another with -o"));
    }
    let Ok(entries) = std::fs::read_dir(dir) else { return Ok(()) };
    let mut any = false;
    for entry in entries {
        any = true;
        if !coldcase_report::FILES.iter().any(|f| entry.as_ref().is_ok_and(|e| e.file_name() == *f)) {
            return refuse("exists, and holds files that are not of a report");
        }
    }
    let ours = std::fs::read_to_string(dir.join("findings.json")).is_ok_and(|t| t.contains(coldcase_report::SCHEMA));
    if any && !ours { refuse("exists, and is not a report of coldcase") } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::refuse_others;

    #[test]
    fn only_an_empty_folder_or_a_report_is_written_into() {
        let dir = std::env::temp_dir().join(format!("coldcase-refuse-{}", std::process::id()));
        assert!(refuse_others(&dir).is_ok(), "it is not there yet");
        std::fs::create_dir_all(&dir).unwrap();
        assert!(refuse_others(&dir).is_ok());
        std::fs::write(dir.join("report.html"), "mine").unwrap();
        assert!(refuse_others(&dir).is_err(), "a report of somebody else");
        std::fs::write(dir.join("findings.json"), coldcase_report::SCHEMA).unwrap();
        assert!(refuse_others(&dir).is_ok());
        std::fs::write(dir.join("thesis.tex"), "years of work").unwrap();
        assert!(refuse_others(&dir).is_err());
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
