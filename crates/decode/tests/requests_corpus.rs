//! The requests of other people's captures, against tshark's verdicts. Where they differ the difference stands, with
//! its reason, in `tests/interop/DIFFERENCES.md` under "Requests"; an unlisted one fails, and so does a listed one that
//! is not there any more. The folder is `$COLDCASE_CORPUS`, or `../shared/corpus` beside the repository.

#![allow(clippy::expect_used)]

mod capture;
mod differences;

use std::collections::BTreeSet;

use coldcase_decode::request::{Protocol, Request, Stamp};
use serde_json::Value;

use differences::{Differences, corpus, hold, verdicts};

/// tshark counts frames from 1.
fn frame(at: Option<Stamp>) -> Option<u64> {
    at.map(|s| s.packet + 1)
}

fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// Whether a time of tshark, in seconds, is that between two stamps: to the microsecond that it writes.
fn same_time(seconds: &Value, from: Option<Stamp>, to: Option<Stamp>) -> bool {
    match (seconds.as_f64(), from, to) {
        (None, ..) => true,
        (Some(seconds), Some(from), Some(to)) => (seconds * 1e9 - (to.time - from.time) as f64).abs() <= 1000.0,
        _ => false,
    }
}

fn http(verdict: &Value, requests: &[&Request], d: &mut Differences) {
    let entries = verdict.as_array().map_or(&[][..], Vec::as_slice);
    for entry in entries {
        let at = entry["frame"].as_u64().unwrap_or(0);
        if entry["kind"] == "request" {
            let method = entry["method"].as_str().unwrap_or("");
            let uri = entry["uri"].as_str().unwrap_or("");
            let wanted = format!("{method} {uri}");
            let same = |r: &&&Request| {
                frame(r.sent) == Some(at) && wanted.as_bytes().starts_with(r.detail.as_bytes()) && !r.detail.is_empty()
            };
            d.expect(requests.iter().find(same).is_some(), at, "request");
        } else {
            let code = entry["code"].to_string();
            let answered = requests.iter().find(|r| frame(r.end) == Some(at) && r.code == code);
            d.expect(answered.is_some(), at, "response");
            if let Some(request) = answered {
                let asked = number(&entry["request_frame"]);
                d.expect(asked.is_none() || asked == frame(request.sent), at, "request of the response");
                d.expect(same_time(&entry["time"], request.sent, request.end), at, "time");
            }
        }
    }
    for request in requests {
        let (asked, ended) = (frame(request.sent), frame(request.end));
        let known = entries.iter().any(|e| {
            let at = e["frame"].as_u64();
            if e["kind"] == "request" { at == asked } else { at == ended }
        });
        d.expect(known, request.start.packet + 1, "not seen by tshark");
    }
}

fn dns(verdict: &Value, requests: &[&Request], d: &mut Differences) {
    let entries = verdict.as_array().map_or(&[][..], Vec::as_slice);
    for entry in entries {
        let at = entry["frame"].as_u64().unwrap_or(0);
        let id = entry["id"].as_str().and_then(|s| u64::from_str_radix(s.trim_start_matches("0x"), 16).ok());
        let kind = number(&entry["qtype"]).unwrap_or(0) as u16;
        let key =
            format!("{} {}", coldcase_decode::request::dns::type_name(kind), entry["qname"].as_str().unwrap_or(""));
        let same = |r: &&&Request| r.id == id && r.key == key;
        if entry["response"] == false {
            let found = requests.iter().filter(same).any(|r| frame(r.sent) == Some(at));
            d.expect(found, at, "query");
        } else {
            let rcode = coldcase_decode::request::dns::rcode_name(number(&entry["rcode"]).unwrap_or(0) as u16);
            let found = requests.iter().filter(same).find(|r| frame(r.end) == Some(at));
            d.expect(found.is_some_and(|r| r.code == rcode && r.rows == number(&entry["answers"])), at, "response");
            if let Some(request) = found {
                d.expect(same_time(&entry["time"], request.sent, request.end), at, "time");
                let asked = number(&entry["query_frame"]);
                d.expect(asked.is_none() || asked == frame(request.sent), at, "query of the response");
            }
        }
    }
    for request in requests {
        let frames = [frame(request.sent), frame(request.end)];
        let known = entries.iter().any(|e| frames.contains(&e["frame"].as_u64()));
        d.expect(known, request.start.packet + 1, "not seen by tshark");
    }
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().map_or(&[][..], Vec::as_slice).iter().filter_map(Value::as_str).collect()
}

/// tshark gives fields by frame of the capture, not by frame of HTTP/2: what a packet has is compared as a whole.
fn http2(verdict: &Value, requests: &[&Request], d: &mut Differences) {
    let entries = verdict.as_array().map_or(&[][..], Vec::as_slice);
    for entry in entries {
        let at = entry["frame"].as_u64().unwrap_or(0);
        let begun: Vec<_> = requests.iter().filter(|r| frame(Some(r.start)) == Some(at)).collect();
        let answered: Vec<_> = requests.iter().filter(|r| frame(r.first) == Some(at)).collect();
        let methods = texts(&entry["method"]);
        d.expect(begun.len() == methods.len(), at, "requests");
        for (request, method) in begun.iter().zip(&methods) {
            d.expect(request.detail.starts_with(method), at, "method");
        }
        for path in texts(&entry["path"]) {
            d.expect(begun.iter().any(|r| r.detail.ends_with(path)), at, "path");
        }
        let mut codes: Vec<&str> = answered.iter().map(|r| r.code.as_str()).collect();
        let mut statuses = texts(&entry["status"]);
        codes.sort_unstable();
        statuses.sort_unstable();
        d.expect(codes == statuses, at, "statuses");
    }
    let streams: BTreeSet<&str> = entries.iter().flat_map(|e| texts(&e["streamid"])).filter(|s| *s != "0").collect();
    d.expect(streams.len() == requests.len(), 0, "streams");
}

fn tls(verdict: &Value, requests: &[&Request], d: &mut Differences) {
    let entries = verdict.as_array().map_or(&[][..], Vec::as_slice);
    for entry in entries {
        let at = entry["frame"].as_u64().unwrap_or(0);
        for name in entry.get("sni").map(texts).unwrap_or_default() {
            d.expect(requests.iter().any(|r| r.target == name && frame(r.sent) == Some(at)), at, "server name");
        }
    }
}

#[test]
fn requests_are_those_that_tshark_sees_or_the_difference_is_explained() {
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
        let of = |protocols: &[Protocol]| -> Vec<&Request> {
            read.requests.iter().filter(|r| protocols.contains(&r.protocol)).collect()
        };
        let mut d = Differences::default();
        http(&verdict["http"], &of(&[Protocol::Http1]), &mut d);
        dns(&verdict["dns"], &of(&[Protocol::Dns]), &mut d);
        http2(&verdict["http2"], &of(&[Protocol::Http2, Protocol::Grpc]), &mut d);
        tls(&verdict["tls"], &of(&[Protocol::Tls]), &mut d);
        files += usize::from(d.compared > 1);
        compared += d.compared;
        seen += read.requests.len();
        found.extend(d.found.iter().map(|f| format!("{name} {f}")));
    }
    println!("{files} captures, {seen} requests, {compared} comparisons, {} differences", found.len());
    hold(&found, "Requests");
}
