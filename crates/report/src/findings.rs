//! `findings.json`: what the text and the page say, for programs. Schema: `formats/findings.schema.json`.

use coldcase_model::analysis::{Analysis, Change, Exemplar};
use serde::Serialize;

use crate::ReportError;
use crate::text::plain_json;

/// Name and version of the format.
pub const SCHEMA: &str = "coldcase.findings/1";

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    bundle: &'a coldcase_model::analysis::BundleSummary,
    quality: &'a coldcase_model::analysis::Quality,
    summary: &'a [String],
    findings: &'a [coldcase_model::Finding],
    log_kinds: &'a [coldcase_model::analysis::LogKind],
    worst: Option<Window<'a>>,
    latencies: Vec<Series<'a>>,
    waits: &'a [coldcase_model::analysis::Wait],
    flow: Totals<'a>,
    tables: &'a [coldcase_model::Table],
}

#[derive(Serialize)]
struct Window<'a> {
    from: i64,
    to: i64,
    why: &'a str,
    logs: &'a [coldcase_model::analysis::LogEntry],
}

#[derive(Serialize)]
struct Series<'a> {
    group: &'a str,
    name: &'a str,
    count: u64,
    errors: Option<u64>,
    p50: u64,
    p90: u64,
    p99: u64,
    max: u64,
    total: u64,
    change: Option<Change>,
    exemplars: &'a [Exemplar],
}

#[derive(Serialize)]
struct Totals<'a> {
    packets: u64,
    bytes: u64,
    malformed: u64,
    connections: u64,
    edges: &'a [coldcase_model::analysis::Edge],
}

/// The document, with a newline at its end. Durations are nanoseconds, times UTC nanoseconds.
///
/// # Errors
/// When a value cannot be written as JSON.
pub fn json(a: &Analysis) -> Result<String, ReportError> {
    let document = Document {
        schema: SCHEMA,
        bundle: &a.bundle,
        quality: &a.quality,
        summary: &a.summary,
        findings: &a.findings,
        log_kinds: &a.log_kinds,
        worst: a.worst.as_ref().map(|w| Window { from: w.from, to: w.to, why: &w.why, logs: &w.logs }),
        latencies: a
            .latencies
            .iter()
            .map(|l| Series {
                group: &l.group,
                name: &l.name,
                count: l.count,
                errors: l.errors,
                p50: l.p50,
                p90: l.p90,
                p99: l.p99,
                max: l.max,
                total: l.total,
                change: l.change,
                exemplars: &l.exemplars,
            })
            .collect(),
        waits: &a.waits,
        flow: Totals {
            packets: a.flow.packets,
            bytes: a.flow.bytes,
            malformed: a.flow.malformed,
            connections: a.flow.connections.len() as u64,
            edges: &a.flow.edges,
        },
        tables: &a.tables,
    };
    let text = serde_json::to_string_pretty(&document)
        .map_err(|e| ReportError::Draw { what: "findings.json".to_owned(), why: e.to_string() })?;
    Ok(format!("{}\n", plain_json(&text)))
}
