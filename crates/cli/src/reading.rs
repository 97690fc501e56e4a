//! How the verbs that analyze read bundles, one or several, and print what came of it.

use std::path::{Path, PathBuf};

use coldcase_analyze::flow::Sequences;
use coldcase_analyze::{AnalyzeError, Options, Part};
use coldcase_model::analysis::Analysis;
use coldcase_model::text::visible;
use serde::Serialize;

use crate::args::{DebugFiles, Scope};
use crate::exit::{Exit, Failure};
use crate::out::{Out, Style};
use crate::progress;

/// How the verbs that analyze read a bundle.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Reading {
    #[command(flatten)]
    scope: Scope,
    /// Threads to work with [default: one per CPU]; the result does not depend on it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    #[command(flatten)]
    debug_files: DebugFiles,
    /// Exit with 3 when the bundle is incomplete or evidence was lost
    #[arg(long)]
    strict: bool,
}

impl Reading {
    /// Analyses a bundle with what the verb asks for, with a sign of life on a terminal.
    pub(crate) fn analyze_as(&self, bundle: &Path, more: &Options, out: &Out) -> Result<Analysis, Failure> {
        let [from, to] = self.scope.window.ends();
        let options = Options {
            threads: self.threads.map(usize::from),
            from,
            to,
            scope: self.scope.who(),
            debug_files: self.debug_files.wanted(),
            ..more.clone()
        };
        let line = progress::line(out);
        line.set_message(format!("reading {}", bundle.display()));
        let analysis = coldcase_analyze::analyze(bundle, &options);
        line.finish_and_clear();
        let analysis = analysis.map_err(failure)?;
        out.not_fetched(&analysis.quality.not_fetched);
        Ok(analysis)
    }

    /// Which part of a bundle is read.
    pub(crate) fn scope(&self) -> &Scope {
        &self.scope
    }

    /// How many threads work.
    pub(crate) fn threads(&self) -> Option<usize> {
        self.threads.map(usize::from)
    }

    /// Where names that a bundle lacks are looked for.
    pub(crate) fn debug_files(&self) -> &DebugFiles {
        &self.debug_files
    }

    /// Whether lost evidence is an exit code.
    pub(crate) fn strict(&self) -> bool {
        self.strict
    }

    /// How a timeline is opened for what is not narrowed to processes; `what` says what that is. The window is not in it.
    pub(crate) fn whole(&self, what: &str) -> Result<coldcase_timeline::Options, Failure> {
        if !self.scope.who().is_all() {
            return Err(Failure::usage(format!("{what} for all processes: it takes no --pid, --trace and the like")));
        }
        let (threads, debug_files) = (self.threads.map(usize::from), self.debug_files.wanted());
        Ok(coldcase_timeline::Options { threads, debug_files, ..coldcase_timeline::Options::default() })
    }

    /// How a timeline is opened for tables: they are cut to a window, and to nothing else.
    pub(crate) fn tables(&self) -> Result<coldcase_timeline::Options, Failure> {
        if !self.scope.who().is_all() {
            return Err(Failure::usage("tables are of everything: they take no --pid, --trace and the like")
                .hint("--from and --to cut them, --table names some"));
        }
        let [from, to] = self.scope.window.ends();
        let (threads, debug_files) = (self.threads.map(usize::from), self.debug_files.wanted());
        Ok(coldcase_timeline::Options { threads, from, to, debug_files, ..coldcase_timeline::Options::default() })
    }

    /// The flow of a bundle or a capture file, to choose packets by. What a scope says of processes is about bundles
    /// only; of a capture file, the whole flow is told whatever the window is.
    pub(crate) fn packets(&self, file: &Path, out: &Out) -> Result<Analysis, Failure> {
        if !coldcase_analyze::flow::capture::is_capture(file) {
            return self.analyze_as(file, &Options { parts: vec![Part::Flow], ..Options::default() }, out);
        }
        if self.scope.who().narrows_processes() {
            return Err(Failure::usage("a capture file knows no processes: it takes no --pid, --comm and the like")
                .hint("--conn, --request and --trace choose packets of it"));
        }
        coldcase_analyze::analyze_capture(file, Sequences::None).map_err(failure)
    }

    /// The flow of a bundle, or of a capture file of another tool.
    pub(crate) fn flow(&self, file: &Path, out: &Out) -> Result<Analysis, Failure> {
        self.flow_with(file, Sequences::None, out)
    }

    /// The same, and some of its connections segment by segment.
    pub(crate) fn flow_with(&self, file: &Path, sequences: Sequences, out: &Out) -> Result<Analysis, Failure> {
        if !coldcase_analyze::flow::capture::is_capture(file) {
            let options = Options { parts: vec![Part::Flow], sequences, ..Options::default() };
            return self.analyze_as(file, &options, out);
        }
        self.refuse_scope("a capture file")?;
        coldcase_analyze::analyze_capture(file, sequences).map_err(failure)
    }

    /// The same of each bundle in turn, and what could not be read is told on stderr: for verbs whose page has no
    /// place for it.
    pub(crate) fn each(&self, bundles: &[PathBuf], parts: &[Part], out: &Out) -> Result<Vec<Analysis>, Failure> {
        self.each_as(bundles, &Options { parts: parts.to_vec(), ..Options::default() }, out)
    }

    /// The same, with what else the verb asks for.
    pub(crate) fn each_as(&self, bundles: &[PathBuf], more: &Options, out: &Out) -> Result<Vec<Analysis>, Failure> {
        let mut all = Vec::with_capacity(bundles.len());
        for bundle in bundles {
            let analysis = self.analyze_as(bundle, more, out)?;
            for problem in &analysis.quality.problems {
                out.warning(&format!("{}: {problem}", bundle.display()));
            }
            all.push(analysis);
        }
        Ok(all)
    }

    /// Refuses a scope where there is nothing that it could narrow.
    pub(crate) fn refuse_scope(&self, what: &str) -> Result<(), Failure> {
        match self.scope.narrows() {
            true => Err(Failure::usage(format!("{what} is read whole: it takes no --from, --to, --pid and the like"))),
            false => Ok(()),
        }
    }

    /// How to exit: 3 when evidence was lost, or may have been for want of a seal, and it was asked to be strict.
    pub(crate) fn exit(&self, all: &[Analysis]) -> Exit {
        let flawed = |a: &Analysis| {
            let lost = a.quality.losses.iter().any(|l| l.count > 0 || l.bytes > 0);
            lost || !a.quality.problems.is_empty() || !a.bundle.complete
        };
        if self.strict && all.iter().any(flawed) { Exit::Lost } else { Exit::Fine }
    }
}

/// Prints documents: one as it is, several as an array.
pub(crate) fn documents<T: Serialize>(out: &Out, all: &[T]) -> Result<(), Failure> {
    match all {
        [one] => out.document(one),
        several => out.document(&several),
    }
}

/// Prints pages one after another, each below the name of its bundle where there are several.
pub(crate) fn pages(out: &Out, all: &[Analysis], page: impl Fn(&Analysis) -> String) -> Result<(), Failure> {
    let named = |a: &Analysis| match all.len() {
        1 => page(a),
        _ => format!("{}\n{}", out.style(Style::Bold, &format!("== {}", visible(&a.bundle.file))), page(a)),
    };
    out.text(&all.iter().map(named).collect::<Vec<_>>().join("\n"))
}

/// Which bundle a document is of.
pub(crate) fn name(a: &Analysis) -> serde_json::Value {
    serde_json::json!({"id": a.bundle.id, "file": a.bundle.file})
}

/// Writes a picture of the one bundle, if one was asked for.
pub(crate) fn picture<E: std::fmt::Display>(
    file: Option<&PathBuf>,
    force: bool,
    all: &[Analysis],
    draw: impl Fn(&Analysis) -> Result<String, E>,
) -> Result<(), Failure> {
    match (file, all) {
        (None, _) => Ok(()),
        (Some(file), [one]) => write_picture(file, draw(one), force),
        (Some(_), _) => Err(Failure::usage("--svg: a picture is of one bundle")),
    }
}

/// Writes a picture that was drawn.
pub(crate) fn write_picture<E: std::fmt::Display>(
    file: &Path,
    drawn: Result<String, E>,
    force: bool,
) -> Result<(), Failure> {
    write_new(file, &drawn.map_err(|e| Failure::failed(e.to_string()))?, force)
}

/// An error of the analysis, as a failure of the verb.
pub(crate) fn failure(e: AnalyzeError) -> Failure {
    match e {
        AnalyzeError::Timeline(e) => e.into(),
        AnalyzeError::Diff(e) => Failure::usage(format!("--diff: {e}"))
            .hint("--from and --to name the window that is held against the rest: --diff --from +10s --to +20s"),
        e => Failure::usage(e.to_string()),
    }
}

/// A document with the name and version of its schema.
#[derive(Serialize)]
pub(crate) struct Document<'a, T: Serialize> {
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
    pub(crate) fn new(name: &'a str, body: T) -> Self {
        Document { schema: Schema { name, version: 1 }, body }
    }
}

/// Writes a file, and refuses to replace one unless forced.
pub(crate) fn write_new(file: &Path, text: &str, force: bool) -> Result<(), Failure> {
    if file.exists() && !force {
        return Err(
            Failure::usage(format!("{}: exists", file.display())).hint("choose another name, or --force to replace it")
        );
    }
    std::fs::write(file, text).map_err(|e| Failure::failed(format!("{}: {e}", file.display())))
}
