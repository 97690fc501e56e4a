//! Findings and tables to terminal text, HTML, SVG and JSON.
//!
//! The whole input is [`Analysis`]: nothing here reads a bundle. The same analysis gives the same bytes. Every text in
//! it may be captured text, and captured text is hostile: it is escaped for each place it goes to.

mod axis;
mod canvas;
mod compare;
mod facts;
mod findings;
mod flame;
mod flow;
mod flow_layout;
mod html;
mod latency;
mod moves;
mod palette;
mod sequence;
mod strip;
mod talkers;
pub mod terminal;
mod text;
mod waterfall;
mod waterfall_text;

use std::path::{Path, PathBuf};

use coldcase_model::analysis::{Analysis, Sequence, TraceView};

pub use compare::{compare_explained, compare_github, compare_html, compare_junit, compare_markdown, compare_text};
pub use findings::{SCHEMA, json as findings_json};
pub use html::page as report_html;

/// Names of the files that [`render_all`] writes.
pub const FILES: [&str; 5] = ["report.html", "flame.svg", "latency.svg", "flow.svg", "findings.json"];

/// Why a report could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A file could not be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A picture or document could not be drawn.
    #[error("cannot draw {what}: {why}")]
    Draw {
        /// Which.
        what: String,
        /// Why.
        why: String,
    },
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Written {
    /// The files, in the order of [`FILES`].
    pub files: Vec<PathBuf>,
    /// Their size together.
    pub bytes: u64,
}

/// Writes all files of the report into a folder, which is made if it is not there. Files of those names are replaced.
///
/// # Errors
/// When a file cannot be written.
pub fn render_all(a: &Analysis, dir: &Path) -> Result<Written, ReportError> {
    std::fs::create_dir_all(dir).map_err(|source| ReportError::Write { path: dir.to_owned(), source })?;
    let mut written = Written::default();
    let texts = [report_html(a)?, flame_svg(a)?, latency_svg(a)?, flow_svg(a)?, findings_json(a)?];
    for (name, text) in FILES.iter().zip(texts) {
        let path = dir.join(name);
        std::fs::write(&path, &text).map_err(|source| ReportError::Write { path: path.clone(), source })?;
        written.bytes += text.len() as u64;
        written.files.push(path);
    }
    Ok(written)
}

/// The flame graphs, on-CPU and off-CPU, as one SVG that zooms and searches by itself.
///
/// # Errors
/// When the graph cannot be drawn.
pub fn flame_svg(a: &Analysis) -> Result<String, ReportError> {
    flame::svg(a)
}

/// Heat maps of latency over time, as SVG.
///
/// # Errors
/// When the picture cannot be drawn.
pub fn latency_svg(a: &Analysis) -> Result<String, ReportError> {
    latency::svg(a)
}

/// Who talks to whom, as SVG.
///
/// # Errors
/// When the picture cannot be drawn.
pub fn flow_svg(a: &Analysis) -> Result<String, ReportError> {
    flow::svg(a, canvas::Skin::File)
}

/// The segments of one connection over time, as SVG. `sequence` is one of the analysis.
///
/// # Errors
/// When the picture cannot be drawn.
pub fn sequence_svg(a: &Analysis, sequence: &Sequence) -> Result<String, ReportError> {
    sequence::svg(a, sequence, canvas::Skin::File)
}

/// The spans of one trace over time, as SVG.
///
/// # Errors
/// When the picture cannot be drawn.
pub fn trace_svg(view: &TraceView) -> Result<String, ReportError> {
    waterfall::svg(view, canvas::Skin::File)
}

/// What is known of the clocks of a trace's senders, in sentences.
pub fn trace_clocks(view: &TraceView) -> Vec<String> {
    waterfall::clocks(view)
}
