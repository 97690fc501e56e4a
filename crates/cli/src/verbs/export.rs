//! `coldcase export`: a bundle in the formats of other tools.

use std::path::PathBuf;
use std::sync::Arc;

use coldcase_export::parquet::{self, ExportError, Written};
use coldcase_model::quantity::format_size;
use coldcase_model::text::visible;
use coldcase_tables::{TableError, Tables};
use coldcase_timeline::{Options, Timeline};
use serde_json::json;

use crate::exit::{Exit, Failure};
use crate::out::Out;
use crate::progress;

/// Write a bundle in the formats of other tools: Parquet
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  coldcase export --parquet tables/ incident.case
  coldcase export --parquet tables/ incident.case --table spans,kernel_offcpu --from +2s --to +5s
  python3 -c 'import polars as pl; print(pl.read_parquet(\"tables/spans.parquet\"))'

One file a table: a table for each stream (kernel.offcpu is kernel_offcpu), and spans, span_events, logs, metrics and
packets. Times are nanoseconds: utc since 1970, others as recorded. Exit codes: 0 fine, 1 failed, 2 usage or not
readable as a bundle, and with --strict 3 when part of the bundle could not be read.")]
pub(crate) struct Args {
    /// The bundle
    #[arg(value_name = "BUNDLE")]
    bundle: PathBuf,
    /// Write one Parquet file a table into this folder
    #[arg(long, value_name = "DIR", required = true)]
    parquet: PathBuf,
    /// Only these tables
    #[arg(long, value_name = "TABLE", value_delimiter = ',')]
    table: Vec<String>,
    #[command(flatten)]
    window: crate::args::Window,
    #[command(flatten)]
    debug_files: crate::args::DebugFiles,
    /// Replace files that exist
    #[arg(long)]
    force: bool,
    /// Exit with 3 when part of the bundle could not be read
    #[arg(long)]
    strict: bool,
}

pub(crate) fn run(args: Args, out: &Out) -> Result<Exit, Failure> {
    let [from, to] = args.window.ends();
    let options = Options { from, to, debug_files: args.debug_files.wanted(), ..Options::default() };
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
    std::fs::create_dir_all(&args.parquet)
        .map_err(|e| Failure::failed(format!("{}: {e}", args.parquet.display())))?;
    let bar = progress::bar(out, names.len() as u64, "tables");
    let mut written = Vec::with_capacity(names.len());
    for name in &names {
        written.push(parquet::write(&tables, name, &args.parquet, args.force).map_err(export_failure)?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let problems = tables.timeline().problems();
    for problem in problems {
        out.warning(&format!("{}: {problem}", args.bundle.display()));
    }
    out.not_fetched(&tables.timeline().symbols().not_fetched());
    tell(out, &args, &tables, &written)?;
    Ok(if args.strict && !problems.is_empty() { Exit::Lost } else { Exit::Fine })
}

fn tell(out: &Out, args: &Args, tables: &Tables, written: &[Written]) -> Result<(), Failure> {
    if out.json {
        return out.document(&json!({
            "schema": { "name": "coldcase.export", "version": 1 },
            "bundle": tables.timeline().bundle().id(),
            "format": "parquet",
            "directory": args.parquet,
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
        text.push_str(&format!("{:width$} {:>10} rows {:>10}  {}\n", w.table, w.rows, format_size(w.bytes), visible(&path)));
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
