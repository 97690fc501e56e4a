//! Columns: the rows of one stream, field by field. The same type is filled by the recorder and read by the reader.

use crate::event::{EventDef, Layout};
use crate::field::{FieldType, Ip};
use crate::intern::Index;

/// The values of one field for a run of rows.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)] // the variants are the field types
pub enum Column {
    U8(Vec<u8>),
    U16(Vec<u16>),
    U32(Vec<u32>),
    U64(Vec<u64>),
    I32(Vec<i32>),
    I64(Vec<i64>),
    F64(Vec<f64>),
    Ip(Vec<Ip>),
    Text(TextColumn),
    Stack(StackColumn),
}

impl Column {
    /// An empty column for a field type.
    pub fn new(ty: FieldType) -> Column {
        match ty {
            FieldType::U8 => Column::U8(Vec::new()),
            FieldType::U16 => Column::U16(Vec::new()),
            FieldType::U32 => Column::U32(Vec::new()),
            FieldType::U64 => Column::U64(Vec::new()),
            FieldType::I32 => Column::I32(Vec::new()),
            FieldType::I64 => Column::I64(Vec::new()),
            FieldType::F64 => Column::F64(Vec::new()),
            FieldType::Ip => Column::Ip(Vec::new()),
            FieldType::Comm | FieldType::Text => Column::Text(TextColumn::default()),
            FieldType::Stack => Column::Stack(StackColumn::default()),
        }
    }

    /// A column of `rows` zeros, or empty texts and stacks.
    fn zeros(ty: FieldType, rows: usize) -> Column {
        match Column::new(ty) {
            Column::U8(_) => Column::U8(vec![0; rows]),
            Column::U16(_) => Column::U16(vec![0; rows]),
            Column::U32(_) => Column::U32(vec![0; rows]),
            Column::U64(_) => Column::U64(vec![0; rows]),
            Column::I32(_) => Column::I32(vec![0; rows]),
            Column::I64(_) => Column::I64(vec![0; rows]),
            Column::F64(_) => Column::F64(vec![0.0; rows]),
            Column::Ip(_) => Column::Ip(vec![Ip::default(); rows]),
            Column::Text(_) => Column::Text(TextColumn::from_parts(vec![0; rows], vec![Box::default()])),
            Column::Stack(_) => Column::Stack(StackColumn::from_parts(vec![0; rows], vec![Box::default()])),
        }
    }

    /// How many rows it holds.
    pub fn len(&self) -> usize {
        match self {
            Column::U8(v) => v.len(),
            Column::U16(v) => v.len(),
            Column::U32(v) => v.len(),
            Column::U64(v) => v.len(),
            Column::I32(v) => v.len(),
            Column::I64(v) => v.len(),
            Column::F64(v) => v.len(),
            Column::Ip(v) => v.len(),
            Column::Text(c) => c.ids.len(),
            Column::Stack(c) => c.ids.len(),
        }
    }

    /// Whether it holds no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// An integer cell widened to `i128`, or `None` for what is not an integer.
    pub fn int(&self, row: usize) -> Option<i128> {
        Some(match self {
            Column::U8(v) => i128::from(*v.get(row)?),
            Column::U16(v) => i128::from(*v.get(row)?),
            Column::U32(v) => i128::from(*v.get(row)?),
            Column::U64(v) => i128::from(*v.get(row)?),
            Column::I32(v) => i128::from(*v.get(row)?),
            Column::I64(v) => i128::from(*v.get(row)?),
            _ => return None,
        })
    }
}

/// Texts, interned: `ids[row]` indexes the entries.
#[derive(Debug, Clone, Default)]
pub struct TextColumn {
    /// Per row, the index of its entry.
    pub ids: Vec<u32>,
    /// The distinct values, in order of first appearance.
    pub entries: Vec<Box<[u8]>>,
    index: Index,
}

impl PartialEq for TextColumn {
    fn eq(&self, other: &Self) -> bool {
        self.ids == other.ids && self.entries == other.entries
    }
}

impl TextColumn {
    /// A column as a reader gets it. Every id must index an entry: the caller checked.
    pub fn from_parts(ids: Vec<u32>, entries: Vec<Box<[u8]>>) -> Self {
        TextColumn { ids, entries, index: Index::default() }
    }

    /// Appends a row.
    pub fn push(&mut self, value: &[u8]) {
        let id = self.intern(value);
        self.ids.push(id);
    }

    /// The id of a value, which becomes an entry if it is none yet.
    fn intern(&mut self, value: &[u8]) -> u32 {
        self.index.intern(&mut self.entries, value)
    }

    /// The bytes of a row; empty where the row does not exist.
    pub fn get(&self, row: usize) -> &[u8] {
        self.ids.get(row).and_then(|&id| self.entries.get(id as usize)).map_or(&[], |e| e)
    }

    /// The text of a row, with invalid UTF-8 replaced. Captured text is hostile: escape it before showing it.
    pub fn text(&self, row: usize) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(self.get(row))
    }
}

/// Stacks, interned: `ids[row]` indexes the entries.
#[derive(Debug, Clone, Default)]
pub struct StackColumn {
    /// Per row, the index of its entry.
    pub ids: Vec<u32>,
    /// The distinct stacks, in order of first appearance; raw addresses, leaf first.
    pub entries: Vec<Box<[u64]>>,
    index: Index,
}

impl PartialEq for StackColumn {
    fn eq(&self, other: &Self) -> bool {
        self.ids == other.ids && self.entries == other.entries
    }
}

impl StackColumn {
    /// A column as a reader gets it. Every id must index an entry: the caller checked.
    pub fn from_parts(ids: Vec<u32>, entries: Vec<Box<[u64]>>) -> Self {
        StackColumn { ids, entries, index: Index::default() }
    }

    /// Appends a row.
    pub fn push(&mut self, frames: &[u64]) {
        let id = self.intern(frames);
        self.ids.push(id);
    }

    /// The id of a stack, which becomes an entry if it is none yet.
    fn intern(&mut self, frames: &[u64]) -> u32 {
        self.index.intern(&mut self.entries, frames)
    }

    /// The frames of a row; empty where there are none.
    pub fn get(&self, row: usize) -> &[u64] {
        self.ids.get(row).and_then(|&id| self.entries.get(id as usize)).map_or(&[], |e| e)
    }
}

/// Why raw bytes are not rows of an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum ColumnsError {
    #[error("{stream}: kernel event of {got} bytes, expected at least {expected}")]
    Short { stream: &'static str, got: usize, expected: usize },
    #[error("{stream}: a stack claims {claimed} frames, {left} follow")]
    Frames { stream: &'static str, claimed: usize, left: usize },
    #[error("{stream}: texts claim {claimed} bytes, {left} follow")]
    Texts { stream: &'static str, claimed: usize, left: usize },
    #[error("{stream}: no column {column} of the expected type")]
    Missing { stream: &'static str, column: &'static str },
    #[error("columns differ in length: {0}")]
    Ragged(String),
}

/// Rows of one stream, column by column.
#[derive(Debug, Clone, PartialEq)]
pub struct Columns {
    /// Field names in definition order; a newer writer may have appended some that this build does not know.
    pub names: Vec<std::borrow::Cow<'static, str>>,
    /// One column per name, all of one length.
    pub columns: Vec<Column>,
    rows: usize,
}

impl Columns {
    /// No rows yet, the columns of `def`.
    pub fn new(def: &EventDef) -> Columns {
        Columns {
            names: def.fields.iter().map(|f| f.name.into()).collect(),
            columns: def.fields.iter().map(|f| Column::new(f.ty)).collect(),
            rows: 0,
        }
    }

    /// Columns as decoded; refuses columns of differing length.
    pub fn from_parts(
        names: Vec<std::borrow::Cow<'static, str>>,
        columns: Vec<Column>,
    ) -> Result<Columns, ColumnsError> {
        let rows = columns.first().map_or(0, Column::len);
        if names.len() != columns.len() {
            return Err(ColumnsError::Ragged(format!("{} names, {} columns", names.len(), columns.len())));
        }
        if let Some(i) = columns.iter().position(|c| c.len() != rows) {
            return Err(ColumnsError::Ragged(format!("{} has {}, the first has {rows}", names[i], columns[i].len())));
        }
        Ok(Columns { names, columns, rows })
    }

    /// Adds what `def` has and these columns lack, as zero or empty: rows of an older writer, from before a field
    /// was appended.
    pub fn complete(mut self, def: &EventDef) -> Columns {
        for field in def.fields.iter().filter(|f| self.get(f.name).is_none()).collect::<Vec<_>>() {
            self.names.push(field.name.into());
            self.columns.push(Column::zeros(field.ty, self.rows));
        }
        self
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The column of a field.
    pub fn get(&self, name: &str) -> Option<&Column> {
        self.names.iter().position(|n| n == name).map(|i| &self.columns[i])
    }

    /// Called by [`crate::Event::push`] after it pushed one value into each column.
    pub fn row_pushed(&mut self) {
        self.rows += 1;
    }

    /// Appends one kernel event: the fixed part as `def` lays it out, then the frames of its stacks, then its texts.
    /// On an error nothing is appended.
    pub fn push_kernel(&mut self, def: &EventDef, raw: &[u8]) -> Result<(), ColumnsError> {
        let Layout::Kernel { size } = def.layout else {
            return Err(ColumnsError::Missing { stream: def.stream, column: "a kernel layout" });
        };
        if raw.len() < size {
            return Err(ColumnsError::Short { stream: def.stream, got: raw.len(), expected: size });
        }
        let tail = &raw[size..];
        let claimed = |ty: FieldType| -> usize {
            let of_type = def.fields.iter().filter(|f| f.ty == ty);
            of_type.map(|f| u32::from_le_bytes(array(raw, f.offset)) as usize).sum()
        };
        let (depth, left) = (claimed(FieldType::Stack), tail.len() / 8);
        if depth > left {
            return Err(ColumnsError::Frames { stream: def.stream, claimed: depth, left });
        }
        let (frames, mut texts) = tail.split_at(depth * 8);
        let length = claimed(FieldType::Text);
        if length > texts.len() {
            return Err(ColumnsError::Texts { stream: def.stream, claimed: length, left: texts.len() });
        }
        let mut frames = frames.chunks_exact(8).map(|c| u64::from_le_bytes(array(c, 0)));
        let mut stack = Vec::new();
        for (field, column) in def.fields.iter().zip(&mut self.columns) {
            let at = field.offset;
            match column {
                Column::U8(v) => v.push(raw[at]),
                Column::U16(v) => v.push(u16::from_le_bytes(array(raw, at))),
                Column::U32(v) => v.push(u32::from_le_bytes(array(raw, at))),
                Column::U64(v) => v.push(u64::from_le_bytes(array(raw, at))),
                Column::I32(v) => v.push(i32::from_le_bytes(array(raw, at))),
                Column::I64(v) => v.push(i64::from_le_bytes(array(raw, at))),
                Column::F64(v) => v.push(f64::from_le_bytes(array(raw, at))),
                Column::Ip(v) => v.push(Ip(array(raw, at))),
                Column::Text(c) if field.ty == FieldType::Comm => {
                    c.push(crate::field::Comm(array(raw, at)).as_bytes());
                }
                Column::Text(c) => {
                    let (text, rest) = texts.split_at(u32::from_le_bytes(array(raw, at)) as usize);
                    c.push(text);
                    texts = rest;
                }
                Column::Stack(c) => {
                    let depth = u32::from_le_bytes(array(raw, at)) as usize;
                    stack.clear();
                    stack.extend(frames.by_ref().take(depth));
                    c.push(&stack);
                }
            }
        }
        self.rows += 1;
        Ok(())
    }

    /// Appends the rows of `other`, whose columns must have the same names and types. On an error nothing is appended.
    pub fn append(&mut self, other: Columns) -> Result<(), ColumnsError> {
        if self.names != other.names {
            return Err(ColumnsError::Ragged("other column names".into()));
        }
        if let Some(i) = (0..self.columns.len()).find(|&i| !self.columns[i].same_type(&other.columns[i])) {
            return Err(ColumnsError::Ragged(format!("{} is of another type", self.names[i])));
        }
        for (to, from) in self.columns.iter_mut().zip(other.columns) {
            to.append(from);
        }
        self.rows += other.rows;
        Ok(())
    }

    /// The rows of a range, within the rows that there are. Dictionaries keep only what the rows use.
    pub fn slice(&self, range: std::ops::Range<usize>) -> Columns {
        let range = range.start.min(self.rows)..range.end.min(self.rows);
        Columns {
            names: self.names.clone(),
            columns: self.columns.iter().map(|c| c.slice(range.clone())).collect(),
            rows: range.len(),
        }
    }

    /// Bytes that the values take in memory, dictionaries included.
    pub fn bytes(&self) -> usize {
        self.columns.iter().map(Column::bytes).sum()
    }

    /// Empties the columns and keeps their shape, for the next batch.
    pub fn take(&mut self) -> Columns {
        let empty = Columns {
            names: self.names.clone(),
            columns: self.columns.iter().map(Column::empty_like).collect(),
            rows: 0,
        };
        std::mem::replace(self, empty)
    }
}

impl Column {
    fn same_type(&self, other: &Column) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }

    /// Appends the rows of a column of the same type.
    fn append(&mut self, other: Column) {
        match (self, other) {
            (Column::U8(a), Column::U8(b)) => a.extend(b),
            (Column::U16(a), Column::U16(b)) => a.extend(b),
            (Column::U32(a), Column::U32(b)) => a.extend(b),
            (Column::U64(a), Column::U64(b)) => a.extend(b),
            (Column::I32(a), Column::I32(b)) => a.extend(b),
            (Column::I64(a), Column::I64(b)) => a.extend(b),
            (Column::F64(a), Column::F64(b)) => a.extend(b),
            (Column::Ip(a), Column::Ip(b)) => a.extend(b),
            (Column::Text(a), Column::Text(b)) => {
                let ids: Vec<u32> = b.entries.iter().map(|e| a.intern(e)).collect();
                a.ids.extend(b.ids.iter().map(|&id| ids[id as usize]));
            }
            (Column::Stack(a), Column::Stack(b)) => {
                let ids: Vec<u32> = b.entries.iter().map(|e| a.intern(e)).collect();
                a.ids.extend(b.ids.iter().map(|&id| ids[id as usize]));
            }
            _ => {}
        }
    }

    fn slice(&self, range: std::ops::Range<usize>) -> Column {
        match self {
            Column::U8(v) => Column::U8(v[range].to_vec()),
            Column::U16(v) => Column::U16(v[range].to_vec()),
            Column::U32(v) => Column::U32(v[range].to_vec()),
            Column::U64(v) => Column::U64(v[range].to_vec()),
            Column::I32(v) => Column::I32(v[range].to_vec()),
            Column::I64(v) => Column::I64(v[range].to_vec()),
            Column::F64(v) => Column::F64(v[range].to_vec()),
            Column::Ip(v) => Column::Ip(v[range].to_vec()),
            Column::Text(c) => {
                let mut out = TextColumn::default();
                range.for_each(|row| out.push(c.get(row)));
                Column::Text(out)
            }
            Column::Stack(c) => {
                let mut out = StackColumn::default();
                range.for_each(|row| out.push(c.get(row)));
                Column::Stack(out)
            }
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Column::U8(v) => v.len(),
            Column::U16(v) => v.len() * 2,
            Column::U32(v) => v.len() * 4,
            Column::U64(v) => v.len() * 8,
            Column::I32(v) => v.len() * 4,
            Column::I64(v) => v.len() * 8,
            Column::F64(v) => v.len() * 8,
            Column::Ip(v) => v.len() * 16,
            Column::Text(c) => c.ids.len() * 4 + c.entries.iter().map(|e| e.len() + 4).sum::<usize>(),
            Column::Stack(c) => c.ids.len() * 4 + c.entries.iter().map(|e| e.len() * 8 + 4).sum::<usize>(),
        }
    }

    fn empty_like(&self) -> Column {
        match self {
            Column::U8(v) => Column::U8(Vec::with_capacity(v.len())),
            Column::U16(v) => Column::U16(Vec::with_capacity(v.len())),
            Column::U32(v) => Column::U32(Vec::with_capacity(v.len())),
            Column::U64(v) => Column::U64(Vec::with_capacity(v.len())),
            Column::I32(v) => Column::I32(Vec::with_capacity(v.len())),
            Column::I64(v) => Column::I64(Vec::with_capacity(v.len())),
            Column::F64(v) => Column::F64(Vec::with_capacity(v.len())),
            Column::Ip(v) => Column::Ip(Vec::with_capacity(v.len())),
            Column::Text(_) => Column::Text(TextColumn::default()),
            Column::Stack(_) => Column::Stack(StackColumn::default()),
        }
    }
}

/// `N` bytes at `at`; the caller checked that they are there.
fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, unreachable_pub, dead_code)]
    use crate::{Columns, ColumnsError, Event, StackDepth, TextLen};

    crate::event! {
        /// Somebody rang, and said something.
        kernel Ring: kind 60001, stream "door.said", class Recorder {
            /// When.
            time: u64 [BootNs],
            /// Whence.
            stack: StackDepth [None],
            /// What was said.
            said: TextLen [None],
            /// To whom.
            whom: TextLen [None],
            /// Zero.
            reserved: u32 [None],
        }
    }

    /// An event that claims so many frames and bytes, and has this tail.
    fn event(frames: u32, said: u32, whom: u32, tail: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 16 + 8];
        for word in [frames, said, whom, 0] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(tail);
        bytes
    }

    #[test]
    fn texts_of_a_kernel_event_follow_its_frames_in_field_order() {
        let mut rows = Columns::new(&Ring::DEF);
        let tail = [&1u64.to_le_bytes()[..], &2u64.to_le_bytes(), b"helloyou", b"padding"].concat();
        rows.push_kernel(&Ring::DEF, &event(2, 5, 3, &tail)).unwrap();
        rows.push_kernel(&Ring::DEF, &event(0, 0, 0, &[])).unwrap();
        rows.push_kernel(&Ring::DEF, &event(0, 2, 0, b"\xff\0")).unwrap();
        let c = Ring::cols(&rows).unwrap();
        assert_eq!((c.stack.get(0), c.said.get(0), c.whom.get(0)), (&[1, 2][..], &b"hello"[..], &b"you"[..]));
        assert_eq!((c.stack.get(1).len(), c.said.get(1), c.whom.get(1)), (0, &b""[..], &b""[..]));
        assert_eq!(c.said.get(2), b"\xff\0");
    }

    #[test]
    fn lengths_that_the_tail_does_not_have_are_refused_and_nothing_is_appended() {
        let mut rows = Columns::new(&Ring::DEF);
        let most = u32::MAX;
        for (frames, said, whom, tail) in [
            (0, 1, 0, &b""[..]),
            (0, 3, 3, b"12345"),
            (0, most, most, b"12345678"),
            (1, 1, 0, b"12345678"),
            (most, most, most, b"12345678"),
            (2, 0, 0, b"123456789012345"),
        ] {
            let e = rows.push_kernel(&Ring::DEF, &event(frames, said, whom, tail)).unwrap_err();
            assert!(matches!(e, ColumnsError::Texts { .. } | ColumnsError::Frames { .. }), "{e}");
        }
        assert!(rows.push_kernel(&Ring::DEF, &event(0, 0, 0, &[])[..39]).is_err());
        assert!(rows.is_empty() && rows.columns.iter().all(|c| c.is_empty()));
    }

    #[test]
    fn rows_of_an_older_writer_get_what_was_appended_since_as_nothing() {
        let mut rows = Columns::new(&Ring::DEF);
        rows.push_kernel(&Ring::DEF, &event(0, 2, 0, b"hi")).unwrap();
        let old = Columns::from_parts(rows.names[..3].to_vec(), rows.columns[..3].to_vec()).unwrap();
        assert!(Ring::cols(&old).is_err());
        let complete = old.complete(&Ring::DEF);
        let c = Ring::cols(&complete).unwrap();
        assert_eq!((c.said.get(0), c.whom.get(0), c.reserved), (&b"hi"[..], &b""[..], &[0][..]));
    }
}
