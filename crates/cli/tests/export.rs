//! `coldcase export --pcapng`: other people's tools read what is written, and it is what was captured.
#![cfg(feature = "full")]
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod common;
#[path = "../../analyze/tests/shop/mod.rs"]
mod shop;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use common::{folder, run_in, schema};
use serde_json::Value;

/// The bundle of the demo, and packets of the same run by tcpdump.
const CASE: &str = "shop-lock.case";
const PCAP: &str = "shop-lock.pcap";

fn bench() -> tempfile::TempDir {
    let dir = folder();
    for file in [CASE, PCAP] {
        std::fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(file), dir.path().join(file))
            .unwrap();
    }
    dir
}

/// Exports, and gives what the tool says of it.
fn export(dir: &Path, args: &[&str]) -> Value {
    let told = run_in(dir, &[&["export", "--json", "--force"], args].concat()).code(0).json();
    schema::check("export_pcapng", &told);
    told
}

/// Runs a tool of Wireshark's, which must not complain; `None` when it is not installed.
fn wireshark(dir: &Path, tool: &str, args: &[&str]) -> Option<String> {
    let output = match Command::new(tool).args(args).current_dir(dir).env("HOME", dir).output() {
        Ok(output) => output,
        Err(_) => {
            eprintln!("skipped: {tool} {}: no {tool}", args.join(" "));
            return None;
        }
    };
    let said = String::from_utf8_lossy(&output.stderr);
    // tshark as root says so, and nothing else.
    let said: Vec<&str> = said.lines().filter(|l| !l.starts_with("Running as user")).collect();
    assert!(output.status.success() && said.is_empty(), "{tool} {args:?}: {said:?}");
    Some(String::from_utf8(output.stdout).unwrap())
}

/// What tshark says of each frame: time, lengths, interface's name, and more fields.
fn frames(dir: &Path, file: &str, more: &[&str]) -> Option<Vec<String>> {
    let mut args = vec!["-r", file, "-T", "fields"];
    for field in ["frame.time_epoch", "frame.len", "frame.cap_len"].iter().chain(more) {
        args.extend(["-e", field]);
    }
    Some(wireshark(dir, "tshark", &args)?.lines().map(str::to_owned).collect())
}

fn flow(dir: &Path, file: &str) -> Value {
    run_in(dir, &["flow", file, "--json"]).code(0).json()
}

fn array<'a>(of: &'a Value, name: &str) -> &'a Vec<Value> {
    of[name].as_array().unwrap()
}

#[test]
fn tshark_and_capinfos_read_every_packet_of_a_bundle_with_its_time_length_and_interface() {
    let dir = bench();
    let told = export(dir.path(), &["--pcapng", "all.pcapng", CASE]);
    let rows = run_in(dir.path(), &["timeline", CASE, "--stream", "packets", "--json", "--quiet"]).code(0).stdout;
    let rows: Vec<Value> = rows.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let rows: Vec<&Value> = rows.iter().filter(|r| r["stream"] == "packets").collect();
    assert_eq!(told["packets"], rows.len());
    assert_eq!((&told["left_out"], &told["without_time"]), (&Value::from(0), &Value::from(0)));
    let Some(frames) = frames(dir.path(), "all.pcapng", &[]) else { return };
    assert_eq!(frames.len(), rows.len());
    // The timeline is in order of time, the file in order of capture.
    let mut theirs: Vec<i64> =
        frames.iter().map(|f| f.split('\t').next().unwrap().replace('.', "").parse().unwrap()).collect();
    theirs.sort_unstable();
    let ours: Vec<i64> = rows.iter().map(|r| r["utc"].as_i64().unwrap()).collect();
    assert_eq!(theirs, ours, "to the nanosecond");
    let Some(about) = wireshark(dir.path(), "capinfos", &["-M", "all.pcapng"]) else { return };
    let id = told["bundle"].as_str().unwrap();
    assert!(about.contains(&format!("packets of bundle {id} ({CASE}), host ")), "{about}");
    assert!(about.contains(concat!("exported by coldcase ", env!("CARGO_PKG_VERSION"))), "{about}");
    for interface in array(&told, "interfaces") {
        assert!(about.contains(&format!("Name = {}", interface.as_str().unwrap())), "{about}");
    }
    assert!(about.contains("Time precision = nanoseconds (9)"), "{about}");
}

#[test]
fn the_first_packet_of_each_connection_and_request_says_what_it_is() {
    let dir = bench();
    let told = export(dir.path(), &["--pcapng", "all.pcapng", CASE]);
    let flow = flow(dir.path(), CASE);
    assert_eq!(told["connections"], array(&flow, "connections").len());
    assert_eq!(told["requests"], array(&flow, "requests").len());
    let args = ["-r", "all.pcapng", "-Y", "frame.comment", "-T", "fields", "-e", "frame.number", "-e", "frame.comment"];
    let Some(shown) = wireshark(dir.path(), "tshark", &args) else { return };
    let comments: BTreeMap<u64, &str> =
        shown.lines().filter_map(|l| l.split_once('\t')).map(|(n, c)| (n.parse().unwrap(), c)).collect();
    for (n, c) in array(&flow, "connections").iter().enumerate() {
        let comment = comments[&c["frames"][0].as_u64().unwrap()];
        assert!(comment.contains(&format!("connection {n} (")), "{comment}");
        for end in ["process_a", "process_b"].into_iter().filter_map(|end| c[end].as_str()) {
            assert!(comment.contains(end), "{end}: {comment}");
        }
    }
    for (n, r) in array(&flow, "requests").iter().enumerate() {
        let comment = comments[&r["frames"][0].as_u64().unwrap()];
        let expected = format!("request {n}: {} {} → ", r["protocol"].as_str().unwrap(), r["key"].as_str().unwrap());
        assert!(comment.contains(&expected), "{expected}: {comment}");
    }
}

#[test]
fn a_connection_a_request_and_a_window_are_exactly_their_packets() {
    let dir = bench();
    for file in [CASE, PCAP] {
        let all = flow(dir.path(), file);
        for n in [0, array(&all, "connections").len() - 1] {
            let c = &array(&all, "connections")[n];
            let packets = c["packets_ab"].as_u64().unwrap() + c["packets_ba"].as_u64().unwrap();
            let told = export(dir.path(), &["--pcapng", "one.pcapng", file, "--conn", &n.to_string()]);
            assert_eq!((&told["packets"], &told["connections"]), (&packets.into(), &1.into()), "{file} {n}");
            let one = flow(dir.path(), "one.pcapng");
            let again = &array(&one, "connections")[0];
            assert_eq!(array(&one, "connections").len(), 1);
            for same in ["a", "b", "first", "last", "packets_ab", "packets_ba", "bytes_ab", "bytes_ba"] {
                assert_eq!(again[same], c[same], "{file} {n} {same}");
            }
        }
        let requests = array(&all, "requests").iter().enumerate();
        let Some((n, r)) = requests.into_iter().find(|(_, r)| r["duration"].is_u64()) else { continue };
        let told = export(dir.path(), &["--pcapng", "one.pcapng", file, "--request", &n.to_string()]);
        assert_eq!((&told["connections"], &told["requests"]), (&1.into(), &1.into()));
        // Without its handshake a connection may be read otherwise: times and ends tell that these are the packets.
        let one = flow(dir.path(), "one.pcapng");
        let (c, again) =
            (&array(&all, "connections")[r["connection"].as_u64().unwrap() as usize], &array(&one, "connections")[0]);
        assert_eq!((&again["a"], &again["b"]), (&c["a"], &c["b"]), "{file} request {n}");
        assert_eq!(again["first"], r["start"], "{file} request {n}");
        assert_eq!(again["last"], r["start"].as_i64().unwrap() + r["duration"].as_i64().unwrap(), "{file} request {n}");
    }
    let window = ["--from", "+2s", "--to", "+3s"];
    let told = export(dir.path(), &[&["--pcapng", "one.pcapng", CASE], &window[..]].concat());
    let flow = run_in(dir.path(), &[&["flow", CASE, "--json"], &window[..]].concat()).code(0).json();
    assert_eq!(told["packets"], flow["packets"]);
    assert!(told["packets"].as_u64().unwrap() > 0 && told["left_out"].as_u64().unwrap() > 0);
}

#[test]
fn a_process_is_its_connections_and_a_trace_the_packets_of_its_requests() {
    let dir = bench();
    let all = flow(dir.path(), CASE);
    let process = array(&all, "connections").iter().find_map(|c| c["process_a"].as_str()).unwrap();
    let pid = process.rsplit_once('[').unwrap().1.trim_end_matches(']');
    let told = export(dir.path(), &["--pcapng", "one.pcapng", CASE, "--pid", pid]);
    let narrow = run_in(dir.path(), &["flow", CASE, "--json", "--pid", pid]).code(0).json();
    assert_eq!((&told["packets"], told["left_out"] != 0), (&narrow["packets"], true));
    let none = ["export", "--pcapng", "one.pcapng", CASE, "--force", "--trace", &"7".repeat(32)];
    let said = run_in(dir.path(), &none).code(2).stderr;
    assert!(said.contains("no request in the packets carries the id of trace 7777"), "{said}");
    assert!(said.contains("hint: no request at all could be read: record with --payload 512"), "{said}");
    std::fs::write(dir.path().join("in.pcap"), hostile()).unwrap();
    let told = export(dir.path(), &["--pcapng", "one.pcapng", "in.pcap", "--trace", TRACE]);
    assert_eq!((&told["packets"], &told["left_out"]), (&2.into(), &3.into()), "{told}");
    assert_eq!((&told["requests"], &told["comments"]), (&1.into(), &2.into()), "{told}");
    let both = ["export", "--pcapng", "x", "in.pcap", "--trace", TRACE, "--request", "0"];
    run_in(dir.path(), &both).code(0);
}

#[test]
fn findings_stand_at_the_message_that_they_cite_and_not_at_connections_that_are_well() {
    let dir = folder();
    shop::write(&dir.path().join("shop.case"));
    let analysis = run_in(dir.path(), &["analyze", "shop.case", "--json"]).code(0).json();
    let id = analysis["bundle"]["id"].as_str().unwrap();
    let comments = |args: &[&str]| {
        export(dir.path(), &[&["--pcapng", "out.pcapng", "shop.case"], args].concat());
        String::from_utf8_lossy(&std::fs::read(dir.path().join("out.pcapng")).unwrap()).into_owned()
    };
    let all = comments(&[]);
    let mut told = 0;
    for finding in array(&analysis, "findings") {
        let prefix = format!("{id}/packets#");
        for row in array(finding, "evidence").iter().filter_map(|e| e.as_str().unwrap().strip_prefix(&prefix)) {
            let claim = finding["claim"].as_str().unwrap();
            let expected = format!("finding (tcp_trouble), cites packets#{row}, which begins here: {claim}");
            assert!(all.contains(&expected), "{expected}");
            told += 1;
        }
    }
    assert!(told >= 2, "{told}");
    assert_eq!(all.matches("finding (").count(), told);
    let flow = flow(dir.path(), "shop.case");
    let reset = array(&flow, "connections").iter().position(|c| c["tcp"]["resets"] == 1).unwrap();
    assert!(comments(&["--conn", &reset.to_string()]).contains("finding (tcp_trouble)"));
    let well = array(&flow, "connections").iter().position(|c| {
        let tcp = &c["tcp"];
        tcp["resets"] == 0 && tcp["retransmissions"] == 0 && tcp["kernel_retransmissions"].as_u64().unwrap_or(0) == 0
    });
    assert!(!comments(&["--conn", &well.unwrap().to_string()]).contains("finding ("));
}

#[test]
fn what_is_not_there_is_refused_with_a_hint_and_leaves_no_file() {
    let dir = bench();
    std::fs::write(dir.path().join("there"), "mine").unwrap();
    for (args, said) in [
        (vec!["--pcapng", "x", CASE, "--conn", "100000"], "--conn: there is no connection 100000: there are"),
        (vec!["--pcapng", "x", CASE, "--request", "100000"], "--request: there is no request 100000: there are"),
        (vec!["--pcapng", "there", CASE], "there exists already"),
        (vec!["--pcapng", "x", PCAP, "--pid", "7"], "a capture file knows no processes"),
        (vec!["--parquet", "x", CASE, "--pid", "7"], "tables are of everything"),
        (vec!["--parquet", "x", CASE, "--conn", "0"], "--conn: packets are chosen"),
        (vec!["--pcapng", "x", "there"], "there"),
    ] {
        let run = run_in(dir.path(), &[vec!["export"], args].concat()).code(2);
        assert!(run.stderr.contains(said), "{said}: {}", run.stderr);
    }
    run_in(dir.path(), &["export", CASE]).code(2);
    run_in(dir.path(), &["export", "--pcapng", "x", "--parquet", "y", CASE]).code(2);
    assert_eq!(std::fs::read(dir.path().join("there")).unwrap(), b"mine");
    let mut left: Vec<String> =
        std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    left.sort();
    assert_eq!(left, [CASE, PCAP, "there"]);
}

#[test]
fn a_capture_file_is_written_again_with_the_times_that_tshark_saw_before() {
    let dir = bench();
    export(dir.path(), &["--pcapng", "all.pcapng", PCAP]);
    let (before, after) =
        (frames(dir.path(), PCAP, &["tcp.stream"]), frames(dir.path(), "all.pcapng", &["tcp.stream"]));
    assert_eq!(before, after);
}

fn word(n: u32) -> [u8; 4] {
    n.to_le_bytes()
}

/// A pcapng block.
fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let padded = body.len().next_multiple_of(4);
    let total = word((12 + padded) as u32);
    let mut out = [&word(kind)[..], &total, body].concat();
    out.resize(8 + padded, 0);
    [&out[..], &total].concat()
}

fn option(code: u16, value: &[u8]) -> Vec<u8> {
    let mut out = [&code.to_le_bytes()[..], &(value.len() as u16).to_le_bytes(), value].concat();
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

fn header() -> Vec<u8> {
    block(0x0a0d_0d0a, &[0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255])
}

fn interface(link: u8, name: &str, resolution: u8) -> Vec<u8> {
    block(
        1,
        &[&[link, 0, 0, 0, 0, 0, 4, 0][..], &option(2, name.as_bytes()), &option(9, &[resolution]), &[0; 4]].concat(),
    )
}

fn packet(interface: u32, ticks: u64, frame: &[u8], options: &[u8]) -> Vec<u8> {
    let head = [interface, (ticks >> 32) as u32, ticks as u32, frame.len() as u32, frame.len() as u32 + 5];
    let mut body = [&head.map(word).concat()[..], frame].concat();
    body.resize(body.len().next_multiple_of(4), 0);
    block(6, &[&body[..], options].concat())
}

fn ip(last: u8) -> Vec<u8> {
    let mut ip = vec![0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, last];
    ip.extend([0x13, 0x88, 0x27, 0x0f, 0, 8, 0, 0]);
    ip
}

#[test]
fn sections_and_their_interfaces_become_one_with_links_names_units_comments_and_lengths_kept() {
    let dir = folder();
    let cooked = [&[0u8; 14][..], &[8, 0], &ip(3)].concat();
    let kept = [option(1, b"by\x1b[31m hand"), option(2, &word(0x0000_0102)), vec![0; 4]].concat();
    let mut file = [header(), interface(101, "raw\x1b0", 6), interface(113, "any", 9)].concat();
    file.extend(packet(0, 1_600_000_000_000_001, &ip(2), &kept));
    file.extend(packet(1, 1_600_000_000_000_000_500, &cooked, &[]));
    file.extend([header(), interface(113, "any", 9), interface(101, "seconds", 0)].concat());
    file.extend(packet(0, 1_600_000_001_000_000_501, &cooked, &[]));
    file.extend(packet(1, 1_600_000_002, &ip(4), &[]));
    // A simple packet block: no time.
    file.extend(block(3, &[&word(44)[..], &cooked].concat()));
    std::fs::write(dir.path().join("in.pcapng"), file).unwrap();
    let told = export(dir.path(), &["--pcapng", "out.pcapng", "in.pcapng"]);
    assert_eq!(told["interfaces"], serde_json::json!(["raw\\x1b0", "any", "seconds"]));
    assert_eq!((&told["packets"], &told["without_time"]), (&5.into(), &1.into()));
    let more = ["frame.interface_id", "frame.interface_name", "frame.encap_type", "frame.packet_flags"];
    let Some(out) = frames(dir.path(), "out.pcapng", &more) else { return };
    let expected = [
        "1600000000.000001000\t33\t28\t0\traw\\x1b0\t7\t0x00000102",
        "1600000000.000000500\t49\t44\t1\tany\t25\t",
        "1600000001.000000501\t49\t44\t1\tany\t25\t",
        "1600000002.000000000\t33\t28\t2\tseconds\t7\t",
        "0.000000000\t44\t44\t1\tany\t25\t",
    ];
    assert_eq!(out, expected);
    let comments =
        wireshark(dir.path(), "tshark", &["-r", "out.pcapng", "-T", "fields", "-e", "frame.comment"]).unwrap();
    let comments: Vec<&str> = comments.lines().collect();
    assert!(comments[0].contains("by\\x1b[31m hand") && comments[0].contains("connection 0 (udp)"), "{comments:?}");
    assert!(comments[4].contains("holds no time"), "{comments:?}");
}

/// A TCP segment without payload, from port 4000 of one host to port 80 of another.
fn segment(seq: u32, syn: bool) -> Vec<u8> {
    let step = etherparse::PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64).tcp(4000, 80, seq, 9_000);
    let mut out = Vec::new();
    if syn { step.syn() } else { step.ack(1) }.write(&mut out, &[]).unwrap();
    out
}

/// A datagram in three fragments of eight bytes.
fn fragments() -> Vec<Vec<u8>> {
    let mut whole = Vec::new();
    let step = etherparse::PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64).udp(4000, 999);
    step.write(&mut whole, &[7; 16]).unwrap();
    let one = |n: usize| {
        let mut out = [&whole[..20], &whole[20 + n * 8..28 + n * 8]].concat();
        out[2..4].copy_from_slice(&28u16.to_be_bytes());
        out[6..8].copy_from_slice(&(n as u16 | if n < 2 { 0x2000 } else { 0 }).to_be_bytes());
        out
    };
    (0..3).map(one).collect()
}

#[test]
fn connections_on_the_same_ports_are_told_apart_and_a_fragmented_datagram_has_all_its_fragments() {
    let dir = folder();
    let parts = fragments();
    let frames = [
        segment(1_000, true),
        segment(1_001, false),
        parts[0].clone(),
        ip(9),
        parts[1].clone(),
        segment(900_000, true),
        parts[2].clone(),
        segment(900_001, false),
        segment(900_001, false),
    ];
    let mut file = [header(), interface(101, "x", 9)].concat();
    for (n, frame) in frames.iter().enumerate() {
        file.extend(packet(0, 1_600_000_000_000_000_000 + n as u64, frame, &[]));
    }
    std::fs::write(dir.path().join("in.pcapng"), file).unwrap();
    let all = flow(dir.path(), "in.pcapng");
    let ends: Vec<_> = array(&all, "connections").iter().map(|c| (&c["b"], &c["frames"])).collect();
    assert_eq!(ends.len(), 4, "{ends:?}");
    for (b, frames, expected) in [
        ("10.0.0.2:80", [1, 2], vec![1i64, 2]),
        ("10.0.0.2:80", [6, 9], vec![6, 8, 9]),
        ("10.0.0.2:999", [7, 7], vec![3, 5, 7]),
    ] {
        let n = ends.iter().position(|e| *e.0 == b && *e.1 == serde_json::json!(frames)).unwrap();
        let told = export(dir.path(), &["--pcapng", "one.pcapng", "in.pcapng", "--conn", &n.to_string()]);
        assert_eq!((&told["packets"], &told["comments"]), (&expected.len().into(), &1.into()), "{b} {frames:?}");
        let lines = run_in(dir.path(), &["flow", "one.pcapng", "--json"]).code(0).json();
        assert_eq!(array(&lines, "connections").len(), 1);
        let first = 1_600_000_000_000_000_000 + expected[if b.ends_with(":999") { 2 } else { 0 }] - 1;
        assert_eq!(lines["connections"][0]["first"], first, "{b}");
    }
}

/// The trace that the hostile request belongs to.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// A request line with escapes (what HTTP lets through of them: C1 controls, which terminals obey, and a change of
/// direction), as the bytes of a TCP connection in a pcap file.
fn hostile() -> Vec<u8> {
    let words = [0xa1b2_3c4d, 4 << 16 | 2, 0, 0, 262_144, 1];
    let mut out: Vec<u8> = words.iter().flat_map(|w: &u32| w.to_le_bytes()).collect();
    let path = format!("/\u{9b}2J\u{9d}0;owned\u{9c}/{}", "é\u{202e}".repeat(300));
    let line = format!("GET {path} HTTP/1.1\r\nHost: a\r\ntraceparent: 00-{TRACE}-b7ad6b7169203331-01\r\n\r\n");
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let ends = |a: bool| if a { ([10, 0, 0, 1], [10, 0, 0, 2]) } else { ([10, 0, 0, 2], [10, 0, 0, 1]) };
    let segments: [(bool, u32, Option<u32>, bool, &str); 5] = [
        (true, 100, None, true, ""),
        (false, 900, Some(101), true, ""),
        (true, 101, Some(901), false, ""),
        (true, 101, Some(901), false, &line),
        (false, 901, Some(101 + line.len() as u32), false, answer),
    ];
    for (i, (a, seq, ack, syn, payload)) in segments.into_iter().enumerate() {
        let (from, to) = ends(a);
        let ports = if a { (4000, 80) } else { (80, 4000) };
        let step = etherparse::PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4(from, to, 64);
        let mut step = step.tcp(ports.0, ports.1, seq, 9_000);
        if syn {
            step = step.syn();
        }
        if let Some(ack) = ack {
            step = step.ack(ack);
        }
        let mut frame = Vec::new();
        step.write(&mut frame, payload.as_bytes()).unwrap();
        let head = [1_700_000_000, i as u32, frame.len() as u32, frame.len() as u32];
        out.extend(head.iter().flat_map(|w| w.to_le_bytes()));
        out.extend(frame);
    }
    out
}

#[test]
fn a_request_line_with_escapes_gives_a_harmless_comment() {
    let dir = folder();
    std::fs::write(dir.path().join("in.pcap"), hostile()).unwrap();
    let told = export(dir.path(), &["--pcapng", "out.pcapng", "in.pcap"]);
    assert_eq!(told["requests"], 1, "{told}");
    // Of the file itself: what a viewer shows of it may be made safe by the viewer.
    let bytes = std::fs::read(dir.path().join("out.pcapng")).unwrap();
    let at = bytes.windows(10).position(|w| w == b"request 0:").unwrap();
    let length = usize::from(u16::from_le_bytes([bytes[at - 2], bytes[at - 1]]));
    let comment = std::str::from_utf8(&bytes[at..at + length]).unwrap();
    assert!(comment.starts_with("request 0: http GET /") && comment.contains("10.0.0.2:80: ok 200 in "), "{comment}");
    assert!(comment.chars().all(|c| !c.is_control() && c != '\u{202e}') && length < 5_000, "{comment}");
    let args = ["-r", "out.pcapng", "-Y", "frame.comment contains \"request 0\"", "-T", "fields", "-e", "frame.number"];
    if let Some(shown) = wireshark(dir.path(), "tshark", &args) {
        assert_eq!(shown, "4\n");
    }
}
