//! Analyses to render: a realistic incident, one of nothing, and one whose every text is hostile.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

mod requests;

use coldcase_model::analysis::*;
use coldcase_model::finding::{Evidence, Finding};
use coldcase_model::loss::LossTotal;
use coldcase_model::manifest::{SourceEntry, SourceStatus};
use coldcase_model::table::{Show, Table};

const START: i64 = 1_795_350_681_000_000_000;
const SECOND: i64 = 1_000_000_000;
const ID: &str = "3f9a1c0e5d7b2846";

/// A small generator, so that the sample is the same everywhere.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as f64 / (1u64 << 31) as f64
    }

    /// About normal.
    fn bell(&mut self) -> f64 {
        (0..6).map(|_| self.next()).sum::<f64>() - 3.0
    }
}

fn evidence(stream: &str, row: u64) -> Evidence {
    Evidence { bundle: ID.into(), stream: stream.into(), row }
}

/// A latency series of `rate` events a second: log-normal around `base`, from 10 s on a share around `slow`.
fn latency(group: &str, name: &str, rate: f64, base: f64, slow: Option<(f64, f64)>, noise: &mut Noise) -> Latency {
    let bounds: Vec<u64> = (0..200).map(|i| (1_000.0 * 10f64.powf(i as f64 / 10.0)) as u64).take(80).collect();
    let step = 200_000_000u64;
    let mut columns = vec![vec![0u64; bounds.len()]; 100];
    let mut all: Vec<(u64, i64)> = Vec::new();
    for i in 0..(rate * 20.0) as i64 {
        let at = i as f64 / rate;
        let mut ns = base * (noise.bell() * 0.5).exp();
        if let Some((share, centre)) = slow
            && at > 10.3
            && noise.next() < share
        {
            ns = centre * (noise.bell() * 0.35).exp();
        }
        let row = bounds.iter().rposition(|&b| b <= ns as u64).unwrap_or(0);
        columns[((at * 1e9) as u64 / step) as usize][row] += 1;
        all.push((ns as u64, START + (at * 1e9) as i64));
    }
    all.sort_unstable();
    let q = |p: f64| all[((all.len() - 1) as f64 * p) as usize].0;
    let exemplars = all
        .iter()
        .rev()
        .take(3)
        .enumerate()
        .map(|(i, &(duration, time))| Exemplar {
            time,
            duration,
            evidence: evidence(if group == "span" { "otlp.traces" } else { "kernel.block" }, 4_000 + i as u64),
            trace: (group == "span").then(|| "4bf92f3577b34da6a3ce929d0e0e4736".into()),
        })
        .collect();
    Latency {
        group: group.into(),
        name: name.into(),
        count: all.len() as u64,
        errors: (group == "span").then_some(if slow.is_some() { 7 } else { 0 }),
        p50: q(0.5),
        p90: q(0.9),
        p99: q(0.99),
        max: q(1.0),
        total: all.iter().map(|x| x.0).sum(),
        change: slow.filter(|_| group == "span").map(|(_, centre)| Change {
            time: START + 10_400_000_000,
            p50: (base as u64, 2 * base as u64),
            p99: (base as u64 * 2, (centre * 1.5) as u64),
        }),
        heat: Heat { start: START, step, bounds, columns },
        exemplars,
    }
}

fn metric(name: &str, unit: &str, origin: &str, f: impl Fn(f64, f64) -> f64, noise: &mut Noise) -> MetricSeries {
    let points = (0..20).map(|i| (START + i * SECOND, f(i as f64, noise.next()))).collect();
    MetricSeries { name: name.into(), unit: unit.into(), origin: origin.into(), points }
}

fn source(name: &str, status: SourceStatus, reason: &str, hint: &str) -> SourceEntry {
    SourceEntry { name: name.into(), status, reason: reason.into(), hint: hint.into() }
}

fn quality() -> Quality {
    use SourceStatus::{Recorded, Skipped};
    Quality {
        sources: vec![
            source("kernel.sched", Recorded, "", ""),
            source("kernel.sample", Recorded, "", ""),
            source("kernel.block", Recorded, "", ""),
            source("kernel.tcp", Recorded, "", ""),
            source("kernel.task", Recorded, "", ""),
            source("packets", Recorded, "", ""),
            source("otlp", Recorded, "", ""),
            source("log", Recorded, "", ""),
            source(
                "metrics",
                Skipped,
                "no scrape targets were named",
                "add [[metrics.target]] with http://127.0.0.1:9100/metrics",
            ),
            source("host", Recorded, "", ""),
        ],
        streams: [
            ("kernel.offcpu", 412_345u64),
            ("kernel.sample", 3_960),
            ("kernel.block", 9_120),
            ("packets", 88_412),
            ("otlp.traces", 412),
            ("log", 5_120),
        ]
        .map(|(n, c)| (n.to_string(), c))
        .to_vec(),
        losses: vec![
            LossTotal {
                source: "kernel.sched".into(),
                class: "sched".into(),
                reason: "ring-full".into(),
                count: 0,
                bytes: 0,
            },
            LossTotal {
                source: "packets".into(),
                class: "packets".into(),
                reason: "packet-drop".into(),
                count: 37,
                bytes: 0,
            },
        ],
        clock_uncertainty: Some(4_200),
        clock: "synchronised".into(),
        frames_named: Some(0.962),
        recorder_cpu: 0.61,
        recorder_rss: 41 << 20,
        recorder_bpf: 183_000_000,
        ..Quality::default()
    }
}

fn stacks(noise: &mut Noise, scale: f64) -> Vec<(String, u64)> {
    let kernel = [
        "do_syscall_64_[k]",
        "entry_SYSCALL_64_after_hwframe_[k]",
        "schedule_[k]",
        "ext4_sync_file_[k]",
        "tcp_sendmsg_[k]",
        "__x64_sys_futex_[k]",
    ];
    let user = [
        "main",
        "tokio::runtime::task::harness::poll",
        "orders::place",
        "sqlite3_step",
        "sqlite3VdbeExec",
        "serde_json::de::from_slice",
        "hyper::proto::h1::dispatch",
        "checksum",
        "[orders+0x41a0]",
    ];
    let mut out = Vec::new();
    for (process, n) in [("orders (4121)", 60), ("gateway (4120)", 40), ("load 7", 14)] {
        for _ in 0..n {
            let mut stack = vec![process.to_string(), "_start".into(), "main".into()];
            for _ in 0..2 + (noise.next() * 7.0) as usize {
                stack.push(user[(noise.next() * user.len() as f64) as usize].into());
            }
            if noise.next() < 0.6 {
                for k in 0..1 + (noise.next() * 3.0) as usize {
                    stack.push(kernel[(k + (noise.next() * 3.0) as usize) % kernel.len()].into());
                }
            }
            out.push((stack.join(";"), (scale * noise.next().powi(3) * 100.0) as u64 + 1));
        }
    }
    out.sort();
    out
}

fn edge(
    from: &str,
    to: &str,
    connections: u64,
    packets: u64,
    bytes: u64,
    wrong: (u64, u64, u64),
    rtt: Option<u64>,
) -> Edge {
    let (retransmissions, resets, unanswered_syns) = wrong;
    Edge {
        from: from.into(),
        to: to.into(),
        connections,
        packets,
        bytes,
        retransmissions,
        resets,
        unanswered_syns,
        rtt,
        ..Edge::default()
    }
}

fn flow() -> Flow {
    let edges = vec![
        edge("load", "gateway:8080", 400, 40_000, 31_000_000, (0, 0, 0), Some(61_000)),
        edge("gateway", "orders:8081", 120, 30_200, 22_000_000, (12, 7, 0), Some(84_000)),
        edge("gateway", "payments:9443", 40, 3_200, 1_400_000, (0, 0, 3), Some(1_240_000)),
        edge("orders", "10.0.0.9:5432", 8, 12_000, 9_800_000, (2, 0, 0), Some(310_000)),
        edge("orders", "redis:6379", 4, 2_400, 410_000, (0, 0, 0), Some(55_000)),
        edge("prometheus", "gateway:9100", 2, 120, 88_000, (0, 0, 0), None),
        edge("prometheus", "orders:9101", 2, 118, 86_000, (0, 0, 0), None),
        edge("payments", "payments:9444", 1, 12, 2_000, (0, 0, 0), None),
    ];
    let connections = (0..60u64)
        .map(|i| Connection {
            evidence: vec![evidence("packets", 200 + i)],
            a: format!("127.0.0.1:{}", 40_000 + i),
            b: "127.0.0.1:8081".into(),
            proto: "tcp".into(),
            process_a: Some("gateway".into()),
            process_b: Some("orders".into()),
            first: START + i as i64 * 300_000_000,
            last: START + i as i64 * 300_000_000 + 140_000_000 * (1 + i as i64 % 7),
            packets_ab: 120 + i * 3,
            packets_ba: 110 + i * 2,
            bytes_ab: 88_000 + i * 1_000,
            bytes_ba: 120_000 + i * 999,
            tcp: Some(TcpFacts {
                handshake: true,
                rtt: Some(60_000 + i * 700),
                retransmissions: u64::from(i % 9 == 0),
                kernel_retransmissions: Some(u64::from(i % 9 == 0)),
                resets: u64::from(i % 13 == 5),
                ..TcpFacts::default()
            }),
            ..Connection::default()
        })
        .collect();
    let mut flow = Flow { packets: 88_412, bytes: 64_786_000, malformed: 0, connections, edges, ..Flow::default() };
    requests::fill(&mut flow);
    flow
}

fn worst() -> WorstMoment {
    let logs = (0..40i64)
        .map(|i| LogEntry {
            time: START + 11 * SECOND + i * 60_000_000,
            origin: "/var/log/shop/orders.log".into(),
            line: if i % 5 == 3 {
                format!("ERROR commit took 4{i}7 ms trace_id=4bf92f3577b34da6a3ce929d0e0e4736 order={}", 8_812 + i)
            } else {
                format!("INFO placed order={} items=3 trace_id=0af7651916cd43dd8448eb211c80319c", 8_812 + i)
            },
            row: 2_900 + i as u64,
        })
        .collect();
    WorstMoment {
        from: START + 11_400_000_000,
        to: START + 12_400_000_000,
        why: "most spans above their own p99: 31 of 118".into(),
        logs,
    }
}

/// A shop whose disk slows down half-way.
pub fn incident() -> Analysis {
    let mut noise = Noise(7);
    let n = &mut noise;
    let latencies = vec![
        latency("span", "POST /checkout (gateway)", 90.0, 9e6, Some((0.3, 4.2e8)), n),
        latency("span", "place order (orders)", 80.0, 6e6, Some((0.3, 4.0e8)), n),
        latency("span", "GET /catalogue (gateway)", 200.0, 1.2e6, None, n),
        latency("block", "nvme0n1 write", 300.0, 4e5, Some((0.25, 1.6e8)), n),
        latency("run_queue", "all threads", 900.0, 9e3, None, n),
        latency("off_cpu", "orders", 300.0, 2e6, Some((0.1, 3.9e8)), n),
    ];
    let metrics = vec![
        metric("host.cpu.busy", "%", "host", |t, r| 34.0 + r * 6.0 + if t > 10.0 { 9.0 } else { 0.0 }, n),
        metric("host.psi.io.full", "%", "host", |t, r| if t > 10.0 { 41.0 + r * 9.0 } else { r }, n),
        metric("host.psi.cpu.some", "%", "host", |_, r| 3.0 + r, n),
        metric(
            "host.disk.write_bytes{device=\"nvme0n1\"}",
            "bytes/s",
            "host",
            |t, r| (8.0 + r - if t > 10.0 { 5.0 } else { 0.0 }) * 1e6,
            n,
        ),
        metric("host.network.rx{device=\"lo\"}", "bytes/s", "host", |_, r| 3.1e6 + r * 2e5, n),
        metric(
            "orders_in_flight",
            "",
            "http://127.0.0.1:9101/metrics",
            |t, r| if t > 10.0 { 18.0 + r * 9.0 } else { 2.0 + r * 2.0 },
            n,
        ),
        metric(
            "orders_total",
            "1/s",
            "http://127.0.0.1:9101/metrics",
            |t, r| if t > 10.0 { 41.0 + r } else { 80.0 + r },
            n,
        ),
        metric("host.memory.available", "bytes", "host", |_, r| 6.1e9 + r * 1e7, n),
        metric("process_open_fds", "", "http://127.0.0.1:9101/metrics", |_, _| 31.0, n),
    ];
    let mut table = Table::new(
        "top_threads",
        &[("thread", Show::Plain), ("cpu", Show::Duration), ("share", Show::Share), ("evidence", Show::Plain)],
    );
    table.rows.push(vec![
        "orders/tokio-2".into(),
        1_900_000_000u64.into(),
        0.094.into(),
        format!("{ID}/kernel.sample#812").into(),
    ]);
    table.rows.push(vec![
        "gateway/main".into(),
        900_000_000u64.into(),
        0.044.into(),
        format!("{ID}/kernel.sample#17").into(),
    ]);
    Analysis {
        log_kinds: Vec::new(),
        flame_diffs: Vec::new(),
        bundle: BundleSummary {
            id: ID.into(),
            file: "incident.case".into(),
            host: "shop-7".into(),
            kernel: "Linux 6.18.0".into(),
            tool: "coldcase 0.1.0".into(),
            complete: true,
            first: START,
            last: START + 20 * SECOND,
            bytes: 12_400_000,
            cpus: 2,
            command: "coldcase record -o incident.case --for 20s".into(),
            ended: "time limit".into(),
            policies: vec!["argv-mask/1".into(), "packet-headers/1".into()],
            marks: vec![MarkPoint { time: START + 10 * SECOND, text: "deploy 42".into() }],
        },
        quality: quality(),
        cpu_cgroups: Vec::new(),
        flames: vec![
            flame("on-cpu", "samples", stacks(n, 1.0)),
            flame("off-cpu", "ns", stacks(n, 4e6)),
            flame("wakeup", "ns", chains(stacks(n, 4e6))),
        ],
        latencies,
        waits: vec![
            Wait {
                process: "orders".into(),
                reason: "fsync".into(),
                count: 812,
                total: 91_400_000_000,
                max: 912_000_000,
                idle: false,
                service: true,
                evidence: vec![evidence("kernel.offcpu", 91_022)],
            },
            Wait {
                process: "gateway".into(),
                reason: "futex".into(),
                count: 2_204,
                total: 12_100_000_000,
                max: 401_000_000,
                idle: false,
                service: true,
                evidence: vec![evidence("kernel.offcpu", 120)],
            },
            Wait {
                process: "gateway".into(),
                reason: "epoll_wait".into(),
                count: 40_120,
                total: 310_000_000_000,
                max: 2_001_000_000,
                idle: true,
                service: true,
                evidence: vec![],
            },
        ],
        flow: flow(),
        metrics,
        worst: Some(worst()),
        summary: vec![
            "POST /checkout (gateway) became slow 10.4 s in: its p99 is 612 ms against a median of 9.3 ms.".into(),
            "Threads of orders spent 91.4 s off the CPU in fsync, most of it on nvme0n1, whose write p99 is 231 ms."
                .into(),
            "gateway → orders:8081: 7 resets and 12 retransmitted segments in 120 connections.".into(),
            "37 packets were dropped before they could be recorded.".into(),
        ],
        findings: vec![Finding {
            detector: "slow-disk".into(),
            claim: "Writes to nvme0n1 took 31 times longer from +10.4 s on".into(),
            size: 231e6,
            unit: "ns".into(),
            confidence: 0.86,
            evidence: (0..11).map(|i| evidence("kernel.block", 5_000 + i)).collect(),
        }],
        tables: vec![table],
    }
}

/// More services and pairs than the map has room for, in circles and with loops.
pub fn crowded() -> Analysis {
    let mut a = incident();
    let names =
        ["edge", "gateway", "auth", "cart", "orders", "stock", "search", "mail", "ledger", "pay", "10.0.0.9", "redis"];
    let mut noise = Noise(3);
    for i in 0..40u64 {
        let from = (noise.next() * names.len() as f64) as usize;
        let to = (from + 1 + (noise.next() * 4.0) as usize) % names.len();
        let wrong = if i % 9 == 0 { (i, i / 2, 0) } else { (0, 0, 0) };
        let server = format!("{}:{}", names[to], 8_000 + to);
        a.flow.edges.push(edge(names[from], &server, i + 1, 100 * i + 7, 90_000 * i, wrong, Some(50_000 + i * 1_000)));
    }
    a
}

/// Every text that was captured, hostile.
pub const HOSTILE: &str = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&]]>--><!--\x1b[2J\u{9b}31m\u{202e}\u{0}\u{ffff}\u{fe}; 7 ;a";

/// An analysis whose every text is hostile and whose numbers are extreme.
pub fn hostile() -> Analysis {
    let json = serde_json::to_value(incident()).unwrap();
    let mut a: Analysis = serde_json::from_value(poison(json, "")).unwrap();
    for l in &mut a.latencies {
        l.max = u64::MAX;
        l.total = u64::MAX;
    }
    a.latencies[0].group = "span".into();
    a.latencies[3].group = "block".into();
    a.flames[0].kind = "on-cpu".into();
    a.flames[1].unit = "ns".into();
    a.metrics[0].points =
        vec![(i64::MIN, f64::NAN), (START, f64::INFINITY), (START + SECOND, f64::MAX), (i64::MAX, -f64::MAX)];
    a.bundle.marks.push(MarkPoint { time: i64::MAX, text: HOSTILE.into() });
    a.worst.as_mut().unwrap().to = i64::MAX;
    a.latencies[1].heat.step = u64::MAX;
    a.latencies[2].heat.bounds.clear();
    a.quality.clock_steps = vec![(i64::MIN, i64::MIN)];
    a.quality.problems = vec![HOSTILE.into(); 60];
    a.findings[0].size = f64::NAN;
    a
}

/// Replaces every text but those that the type itself constrains.
fn poison(value: serde_json::Value, key: &str) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::String(_) if ["status", "show"].contains(&key) => value,
        // Evidence must stay evidence.
        Value::String(_) if key == "evidence" => Value::String(format!("{}/{HOSTILE}#7", "x")),
        Value::String(s) => Value::String(format!("{HOSTILE}{s}")),
        Value::Array(items) => Value::Array(items.into_iter().map(|v| poison(v, key)).collect()),
        Value::Object(map) => Value::Object(map.into_iter().map(|(k, v)| (k.clone(), poison(v, &k))).collect()),
        other => other,
    }
}

fn flame(kind: &str, unit: &str, stacks: Vec<(String, u64)>) -> Flame {
    Flame { kind: kind.into(), unit: unit.into(), by: "process".into(), stacks }
}

/// The same stacks with who ended the waits.
fn chains(stacks: Vec<(String, u64)>) -> Vec<(String, u64)> {
    let ends = ["orders[30088];[disk];fsync;--;[hard IRQ]", "gateway[3];[run queue];main", "[waker not seen]"];
    stacks.into_iter().enumerate().map(|(i, (stack, w))| (format!("{stack};--;{}", ends[i % 3]), w)).collect()
}
