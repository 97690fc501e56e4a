//! Files of other tools, made into bundles that every verb takes.
//!
//! ```no_run
//! let files = ["capture.pcapng".into()];
//! let done = coldcase_import::import(&files, "b.case".as_ref(), &coldcase_import::Options::default())?;
//! println!("{} packets", done.files[0].items);
//! # Ok::<(), coldcase_import::ImportError>(())
//! ```
//!
//! A file is recognised by its content. What it holds goes into the stream that the recorder fills with the same: the
//! payload as it is, with its origin in the receipt. The same files give the same bundle, byte for byte.

mod capture;
mod clock;
mod error;
mod format;
mod input;
mod jaeger;
mod journal;
mod json;
mod log;
mod otlp;
mod profile;
mod prometheus;
mod spans;
mod zipkin;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use coldcase_bundle::{Writer, WriterOptions};
use coldcase_model::loss::LossTotal;
use coldcase_model::manifest::{Manifest, SourceEntry, SourceStatus};
use coldcase_model::{Columns, Event, Utc};

pub use error::ImportError;
pub use format::Format;

use clock::Span;
use input::Input;

/// How files are imported.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Take every file for this format, whatever it looks like.
    pub format: Option<Format>,
    /// Replace the output if it exists.
    pub force: bool,
    /// The command line, for the manifest.
    pub command: Vec<String>,
}

/// What became of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The file.
    pub path: PathBuf,
    /// What it was taken for.
    pub format: Format,
    /// The stream that its content went to.
    pub stream: &'static str,
    /// Messages written to that stream.
    pub messages: u64,
    /// Things in them, as [`Format::items`] calls them.
    pub items: u64,
    /// Bytes read of the file and understood.
    pub bytes: u64,
    /// Bytes at its end that could not be read.
    pub bytes_lost: u64,
    /// Things that the file itself says were dropped before it was written.
    pub dropped: u64,
    /// Why it could not be read to its end.
    pub problem: Option<String>,
    /// What was left out on purpose, in words.
    pub note: Option<String>,
}

impl Imported {
    fn new(path: &Path, format: Format, stream: &'static str) -> Imported {
        Imported {
            path: path.to_owned(),
            format,
            stream,
            messages: 0,
            items: 0,
            bytes: 0,
            bytes_lost: 0,
            dropped: 0,
            problem: None,
            note: None,
        }
    }

    /// Notes that a part could not be read. The first few tell what is the matter.
    fn unread(&mut self, why: &str, bytes: u64) {
        self.bytes_lost += bytes;
        append(&mut self.problem, why);
    }

    /// Notes something that is no loss.
    fn note(&mut self, what: &str) {
        append(&mut self.note, what);
    }
}

fn append(said: &mut Option<String>, more: &str) {
    match said {
        None => *said = Some(more.to_owned()),
        Some(said) if said.len() < 300 => *said = format!("{said}; {more}"),
        Some(_) => {}
    }
}

/// What an import came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// Id of the bundle.
    pub id: String,
    /// Each file, in the order given.
    pub files: Vec<Imported>,
    /// First and last time in them, UTC.
    pub time: Option<(Utc, Utc)>,
}

impl Done {
    /// Whether evidence is missing: a file was cut or damaged, or says that things were dropped.
    pub fn lost(&self) -> bool {
        self.files.iter().any(|f| f.problem.is_some() || f.dropped > 0)
    }
}

/// Makes a bundle of the files; `-` is standard input.
///
/// # Errors
/// When a file cannot be opened or is of no known format, or the bundle cannot be written. Nothing is left behind then,
/// but for a disk that is full.
pub fn import(files: &[PathBuf], output: &Path, options: &Options) -> Result<Done, ImportError> {
    // All are looked at before anything is written.
    let inputs = files.iter().map(|f| Input::open(f)).collect::<Result<Vec<_>, _>>()?;
    let formats = inputs.iter().map(|i| Format::of(i, options.format)).collect::<Result<Vec<_>, _>>()?;
    let now = Arc::new(AtomicI64::new(0));
    let writer = Writer::create(output, options.force, writer_options(&inputs, &now))?;
    let done = fill(&writer, &inputs, &formats, &now);
    let (files, span) = match done {
        Ok(done) => done,
        Err(e) => {
            drop(writer);
            // It is of no use, and in the way of another try.
            let _ = std::fs::remove_file(output);
            return Err(e);
        }
    };
    let manifest = writer.seal(manifest(&files, options))?;
    Ok(Done { id: manifest.id, files, time: span.ends() })
}

fn fill(
    writer: &Writer,
    inputs: &[Input],
    formats: &[Format],
    now: &Arc<AtomicI64>,
) -> Result<(Vec<Imported>, Span), ImportError> {
    let mut span = Span::default();
    let mut done = Vec::with_capacity(inputs.len());
    for (input, format) in inputs.iter().zip(formats) {
        let imported = format.import(input, writer, &mut |from, to| {
            span.add(from);
            span.add(to);
            now.store(to.0, Ordering::SeqCst);
        })?;
        done.push(imported);
    }
    for rows in clock::anchors(&span) {
        writer.append("recorder.anchor", rows)?;
    }
    let losses: Vec<_> = done.iter().flat_map(|f| clock::losses(f, &span)).collect();
    if !losses.is_empty() {
        let mut rows = Columns::new(&coldcase_model::events::Loss::DEF);
        losses.into_iter().for_each(|loss| loss.push(&mut rows));
        writer.append("recorder.loss", rows)?;
    }
    Ok((done, span))
}

/// Options under which the same files give the same bytes: chunks are cut by size, times are those of the files.
fn writer_options(inputs: &[Input], now: &Arc<AtomicI64>) -> WriterOptions {
    let now = now.clone();
    WriterOptions {
        chunk_time: Duration::from_secs(3600),
        id: Some(format::id(inputs)),
        now: Arc::new(move || Utc(now.load(Ordering::SeqCst))),
        ..WriterOptions::default()
    }
}

fn manifest(files: &[Imported], options: &Options) -> Manifest {
    let mut sources: Vec<SourceEntry> = Vec::new();
    for f in files {
        let problem = f.problem.as_ref().map(|p| format!("{}: {p}", f.path.display()));
        let at = sources.iter().position(|s| s.name == f.stream).unwrap_or_else(|| {
            let status = SourceStatus::Recorded;
            let name = f.stream.to_owned();
            sources.push(SourceEntry { name, status, reason: String::new(), hint: String::new() });
            sources.len() - 1
        });
        if let Some((source, problem)) = sources.get_mut(at).zip(problem) {
            source.status = SourceStatus::Failed;
            if source.reason.is_empty() {
                source.reason = problem;
            }
        }
    }
    let mut losses: Vec<LossTotal> = Vec::new();
    for loss in files.iter().flat_map(|f| clock::losses(f, &Span::default())) {
        let same = |t: &&mut LossTotal| t.source == loss.source && t.reason == loss.reason;
        match losses.iter_mut().find(same) {
            Some(total) => {
                total.count = total.count.saturating_add(loss.count);
                total.bytes = total.bytes.saturating_add(loss.bytes);
            }
            None => losses.push(LossTotal {
                source: loss.source,
                class: loss.class,
                reason: loss.reason,
                count: loss.count,
                bytes: loss.bytes,
            }),
        }
    }
    Manifest {
        tool: format!("coldcase {}", env!("CARGO_PKG_VERSION")),
        command: options.command.clone(),
        sources,
        losses,
        clock: "unknown".into(),
        ended: "end of file".into(),
        ..Manifest::default()
    }
}
