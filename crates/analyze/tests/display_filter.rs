//! tshark shows by the display filter of each connection as many packets as the connection has. Skipped where there is
//! no tshark.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use coldcase_analyze::flow::{Sequences, display_filter};
use coldcase_model::analysis::Flow;
use coldcase_model::entity::Protocol;
use etherparse::PacketBuilder;

/// A pcap file of Ethernet frames, a millisecond apart.
fn pcap(frames: &[Vec<u8>]) -> Vec<u8> {
    let words = [0xa1b2_3c4d, 4 << 16 | 2, 0, 0, 262_144, 1];
    let mut out: Vec<u8> = words.iter().flat_map(|w: &u32| w.to_le_bytes()).collect();
    for (i, frame) in frames.iter().enumerate() {
        let head = [1_700_000_000, i as u32 * 1_000_000, frame.len() as u32, frame.len() as u32];
        out.extend(head.iter().flat_map(|w| w.to_le_bytes()));
        out.extend(frame);
    }
    out
}

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn ether(from: SocketAddr, to: SocketAddr) -> etherparse::PacketBuilderStep<etherparse::IpHeaders> {
    let builder = PacketBuilder::ethernet2([2; 6], [4; 6]);
    match (from, to) {
        (SocketAddr::V4(from), SocketAddr::V4(to)) => builder.ipv4(from.ip().octets(), to.ip().octets(), 64),
        (SocketAddr::V6(from), SocketAddr::V6(to)) => builder.ipv6(from.ip().octets(), to.ip().octets(), 64),
        _ => panic!("two versions of IP"),
    }
}

fn udp(from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    ether(from, to).udp(from.port(), to.port()).write(&mut out, payload).unwrap();
    out
}

/// A connection: handshake, a few bytes each way, and `more` segments from a.
fn tcp(a: SocketAddr, b: SocketAddr, seq: u32, more: u32) -> Vec<Vec<u8>> {
    let one = |from: SocketAddr, to: SocketAddr, seq: u32, ack: Option<u32>, syn: bool, payload: &[u8]| {
        let mut step = ether(from, to).tcp(from.port(), to.port(), seq, 1_000);
        if syn {
            step = step.syn();
        }
        if let Some(ack) = ack {
            step = step.ack(ack);
        }
        let mut out = Vec::new();
        step.write(&mut out, payload).unwrap();
        out
    };
    let mut out = vec![
        one(a, b, seq, None, true, b""),
        one(b, a, 9_000, Some(seq + 1), true, b""),
        one(a, b, seq + 1, Some(9_001), false, b""),
        one(a, b, seq + 1, Some(9_001), false, b"ping"),
        one(b, a, 9_001, Some(seq + 5), false, b"pong"),
    ];
    out.extend((0..more).map(|i| one(a, b, seq + 5 + i, Some(9_005), false, b"x")));
    out
}

/// A frame in VXLAN between two hosts.
fn vxlan(frame: &[u8]) -> Vec<u8> {
    let payload = [&[8, 0, 0, 0, 0, 0, 7, 0][..], frame].concat();
    udp(addr("192.168.0.1:50000"), addr("192.168.0.2:4789"), &payload)
}

/// A datagram of an Ethernet frame in two fragments.
fn in_two(frame: &[u8]) -> [Vec<u8>; 2] {
    let (ether, ip, body) = (&frame[..14], &frame[14..34], &frame[34..]);
    let one = |part: &[u8], field: u16| {
        let mut head = ip.to_vec();
        head[2..4].copy_from_slice(&((20 + part.len()) as u16).to_be_bytes());
        head[6..8].copy_from_slice(&field.to_be_bytes());
        [ether, &head, part].concat()
    };
    [one(&body[..16], 0x2000), one(&body[16..], 2)]
}

/// Ports that are used again, loopback, the same port on both sides, IPv6, datagrams, a tunnel, fragments, others.
fn frames() -> Vec<Vec<u8>> {
    let (a, b) = (addr("10.0.0.1:4000"), addr("10.0.0.2:80"));
    let mut out = tcp(a, b, 1_000, 3);
    out.extend(tcp(addr("127.0.0.1:4000"), addr("127.0.0.1:80"), 1_000, 1));
    out.extend(tcp(a, b, 500_000, 7));
    out.extend(tcp(addr("10.0.0.1:80"), b, 1_000, 0));
    out.extend(tcp(addr("10.0.0.1:80"), addr("10.0.0.2:81"), 1_000, 2));
    out.extend(tcp(addr("[fe80::1]:4000"), addr("[fe80::2]:80"), 1_000, 4));
    let (client, server) = (addr("10.0.0.1:4000"), addr("10.0.0.2:9999"));
    for i in 0..6 {
        out.push(udp(client, server, &[i]));
        out.push(udp(addr("[fe80::1]:4000"), addr("[fe80::2]:9999"), &[i]));
    }
    out.extend(in_two(&udp(server, client, &[7; 40])));
    out.extend(tcp(addr("172.16.0.1:4000"), addr("172.16.0.2:80"), 1_000, 2).iter().map(|f| vxlan(f)));
    // The same addresses and ports inside a tunnel and outside of it are one connection to tshark, and to us.
    out.extend((0..3).map(|i| vxlan(&udp(client, server, &[i]))));
    out
}

/// How many frames tshark shows; `None` without a tshark.
fn shown(file: &Path, filter: &str) -> Option<usize> {
    let mut tshark = Command::new("tshark");
    tshark.arg("-r").arg(file).args(["-Y", filter, "-T", "fields", "-e", "frame.number"]);
    let output = tshark.output().ok()?;
    assert!(output.status.success(), "{filter}: {}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap().lines().count())
}

fn flow(file: &Path, frames: &[Vec<u8>]) -> Flow {
    std::fs::write(file, pcap(frames)).unwrap();
    coldcase_analyze::analyze_capture(file, Sequences::None).unwrap().flow
}

#[test]
fn tshark_shows_the_packets_of_each_connection_by_its_filter_with_and_without_a_stream() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("c.pcap");
    let flow = flow(&file, &frames());
    assert!(flow.connections.len() >= 9, "{}", flow.connections.len());
    for c in &flow.connections {
        assert!(c.stream.is_some());
        let expected = (c.packets_ab + c.packets_ba) as usize;
        let Some(by_stream) = shown(&file, &c.display_filter) else {
            eprintln!("skipped: display filters: no tshark");
            return;
        };
        assert_eq!(by_stream, expected, "{} of {} → {}", c.display_filter, c.a, c.b);
        let proto = if c.proto == "udp" { Protocol::Udp } else { Protocol::Tcp };
        let by_ends = display_filter::connection(proto, None, [addr(&c.a), addr(&c.b)], c.frames);
        assert_eq!(shown(&file, &by_ends), Some(expected), "{by_ends}");
    }
}

#[test]
fn tshark_shows_the_frames_of_a_request_and_no_others() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/shop-lock.pcap");
    let flow = coldcase_analyze::analyze_capture(&file, Sequences::None).unwrap().flow;
    let whole: Vec<_> = flow.requests.iter().filter(|r| r.duration.is_some()).collect();
    assert!(!whole.is_empty());
    for r in whole.into_iter().take(3) {
        let (filter, [first, last]) = (&r.display_filter, r.frames);
        let Some(count) = shown(&file, filter) else {
            eprintln!("skipped: display filters: no tshark");
            return;
        };
        assert!(count >= 2 && count as u64 <= last - first + 1, "{filter}: {count}");
        assert_eq!(shown(&file, &format!("({filter}) && frame.number == {first}")), Some(1), "{filter}");
        assert_eq!(shown(&file, &format!("({filter}) && frame.number == {last}")), Some(1), "{filter}");
    }
}
