//! The tables of a bundle: which there are, and how they are read.

use std::any::Any;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use coldcase_model::{EventDef, catalogue};
use coldcase_timeline::{Options, StreamSet, Timeline, TimelineError};
use polars::prelude::*;

use crate::frame::Ask;
use crate::{decoded, stream};

/// Why a table cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// There is no timeline of the bundle.
    #[error(transparent)]
    Timeline(#[from] TimelineError),
    /// There is no such table.
    #[error("no table {name}; there are {}", known.join(", "))]
    Unknown {
        /// The name.
        name: String,
        /// The tables that there are.
        known: Vec<String>,
    },
    /// Polars refused.
    #[error("table {name}: {why}")]
    Polars {
        /// The table.
        name: String,
        /// What polars said.
        why: String,
    },
}

/// The tables of one bundle.
#[derive(Clone)]
pub struct Tables {
    timeline: Arc<Timeline>,
}

impl Tables {
    /// Opens a bundle; the options choose streams, window and threads. Only the streams named there are decoded.
    pub fn open(path: &Path, options: &Options) -> Result<Tables, TableError> {
        Ok(Tables::of(Arc::new(Timeline::open(path, options)?)))
    }

    /// Opens a bundle and decodes only what the named tables need.
    pub fn open_only(path: &Path, tables: &[&str], options: &Options) -> Result<Tables, TableError> {
        let streams = tables.iter().flat_map(|t| streams_of(t));
        let options = Options { streams: StreamSet::named(streams), ..options.clone() };
        Tables::open(path, &options)
    }

    /// The tables of a timeline: of the streams that it loaded.
    pub fn of(timeline: Arc<Timeline>) -> Tables {
        Tables { timeline }
    }

    /// The timeline.
    pub fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// Names of the tables that have rows: those of streams, then the decoded ones.
    pub fn names(&self) -> Vec<String> {
        let loaded = self.timeline.streams().filter(|(_, s)| !s.is_empty()).map(|(name, _)| name.replace('.', "_"));
        let d = self.timeline.decoded();
        let filled = [
            ("spans", !d.spans.is_empty()),
            ("span_events", d.spans.iter().any(|s| !s.span.events.is_empty())),
            ("span_links", d.spans.iter().any(|s| !s.span.links.is_empty())),
            ("logs", !(d.lines.is_empty() && d.records.is_empty())),
            ("log_templates", !(d.lines.is_empty() && d.records.is_empty())),
            ("metrics", !(d.metrics.is_empty() && d.samples.is_empty())),
            ("exemplars", !d.exemplars.is_empty()),
            ("packets", !d.packets.is_empty()),
        ];
        loaded.chain(filled.iter().filter(|(_, filled)| *filled).map(|(name, _)| (*name).to_owned())).collect()
    }

    /// A table as a lazy frame: a query on it builds only the columns that it uses.
    pub fn scan(&self, name: &str) -> Result<LazyFrame, TableError> {
        let polars = |e: PolarsError| TableError::Polars { name: name.into(), why: e.to_string() };
        let schema = self.build(name, Ask::Schema)?.map_err(polars)?.schema().clone();
        let scan = Scan { tables: self.clone(), name: name.to_owned(), schema };
        let args = ScanArgsAnonymous { schema: Some(scan.schema.clone()), name: "bundle", ..Default::default() };
        LazyFrame::anonymous_scan(Arc::new(scan), args).map_err(polars)
    }

    /// Names of the columns of a table.
    pub fn columns(&self, name: &str) -> Result<Vec<String>, TableError> {
        let frame = self.build(name, Ask::Schema)?;
        let frame = frame.map_err(|e| TableError::Polars { name: name.into(), why: e.to_string() })?;
        Ok(frame.get_column_names().iter().map(|n| n.to_string()).collect())
    }

    /// The columns of a table that are among `words`; one at least.
    pub(crate) fn frame_with(&self, name: &str, words: &BTreeSet<String>) -> Result<DataFrame, TableError> {
        let polars = |e: PolarsError| TableError::Polars { name: name.into(), why: e.to_string() };
        let all = self.columns(name)?;
        let mut wanted: Vec<PlSmallStr> = all.iter().filter(|c| words.contains(*c)).map(|c| c.into()).collect();
        if wanted.is_empty() {
            wanted.extend(all.first().map(|c| c.into()));
        }
        self.build(name, Ask::These(&wanted))?.map_err(polars)
    }

    /// A whole table.
    pub fn frame(&self, name: &str) -> Result<DataFrame, TableError> {
        self.build(name, Ask::All)?.map_err(|e| TableError::Polars { name: name.into(), why: e.to_string() })
    }

    fn build(&self, name: &str, ask: Ask<'_>) -> Result<PolarsResult<DataFrame>, TableError> {
        if let Some(frame) = decoded::frame(&self.timeline, name, ask) {
            return Ok(frame);
        }
        let Some((def, stream_name)) = definition(name) else {
            return Err(TableError::Unknown { name: name.into(), known: self.names() });
        };
        Ok(stream::frame(&self.timeline, def, self.timeline.segments(&stream_name), ask))
    }
}

/// The streams that a table comes from.
fn streams_of(table: &str) -> Vec<String> {
    match decoded::TABLES.iter().find(|(n, _)| *n == table) {
        Some((_, streams)) => streams.iter().map(|s| (*s).to_owned()).collect(),
        None => definition(table).map(|(_, stream)| stream).into_iter().collect(),
    }
}

/// The definition and the stream of a table's name.
fn definition(table: &str) -> Option<(&'static EventDef, String)> {
    let receipts = catalogue::RAW_STREAMS.iter().map(|r| r.receipts).find(|r| r.replace('.', "_") == table);
    if let Some(stream) = receipts {
        return catalogue::by_stream(stream).map(|def| (def, stream.to_owned()));
    }
    catalogue::CATALOGUE.iter().find(|d| d.table() == table).map(|d| (d, d.stream.to_owned()))
}

/// A table as polars scans it.
struct Scan {
    tables: Tables,
    name: String,
    schema: SchemaRef,
}

impl AnonymousScan for Scan {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn scan(&self, args: AnonymousScanArgs) -> PolarsResult<DataFrame> {
        let ask = args.with_columns.as_deref().map_or(Ask::All, Ask::These);
        let frame =
            self.tables.build(&self.name, ask).map_err(|e| PolarsError::ComputeError(e.to_string().into()))??;
        Ok(match args.n_rows {
            Some(n) => frame.head(Some(n)),
            None => frame,
        })
    }

    fn schema(&self, _: Option<usize>) -> PolarsResult<SchemaRef> {
        Ok(self.schema.clone())
    }

    fn allows_projection_pushdown(&self) -> bool {
        true
    }
}
