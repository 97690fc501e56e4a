//! The worst moment with its log lines, the findings with their evidence, and further tables.

use coldcase_model::analysis::Analysis;
use coldcase_model::table::{Cell as Value, Show, Table};

use super::table::{Cell, blank, code, figure, left_out, table, words};
use crate::text::{bytes, duration, escape, number, offset, share, shorten};

/// Log lines shown.
const LINES: usize = 400;
/// Findings shown.
const FINDINGS: usize = 200;
/// Rows of a further table.
const ROWS: usize = 200;
/// Characters of a log line.
const LINE: usize = 2_000;

/// The worst moment.
pub(crate) fn body(a: &Analysis) -> String {
    let Some(w) = &a.worst else {
        return "<p class=\"none\">No moment was worse than the others.</p>".to_owned();
    };
    let start = a.bundle.first;
    let mut out = format!(
        "<p><b>{} to {}</b> – {}</p>\n",
        offset(w.from, start),
        offset(w.to, start),
        escape(&shorten(&w.why, 600))
    );
    if w.logs.is_empty() {
        out.push_str("<p class=\"none\">No log lines were recorded around it.</p>\n");
        return out;
    }
    out.push_str("<ol class=\"log\" tabindex=\"0\" aria-label=\"Log lines around the worst moment\">\n");
    for l in w.logs.iter().take(LINES) {
        let inside = if (w.from..=w.to).contains(&l.time) { " class=\"in\"" } else { "" };
        out.push_str(&format!(
            "<li{inside}><span class=\"t\">{}</span> <span class=\"o\" title=\"{}\">{}</span> <code>{}</code> <span class=\"e\">#{}</span></li>\n",
            offset(l.time, start),
            escape(&shorten(&l.origin, 300)),
            escape(&tail(&l.origin)),
            escape(&shorten(&l.line, LINE)),
            l.row
        ));
    }
    out.push_str("</ol>\n");
    if let Some(text) = left_out(LINES.min(w.logs.len()), w.logs.len(), "log lines") {
        out.push_str(&format!("<p class=\"hint\">{text}</p>\n"));
    }
    out
}

/// The last part of a path, which is what tells files apart.
fn tail(origin: &str) -> String {
    shorten(origin.rsplit('/').find(|p| !p.is_empty()).unwrap_or(origin), 40)
}

/// Findings.
pub(crate) fn findings(a: &Analysis) -> String {
    if a.findings.is_empty() {
        return "<p class=\"none\">No detector found anything. That is an answer, not a proof that nothing happened.</p>".to_owned();
    }
    let mut out = String::from("<ol class=\"findings\">\n");
    for f in a.findings.iter().take(FINDINGS) {
        let size = match f.unit.as_str() {
            "ns" if f.size >= 0.0 => duration(f.size as u64),
            "bytes" if f.size >= 0.0 => bytes(f.size as u64),
            "ratio" => format!("{}×", number(f.size)),
            "count" => number(f.size),
            unit => format!("{} {unit}", number(f.size)),
        };
        let cited: Vec<String> = f
            .evidence
            .iter()
            .take(8)
            .map(|e| format!("<code>{}</code>", escape(&shorten(&e.to_string(), 120))))
            .collect();
        let more = f.evidence.len().saturating_sub(8);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        out.push_str(&format!(
            "<li><p>{}</p><p class=\"hint\">{} · confidence {} · {}</p><p class=\"evidence\">{}{more}</p></li>\n",
            escape(&shorten(&f.claim, 600)),
            escape(&size),
            share(f.confidence.clamp(0.0, 1.0)),
            escape(&shorten(&f.detector, 80)),
            cited.join(" ")
        ));
    }
    out.push_str("</ol>\n");
    if let Some(text) = left_out(FINDINGS.min(a.findings.len()), a.findings.len(), "findings") {
        out.push_str(&format!("<p class=\"hint\">{text}</p>\n"));
    }
    out
}

/// Further tables.
pub(crate) fn tables(a: &Analysis) -> String {
    a.tables.iter().take(20).map(|t| one(a, t)).collect()
}

fn one(a: &Analysis, t: &Table) -> String {
    let first = t.rows.first();
    let numeric = |i: usize, show: Show| {
        show != Show::Plain
            || first
                .and_then(|r| r.get(i))
                .is_some_and(|c| matches!(c, Value::Uint(_) | Value::Int(_) | Value::Float(_)))
    };
    let heads: Vec<String> = t
        .columns
        .iter()
        .enumerate()
        .map(|(i, c)| {
            let name = c.name.replace('_', " ");
            if numeric(i, c.show) {
                format!("#{}", name.trim_start_matches('#'))
            } else {
                name.trim_start_matches('#').to_owned()
            }
        })
        .collect();
    let columns: Vec<&str> = heads.iter().map(String::as_str).collect();
    let rows = t
        .rows
        .iter()
        .take(ROWS)
        .map(|row| row.iter().zip(&t.columns).map(|(value, column)| cell(a, value, column.show)).collect())
        .collect();
    let name = t.name.replace('_', " ");
    format!(
        "<h3>{}</h3>\n{}",
        escape(&name),
        table(&name, &columns, rows, left_out(ROWS.min(t.rows.len()), t.rows.len(), "rows"))
    )
}

fn cell(a: &Analysis, value: &Value, show: Show) -> Cell {
    let n = match value {
        Value::Null => return blank(),
        Value::Bool(b) => return words(if *b { "yes" } else { "no" }),
        Value::Text(text) => return if text.contains('#') && text.contains('/') { code(text) } else { words(text) },
        Value::Uint(n) => *n as f64,
        Value::Int(n) => *n as f64,
        Value::Float(n) => *n,
    };
    let exact = match value {
        Value::Uint(n) => *n,
        _ => n.max(0.0) as u64,
    };
    let shown = match (show, value) {
        (Show::Duration, _) => duration(exact),
        (Show::Bytes, _) => bytes(exact),
        (Show::Share, _) => share(n),
        (Show::Time, Value::Int(t)) => offset(*t, a.bundle.first),
        (Show::Time, _) => offset(exact.min(i64::MAX as u64) as i64, a.bundle.first),
        (Show::Plain, Value::Uint(n)) => crate::text::count(*n),
        (Show::Plain, Value::Int(n)) => n.to_string(),
        (Show::Plain, _) => number(n),
    };
    figure(n, &shown)
}
