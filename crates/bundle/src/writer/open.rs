//! The open chunk of a class: rows that wait for the next cut.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use coldcase_model::{Columns, Utc};

use super::options::RawMessage;
use super::pack::{Body, Item};
use super::registry::StreamDef;
use crate::error::WriteError;

/// A batch is closed when it has this many rows.
const BATCH_ROWS: usize = 8192;

/// What waits for the next cut of a class.
#[derive(Debug, Default)]
pub(crate) struct OpenChunk {
    /// Numbers that streams begin with, where not 0.
    first_rows: Arc<BTreeMap<String, u64>>,
    streams: Vec<OpenStream>,
    by_name: HashMap<Arc<str>, usize>,
    closed: Vec<Item>,
    /// Bytes in memory of what waits.
    pub(crate) bytes: usize,
    /// When its oldest row came.
    pub(crate) since: Option<Instant>,
}

#[derive(Debug)]
struct OpenStream {
    def: Arc<StreamDef>,
    rows: Option<Columns>,
    next_row: u64,
    taken: u64,
}

impl OpenChunk {
    /// Empty; streams are numbered from `first_rows` on.
    pub(crate) fn new(first_rows: Arc<BTreeMap<String, u64>>) -> OpenChunk {
        OpenChunk { first_rows, ..OpenChunk::default() }
    }

    fn stream(&mut self, def: &Arc<StreamDef>) -> &mut OpenStream {
        let at = *self.by_name.entry(def.name.clone()).or_insert_with(|| {
            let next_row = self.first_rows.get(&*def.name).copied().unwrap_or(0);
            self.streams.push(OpenStream { def: def.clone(), rows: None, next_row, taken: 0 });
            self.streams.len() - 1
        });
        &mut self.streams[at]
    }

    /// Adds rows to the batch of their stream.
    pub(crate) fn push_rows(&mut self, def: &Arc<StreamDef>, rows: Columns, now: Utc) -> Result<(), WriteError> {
        let misfit = |e: coldcase_model::ColumnsError| WriteError::Columns {
            stream: def.name.to_string(),
            reason: e.to_string(),
        };
        let bytes = rows.bytes();
        let open = self.stream(def);
        open.taken += rows.len() as u64;
        match &mut open.rows {
            Some(waiting) => waiting.append(rows).map_err(misfit)?,
            None => open.rows = Some(rows),
        }
        let full = open.rows.as_ref().is_some_and(|r| r.len() >= BATCH_ROWS);
        if full {
            let item = open.close(now);
            self.closed.extend(item);
        }
        self.bytes += bytes;
        self.since.get_or_insert_with(Instant::now);
        Ok(())
    }

    /// Adds a raw message; its number.
    pub(crate) fn push_raw(&mut self, def: &Arc<StreamDef>, message: RawMessage) -> Result<u64, WriteError> {
        let open = self.stream(def);
        let number = open.next_row;
        if number > u64::from(u32::MAX) {
            return Err(WriteError::Full(format!("{}: messages", def.name)));
        }
        open.next_row += 1;
        open.taken += 1;
        self.bytes += message.bytes.len() + 64;
        self.closed.push(Item {
            def: def.clone(),
            first_row: number,
            log_time: message.log_time,
            body: Body::Raw(message),
        });
        self.since.get_or_insert_with(Instant::now);
        Ok(number)
    }

    /// Everything that waits, in the order in which batches were closed; `None` when nothing does.
    pub(crate) fn take(&mut self, now: Utc) -> Option<(Vec<Item>, Instant)> {
        let since = self.since.take()?;
        let mut items = std::mem::take(&mut self.closed);
        items.extend(self.streams.iter_mut().filter_map(|s| s.close(now)));
        self.bytes = 0;
        Some((items, since))
    }

    /// Rows taken in so far, by stream.
    pub(crate) fn taken(&self) -> impl Iterator<Item = (&str, u64)> {
        self.streams.iter().map(|s| (s.def.name.as_ref(), s.taken))
    }
}

impl OpenStream {
    fn close(&mut self, now: Utc) -> Option<Item> {
        let rows = self.rows.as_mut()?;
        if rows.is_empty() {
            return None;
        }
        let rows = rows.take();
        let first_row = self.next_row;
        self.next_row += rows.len() as u64;
        Some(Item { def: self.def.clone(), first_row, log_time: now, body: Body::Rows(rows) })
    }
}
