//! Requests on the page: by kind, the slowest, where they vanish, and how databases are used.

use coldcase_model::analysis::{Analysis, DatabaseUse, RepeatedRequest, RequestKind, RetriedRequests, SeenRequest};

use super::table::{Cell, blank, code, fault, figure, left_out, maybe, size, table, tally, time, words};
use crate::text::{count, escape, offset, plural, shorten};

/// Rows of kinds, and of statements.
const KINDS: usize = 100;
/// Rows of the slowest requests.
const SLOWEST: usize = 15;
/// Rows of requests that vanished, by group and one by one.
const VANISHED: usize = 100;
/// Rows of databases, and of statements in loops.
const DATABASES: usize = 50;

/// The parts of the section.
pub(crate) fn body(a: &Analysis) -> String {
    [kinds(a), slowest(a), vanish(a), databases(a)].concat()
}

fn heading(title: &str, text: &str) -> String {
    format!("<h3>{title}</h3>\n{text}")
}

/// A table with its heading; nothing where it has no rows. `all`: how many rows there are in all.
fn part(title: &str, columns: &[&str], rows: Vec<Vec<Cell>>, all: usize, what: &str) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let left = left_out(rows.len(), all, what);
    heading(&escape(title), &table(title, columns, rows, left))
}

fn kinds(a: &Analysis) -> String {
    let all = &a.flow.request_kinds;
    let rows = all.iter().take(KINDS).map(kind).collect();
    part("Requests by kind", &KIND, rows, all.len(), "kinds: those that took longest in sum")
}

const KIND: [&str; 15] = [
    "protocol",
    "request",
    "service",
    "#count",
    "#errors",
    "#no answer",
    "#total",
    "#share",
    "#p50",
    "#p99",
    "#max",
    "#first byte",
    "#rows",
    "#sent",
    "#received",
];

fn kind(k: &RequestKind) -> Vec<Cell> {
    let mut row = vec![words(&k.protocol), words(&k.key), words(&k.service), tally(k.count)];
    row.extend([fault(k.errors), fault(k.unanswered), time(k.total)]);
    row.push(figure(k.share as f64, &format!("{}.{}%", k.share / 10, k.share % 10)));
    // Of those that were never answered there is nothing to tell.
    let answered = k.count > k.unanswered;
    row.extend([k.p50, k.p99, k.max, k.first].map(|n| maybe(answered.then_some(n), time)));
    row.extend([maybe(k.rows, tally), size(k.request_bytes), size(k.response_bytes)]);
    row
}

fn slowest(a: &Analysis) -> String {
    let mut all: Vec<&SeenRequest> = a.flow.requests.iter().filter(|r| r.duration.is_some()).collect();
    all.sort_by_key(|r| std::cmp::Reverse(r.duration));
    let rows = all.iter().take(SLOWEST).map(|r| request(a, r, &r.code)).collect();
    part("Slowest requests", &request_columns("answer"), rows, all.len(), "requests with an answer")
}

fn request_columns(end: &str) -> [&str; 11] {
    ["protocol", "request", "#took", "#first byte", end, "#at", "#frame", "from", "to", "#conn", "evidence"]
}

fn request(a: &Analysis, r: &SeenRequest, end: &str) -> Vec<Cell> {
    let c = a.flow.connections.get(r.connection);
    let side = |address: &str, process: Option<&str>| words(&crate::sequence::end(address, process));
    vec![
        words(&r.protocol),
        words(if r.detail.is_empty() { &r.key } else { &r.detail }),
        maybe(r.duration, time),
        maybe(r.first, time),
        if end.is_empty() { blank() } else { words(end) },
        figure(r.start as f64, &offset(r.start, a.bundle.first)),
        figure(r.frames[0] as f64, &format!("{}–{}", r.frames[0], r.frames[1])),
        c.map_or_else(blank, |c| side(&c.a, c.process_a.as_deref())),
        c.map_or_else(blank, |c| side(&c.b, c.process_b.as_deref())),
        figure(r.connection as f64, &r.connection.to_string()),
        maybe(r.evidence.as_ref(), |e| code(&e.to_string())),
    ]
}

/// Where requests vanish.
fn vanish(a: &Analysis) -> String {
    let f = &a.flow;
    let syns = f.edges.iter().map(|e| e.unanswered_syns).fold(0u64, u64::saturating_add);
    if f.requests.is_empty() && syns == 0 {
        return String::new();
    }
    let of = |dns: bool| {
        let groups = f.vanished.iter().filter(move |v| (v.protocol == "dns") == dns);
        groups.map(|v| v.count).fold(0u64, u64::saturating_add)
    };
    let retries = f.retried.iter().map(|r| r.retries).fold(0u64, u64::saturating_add);
    let mut told = vec![
        plural(syns, "SYN without an answer", "SYNs without an answer"),
        plural(of(false), "request without a whole answer", "requests without a whole answer"),
        plural(of(true), "DNS question without an answer", "DNS questions without an answer"),
        plural(retries, "request sent again by its client", "requests sent again by their clients"),
    ];
    if f.requests.is_empty() {
        told.truncate(1);
        told.push("requests are not in the packets, which were cut after their headers".to_owned());
    }
    let mut out = heading("Where requests vanish", &format!("<p>{}.</p>\n", told.join(", ")));
    out.push_str(&unanswered_syns(a));
    out.push_str(&groups(a, false));
    out.push_str(&groups(a, true));
    out.push_str(&retried(a));
    let lost: Vec<&SeenRequest> = f.requests.iter().filter(|r| !r.is_answered()).collect();
    let rows: Vec<_> =
        lost.iter().take(VANISHED).map(|r| request(a, r, SeenRequest::ended(&r.protocol, &r.outcome))).collect();
    if !rows.is_empty() {
        let left = left_out(rows.len(), lost.len(), "requests without a whole answer");
        let listed = table("Requests without a whole answer", &request_columns("ended"), rows, left);
        out.push_str(&format!("<details><summary>One by one</summary>\n{listed}</details>\n"));
    }
    out
}

fn unanswered_syns(a: &Analysis) -> String {
    let mut all: Vec<_> = a.flow.edges.iter().filter(|e| e.unanswered_syns > 0).collect();
    // The order of the edges stays where there are as many.
    all.sort_by_key(|e| std::cmp::Reverse(e.unanswered_syns));
    let rows: Vec<Vec<Cell>> = all
        .iter()
        .take(VANISHED)
        .map(|e| vec![words(&e.from), words(&e.to), fault(e.unanswered_syns), tally(e.connections)])
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    let left = left_out(rows.len(), all.len(), "pairs");
    table("SYNs without an answer", &["client", "server", "#SYNs without an answer", "#connections"], rows, left)
}

/// Requests without a whole answer, added up: of DNS, or of all others.
fn groups(a: &Analysis, dns: bool) -> String {
    let all: Vec<_> = a.flow.vanished.iter().filter(|v| (v.protocol == "dns") == dns).collect();
    let rows: Vec<Vec<Cell>> = all
        .iter()
        .take(VANISHED)
        .map(|v| {
            let first = a.flow.requests.get(v.first);
            vec![
                words(&v.client),
                words(&v.service),
                words(&v.protocol),
                words(SeenRequest::ended(&v.protocol, &v.outcome)),
                fault(v.count),
                tally(v.begun),
                maybe(first, |r| words(&shorten(if r.detail.is_empty() { &r.key } else { &r.detail }, 160))),
                maybe(first, |r| figure(r.start as f64, &offset(r.start, a.bundle.first))),
                maybe(first.and_then(|r| r.evidence.as_ref()), |e| code(&e.to_string())),
            ]
        })
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    let columns =
        ["client", "service", "protocol", "ended", "#requests", "#answer begun", "the first", "#at", "evidence"];
    let caption = if dns { "DNS questions without an answer" } else { "Requests without a whole answer, by end" };
    table(caption, &columns, rows, left_out(VANISHED.min(all.len()), all.len(), "groups"))
}

fn retried(a: &Analysis) -> String {
    let all = &a.flow.retried;
    let rows: Vec<Vec<Cell>> = all.iter().take(VANISHED).map(|r| retry(a, r)).collect();
    if rows.is_empty() {
        return String::new();
    }
    let columns = [
        "client",
        "service",
        "protocol",
        "request",
        "#requests",
        "#sent again",
        "#one at most",
        "#elsewhere",
        "#answered in the end",
        "#longest",
        "#first at",
        "evidence",
    ];
    let listed = table("Requests sent again", &columns, rows, left_out(VANISHED.min(all.len()), all.len(), "kinds"));
    format!(
        "<p class=\"hint\">Sent again after a failure, inferred: the same words, sooner than the client sends them anyway.</p>\n{listed}"
    )
}

fn retry(a: &Analysis, r: &RetriedRequests) -> Vec<Cell> {
    let first = a.flow.requests.get(r.attempts[0]);
    vec![
        words(&r.client),
        words(&r.service),
        words(&r.protocol),
        words(&r.key),
        tally(r.requests),
        fault(r.retries),
        tally(r.most),
        tally(r.elsewhere),
        tally(r.recovered),
        time(r.longest),
        maybe(first, |r| figure(r.start as f64, &offset(r.start, a.bundle.first))),
        maybe(first.and_then(|r| r.evidence.as_ref()), |e| code(&e.to_string())),
    ]
}

/// What `latency --db` prints.
fn databases(a: &Analysis) -> String {
    let f = &a.flow;
    let rows = f.databases.iter().take(DATABASES).map(|d| database(a, d)).collect();
    let columns = [
        "client",
        "database",
        "protocol",
        "#connections",
        "#opened",
        "#requests",
        "#at a time",
        "#total",
        "#all busy",
        "#idle in transaction",
        "#longest",
        "after",
    ];
    let mut out = part("Databases", &columns, rows, f.databases.len(), "clients of databases");
    let statements: Vec<&RequestKind> =
        f.request_kinds.iter().filter(|k| f.databases.iter().any(|d| d.protocol == k.protocol)).collect();
    let rows: Vec<Vec<Cell>> = statements.iter().take(KINDS).map(|k| kind(k)).collect();
    if !rows.is_empty() {
        let left = left_out(rows.len(), statements.len(), "statements: those that took longest in sum");
        let listed = table("Statements", &KIND, rows, left);
        let summary = plural(statements.len() as u64, "statement", "statements");
        out.push_str(&format!(
            "<details open><summary>{summary}, longest in sum first</summary>\n{listed}</details>\n"
        ));
    }
    let rows = f.repeated.iter().take(DATABASES).map(|r| repeated(a, r)).collect();
    let columns = [
        "client",
        "database",
        "protocol",
        "statement in a loop",
        "#requests",
        "#runs",
        "#longest run",
        "#total",
        "#first at",
        "evidence",
    ];
    let title = "Statements again and again, one at a time (N+1, inferred)";
    out.push_str(&part(title, &columns, rows, f.repeated.len(), "loops"));
    out
}

fn database(a: &Analysis, d: &DatabaseUse) -> Vec<Cell> {
    let mut row = vec![words(&d.client), words(&d.service), words(&d.protocol)];
    row.extend([d.connections, d.opened, d.requests, d.most].map(tally));
    row.extend([d.total, d.all_busy, d.idle_in_transaction, d.idle_longest].map(time));
    let after = d.idle_after.and_then(|at| a.flow.requests.get(at));
    row.push(maybe(after, |r| words(&shorten(&r.key, 120))));
    row
}

fn repeated(a: &Analysis, r: &RepeatedRequest) -> Vec<Cell> {
    let first = a.flow.requests.get(r.first);
    let mut row = vec![words(&r.client), words(&r.service), words(&r.protocol), words(&r.key)];
    row.extend([r.requests, r.runs].map(tally));
    row.push(figure(r.longest as f64, &count(r.longest)));
    row.push(time(r.total));
    row.push(maybe(first, |r| figure(r.start as f64, &offset(r.start, a.bundle.first))));
    row.push(maybe(first.and_then(|r| r.evidence.as_ref()), |e| code(&e.to_string())));
    row
}
