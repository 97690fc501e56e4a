//! The statements, commands and replies of databases in other people's captures, against tshark's verdicts. Where they
//! differ the difference stands, with its reason, in `tests/interop/DIFFERENCES.md` under "Databases"; an unlisted one
//! fails, and so does a listed one that is not there any more. The folder is `$COLDCASE_CORPUS`, or `../shared/corpus`
//! beside the repository.

#![allow(clippy::expect_used)]

mod capture;
mod differences;

use std::collections::BTreeSet;

use coldcase_decode::request::{Outcome, Protocol, Request, Stamp};
use serde_json::Value;

use differences::{Differences, corpus, hold, verdicts};

/// A message as a verdict has it.
struct Message<'a> {
    frame: u64,
    stream: u64,
    time: i64,
    fields: &'a Value,
}

impl Message<'_> {
    fn texts(&self, field: &str) -> Vec<&str> {
        self.fields[field].as_array().map_or(&[][..], Vec::as_slice).iter().filter_map(Value::as_str).collect()
    }
}

fn messages(verdict: &Value) -> Vec<Message<'_>> {
    let list = verdict.as_array().map_or(&[][..], Vec::as_slice);
    let message = |fields: &'_ Value| {
        let (seconds, fraction) = fields["ts"].as_str()?.split_once('.')?;
        let time = seconds.parse::<i64>().ok()? * 1_000_000_000 + fraction.parse::<i64>().ok()?;
        Some((fields["frame"].as_u64()?, fields["stream"].as_u64()?, time))
    };
    list.iter()
        .filter_map(|f| message(f).map(|(frame, stream, time)| Message { frame, stream, time, fields: f }))
        .collect()
}

impl Differences {
    /// A stamp is that of a message: its frame and its time.
    fn at(&mut self, stamp: Option<Stamp>, message: &Message<'_>, what: &str) {
        let same = stamp.is_some_and(|s| s.packet + 1 == message.frame && s.time == message.time);
        self.expect(same, message.frame, what);
    }
}

fn sent_in<'a>(requests: &'a [&Request], frame: u64) -> impl Iterator<Item = &'a Request> {
    requests.iter().copied().filter(move |r| r.sent.is_some_and(|s| s.packet + 1 == frame))
}

/// Each ReadyForQuery ends a request, each text of SQL is that of one, and so are error codes and rows by tag.
fn postgres(verdict: &Value, requests: &[&Request], d: &mut Differences) {
    let messages = messages(verdict);
    let mut asked = Vec::new();
    let mut read = requests.iter();
    for m in &messages {
        let types = m.texts("types");
        asked.extend(m.texts("queries"));
        for kind in &types {
            if matches!(*kind, "Simple query" | "Execute" | "Startup message") {
                let kind_fits = |r: &Request| (r.key == "startup") == (*kind == "Startup message");
                let fits = read.next().is_some_and(|r| r.start.packet < m.frame && kind_fits(r));
                d.expect(fits, m.frame, "request");
            }
        }
        let ended = |r: &&&Request| r.end.is_some_and(|s| s.packet + 1 == m.frame);
        let ready = types.iter().filter(|t| **t == "Ready for query").count();
        let ends: Vec<_> = requests.iter().filter(ended).collect();
        d.expect(ends.len() >= ready, m.frame, "answers");
        if let Some(last) = ends.last().filter(|_| ready > 0) {
            d.at(last.end, m, "time of an answer");
        }
        if types.contains(&"Error") {
            for code in m.texts("code").iter().filter(|c| **c != "00000") {
                d.expect(ends.iter().any(|r| r.code == **code && r.outcome == Outcome::Error), m.frame, "error");
            }
        }
        for tag in m.texts("tags") {
            let rows = tag.rsplit(' ').next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
            d.expect(ends.iter().any(|r| r.rows == Some(rows)), m.frame, "rows");
        }
    }
    let texts: Vec<_> = requests.iter().filter(|r| r.key != "startup").map(|r| r.detail.as_str()).collect();
    d.expect(texts == asked, 0, "texts of SQL");
}

/// Names that tshark gives commands by number, where they have no text.
fn command(number: &str) -> &'static str {
    match number {
        "1" => "quit",
        "2" => "init db",
        "3" => "",
        "4" => "field list",
        "9" => "statistics",
        "14" => "ping",
        "22" => "prepare: ",
        "23" => "",
        "25" => "close: ",
        _ => "another",
    }
}

fn mysql(verdict: &Value, requests: &[&Request], d: &mut Differences) {
    let messages = messages(verdict);
    for (i, m) in messages.iter().enumerate() {
        for number in m.texts("command") {
            let mut sent = sent_in(requests, m.frame);
            let Some(request) = sent.find(|r| r.key.starts_with(command(number))) else {
                d.expect(false, m.frame, "command");
                continue;
            };
            d.at(Some(request.start), m, "time of a command");
            for text in m.texts("queries") {
                d.expect(request.detail == text, m.frame, "text of SQL");
            }
            // Its answer is what the server says before the next command.
            let answers: Vec<_> = messages[i + 1..].iter().take_while(|n| n.texts("command").is_empty()).collect();
            let (Some(first), Some(last)) = (answers.first(), answers.last()) else {
                d.expect(request.end.is_none(), m.frame, "no answer");
                continue;
            };
            d.at(request.first, first, "first byte of an answer");
            d.at(request.end, last, "time of an answer");
            for rows in last.texts("affected_rows") {
                d.expect(request.rows == rows.parse().ok(), last.frame, "rows");
            }
            let codes = last.texts("error_code");
            let same = codes.iter().all(|c| request.code.split(' ').next() == Some(c));
            d.expect(same && (request.outcome == Outcome::Error) != codes.is_empty(), last.frame, "error");
        }
    }
    let commands: usize = messages.iter().map(|m| m.texts("command").len()).sum();
    d.expect(requests.iter().filter(|r| r.key != "connect").count() == commands, 0, "number of commands");
}

/// Most values that a verdict has of one field of a frame.
const LISTED: usize = 64;

fn hex(text: &str) -> String {
    let bytes = (0..text.len() / 2).filter_map(|i| u8::from_str_radix(text.get(i * 2..i * 2 + 2)?, 16).ok());
    String::from_utf8_lossy(&bytes.collect::<Vec<_>>()).into_owned()
}

/// tshark tells the strings of a frame, not how they make commands: their names must be among them, in order, and an
/// answer of one line must be the end of one request.
fn redis(verdict: &Value, requests: &[&Request], d: &mut Differences) {
    let mut seen = BTreeSet::new();
    for m in messages(verdict) {
        seen.insert(m.frame);
        let strings: Vec<String> = m.texts("bulk").into_iter().map(hex).collect();
        let mut rest = strings.iter();
        let cut = strings.len() == LISTED;
        for request in sent_in(requests, m.frame) {
            d.at(request.sent, &m, "time of a command");
            if cut && rest.len() < 4 {
                continue;
            }
            // A command in plain words has no strings.
            if strings.is_empty() {
                continue;
            }
            let (name, key) = request.detail.split_once(' ').unwrap_or((&request.detail, ""));
            d.expect(rest.any(|s| s.eq_ignore_ascii_case(name)), m.frame, "command");
            d.expect(key.is_empty() || rest.clone().next().is_some_and(|s| s == key), m.frame, "key");
        }
        let answered: Vec<_> = requests.iter().filter(|r| r.end.is_some_and(|s| s.packet + 1 == m.frame)).collect();
        let (lines, errors) = (m.texts("string"), m.texts("error"));
        if !lines.is_empty() && strings.is_empty() && m.texts("integer").is_empty() {
            let same = answered.len() == lines.len() + errors.len();
            d.expect(same || lines.len() == LISTED && answered.len() > LISTED, m.frame, "answers");
        }
        d.expect(answered.iter().filter(|r| r.outcome == Outcome::Error).count() == errors.len(), m.frame, "errors");
        let sets = strings.iter().filter(|s| *s == "SET").count();
        if sets > 0 && sets * 3 == strings.len() {
            d.expect(sent_in(requests, m.frame).count() == sets, m.frame, "number of commands");
        }
    }
    for request in requests {
        let frames = [request.sent, request.end].map(|s| s.map(|s| s.packet + 1));
        d.expect(frames.iter().flatten().all(|f| seen.contains(f)), request.start.packet + 1, "not seen by tshark");
    }
}

fn mongo(verdict: &Value, requests: &[&Request], d: &mut Differences) {
    let messages = messages(verdict);
    let number = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16).ok();
    for m in &messages {
        let (ids, to, codes) = (m.texts("request_id"), m.texts("response_to"), m.texts("opcode"));
        for ((id, to), code) in ids.iter().zip(to).zip(codes) {
            let reply = code == "1" || to != "0x00000000";
            let wanted = if reply { number(to) } else { number(id) };
            let Some(request) = requests.iter().find(|r| r.id == wanted) else {
                d.expect(false, m.frame, "message");
                continue;
            };
            if reply {
                d.at(request.end, m, "time of a reply");
            } else {
                d.at(Some(request.start), m, "time of a request");
            }
        }
    }
    let asked = messages.iter().flat_map(|m| m.texts("opcode").into_iter().zip(m.texts("response_to")));
    let asked = asked.filter(|(code, to)| *code != "1" && *to == "0x00000000").count();
    d.expect(requests.len() == asked, 0, "number of requests");
}

fn kafka(verdict: &Value, requests: &[&Request], d: &mut Differences) {
    // By stream and correlation id: a field of each message, whichever way it goes.
    for m in messages(verdict) {
        for id in m.texts("correlation_id") {
            let wanted = id.parse::<u64>().ok();
            let found = requests.iter().filter(|r| r.id == wanted).any(|r| {
                [Some(r.start), r.sent, r.first, r.end]
                    .iter()
                    .flatten()
                    .any(|s| s.packet + 1 == m.frame && s.time == m.time)
            });
            d.expect(found, m.frame, &format!("message of stream {}", m.stream));
        }
    }
}

type Compare = fn(&Value, &[&Request], &mut Differences);

const KINDS: [(&str, Protocol, Compare); 5] = [
    ("pgsql", Protocol::Postgres, postgres),
    ("mysql", Protocol::Mysql, mysql),
    ("redis", Protocol::Redis, redis),
    ("mongo", Protocol::Mongo, mongo),
    ("kafka", Protocol::Kafka, kafka),
];

#[test]
fn databases_are_read_as_tshark_reads_them_or_the_difference_is_explained() {
    let Some(folder) = corpus() else {
        println!("skipped: no corpus beside the repository and COLDCASE_CORPUS is not set");
        return;
    };
    let mut found = BTreeSet::new();
    let (mut compared, mut files, mut seen) = (0, 0, 0);
    for path in verdicts(&folder) {
        let text = std::fs::read_to_string(&path).expect("a verdict");
        let verdict: Value = serde_json::from_str(&text).expect("JSON");
        let name = path.file_stem().and_then(|n| n.to_str()).unwrap_or_default().to_owned();
        let read = capture::read(&folder.join("pcaps").join(&name));
        let mut d = Differences::default();
        for (field, protocol, compare) in KINDS {
            let mut of: Vec<_> = read.requests.iter().filter(|r| r.protocol == protocol).collect();
            of.sort_by_key(|r| r.start.packet);
            seen += of.len();
            if verdict[field].is_array() {
                files += 1;
                compare(&verdict[field], &of, &mut d);
            } else {
                // tshark finds them by port: none of ours may be another protocol of its.
                d.expect(of.is_empty(), 0, field);
            }
        }
        compared += d.compared;
        found.extend(d.found.iter().map(|f| format!("{name} {f}")));
    }
    println!("{files} captures, {seen} requests, {compared} comparisons, {} differences", found.len());
    hold(&found, "Databases");
}
