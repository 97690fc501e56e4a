//! SQL over the tables of a bundle, in the dialect of polars.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;

use coldcase_model::catalogue;
use polars::prelude::*;
use polars::sql::SQLContext;

use crate::counting::{self, Counting};
use crate::decoded;
use crate::flow::FLOW_TABLES;
use crate::tables::{TableError, Tables};

/// Short names of tables, and what they stand for.
pub const ALIASES: [(&str, &str); 5] = [
    ("offcpu", "kernel_offcpu"),
    ("cpu_samples", "kernel_cpu_sample"),
    ("block_io", "kernel_block"),
    ("processes", "host_process"),
    ("losses", "recorder_loss"),
];

/// Why a query failed.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// A table could not be read.
    #[error(transparent)]
    Table(#[from] TableError),
    /// It is no SQL, or asks what there is not.
    #[error("{0}")]
    Sql(String),
}

/// A value of the answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// There is none.
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i128),
    /// A number.
    Float(f64),
    /// Text; captured text is in it as it is.
    Text(String),
}

/// What came of a query.
#[derive(Debug, Clone)]
pub struct Answer {
    frame: DataFrame,
}

/// The words of a query in lowercase: what it names is among them.
fn words(sql: &str) -> BTreeSet<String> {
    sql.split(|c: char| !(c.is_alphanumeric() || c == '_')).map(str::to_ascii_lowercase).collect()
}

/// The tables that a query may name: words of it that are names of tables, the real ones for the short ones.
pub fn tables_in(sql: &str) -> BTreeSet<String> {
    let words = words(sql);
    let decoded = decoded::TABLES.iter().map(|(name, _)| (*name).to_owned());
    let streams = catalogue::CATALOGUE.iter().map(|d| d.table());
    let short = ALIASES.iter().filter(|(short, _)| words.contains(*short)).map(|(_, name)| (*name).to_owned());
    decoded.chain(streams).filter(|name| words.contains(name)).chain(short).collect()
}

/// Whether a query may name a table that is made from packets.
pub fn names_flow(sql: &str) -> bool {
    let words = words(sql);
    FLOW_TABLES.iter().any(|name| words.contains(*name))
}

/// Whether all columns may be meant: a `*` that is not that of `count(*)`.
fn wants_all(sql: &str) -> bool {
    let tight: String = sql.chars().filter(|c| !c.is_whitespace()).collect();
    tight.to_ascii_lowercase().replace("count(*)", "").contains('*')
}

/// Asks the tables of a bundle, and `more` beside them. Only the tables and columns that the query names are built.
///
/// # Errors
/// When a table cannot be read or polars refuses the query.
pub fn query(tables: &Tables, more: Vec<(&str, DataFrame)>, sql: &str) -> Result<Answer, QueryError> {
    let sql = &counting::of_constants(sql);
    let counting = counting::of(sql);
    if counting == Counting::Nested {
        return Err(QueryError::Sql(
            "count(*) by itself in a query within a query: count a column there, such as count(utc)".to_owned(),
        ));
    }
    let mut context = SQLContext::new();
    let (words, all) = (words(sql), wants_all(sql));
    for name in tables_in(sql) {
        // Built at once, not scanned: polars 0.46 cannot push every projection of SQL into a scan.
        let frame = if all { tables.frame(&name)? } else { tables.frame_with(&name, &words)? };
        for (short, _) in ALIASES.iter().filter(|(_, real)| *real == name) {
            context.register(short, frame.clone().lazy());
        }
        context.register(&name, frame.lazy());
    }
    for (name, frame) in more {
        context.register(name, frame.lazy());
    }
    // A query is input, and polars panics on some.
    let answer = AssertUnwindSafe(|| context.execute(sql).and_then(LazyFrame::collect));
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let answer = std::panic::catch_unwind(answer);
    std::panic::set_hook(hook);
    match answer {
        Ok(Ok(frame)) => Ok(Answer { frame: counted(frame, counting) }),
        Ok(Err(e)) => Err(QueryError::Sql(said(&e))),
        Err(_) => Err(QueryError::Sql("polars cannot answer this query".to_owned())),
    }
}

/// One row, where only rows are counted; of none there is none, and that is 0.
fn counted(frame: DataFrame, counting: Counting) -> DataFrame {
    match counting {
        Counting::Alone { plain: true } if frame.height() == 0 => {
            let zero = |c: &Column| Column::new(c.name().clone(), [0u32]);
            DataFrame::new(frame.get_columns().iter().map(zero).collect()).unwrap_or(frame)
        }
        Counting::Alone { .. } => frame.head(Some(1)),
        _ => frame,
    }
}

/// What polars says, in one line and without its kind.
fn said(e: &PolarsError) -> String {
    let text = e.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("SQL error: ").unwrap_or(line).to_owned()
}

impl Answer {
    /// Names of the columns.
    pub fn columns(&self) -> Vec<String> {
        self.frame.get_column_names().iter().map(|n| n.to_string()).collect()
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.frame.height()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The values of a row; empty beyond the last.
    pub fn row(&self, at: usize) -> Vec<Cell> {
        self.frame.get_columns().iter().filter_map(|c| c.get(at).ok()).map(|v| cell(&v)).collect()
    }

    /// As polars has it.
    pub fn into_frame(self) -> DataFrame {
        self.frame
    }
}

fn cell(value: &AnyValue<'_>) -> Cell {
    match value {
        AnyValue::Null => Cell::Null,
        AnyValue::Boolean(b) => Cell::Bool(*b),
        AnyValue::String(s) => Cell::Text((*s).to_owned()),
        AnyValue::StringOwned(s) => Cell::Text(s.to_string()),
        AnyValue::Float32(f) => Cell::Float(f64::from(*f)),
        AnyValue::Float64(f) => Cell::Float(*f),
        other => match other.extract::<i128>() {
            Some(n) => Cell::Int(n),
            None => Cell::Text(other.to_string()),
        },
    }
}
