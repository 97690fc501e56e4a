//! `coldcase export --parquet`: one file a table.

use std::path::Path;
use std::sync::Arc;

use coldcase_export::parquet::{self, ExportError, Written};
use coldcase_model::quantity::format_size;
use coldcase_model::text::visible;
use coldcase_tables::{TableError, Tables};
use coldcase_timeline::Timeline;
use serde_json::json;

use super::Args;
use crate::exit::{Exit, Failure};
use crate::out::Out;
use crate::progress;

pub(super) fn run(args: &Args, dir: &Path, out: &Out) -> Result<Exit, Failure> {
    let options = args.reading.tables()?;
    let wanted: Vec<&str> = args.table.iter().map(String::as_str).collect();
    let tables = match wanted.as_slice() {
        [] => Tables::of(Arc::new(Timeline::open(&args.bundle, &options)?)),
        some => Tables::open_only(&args.bundle, some, &options).map_err(table_failure)?,
    };
    let names = if wanted.is_empty() { tables.names() } else { args.table.clone() };
    // Whether all names are good is known before the first file is written.
    for name in &names {
        let _ = tables.scan(name).map_err(table_failure)?;
    }
    std::fs::create_dir_all(dir).map_err(|e| Failure::failed(format!("{}: {e}", dir.display())))?;
    let bar = progress::bar(out, names.len() as u64, "tables");
    let mut written = Vec::with_capacity(names.len());
    for name in &names {
        written.push(parquet::write(&tables, name, dir, args.force).map_err(export_failure)?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let problems = tables.timeline().problems();
    for problem in problems {
        out.warning(&format!("{}: {problem}", args.bundle.display()));
    }
    out.not_fetched(&tables.timeline().symbols().not_fetched());
    tell(out, dir, &tables, &written)?;
    Ok(if args.reading.strict() && !problems.is_empty() { Exit::Lost } else { Exit::Fine })
}

fn tell(out: &Out, dir: &Path, tables: &Tables, written: &[Written]) -> Result<(), Failure> {
    if out.json {
        return out.document(&json!({
            "schema": { "name": "coldcase.export", "version": 1 },
            "bundle": tables.timeline().bundle().id(),
            "format": "parquet",
            "directory": dir,
            "tables": written.iter().map(|w| json!({ "name": w.table, "file": w.path, "rows": w.rows, "bytes": w.bytes }))
                .collect::<Vec<_>>(),
            "problems": tables.timeline().problems(),
        }));
    }
    if out.quiet {
        return Ok(());
    }
    let width = written.iter().map(|w| w.table.len()).max().unwrap_or(0);
    let mut text = String::new();
    for w in written {
        let path = w.path.display().to_string();
        text.push_str(&format!(
            "{:width$} {:>10} rows {:>10}  {}\n",
            w.table,
            w.rows,
            format_size(w.bytes),
            visible(&path)
        ));
    }
    out.text(&text)
}

fn table_failure(e: TableError) -> Failure {
    match e {
        TableError::Timeline(e) => e.into(),
        TableError::Unknown { name, known } => Failure::usage(format!("--table {name}: there is no such table"))
            .hint(format!("this bundle has {}", known.join(", "))),
        e @ TableError::Polars { .. } => Failure::failed(e.to_string()),
    }
}

fn export_failure(e: ExportError) -> Failure {
    match e {
        ExportError::Table(e) => table_failure(e),
        ExportError::Exists { .. } => {
            Failure::usage(e.to_string()).hint("choose another folder, or --force to replace the files")
        }
        e @ ExportError::Io { .. } => Failure::failed(e.to_string()),
    }
}
