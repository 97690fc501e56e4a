//! Requests of the sample, and one of its connections segment by segment.

use coldcase_model::analysis::{
    Connection, DatabaseUse, Flow, RepeatedRequest, RequestKind, RetriedRequests, SeenRequest, SentSegment, Sequence,
    SequenceWay, TcpStall, VanishedRequests,
};

use super::{SECOND, START, evidence};

fn request(protocol: &str, key: &str, outcome: &str, at: i64, duration: Option<u64>) -> SeenRequest {
    SeenRequest {
        protocol: protocol.into(),
        key: key.into(),
        detail: format!("{key}?trace=0af7651916cd43dd8448eb211c80319c"),
        code: if duration.is_some() { "200".into() } else { String::new() },
        outcome: outcome.into(),
        connection: 5,
        start: START + at * SECOND,
        first: duration.map(|d| d / 2),
        duration,
        request_bytes: 180,
        response_bytes: 2_400,
        frames: [1_200 + at as u64, 1_207 + at as u64],
        evidence: Some(evidence("packets", 300 + at as u64)),
        ..SeenRequest::default()
    }
}

fn kind(protocol: &str, service: &str, key: &str, count: u64) -> RequestKind {
    RequestKind {
        protocol: protocol.into(),
        service: service.into(),
        key: key.into(),
        count,
        errors: count / 90,
        unanswered: count / 400,
        total: count * 9_000_000,
        mean: 9_000_000,
        p50: 4_100_000,
        p99: 612_000_000,
        max: 700_000_000,
        first: 3_900_000,
        rows: (protocol == "postgres").then_some(count * 3),
        request_bytes: count * 180,
        response_bytes: count * 2_400,
        share: 710,
        slowest: Some(1),
        ..RequestKind::default()
    }
}

/// Fills in what requests add to a flow.
pub fn fill(flow: &mut Flow) {
    for (edge, requests) in flow.edges.iter_mut().zip([40_000u64, 15_000, 900, 6_000]) {
        edge.requests = requests;
        edge.request_rate = requests as f64 / 20.0;
        edge.request_errors = if edge.from == "gateway" { requests / 80 } else { 0 };
        edge.unanswered_requests = edge.resets;
        (edge.request_p50, edge.request_p99) = (Some(4_100_000), Some(612_000_000));
        edge.retransmit_share = edge.retransmissions as f64 / edge.packets as f64;
    }
    flow.requests = vec![
        request("http", "POST /checkout", "ok", 3, Some(9_300_000)),
        request("http", "POST /checkout", "error", 11, Some(612_000_000)),
        request("http", "POST /checkout", "reset", 12, None),
        request("dns", "A orders.internal", "unfinished", 13, None),
        request("postgres", "UPDATE stock SET n = $1", "ok", 14, Some(231_000_000)),
    ];
    flow.request_kinds = vec![
        kind("http", "orders:8081", "POST /checkout", 15_000),
        kind("postgres", "10.0.0.9:5432", "UPDATE stock SET n = $1", 6_000),
        kind("dns", "10.0.0.53:53", "A orders.internal", 40),
    ];
    let vanished = |protocol: &str, outcome: &str, count, first| VanishedRequests {
        client: "gateway".into(),
        service: "orders:8081".into(),
        protocol: protocol.into(),
        outcome: outcome.into(),
        count,
        begun: 1,
        first,
    };
    flow.vanished = vec![vanished("http", "reset", 7, 2), vanished("dns", "unfinished", 3, 3)];
    flow.retried = vec![RetriedRequests {
        client: "gateway".into(),
        service: "orders:8081".into(),
        protocol: "http".into(),
        key: "POST /checkout".into(),
        requests: 7,
        retries: 9,
        most: 2,
        recovered: 6,
        elsewhere: 9,
        longest: 2 * SECOND as u64,
        attempts: [1, 2],
    }];
    flow.databases = vec![DatabaseUse {
        client: "orders".into(),
        service: "10.0.0.9:5432".into(),
        protocol: "postgres".into(),
        connections: 8,
        opened: 2,
        requests: 6_000,
        total: 90 * SECOND as u64,
        most: 8,
        all_busy: 3 * SECOND as u64,
        idle_in_transaction: SECOND as u64,
        idle_longest: 200_000_000,
        idle_after: Some(4),
    }];
    flow.repeated = vec![RepeatedRequest {
        client: "orders".into(),
        service: "10.0.0.9:5432".into(),
        protocol: "postgres".into(),
        key: "SELECT price FROM item WHERE id = $1".into(),
        runs: 40,
        requests: 900,
        longest: 31,
        total: 4 * SECOND as u64,
        first: 4,
    }];
    flow.sequences = vec![sequence(&mut flow.connections, 5)];
}

/// A download that loses two segments, waits for the timer, meets a closed window, and is reset.
fn sequence(connections: &mut [Connection], at: usize) -> Sequence {
    let c = &mut connections[at];
    let mut ways = [SequenceWay::default(), SequenceWay::default()];
    let segment = |time: i64, seq: i64, bytes: u32| SentSegment {
        time: time * 1_000_000,
        frame: 40 + time as u64,
        seq,
        bytes,
        ..SentSegment::default()
    };
    ways[0].segments = vec![SentSegment { syn: true, ..segment(0, 0, 0) }, segment(2, 1, 180)];
    ways[0].acked = vec![(1_000_000, 1), (3_000_000, 181)];
    ways[0].allowed = vec![(1_000_000, 65_001), (3_000_000, 65_181)];
    let down = &mut ways[1];
    down.segments.push(SentSegment { syn: true, ..segment(1, 0, 0) });
    for i in 0..60i64 {
        down.segments.push(segment(3 + i / 4, 1 + i * 1_448, 1_448));
        if i % 2 == 1 && i < 40 {
            down.acked.push(((4 + i / 4) * 1_000_000, 1 + i * 1_448));
            down.allowed.push(((4 + i / 4) * 1_000_000, 60_001 + i * 1_448));
        }
    }
    down.sacked = (44..60).map(|i| ((4 + i / 4) * 1_000_000, 1 + 42 * 1_448, 1 + i * 1_448)).collect();
    down.segments.push(SentSegment { again: true, ..segment(418, 1 + 39 * 1_448, 1_448) });
    down.segments.push(SentSegment { again: true, ..segment(419, 1 + 40 * 1_448, 1_448) });
    down.acked.push((420_000_000, 1 + 60 * 1_448));
    down.allowed.push((420_000_000, 1 + 60 * 1_448));
    down.closed = vec![420_000_000, 650_000_000];
    down.allowed.push((900_000_000, 20_001 + 60 * 1_448));
    down.segments.extend((0..12).map(|i| segment(901 + i, 1 + (60 + i) * 1_448, 1_448)));
    down.segments.push(SentSegment { reset: true, ..segment(940, 1 + 72 * 1_448, 0) });
    if let Some(tcp) = &mut c.tcp {
        let stall = |start: i64, length: u64, cause: &str| TcpStall {
            start: c.first + start * 1_000_000,
            length: length * 1_000_000,
            cause: cause.into(),
            waiting: "b".into(),
        };
        tcp.more.stalls = vec![stall(18, 400, "retransmission"), stall(420, 481, "zero_window")];
        (tcp.more.stall_count, tcp.more.stalled) = (2, 881_000_000);
        (tcp.more.payload_ab, tcp.more.payload_ba) = (180, 72 * 1_448);
        tcp.more.sent_again_ba.segments = 2;
    }
    Sequence { connection: at, start: c.first, length: 940_000_000, ways }
}
