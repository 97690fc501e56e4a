//! `coldcase query`: SQL over the tables of a bundle.

use std::path::PathBuf;

use coldcase_export::parquet;
use coldcase_model::text::visible;
use coldcase_tables::{Answer, Cell, QueryError, Tables, flow_tables, names_flow, query, tables_in};
use coldcase_timeline::Options;
use serde_json::{Map, Value, json};

use crate::exit::{Exit, Failure};
use crate::out::Out;
use crate::reading::{Reading, write_new};
use coldcase_model::columns::columns;

/// Ask the tables of a bundle in SQL
///
/// Without SQL it lists the tables.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  coldcase query incident.case
  coldcase query incident.case 'SELECT name, count(*) AS n, max(duration) AS longest FROM spans GROUP BY name ORDER BY longest DESC'
  coldcase query incident.case 'SELECT count, error, template FROM log_templates ORDER BY error DESC LIMIT 10'
  coldcase query incident.case --format csv 'SELECT process, sum(duration) AS waited FROM offcpu GROUP BY process'
  coldcase query incident.case --format parquet -o requests.parquet 'SELECT * FROM requests WHERE outcome <> '\\''ok'\\'''

A table a stream (kernel.offcpu is kernel_offcpu, or offcpu), and spans, span_events, logs, log_templates (kinds of log
lines: how many, when, how severe), metrics, packets,
connections, requests, processes, losses. Durations are nanoseconds, utc is nanoseconds since 1970. The dialect is that
of polars. Exit codes: 0 fine, 1 failed, 2 not readable as a bundle or a query that cannot be answered.")]
pub(crate) struct Args {
    /// The bundle
    #[arg(value_name = "BUNDLE")]
    bundle: PathBuf,
    /// The query
    #[arg(value_name = "SQL")]
    sql: Option<String>,
    /// How to print the rows [default: table]; json is an array of objects, --json a document around it
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Format>,
    /// Write to this file; Parquet is always written to one
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace the output if it exists
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    reading: Reading,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Columns for people
    Table,
    /// RFC 4180, with a head
    Csv,
    /// An array of objects
    Json,
    /// For polars, pandas, DuckDB
    Parquet,
}

pub(crate) fn run(args: Args, out: &Out) -> Result<Exit, Failure> {
    let format = args.format.unwrap_or(Format::Table);
    let Some(sql) = &args.sql else { return list(&args, out) };
    let wanted = tables_in(sql);
    let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
    let options = args.reading.tables()?;
    let tables = Tables::open_only(&args.bundle, &wanted, &options).map_err(|e| failure(e.into()))?;
    // Connections and requests are made from all packets: only where they are asked for.
    let more = match names_flow(sql) {
        false => Vec::new(),
        true => {
            let analysis = args.reading.flow(&args.bundle, out)?;
            flow_tables(&analysis.flow).map_err(|e| Failure::failed(e.to_string()))?
        }
    };
    let answer = query(&tables, more, sql).map_err(failure)?;
    let problems = tables.timeline().problems();
    for problem in problems {
        out.warning(&format!("{}: {problem}", args.bundle.display()));
    }
    if format == Format::Parquet {
        return write_parquet(&args, answer);
    }
    if out.json && args.format.is_none() && args.output.is_none() {
        out.document(&json!({
            "schema": {"name": "coldcase.query", "version": 1},
            "bundle": {"id": tables.timeline().bundle().id(), "file": args.bundle},
            "columns": answer.columns(),
            "rows": rows(&answer),
            "problems": problems,
        }))?;
        return Ok(Exit::Fine);
    }
    let text = match format {
        Format::Table => table(&answer),
        Format::Csv => csv(&answer),
        Format::Json | Format::Parquet => format!("{}\n", serde_json::to_string_pretty(&rows(&answer))?),
    };
    match &args.output {
        None => out.text(&text)?,
        Some(path) => write_new(path, &text, args.force)?,
    }
    Ok(Exit::Fine)
}

/// The tables with their columns.
fn list(args: &Args, out: &Out) -> Result<Exit, Failure> {
    let tables = Tables::open(&args.bundle, &Options::default()).map_err(|e| failure(e.into()))?;
    let mut known = Vec::new();
    for name in tables.names() {
        let columns = tables.columns(&name).map_err(|e| failure(e.into()))?;
        known.push((name, columns));
    }
    for (name, frame) in flow_tables(&Default::default()).map_err(|e| Failure::failed(e.to_string()))? {
        known.push((name.to_owned(), frame.get_column_names().iter().map(|n| n.to_string()).collect()));
    }
    if out.json {
        let tables: Vec<Value> =
            known.iter().map(|(name, columns)| json!({"name": name, "columns": columns})).collect();
        out.document(&json!({"schema": {"name": "coldcase.tables", "version": 1}, "tables": tables}))?;
    } else {
        let rows: Vec<Vec<String>> = known.into_iter().map(|(name, columns)| vec![name, columns.join(" ")]).collect();
        let width = rows.iter().map(|r| r[0].len()).max().unwrap_or(0);
        let lines: Vec<String> = rows.iter().map(|r| format!("{:width$}  {}\n", r[0], r[1])).collect();
        out.text(&lines.concat())?;
    }
    Ok(Exit::Fine)
}

fn table(answer: &Answer) -> String {
    let names = answer.columns();
    let head: Vec<&str> = names.iter().map(String::as_str).collect();
    let rows: Vec<Vec<String>> = (0..answer.len()).map(|i| answer.row(i).iter().map(text).collect()).collect();
    columns(&head, &rows)
}

fn text(cell: &Cell) -> String {
    match cell {
        Cell::Null => "-".to_owned(),
        Cell::Bool(b) => b.to_string(),
        Cell::Int(n) => n.to_string(),
        Cell::Float(f) => f.to_string(),
        Cell::Text(t) => t.clone(),
    }
}

/// As RFC 4180 has it: quotes around what has a comma, a quote or a line end in it. What a spreadsheet would run as a
/// formula is left as it is: a file of facts, not a sheet.
fn csv(answer: &Answer) -> String {
    let field = |text: String| match text.contains(['"', ',', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text,
    };
    let line = |fields: Vec<String>| fields.into_iter().map(field).collect::<Vec<_>>().join(",") + "\r\n";
    let mut out = line(answer.columns());
    for i in 0..answer.len() {
        let cells = answer.row(i);
        out.push_str(&line(cells.iter().map(|c| if *c == Cell::Null { String::new() } else { text(c) }).collect()));
    }
    out
}

fn rows(answer: &Answer) -> Vec<Map<String, Value>> {
    let names = answer.columns();
    let value = |cell| match cell {
        Cell::Null => Value::Null,
        Cell::Bool(b) => b.into(),
        Cell::Int(n) => match (i64::try_from(n), u64::try_from(n)) {
            (Ok(n), _) => n.into(),
            (_, Ok(n)) => n.into(),
            _ => n.to_string().into(),
        },
        Cell::Float(f) => f.into(),
        Cell::Text(t) => t.into(),
    };
    let row = |i| names.iter().cloned().zip(answer.row(i).into_iter().map(value)).collect();
    (0..answer.len()).map(row).collect()
}

fn write_parquet(args: &Args, answer: Answer) -> Result<Exit, Failure> {
    let Some(path) = &args.output else {
        return Err(Failure::usage("--format parquet: no file to write to").hint("-o FILE"));
    };
    parquet::write_frame(&mut answer.into_frame(), path, args.force).map_err(|e| Failure::failed(e.to_string()))?;
    Ok(Exit::Fine)
}

fn failure(e: QueryError) -> Failure {
    match e {
        QueryError::Table(coldcase_tables::TableError::Timeline(e)) => e.into(),
        QueryError::Table(e) => Failure::failed(e.to_string()),
        QueryError::Sql(why) => {
            Failure::usage(visible(&why).into_owned()).hint("coldcase query BUNDLE lists tables and columns")
        }
    }
}
