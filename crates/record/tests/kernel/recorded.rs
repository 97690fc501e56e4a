//! A recording into a bundle while a command runs.

use std::ffi::OsString;
use std::path::Path;

use coldcase_bundle::{BatchBody, Bundle};
use coldcase_model::{Column, Columns, Event};
use coldcase_record::config::RecordConfig;
use coldcase_record::session::{Observer, Output, Plan, record};
use coldcase_record::sources;
use coldcase_record::summary::Progress;

/// Says nothing.
struct Quiet;

impl Observer for Quiet {
    fn remark(&mut self, _: &str) {}
    fn warning(&mut self, text: &str) {
        eprintln!("{text}");
    }
    fn live(&mut self, _: &[String]) {}
    fn tick(&mut self, _: &Progress) {}
}

/// What a recording brought.
pub(crate) struct Recorded {
    raw: Vec<u8>,
    batches: Vec<(String, BatchBody)>,
}

/// Records while the command runs. `None`, with the reason printed, where one of the sources cannot run.
pub(crate) fn recorded(config: RecordConfig, command: &[&str]) -> Option<Recorded> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.case");
    let output = Output::File { path: path.clone(), force: false };
    let child = Some(command.iter().map(OsString::from).collect());
    let required = config.only.clone();
    let plan = Plan { output, config: config.clone(), child, stdout_taken: false, command: vec!["test".into()] };
    let summary = match record(plan, sources::all(&config), &mut Quiet) {
        Ok(summary) => summary,
        Err(e) => {
            eprintln!("skipped: {e}");
            return None;
        }
    };
    if let Some(source) = summary.manifest.sources.iter().find(|s| required.contains(&s.name) && !s.reason.is_empty()) {
        eprintln!("skipped: {}: {}", source.name, source.reason);
        return None;
    }
    Some(Recorded::read(&path))
}

impl Recorded {
    fn read(path: &Path) -> Recorded {
        let bundle = Bundle::open(path).unwrap();
        let batches = (0..bundle.chunks().len()).flat_map(|i| bundle.read_chunk(i, &|_| true).unwrap());
        let batches = batches.map(|b| (b.stream.to_string(), b.body)).collect();
        Recorded { raw: std::fs::read(path).unwrap(), batches }
    }

    /// Gives the typed columns of each batch of a kind.
    pub(crate) fn each<E: Event>(&self, mut take: impl FnMut(E::Cols<'_>, usize)) {
        for (stream, body) in &self.batches {
            if let (true, BatchBody::Columns(rows)) = (stream == E::DEF.stream, body) {
                take(E::cols(rows).unwrap(), rows.len());
            }
        }
    }

    /// Whether these bytes stand anywhere: in the file as it is, or in what its chunks hold.
    pub(crate) fn holds(&self, secret: &str) -> bool {
        let secret = secret.as_bytes();
        let has = |bytes: &[u8]| bytes.windows(secret.len()).any(|w| w == secret);
        let in_columns = |rows: &Columns| {
            let texts = rows.columns.iter().filter_map(|c| if let Column::Text(t) = c { Some(t) } else { None });
            texts.flat_map(|t| (0..rows.len()).map(move |i| t.get(i))).any(has)
        };
        has(&self.raw)
            || self.batches.iter().any(|(_, body)| match body {
                BatchBody::Columns(rows) => in_columns(rows),
                BatchBody::Raw(bytes) => has(bytes),
            })
    }
}
