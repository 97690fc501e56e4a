//! Segments: runs of rows of one stream, in typed columns.

use std::borrow::Cow;

use coldcase_model::column::{StackColumn, TextColumn};
use coldcase_model::{Column, Columns, Event};

/// A run of rows of one stream, as one batch of the bundle held them.
#[derive(Debug, Clone)]
pub struct Segment {
    /// Number of the batch's first row in its stream.
    first_row: u64,
    /// Where rows were left out: the numbers of those that stayed.
    kept: Option<Vec<u64>>,
    /// The rows.
    pub columns: Columns,
}

impl Segment {
    /// A whole batch.
    pub fn new(first_row: u64, columns: Columns) -> Segment {
        Segment { first_row, kept: None, columns }
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// The number in its stream of the `i`-th row: what evidence cites.
    pub fn row(&self, i: usize) -> u64 {
        match &self.kept {
            Some(rows) => rows.get(i).copied().unwrap_or(u64::MAX),
            None => self.first_row.saturating_add(i as u64),
        }
    }

    /// Only the rows that `keep` wants, with their numbers.
    pub fn filter(self, keep: impl Fn(usize) -> bool) -> Segment {
        let stay: Vec<usize> = (0..self.len()).filter(|&i| keep(i)).collect();
        if stay.len() == self.len() {
            return self;
        }
        let kept = stay.iter().map(|&i| self.row(i)).collect();
        let columns = gather(&self.columns, &stay);
        Segment { first_row: self.first_row, kept: Some(kept), columns }
    }
}

/// The chosen rows of columns. Dictionaries are kept whole: ids stay as they are.
pub(crate) fn gather(columns: &Columns, rows: &[usize]) -> Columns {
    fn pick<T: Copy>(v: &[T], rows: &[usize]) -> Vec<T> {
        rows.iter().filter_map(|&i| v.get(i).copied()).collect()
    }
    let picked = columns
        .columns
        .iter()
        .map(|c| match c {
            Column::U8(v) => Column::U8(pick(v, rows)),
            Column::U16(v) => Column::U16(pick(v, rows)),
            Column::U32(v) => Column::U32(pick(v, rows)),
            Column::U64(v) => Column::U64(pick(v, rows)),
            Column::I32(v) => Column::I32(pick(v, rows)),
            Column::I64(v) => Column::I64(pick(v, rows)),
            Column::F64(v) => Column::F64(pick(v, rows)),
            Column::Ip(v) => Column::Ip(pick(v, rows)),
            Column::Text(c) => Column::Text(TextColumn::from_parts(pick(&c.ids, rows), c.entries.clone())),
            Column::Stack(c) => Column::Stack(StackColumn::from_parts(pick(&c.ids, rows), c.entries.clone())),
        })
        .collect();
    // Columns of one length, as they were: this cannot fail, and an empty set is the answer if it ever did.
    Columns::from_parts(columns.names.iter().map(|n| Cow::Owned(n.to_string())).collect(), picked)
        .unwrap_or_else(|_| columns.clone())
}

/// A segment's rows, typed.
pub struct Rows<'a, E: Event> {
    segment: &'a Segment,
    /// The columns, one slice a field.
    pub cols: E::Cols<'a>,
}

impl<'a, E: Event> Rows<'a, E> {
    /// The rows of a segment; `None` when it lacks a column that this build knows.
    pub fn new(segment: &'a Segment) -> Option<Rows<'a, E>> {
        E::cols(&segment.columns).ok().map(|cols| Rows { segment, cols })
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.segment.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.segment.is_empty()
    }

    /// The number in its stream of the `i`-th row: what evidence cites.
    pub fn row(&self, i: usize) -> u64 {
        self.segment.row(i)
    }
}
