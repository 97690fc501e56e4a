//! `coldcase analyze`: flame, latency and flow of a bundle, as a report.

use std::path::{Path, PathBuf};

use coldcase_analyze::{AnalyzeError, Options, Part};
use coldcase_model::analysis::Analysis;
use coldcase_timeline::{TimelineError, When};
use serde::Serialize;

use crate::args::{Moment, Scope};
use crate::exit::{Exit, Failure};
use crate::out::Out;
use crate::progress;

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

Exit codes: 0 fine, 1 failed, 2 usage or unreadable input, 3 evidence was lost (only with --strict).")]
pub(crate) struct Args {
    /// The bundle
    #[arg(value_name = "BUNDLE")]
    bundle: PathBuf,
    /// The folder to write to [default: BUNDLE.report; with --json nothing is written unless this is given]
    #[arg(long, short, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Write into a folder that this command did not make
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    reading: Reading,
}

/// How the verbs that analyze read a bundle.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Reading {
    #[command(flatten)]
    scope: Scope,
    /// Only spans of these services
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    service: Vec<String>,
    /// Only spans of these traces
    #[arg(long, value_name = "ID", value_delimiter = ',', value_parser = trace_id)]
    trace: Vec<String>,
    /// Threads to work with [default: one per CPU]; the result does not depend on it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// A folder of binaries or debug files, to name frames that the bundle has no names for
    #[arg(long, value_name = "DIR")]
    debug_dir: Option<PathBuf>,
    /// Exit with 3 when the bundle is incomplete or evidence was lost
    #[arg(long)]
    strict: bool,
}

/// A trace id: 32 hex digits.
fn trace_id(text: &str) -> Result<String, String> {
    let fits = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
    fits.then(|| text.to_owned()).ok_or_else(|| format!("'{text}' is not a trace id: those are 32 hex digits"))
}

impl Reading {
    /// Analyses these parts of a bundle (all, when none is named), with a sign of life on a terminal.
    pub(super) fn analyze(&self, bundle: &Path, parts: &[Part], out: &Out) -> Result<Analysis, Failure> {
        let when = |m: Moment| match m {
            Moment::At(utc) => When::At(utc),
            Moment::After(ns) => When::After(ns),
        };
        let options = Options {
            threads: self.threads.map(usize::from),
            from: self.scope.from.map(when),
            to: self.scope.to.map(when),
            pids: self.scope.pid.clone(),
            comms: self.scope.comm.clone(),
            services: self.service.clone(),
            traces: self.trace.clone(),
            parts: parts.to_vec(),
            debug_dir: self.debug_dir.clone(),
        };
        let line = progress::line(out);
        line.set_message(format!("reading {}", bundle.display()));
        let analysis = coldcase_analyze::analyze(bundle, &options);
        line.finish_and_clear();
        analysis.map_err(failure)
    }

    /// The same, and what could not be read is told on stderr: for verbs whose page has no place for it.
    pub(super) fn analyze_and_warn(&self, bundle: &Path, parts: &[Part], out: &Out) -> Result<Analysis, Failure> {
        let analysis = self.analyze(bundle, parts, out)?;
        for problem in &analysis.quality.problems {
            out.warning(&format!("{}: {problem}", bundle.display()));
        }
        Ok(analysis)
    }

    /// Refuses a scope where there is nothing that it could narrow.
    pub(super) fn refuse_scope(&self, what: &str) -> Result<(), Failure> {
        let s = &self.scope;
        let narrow = s.from.is_some() || s.to.is_some() || !s.pid.is_empty() || !s.comm.is_empty();
        if narrow || !self.service.is_empty() || !self.trace.is_empty() {
            return Err(Failure::usage(format!("{what} is read whole: no --from, --to, --pid, --comm, --service, --trace")));
        }
        Ok(())
    }

    /// How to exit: 3 when evidence was lost, or may have been for want of a seal, and it was asked to be strict.
    pub(super) fn exit(&self, a: &Analysis) -> Exit {
        let lost = a.quality.losses.iter().any(|l| l.count > 0 || l.bytes > 0) || !a.quality.problems.is_empty();
        if self.strict && (lost || !a.bundle.complete) { Exit::Lost } else { Exit::Fine }
    }
}

/// An error of the analysis, as a failure of the verb.
pub(super) fn failure(e: AnalyzeError) -> Failure {
    match e {
        AnalyzeError::Timeline(TimelineError::Open(open)) => open.into(),
        AnalyzeError::Timeline(e @ TimelineError::Window { .. }) => {
            Failure::usage(e.to_string()).hint("--from must be before --to")
        }
        e => Failure::usage(e.to_string()),
    }
}

/// A document with the name and version of its schema.
#[derive(Serialize)]
pub(super) struct Document<'a, T: Serialize> {
    schema: Schema<'a>,
    #[serde(flatten)]
    body: T,
}

#[derive(Serialize)]
struct Schema<'a> {
    name: &'a str,
    version: u32,
}

impl<'a, T: Serialize> Document<'a, T> {
    /// Version 1 of a document.
    pub(super) fn new(name: &'a str, body: T) -> Self {
        Document { schema: Schema { name, version: 1 }, body }
    }
}

#[derive(Serialize)]
struct Body<'a> {
    files: Vec<String>,
    #[serde(flatten)]
    analysis: &'a Analysis,
}

pub(crate) fn run(args: Args, out: &Out) -> Result<Exit, Failure> {
    let dir = match (&args.output, out.json) {
        (Some(dir), _) => Some(dir.clone()),
        (None, true) => None,
        (None, false) => Some(beside(&args.bundle)),
    };
    if let Some(dir) = &dir
        && !args.force
    {
        refuse_others(dir)?;
    }
    let analysis = args.reading.analyze(&args.bundle, &[], out)?;
    let written = match &dir {
        Some(dir) => Some(coldcase_report::render_all(&analysis, dir).map_err(|e| Failure::failed(e.to_string()))?),
        None => None,
    };
    if out.json {
        let files = written.iter().flat_map(|w| &w.files).map(|f| f.display().to_string()).collect();
        out.document(&Document::new("coldcase.analysis", Body { files, analysis: &analysis }))?;
    } else {
        let (width, colour) = out.page();
        let mut text = coldcase_report::terminal::summary(&analysis, width, colour);
        text.push('\n');
        text.extend(written.iter().map(|w| coldcase_report::terminal::files(w, colour)));
        out.text(&text)?;
    }
    Ok(args.reading.exit(&analysis))
}

/// `incident.case.report` beside `incident.case`.
fn beside(bundle: &Path) -> PathBuf {
    let mut name = bundle.as_os_str().to_owned();
    name.push(".report");
    name.into()
}

/// Writes a file, and refuses to replace one unless forced.
pub(super) fn write_new(file: &Path, text: &str, force: bool) -> Result<(), Failure> {
    if file.exists() && !force {
        return Err(Failure::usage(format!("{}: exists", file.display())).hint("choose another name, or --force to replace it"));
    }
    std::fs::write(file, text).map_err(|e| Failure::failed(format!("{}: {e}", file.display())))
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
