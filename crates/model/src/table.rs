//! Plain result rows that a report renders. No polars type comes in here.

use serde::{Deserialize, Serialize};

/// One value of a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Cell {
    /// Nothing known.
    Null,
    /// Yes or no.
    Bool(bool),
    /// An unsigned integer.
    Uint(u64),
    /// A signed integer.
    Int(i64),
    /// A number.
    Float(f64),
    /// Text; hostile where it was captured: renderers escape it.
    Text(String),
}

impl From<u64> for Cell {
    fn from(v: u64) -> Self {
        Cell::Uint(v)
    }
}
impl From<i64> for Cell {
    fn from(v: i64) -> Self {
        Cell::Int(v)
    }
}
impl From<f64> for Cell {
    /// NaN and infinities have no place in an output: they become [`Cell::Null`].
    fn from(v: f64) -> Self {
        if v.is_finite() { Cell::Float(v) } else { Cell::Null }
    }
}
impl From<String> for Cell {
    fn from(v: String) -> Self {
        Cell::Text(v)
    }
}
impl From<&str> for Cell {
    fn from(v: &str) -> Self {
        Cell::Text(v.to_owned())
    }
}
impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(v: Option<T>) -> Self {
        v.map_or(Cell::Null, Into::into)
    }
}

/// How a column is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Show {
    /// As it is.
    Plain,
    /// Nanoseconds, shown as a duration.
    Duration,
    /// UTC nanoseconds, shown relative to the bundle's start.
    Time,
    /// Bytes, shown with a binary unit.
    Bytes,
    /// 0 to 1, shown as a percentage.
    Share,
}

/// A column's head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableColumn {
    /// Name in snake case.
    pub name: String,
    /// How it is shown.
    pub show: Show,
}

/// A plain table.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Table {
    /// Name in snake case.
    pub name: String,
    /// The columns.
    pub columns: Vec<TableColumn>,
    /// The rows; each as long as `columns`.
    pub rows: Vec<Vec<Cell>>,
}

impl Table {
    /// An empty table with these columns.
    pub fn new(name: &str, columns: &[(&str, Show)]) -> Table {
        Table {
            name: name.into(),
            columns: columns.iter().map(|&(name, show)| TableColumn { name: name.into(), show }).collect(),
            rows: Vec::new(),
        }
    }
}
