//! A table under construction: named columns, of which only the wanted ones are built.

use polars::prelude::*;

/// What is asked of a table.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ask<'a> {
    /// All columns.
    All,
    /// These columns.
    These(&'a [PlSmallStr]),
    /// Names and types of the columns, no rows.
    Schema,
}

/// Builds the wanted columns of one table.
pub(crate) struct Frame<'a> {
    ask: Ask<'a>,
    columns: Vec<Column>,
}

impl<'a> Frame<'a> {
    /// A table without columns yet.
    pub(crate) fn new(ask: Ask<'a>) -> Frame<'a> {
        Frame { ask, columns: Vec::new() }
    }

    /// Adds a column, if it is wanted: only then are its values computed.
    pub(crate) fn put<S: Values>(&mut self, name: &str, values: impl FnOnce() -> S) {
        let series = match self.ask {
            Ask::All => values().series(name.into()),
            Ask::These(wanted) if wanted.iter().any(|n| n == name) => values().series(name.into()),
            Ask::These(_) => return,
            Ask::Schema => Series::new_empty(name.into(), &S::TYPE),
        };
        self.columns.push(series.into());
    }

    /// The frame.
    pub(crate) fn finish(self) -> PolarsResult<DataFrame> {
        DataFrame::new(self.columns)
    }
}

/// Values of one column.
pub(crate) trait Values {
    /// Their type.
    const TYPE: DataType;
    /// As a series.
    fn series(self, name: PlSmallStr) -> Series;
}

macro_rules! values {
    ($($t:ty => $dtype:ident),*) => {$(
        impl Values for Vec<$t> {
            const TYPE: DataType = DataType::$dtype;
            fn series(self, name: PlSmallStr) -> Series {
                Series::new(name, self)
            }
        }
        impl Values for Vec<Option<$t>> {
            const TYPE: DataType = DataType::$dtype;
            fn series(self, name: PlSmallStr) -> Series {
                Series::new(name, self)
            }
        }
    )*};
}
values!(bool => Boolean, u32 => UInt32, u64 => UInt64, i32 => Int32, i64 => Int64, f64 => Float64, String => String);

impl Values for StringChunked {
    const TYPE: DataType = DataType::String;
    fn series(self, name: PlSmallStr) -> Series {
        self.with_name(name).into_series()
    }
}
