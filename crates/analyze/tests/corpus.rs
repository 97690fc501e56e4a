//! Connections, packets and TCP facts of captures that nobody here made, through all of the pipeline, against tshark's
//! verdicts on them. (`crates/decode/tests/verdicts.rs` does it frame by frame, without the pipeline.)
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use coldcase_analyze::flow::{Parts, Tap, capture};
use coldcase_model::analysis::{Connection, Flow};
use serde_json::{Value, json};

fn corpus(test: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let beside = [root.join("../shared/corpus"), root.join("../../shared/corpus")];
    let folder = match std::env::var_os("COLDCASE_CORPUS") {
        Some(folder) => PathBuf::from(folder),
        None => beside.iter().find(|f| f.is_dir()).cloned().unwrap_or(beside[0].clone()),
    };
    if folder.join("pcap-verdicts").is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: {test}: no corpus at {} (set COLDCASE_CORPUS)", folder.display());
    None
}

fn captures(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = std::fs::read_dir(folder.join("pcaps")).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    paths
}

fn flow(path: &Path, piece: usize) -> Flow {
    let mut tap = Tap::default();
    capture::read_in_pieces(path, &mut tap, piece).unwrap();
    Parts {
        bundle: "",
        tap: &mut tap,
        kernel: None,
        sockets: None,
        owner: &|_, _, _, _| None,
        translated: &|_, _, _| None,
        narrow: false,
    }
    .finish()
}

/// What both tell of a connection, by name; ends in order.
type Row = BTreeMap<String, Value>;

fn ours(c: &Connection) -> Row {
    let swap = c.a > c.b;
    let pick = |ab: u64, ba: u64| if swap { json!([ba, ab]) } else { json!([ab, ba]) };
    let (low, high) = if swap { (&c.b, &c.a) } else { (&c.a, &c.b) };
    let mut row = Row::new();
    let mut put = |name: &str, value: Value| drop(row.insert(name.to_owned(), value));
    put("ends", json!([c.proto, low, high]));
    put("stream", json!(c.stream));
    put("packets", pick(c.packets_ab, c.packets_ba));
    put("bytes", pick(c.bytes_ab, c.bytes_ba));
    put("time", json!([c.first, c.last]));
    if let Some(t) = &c.tcp {
        let more = &t.more;
        put("payload", pick(more.payload_ab, more.payload_ba));
        put("initial_rtt", json!(more.initial_rtt));
        put("max_bytes_in_flight", json!(more.bytes_in_flight_max));
        put("control", json!([more.syns, more.syn_acks, more.fins, t.resets]));
        let rtt = more.ack_rtt.as_ref();
        put("ack_rtt", json!(rtt.map(|r| [r.count as i64, r.min, r.p50, r.p95, r.max])));
        let counts = [
            ("retransmission", t.retransmissions),
            ("fast_retransmission", t.fast_retransmissions),
            ("spurious_retransmission", t.spurious_retransmissions),
            ("out_of_order", t.out_of_order),
            ("duplicate_ack", t.duplicate_acks),
            ("zero_window", t.zero_windows),
            ("zero_window_probe", more.zero_window_probes),
            ("zero_window_probe_ack", more.zero_window_probe_acks),
            ("window_full", more.windows_full),
            ("window_update", more.window_updates),
            ("lost_segment", t.lost_segments),
            ("ack_lost_segment", more.acked_lost_segments),
            ("keep_alive", more.keep_alives),
            ("keep_alive_ack", more.keep_alive_acks),
            ("reused_ports", more.reused_ports),
        ];
        counts.into_iter().for_each(|(name, count)| put(name, json!(count)));
        put("frames", json!(more.frames));
    }
    row
}

fn nanos(v: &Value) -> i64 {
    let (seconds, part) = v.as_str().unwrap().split_once('.').unwrap();
    seconds.parse::<i64>().unwrap() * 1_000_000_000 + part.parse::<i64>().unwrap()
}

fn seconds(v: &Value) -> Value {
    json!(v.as_f64().map(|s| (s * 1e9).round() as i64))
}

fn theirs(proto: &str, f: &Value) -> Row {
    let end = |ip: &str, port: &str| {
        let ip: std::net::IpAddr = f[ip].as_str().unwrap().parse().unwrap();
        std::net::SocketAddr::new(ip, f[port].as_u64().unwrap() as u16).to_string()
    };
    let (a, b) = (end("a", "a_port"), end("b", "b_port"));
    let swap = a > b;
    let pick = |what: &str| {
        let (ab, ba) = (&f[format!("{what}_ab")], &f[format!("{what}_ba")]);
        if swap { json!([ba, ab]) } else { json!([ab, ba]) }
    };
    let (low, high) = if swap { (&b, &a) } else { (&a, &b) };
    let mut row = Row::new();
    let mut put = |name: &str, value: Value| drop(row.insert(name.to_owned(), value));
    put("ends", json!([proto, low, high]));
    put("stream", f["stream"].clone());
    put("packets", pick("packets"));
    put("bytes", pick("bytes"));
    put("time", json!([nanos(&f["first_ts"]), nanos(&f["last_ts"])]));
    if proto == "tcp" {
        put("payload", pick("payload"));
        put("initial_rtt", seconds(&f["initial_rtt"]));
        put("max_bytes_in_flight", f["max_bytes_in_flight"].clone());
        put("control", json!([f["syn"], f["synack"], f["fin"], f["rst"]]));
        let rtt = &f["ack_rtt"];
        let stats = ["min", "p50", "p95", "max"].map(|s| seconds(&rtt[s]));
        let [min, p50, p95, max] = stats;
        put("ack_rtt", if rtt.is_null() { Value::Null } else { json!([rtt["n"], min, p50, p95, max]) });
        f["analysis"].as_object().unwrap().iter().for_each(|(name, count)| put(name, count.clone()));
        put("frames", f["frames"].clone());
    }
    row
}

/// Lines of the list of differences, without their reasons.
fn listed() -> Vec<String> {
    let list = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/interop/DIFFERENCES.md");
    let list = std::fs::read_to_string(list).unwrap_or_default();
    list.lines().filter_map(|l| Some(l.strip_prefix("- `")?.split_once('`')?.0.to_owned())).collect()
}

#[test]
fn connections_and_their_facts_are_those_that_tshark_sees() {
    let Some(folder) = corpus("connections") else { return };
    let listed = listed();
    let (mut differences, mut connections) = (Vec::new(), 0);
    for path in captures(&folder) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let verdict = std::fs::read(folder.join("pcap-verdicts").join(format!("{name}.json"))).unwrap();
        let verdict: Value = serde_json::from_slice(&verdict).unwrap();
        let flow = flow(&path, 8 << 20);
        let counts = [("packets", flow.packets, "packets"), ("bytes", flow.bytes, "bytes_wire")];
        for (what, ours, theirs) in counts {
            if verdict[theirs] != ours {
                differences.push(format!("{name} {what}: {ours}; tshark: {}", verdict[theirs]));
            }
        }
        let by_stream = |proto: &str, key: &str| {
            let ours: Vec<Row> = flow.connections.iter().filter(|c| c.proto == proto).map(ours).collect();
            let theirs: Vec<Row> = verdict[key].as_array().unwrap().iter().map(|f| theirs(proto, f)).collect();
            (ours, theirs)
        };
        for (proto, key) in [("tcp", "tcp_flows"), ("udp", "udp_flows")] {
            let (ours, theirs) = by_stream(proto, key);
            connections += ours.len();
            if ours.len() != theirs.len() {
                differences.push(format!("{name} {proto} flows: {}; tshark: {}", ours.len(), theirs.len()));
            }
            for (i, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
                let differ = theirs.iter().filter(|(key, their)| ours.get(*key) != Some(*their));
                differences.extend(differ.map(|(key, their)| {
                    let ours = ours.get(key).unwrap_or(&Value::Null);
                    format!("{name} {proto} {i} {key}: {ours}; tshark: {their}")
                }));
            }
        }
    }
    eprintln!("{connections} connections, {} differences", differences.len());
    let unlisted: Vec<_> = differences.iter().filter(|d| !listed.contains(d)).collect();
    assert!(unlisted.is_empty(), "{unlisted:#?}");
    assert!(connections >= 50);
}

#[test]
fn neither_threads_nor_the_size_of_pieces_change_anything() {
    let Some(folder) = corpus("threads and pieces") else { return };
    for path in captures(&folder) {
        let once = flow(&path, 8 << 20);
        for threads in [1, 2, 7] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            for piece in [1, 977, 65_536] {
                let again = pool.install(|| flow(&path, piece));
                assert_eq!(again, once, "{} with {threads} threads, {piece} bytes at a time", path.display());
            }
        }
    }
}
