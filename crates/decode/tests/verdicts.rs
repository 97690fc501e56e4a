//! Captures that nobody of this project wrote, held against what tshark says of each frame of them. What differs is
//! listed, with the reason, in `tests/interop/DIFFERENCES.md`; a difference that is not listed fails, and so does a
//! listed one that is gone. The folder is `$COLDCASE_CORPUS`, or `../shared/corpus` beside the repository.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod seen;

use std::path::{Path, PathBuf};

use seen::{Flow, Seen};
use serde_json::Value;

/// tshark lists so many frames of a mark.
const LISTED: usize = 200;

fn corpus() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let beside = [root.join("../shared/corpus"), root.join("../../shared/corpus")];
    let folder = match std::env::var_os("COLDCASE_CORPUS") {
        Some(folder) => PathBuf::from(folder),
        None => beside.iter().find(|f| f.is_dir()).cloned().unwrap_or(beside[0].clone()),
    };
    if folder.join("pcap-verdicts").is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: tshark's verdicts: no corpus at {} (set COLDCASE_CORPUS)", folder.display());
    None
}

/// Differences of a capture, one a line.
struct Held<'a> {
    name: &'a str,
    found: Vec<String>,
}

impl Held<'_> {
    fn same<T: PartialEq + std::fmt::Display>(&mut self, what: &str, ours: T, theirs: T) {
        if ours != theirs {
            self.found.push(format!("{} {what}: {ours}; tshark: {theirs}", self.name));
        }
    }
}

fn number(v: &Value) -> u64 {
    v.as_u64().unwrap()
}

/// `1055289978.756932000` to nanoseconds.
fn nanos(v: &Value) -> Option<i64> {
    let (seconds, part) = v.as_str()?.split_once('.')?;
    Some(seconds.parse::<i64>().ok()? * 1_000_000_000 + part.parse::<i64>().ok()?)
}

/// Seconds as a floating number to nanoseconds.
fn seconds(v: &Value) -> Option<i64> {
    v.as_f64().map(|s| (s * 1e9).round() as i64)
}

fn text<T: std::fmt::Debug>(v: Option<T>) -> String {
    v.map_or_else(|| "none".to_owned(), |v| format!("{v:?}"))
}

fn flows(held: &mut Held<'_>, proto: &str, ours: &[Flow], theirs: &Value) {
    let theirs = theirs.as_array().unwrap();
    held.same(&format!("{proto} flows"), ours.len(), theirs.len());
    for (i, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
        let mut same =
            |what: &str, ours: String, theirs: String| held.same(&format!("{proto} {i} {what}"), ours, theirs);
        let end = |a: &str| {
            let ip: std::net::IpAddr = theirs[a].as_str().unwrap().parse().unwrap();
            std::net::SocketAddr::new(ip, number(&theirs[format!("{a}_port")]) as u16).to_string()
        };
        same("ends", format!("{} {}", ours.ends[0], ours.ends[1]), format!("{} {}", end("a"), end("b")));
        for (what, ours) in [("packets", ours.packets), ("bytes", ours.bytes), ("payload", ours.payload)] {
            if what != "payload" || proto == "tcp" {
                let both = ["ab", "ba"].map(|d| number(&theirs[format!("{what}_{d}")]));
                same(what, format!("{ours:?}"), format!("{both:?}"));
            }
        }
        same("first", text(Some(ours.first)), text(nanos(&theirs["first_ts"])));
        same("last", text(Some(ours.last)), text(nanos(&theirs["last_ts"])));
        if proto == "tcp" {
            tcp(&mut same, ours, theirs);
        }
    }
}

fn tcp(same: &mut dyn FnMut(&str, String, String), ours: &Flow, theirs: &Value) {
    for (what, n) in [("syn", ours.syn), ("synack", ours.syn_ack), ("fin", ours.fin), ("rst", ours.rst)] {
        same(what, n.to_string(), theirs[what].to_string());
    }
    let totals = ours.tcp.totals();
    same("first_frame", ours.first_frame.to_string(), theirs["first_frame"].to_string());
    same("initial_rtt", text(totals.initial_rtt), text(seconds(&theirs["initial_rtt"])));
    same("max_bytes_in_flight", totals.in_flight_max.to_string(), theirs["max_bytes_in_flight"].to_string());
    let mut rtts = ours.ack_rtts.clone();
    rtts.sort_unstable();
    let place = |percent: usize| rtts.get(rtts.len() * percent / 100).copied();
    let theirs_rtt = &theirs["ack_rtt"];
    same("ack_rtt n", rtts.len().to_string(), theirs_rtt["n"].as_u64().unwrap_or(0).to_string());
    for (what, ours) in [
        ("min", rtts.first().copied()),
        ("p50", place(50)),
        ("p95", place(95)),
        ("max", rtts.last().copied()),
        ("sum", (!rtts.is_empty()).then(|| rtts.iter().sum())),
    ] {
        same(&format!("ack_rtt {what}"), text(ours), text(seconds(&theirs_rtt[what])));
    }
    let kept = &totals.ack_rtt;
    assert_eq!((kept.count as usize, kept.quantile(50)), (rtts.len(), place(50)), "what a connection keeps of them");
    for (mark, count) in theirs["analysis"].as_object().unwrap() {
        let ours = ours.frames.get(mark.as_str()).cloned().unwrap_or_default();
        same(mark, ours.len().to_string(), count.to_string());
        let listed = theirs["frames"].get(mark).and_then(Value::as_array);
        let theirs: Vec<u64> = listed.map_or(Vec::new(), |l| l.iter().map(number).collect());
        let ours = &ours[..ours.len().min(LISTED)];
        let only = |a: &[u64], b: &[u64]| format!("{:?}", a.iter().filter(|n| !b.contains(n)).collect::<Vec<_>>());
        same(&format!("{mark} frames"), only(ours, &theirs), only(&theirs, ours));
    }
}

fn capture(name: &str, ours: &Seen, verdict: &Value) -> Vec<String> {
    let mut held = Held { name, found: Vec::new() };
    held.same("packets", ours.packets, number(&verdict["packets"]));
    held.same("bytes", ours.bytes, number(&verdict["bytes_wire"]));
    let whole = verdict["tshark"]["rc"] == 0;
    held.same("read whole", ours.problem.is_none(), whole);
    flows(&mut held, "tcp", &ours.tcp, &verdict["tcp_flows"]);
    flows(&mut held, "udp", &ours.udp, &verdict["udp_flows"]);
    held.found
}

#[test]
fn each_frame_is_what_tshark_says_or_listed_with_the_reason() {
    let Some(folder) = corpus() else { return };
    let mut names: Vec<_> = std::fs::read_dir(folder.join("pcaps")).unwrap().map(|e| e.unwrap().path()).collect();
    names.sort();
    let (mut found, mut flows, mut frames, mut marks) = (Vec::new(), 0, 0, 0);
    for path in &names {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let verdict = std::fs::read(folder.join("pcap-verdicts").join(format!("{name}.json"))).unwrap();
        let verdict: Value = serde_json::from_slice(&verdict).unwrap();
        let seen = seen::read(&std::fs::read(path).unwrap())
            .unwrap_or_else(|| Seen { problem: Some("no capture file".to_owned()), ..Seen::default() });
        found.extend(capture(&name, &seen, &verdict));
        flows += seen.tcp.len() + seen.udp.len();
        frames += seen.packets;
        marks += seen.tcp.iter().flat_map(|f| f.frames.values()).map(Vec::len).sum::<usize>();
    }
    eprintln!("{} captures, {frames} frames, {flows} flows, {marks} marks; {} differences", names.len(), found.len());
    let list =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/interop/DIFFERENCES.md"));
    let list = list.unwrap_or_default();
    let listed: Vec<&str> =
        list.lines().filter_map(|l| l.strip_prefix("- `")?.split_once('`').map(|(line, _)| line)).collect();
    let unlisted: Vec<_> = found.iter().filter(|f| !listed.contains(&f.as_str())).collect();
    let gone: Vec<_> = listed.iter().filter(|l| !found.iter().any(|f| f == *l)).collect();
    assert!(unlisted.is_empty() && gone.is_empty(), "not listed: {unlisted:#?}\nlisted and gone: {gone:#?}");
}
