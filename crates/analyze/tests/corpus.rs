//! Connections, packets and TCP facts of captures that nobody here made, against tshark's verdicts on them.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::collections::BTreeMap;
use std::path::Path;

use coldcase_analyze::flow::{Parts, Tap, capture};
use serde_json::Value;

const CORPUS: &str = "/work/shared/corpus";

/// Captures of plain TCP and UDP over links that are decoded: all that tshark and we read by the same rules.
const PLAIN: &[&str] = &[
    "012-nanosecond-tcp-handshake-nano.pcap",
    "014-time-edge-time_2106_overflow.pcapng",
    "028-vlan-http-vlan-0.pcap",
    "048-tcp-handshake-reorder.pcap",
    "049-tcp-reassembly.pcap",
    "050-tcp-retransmit-fast009.pcap",
    "051-tcp-retransmit-timeout.pcapng",
    "052-tcp-fin_retransmission.pcap",
    "053-tcp-ssh-dups.pcap",
    "055-tcp-missing-syn.pcap",
    "058-tcp-miss_end_data.pcap",
    "060-tcp-window-scale-range.pcap",
    "083-http1-pipelined-requests.pcap",
    "085-http1-206_example_a.pcap",
    "086-http1-100-continue.pcap",
    "088-http1-zero-length-bodies-with-drops.pcap",
    "089-http1-1000-requests-one-dropped-response.pcap",
    "095-grpc-grpc-unary.pcap",
    "098-http2-http2-multi.pcap",
    "104-pgsql-psql-create-insert-select-delete-drop.pcap",
    "110-mysql-mysql.pcap",
    "115-redis-bulk-loading.pcap",
    "118-redis-pubsub.pcap",
    "121-mongo-mongo.pcap",
    "127-dns-dns53.pcap",
];

/// Where we differ, and why.
const KNOWN: &[&str] = &[
    // Frames 7, 26, 35 and others were shorter on the wire than their IP headers say. tshark believes the wire and
    // sees holes, we believe the header, which the acknowledgments confirm.
    "049-tcp-reassembly.pcap fast_retransmission: 0; tshark: 3",
    "049-tcp-reassembly.pcap lost_segment: 6; tshark: 8",
];

/// Per connection: ends in order, then packets and bytes of each, and the TCP facts that tshark also gives.
type Row = BTreeMap<String, Value>;

fn ours(path: &Path) -> (u64, u64, Vec<Row>) {
    let mut tap = Tap::default();
    capture::read(path, &mut tap).unwrap();
    let flow =
        Parts { bundle: "", tap: &tap, kernel: None, sockets: None, owner: &|_, _, _, _| None, narrow: false }.finish();
    let mut rows = Vec::new();
    for c in &flow.connections {
        let mut row = Row::new();
        let swap = c.a > c.b;
        let pick = |ab: u64, ba: u64| if swap { [ba, ab] } else { [ab, ba] };
        let (low, high) = if swap { (&c.b, &c.a) } else { (&c.a, &c.b) };
        row.insert("ends".into(), format!("{} {low} {high}", c.proto).into());
        row.insert("packets".into(), pick(c.packets_ab, c.packets_ba).to_vec().into());
        row.insert("bytes".into(), pick(c.bytes_ab, c.bytes_ba).to_vec().into());
        if let Some(t) = &c.tcp {
            row.insert("rtt".into(), t.rtt.into());
            row.insert("rst".into(), t.resets.into());
            row.insert("retransmission".into(), t.retransmissions.into());
            row.insert("fast_retransmission".into(), t.fast_retransmissions.into());
            row.insert("spurious_retransmission".into(), t.spurious_retransmissions.into());
            row.insert("out_of_order".into(), t.out_of_order.into());
            row.insert("duplicate_ack".into(), t.duplicate_acks.into());
            row.insert("lost_segment".into(), t.lost_segments.into());
            row.insert("zero_window".into(), t.zero_windows.into());
        }
        rows.push(row);
    }
    (flow.packets, flow.bytes, sorted(rows))
}

fn theirs(verdict: &Value) -> (u64, u64, Vec<Row>) {
    let mut rows = Vec::new();
    for (proto, key) in [("tcp", "tcp_flows"), ("udp", "udp_flows")] {
        for f in verdict[key].as_array().unwrap() {
            let end = |ip: &str, port: &str| {
                let ip: std::net::IpAddr = f[ip].as_str().unwrap().parse().unwrap();
                std::net::SocketAddr::new(ip, f[port].as_u64().unwrap() as u16).to_string()
            };
            let (a, b) = (end("a", "a_port"), end("b", "b_port"));
            let swap = a > b;
            let pick = |ab: &str, ba: &str| {
                let (ab, ba) = (f[ab].as_u64().unwrap(), f[ba].as_u64().unwrap());
                if swap { vec![ba, ab] } else { vec![ab, ba] }
            };
            let mut row = Row::new();
            let (low, high) = if swap { (&b, &a) } else { (&a, &b) };
            row.insert("ends".into(), format!("{proto} {low} {high}").into());
            row.insert("packets".into(), pick("packets_ab", "packets_ba").into());
            row.insert("bytes".into(), pick("bytes_ab", "bytes_ba").into());
            if proto == "tcp" {
                let rtt = f["initial_rtt"].as_f64().map(|s| (s * 1e9).round() as u64);
                row.insert("rtt".into(), rtt.into());
                row.insert("rst".into(), f["rst"].clone());
                for kind in [
                    "retransmission",
                    "fast_retransmission",
                    "spurious_retransmission",
                    "out_of_order",
                    "duplicate_ack",
                    "lost_segment",
                    "zero_window",
                ] {
                    row.insert(kind.into(), f["analysis"][kind].clone());
                }
            }
            rows.push(row);
        }
    }
    (verdict["packets"].as_u64().unwrap(), verdict["bytes_wire"].as_u64().unwrap(), sorted(rows))
}

fn sorted(mut rows: Vec<Row>) -> Vec<Row> {
    rows.sort_by_key(|r| (r["ends"].to_string(), r["packets"].to_string()));
    rows
}

#[test]
fn connections_and_retransmissions_are_those_that_tshark_sees() {
    if !Path::new(CORPUS).is_dir() {
        eprintln!("skipped: no corpus of other people's captures at {CORPUS}");
        return;
    }
    let mut differences = Vec::new();
    for name in PLAIN {
        let verdict = std::fs::read(format!("{CORPUS}/pcap-verdicts/{name}.json")).unwrap();
        let verdict: Value = serde_json::from_slice(&verdict).unwrap();
        let (packets, bytes, rows) = ours(&Path::new(CORPUS).join("pcaps").join(name));
        let (their_packets, their_bytes, their_rows) = theirs(&verdict);
        if (packets, bytes, rows.len()) != (their_packets, their_bytes, their_rows.len()) {
            differences.push(format!(
                "{name}: {packets} packets, {bytes} bytes, {} connections; tshark: {their_packets}, {their_bytes}, {}",
                rows.len(),
                their_rows.len()
            ));
            continue;
        }
        for (ours, theirs) in rows.iter().zip(&their_rows) {
            for (key, their) in theirs {
                if ours[key] != *their {
                    differences.push(format!("{name} {key}: {}; tshark: {their}", ours[key]));
                }
            }
        }
    }
    eprintln!("{} captures; differences:\n{}", PLAIN.len(), differences.join("\n"));
    assert_eq!(differences, KNOWN);
}
