//! Tables of requests: kinds, the slowest, and those that vanished.

use coldcase_model::analysis::{Connection, Flow, RequestKind, SeenRequest};
use coldcase_model::quantity::format_size;
use coldcase_model::{Nanos, Utc};

use crate::args::rfc3339;
use crate::out::{Out, Style};
use coldcase_model::columns::columns;

/// What a reader of requests has to know.
pub(crate) const NOTE: &str = "requests are read from captured payload: packets cut after their headers hold none";

/// The kinds that are statements or commands of databases.
pub(crate) fn statements(flow: &Flow) -> Vec<&RequestKind> {
    let of = |k: &&RequestKind| flow.databases.iter().any(|d| d.protocol == k.protocol);
    flow.request_kinds.iter().filter(of).collect()
}

/// What `latency --db` prints.
pub(crate) fn databases(flow: &Flow, top: usize, out: &Out) -> String {
    if flow.databases.is_empty() {
        return format!("no request to a database was found ({NOTE}; record with --payload 512)\n");
    }
    let nanos = |n: u64| Nanos(n).to_string();
    let rows: Vec<Vec<String>> = flow
        .databases
        .iter()
        .take(top)
        .map(|d| {
            let mut row = vec![format!("{} → {} {}", d.client, d.protocol, d.service)];
            row.extend([d.connections, d.opened, d.requests, d.most].map(|n| n.to_string()));
            row.extend([d.total, d.all_busy, d.idle_in_transaction, d.idle_longest].map(nanos));
            row
        })
        .collect();
    let head = [
        "client → database",
        "connections",
        "opened",
        "requests",
        "at a time",
        "total",
        "all busy",
        "idle in transaction",
        "longest",
    ];
    let mut text = table("databases", &head, &rows, flow.databases.len(), out);
    text.push_str(&kinds("statements, longest in sum first", statements(flow), top, out));
    let rows: Vec<Vec<String>> = flow
        .repeated
        .iter()
        .take(top)
        .map(|r| {
            let mut row = vec![format!("{} → {} {}", r.client, r.service, r.key)];
            row.extend([r.requests, r.runs, r.longest].map(|n| n.to_string()));
            row.push(nanos(r.total));
            row
        })
        .collect();
    let head = ["statement in a loop (N+1, inferred)", "requests", "runs", "longest", "total"];
    text.push_str(&table("again and again, one at a time", &head, &rows, flow.repeated.len(), out));
    text.trim_start().to_owned()
}

/// Everything of requests that `flow` prints.
pub(crate) fn text(flow: &Flow, top: usize, out: &Out) -> String {
    if flow.requests.is_empty() {
        return String::new();
    }
    let mut text = kinds("requests, longest in sum first", &flow.request_kinds, top, out);
    text.push_str(&slowest(flow, top.min(5), out));
    text.push_str(&vanished(flow, top, out));
    text.push_str(&retried(flow, top, out));
    text
}

/// The requests of one connection, in order.
pub(crate) fn of_connection(flow: &Flow, at: usize, top: usize, out: &Out) -> String {
    let all: Vec<&SeenRequest> = flow.requests.iter().filter(|r| r.connection == at).collect();
    let head = ["request", "took", "first byte", "answer", "at", "frames"];
    let rows: Vec<Vec<String>> = all
        .iter()
        .take(top)
        .map(|r| {
            let end = if r.is_answered() { r.code.as_str() } else { SeenRequest::ended(&r.protocol, &r.outcome) };
            let mut row = request(r, flow, end);
            row.truncate(head.len());
            row
        })
        .collect();
    table("its requests", &head, &rows, all.len(), out)
}

/// A table of kinds.
pub(crate) fn kinds<'a>(
    title: &str,
    kinds: impl IntoIterator<Item = &'a RequestKind>,
    top: usize,
    out: &Out,
) -> String {
    let kinds: Vec<&RequestKind> = kinds.into_iter().collect();
    let head = [
        "request → service",
        "count",
        "errors",
        "no answer",
        "total",
        "share",
        "p50",
        "p99",
        "max",
        "first byte",
        "rows",
        "sent",
        "received",
    ];
    let rows: Vec<Vec<String>> = kinds.iter().take(top).map(|k| kind(k)).collect();
    table(title, &head, &rows, kinds.len(), out)
}

fn kind(k: &RequestKind) -> Vec<String> {
    let mut row = vec![format!("{} {} → {}", k.protocol, k.key, k.service)];
    row.extend([k.count, k.errors, k.unanswered].map(|n| n.to_string()));
    row.push(Nanos(k.total).to_string());
    row.push(format!("{}.{}%", k.share / 10, k.share % 10));
    row.extend([k.p50, k.p99, k.max, k.first].map(|n| Nanos(n).to_string()));
    row.push(k.rows.map_or_else(|| "-".to_owned(), |n| n.to_string()));
    row.extend([k.request_bytes, k.response_bytes].map(format_size));
    row
}

/// The slowest requests.
fn slowest(flow: &Flow, top: usize, out: &Out) -> String {
    let mut all: Vec<&SeenRequest> = flow.requests.iter().filter(|r| r.duration.is_some()).collect();
    all.sort_by_key(|r| std::cmp::Reverse(r.duration));
    let head = ["request", "took", "first byte", "answer", "at", "on", "display filter"];
    let rows: Vec<Vec<String>> = all.iter().take(top).map(|r| request(r, flow, &r.code)).collect();
    table("slowest requests", &head, &rows, rows.len(), out)
}

/// Requests that were never answered in whole: added up, and the first of them.
fn vanished(flow: &Flow, top: usize, out: &Out) -> String {
    let rows: Vec<Vec<String>> = flow
        .vanished
        .iter()
        .take(top)
        .map(|v| {
            let mut row = vec![format!("{} → {} {}", v.client, v.protocol, v.service)];
            row.push(SeenRequest::ended(&v.protocol, &v.outcome).to_owned());
            row.extend([v.count, v.begun].map(|n| n.to_string()));
            row.push(flow.requests.get(v.first).map_or_else(String::new, |r| rfc3339(Utc(r.start), 6)));
            row
        })
        .collect();
    let head = ["client → service", "ended", "requests", "answer begun", "first at"];
    let mut text = table("where requests vanish", &head, &rows, flow.vanished.len(), out);
    let lost: Vec<&SeenRequest> = flow.requests.iter().filter(|r| !r.is_answered()).collect();
    let head = ["request", "took", "first byte", "ended", "at", "on", "display filter"];
    let rows: Vec<Vec<String>> =
        lost.iter().take(top).map(|r| request(r, flow, SeenRequest::ended(&r.protocol, &r.outcome))).collect();
    text.push_str(&table("requests without a whole answer", &head, &rows, lost.len(), out));
    text
}

/// Requests that were sent again.
fn retried(flow: &Flow, top: usize, out: &Out) -> String {
    let rows: Vec<Vec<String>> = flow
        .retried
        .iter()
        .take(top)
        .map(|r| {
            let mut row = vec![format!("{} → {} {} {}", r.client, r.service, r.protocol, r.key)];
            row.extend([r.requests, r.retries, r.most, r.elsewhere, r.recovered].map(|n| n.to_string()));
            row.push(Nanos(r.longest).to_string());
            row
        })
        .collect();
    let head = [
        "client → service and request",
        "requests",
        "sent again",
        "one at most",
        "elsewhere",
        "answered in the end",
        "longest",
    ];
    table("sent again after a failure (inferred)", &head, &rows, flow.retried.len(), out)
}

fn request(r: &SeenRequest, flow: &Flow, end: &str) -> Vec<String> {
    let nanos = |n: Option<u64>| n.map_or_else(|| "-".to_owned(), |n| Nanos(n).to_string());
    let words = if r.detail.is_empty() { &r.key } else { &r.detail };
    let mut row = vec![format!("{} {words}", r.protocol), nanos(r.duration), nanos(r.first)];
    row.push(if end.is_empty() { "-".to_owned() } else { end.to_owned() });
    row.push(rfc3339(Utc(r.start), 6));
    let connection = flow.connections.get(r.connection);
    row.push(connection.map_or_else(String::new, ends));
    row.push(display_filter(connection, &r.display_filter));
    row
}

/// What to type into Wireshark to see it. A filter by addresses is too long for a table.
pub(crate) fn display_filter(c: Option<&Connection>, filter: &str) -> String {
    match c.and_then(|c| c.stream) {
        Some(_) => filter.to_owned(),
        None => "see --json".to_owned(),
    }
}

fn ends(c: &Connection) -> String {
    let end = |address: &str, process: &Option<String>| match process {
        Some(p) => format!("{p} {address}"),
        None => address.to_owned(),
    };
    format!("{} → {}", end(&c.a, &c.process_a), end(&c.b, &c.process_b))
}

fn table(title: &str, head: &[&str], rows: &[Vec<String>], all: usize, out: &Out) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut text = format!("\n{}\n{}", out.style(Style::Bold, title), columns(head, rows));
    if all > rows.len() {
        text.push_str(&format!("and {} more (--top)\n", all - rows.len()));
    }
    text
}
