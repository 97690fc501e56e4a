//! Parquet: one file a table, zstd inside, for polars, pandas, DuckDB and the like.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use coldcase_tables::{TableError, Tables};
use polars::prelude::*;

/// Why an export failed.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A table could not be read.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A file exists already.
    #[error("{} exists already", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A file could not be written.
    #[error("{}: {why}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
}

/// A file that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The table.
    pub table: String,
    /// Its file.
    pub path: PathBuf,
    /// Its rows.
    pub rows: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

/// Writes a table to `DIR/<table>.parquet`. The folder is there; an existing file is refused without `force`.
/// The file appears under its name when it is whole.
pub fn write(tables: &Tables, table: &str, dir: &Path, force: bool) -> Result<Written, ExportError> {
    let path = dir.join(format!("{table}.parquet"));
    if path.exists() && !force {
        return Err(ExportError::Exists { path });
    }
    let mut frame = tables.frame(table)?;
    let rows = frame.height() as u64;
    let bytes = write_frame(&mut frame, &path, force)?;
    Ok(Written { table: table.to_owned(), path, rows, bytes })
}

/// Writes a frame to a file, which appears under its name when it is whole. Gives its bytes.
pub fn write_frame(frame: &mut DataFrame, path: &Path, force: bool) -> Result<u64, ExportError> {
    if path.exists() && !force {
        return Err(ExportError::Exists { path: path.to_owned() });
    }
    let io = |why: &dyn std::fmt::Display| ExportError::Io { path: path.to_owned(), why: why.to_string() };
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let unfinished = path.with_file_name(format!(".{name}.part"));
    let file = File::create(&unfinished).map_err(|e| io(&e))?;
    let written = ParquetWriter::new(BufWriter::new(file))
        .with_compression(ParquetCompression::Zstd(None))
        .with_statistics(StatisticsOptions::default())
        .finish(frame)
        .map_err(|e| io(&e))
        .and_then(|_| std::fs::rename(&unfinished, path).map_err(|e| io(&e)));
    if let Err(e) = written {
        // What is half written is of no use; a file that cannot be removed either adds nothing to the first error.
        let _ = std::fs::remove_file(&unfinished);
        return Err(e);
    }
    Ok(std::fs::metadata(path).map_err(|e| io(&e))?.len())
}
