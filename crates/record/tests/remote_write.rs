//! The Remote-Write receiver: what is taken, refused and put off, byte for byte.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use coldcase_model::Event;
use coldcase_model::events::Receipt;
use coldcase_record::remote_write::{RemoteWrite, RemoteWriteConfig};
use support::{Recording, record, record_with};

fn receiver(max_request: usize) -> (Recording, SocketAddr) {
    let listen = Some("127.0.0.1:0".parse().unwrap());
    let recording = record(RemoteWrite::new(RemoteWriteConfig { listen, max_request }));
    let at = recording.remarks[0].split("http://").nth(1).unwrap().split('/').next().unwrap().parse().unwrap();
    (recording, at)
}

/// Status and headers of an answer, in lower case.
fn post(at: SocketAddr, path: &str, headers: &str, body: &[u8]) -> (u16, String) {
    let mut peer = TcpStream::connect(at).unwrap();
    let length = body.len();
    let head =
        format!("POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n");
    peer.write_all(head.as_bytes()).unwrap();
    // A refusal may come before all is sent.
    let _ = peer.write_all(body);
    let mut answer = Vec::new();
    let _ = peer.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).to_lowercase();
    (answer.split(' ').nth(1).unwrap().parse().unwrap(), answer)
}

const PATH: &str = "/api/v1/write";
const V1: &str = "Content-Encoding: snappy\r\nContent-Type: application/x-protobuf\r\n\
                  X-Prometheus-Remote-Write-Version: 0.1.0\r\n";
const V2: &str = "Content-Encoding: snappy\r\nContent-Type: application/x-protobuf;proto=io.prometheus.write.v2.Request\r\n\
                  X-Prometheus-Remote-Write-Version: 2.0.0\r\n";

fn snappy(bytes: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(bytes).unwrap()
}

/// A series `up{} 1` of version 1, by hand.
fn v1() -> Vec<u8> {
    let label = [&[0x0a, 8][..], b"__name__", &[0x12, 2], b"up"].concat();
    let sample = [&[0x09][..], &1.0f64.to_le_bytes(), &[0x10, 0xe8, 0x07]].concat();
    let series = [&[0x0a, label.len() as u8][..], &label, &[0x12, sample.len() as u8], &sample].concat();
    [&[0x0a, series.len() as u8][..], &series].concat()
}

/// The same of version 2: symbols, then a series of references, two samples and an exemplar.
fn v2() -> Vec<u8> {
    let symbol = |s: &str| [&[0x22, s.len() as u8][..], s.as_bytes()].concat();
    let sample = [&[0x12, 12, 0x09][..], &1.0f64.to_le_bytes(), &[0x10, 0xe8, 0x07]].concat();
    let series = [&[0x0a, 2, 1, 2][..], &sample, &sample, &[0x22, 0]].concat();
    [symbol(""), symbol("__name__"), symbol("up"), [&[0x2a, series.len() as u8][..], &series].concat()].concat()
}

#[test]
fn both_versions_are_stored_byte_for_byte_and_acknowledged() {
    let (recording, at) = receiver(1 << 20);
    let (status, answer) = post(at, PATH, V1, &snappy(&v1()));
    assert_eq!(status, 204, "{answer}");
    assert!(!answer.contains("x-prometheus-remote-write-"), "{answer}");
    let (status, answer) = post(at, PATH, V2, &snappy(&v2()));
    assert_eq!(status, 204, "{answer}");
    for header in ["samples-written: 2", "histograms-written: 0", "exemplars-written: 1"] {
        assert!(answer.contains(&format!("x-prometheus-remote-write-{header}\r\n")), "{answer}");
    }
    let recorded = recording.finish();
    assert_eq!(recorded.raw("prometheus.remote_write"), [v1()]);
    assert_eq!(recorded.raw("prometheus.remote_write.v2"), [v2()]);
    let receipts = recorded.columns("prometheus.remote_write.receipts");
    let c = Receipt::cols(&receipts[0]).unwrap();
    assert_eq!((c.compression.text(0).as_ref(), c.bytes[0] as usize), ("snappy", v1().len()));
    assert_eq!(recorded.lost("remote-write-rejected"), Some(0));
}

#[test]
fn what_can_never_be_taken_is_refused_and_counted() {
    let (recording, at) = receiver(4096);
    let good = snappy(&v1());
    let refused = [
        (400, V1, b"not snappy".to_vec()),
        (400, V1, snappy(b"not protobuf")),
        (415, "Content-Type: application/json\r\n", good.clone()),
        (415, "Content-Type: application/x-protobuf;proto=io.prometheus.write.v9\r\n", good.clone()),
        (415, "Content-Encoding: gzip\r\nContent-Type: application/x-protobuf\r\n", good.clone()),
        (413, V1, snappy(&vec![0; 5000])),
        (413, V1, vec![0; 5000]),
        // A block that says it is of 4 GB.
        (413, V1, vec![0xff, 0xff, 0xff, 0xff, 0x0f, 0]),
    ];
    let count = refused.len() as u64;
    for (want, headers, body) in refused {
        let (status, answer) = post(at, PATH, headers, &body);
        assert_eq!(status, want, "{answer}");
    }
    assert_eq!(post(at, "/other", V1, &good).0, 404);
    assert_eq!(post(at, PATH, V1, &good).0, 204, "it goes on");
    let recorded = recording.finish();
    assert_eq!(recorded.lost("remote-write-rejected"), Some(count));
    assert_eq!(recorded.raw("prometheus.remote_write").len(), 1);
}

#[test]
fn a_paused_receiver_tells_senders_to_try_again() {
    let (mut recording, at) = receiver(1 << 20);
    let rung = recording.running().rungs().remove(0);
    recording.running().reduce(&rung, true).unwrap();
    let (status, answer) = post(at, PATH, V1, &snappy(&v1()));
    assert_eq!(status, 503, "{answer}");
    assert!(answer.contains("retry-after: 1"), "{answer}");
    recording.running().reduce(&rung, false).unwrap();
    assert_eq!(post(at, PATH, V1, &snappy(&v1())).0, 204);
    let recorded = recording.finish();
    assert_eq!(recorded.lost("rate-limited"), Some(1));
    assert_eq!(recorded.lost("remote-write-rejected"), Some(0));
}

#[test]
fn nothing_listens_unasked_and_a_taken_port_is_told() {
    let skip = record_with(RemoteWrite::new(RemoteWriteConfig::default()), |_| {}).err().unwrap();
    assert!(skip.unasked, "{skip:?}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = Some(taken.local_addr().unwrap());
    let config = RemoteWriteConfig { listen, ..RemoteWriteConfig::default() };
    let skip = record_with(RemoteWrite::new(config), |_| {}).err().unwrap();
    assert!(skip.reason.contains("in use") && skip.hint.contains("--remote-write"), "{skip:?}");
}
