//! A small bundle with a known truth: a shop whose orders service fsyncs slowly from half-way on.
//!
//! 20 seconds. `gateway` (pid 100) calls `orders` (pid 200) over TCP; each request is a root span with a child.
//! From +10 s on every third fsync takes 200 ms instead of 1 ms, two connections are reset, and an error is logged.
#![allow(clippy::unwrap_used, unreachable_pub, dead_code)]

use std::path::Path;

use coldcase_model::events::*;
use coldcase_model::field::Stack;
use coldcase_model::manifest::{HostEntry, Manifest, SourceEntry, SourceStatus};
use coldcase_model::{Column, Columns, Comm, Event, Ip};
use coldcase_testkit::Builder;
use coldcase_testkit::rows::{self, BOOT, OFFSET};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message;

pub const SECOND: u64 = 1_000_000_000;
pub const MILLI: u64 = 1_000_000;
/// Requests: one each 50 ms.
pub const REQUESTS: u64 = 400;
/// From this request on every third is slow.
pub const SLOW_FROM: u64 = 200;
/// How long a slow fsync takes.
pub const SLOW: u64 = 200 * MILLI;
/// The length of the recording.
pub const LENGTH: u64 = 20 * SECOND;

const GATEWAY: u32 = 100;
const ORDERS: u32 = 200;
const WORKERS: u32 = 300;

/// When a request begins, and how long its fsync takes.
pub fn request(i: u64) -> (u64, u64) {
    let slow = i >= SLOW_FROM && i.is_multiple_of(3);
    (BOOT + i * 50 * MILLI + 7, if slow { SLOW } else { MILLI + i * 100 })
}

pub fn is_slow(i: u64) -> bool {
    i >= SLOW_FROM && i.is_multiple_of(3)
}

/// Writes the bundle.
pub fn write(path: &Path) -> Manifest {
    let mut b = Builder::new(path).unwrap();
    b = b.rows("recorder.anchor", rows::anchor(BOOT, "start")).unwrap();
    b = b.events(processes()).unwrap().events(sockets()).unwrap().events(states()).unwrap();
    b = b
        .rows(
            "host.mapping",
            one(Mapping {
                time: BOOT,
                pid: ORDERS,
                start: 0x40_0000,
                end: 0x50_0000,
                offset: 0,
                build_id: "abcd".into(),
                path: "/usr/bin/orders".into(),
            }),
        )
        .unwrap();
    b = b.events(symbols()).unwrap();
    for second in 0..20 {
        b = second_of(b, second);
    }
    b = b
        .rows("recorder.mark", one(Mark { time: BOOT + 9 * SECOND, uid: 0, pid: 1, text: "deploy 42".into() }))
        .unwrap();
    b = b
        .events([0u64, 0].into_iter().zip(["kernel.sched", "packets"]).map(|(count, source)| Loss {
            time: BOOT,
            duration: LENGTH,
            count,
            bytes: 0,
            cpu: -1,
            source: source.into(),
            class: if source == "packets" { "packet".into() } else { "sched".into() },
            reason: if source == "packets" { "packet-drop".into() } else { "ring-full".into() },
        }))
        .unwrap();
    b = b
        .rows(
            "recorder.cost",
            one(Cost {
                time: BOOT + LENGTH,
                interval: LENGTH,
                user: 300 * MILLI,
                system: 200 * MILLI,
                rss: 30 << 20,
                written: 1 << 20,
                events: 10_000,
                bpf: 50 * MILLI,
            }),
        )
        .unwrap();
    let b = b.rows("recorder.anchor", rows::anchor(BOOT + LENGTH, "end")).unwrap();
    b.writer().flush().unwrap();
    let manifest = manifest();
    b.writer().clone().seal(manifest).unwrap()
}

fn manifest() -> Manifest {
    let source = |name: &str, status, reason: &str, hint: &str| SourceEntry {
        name: name.into(),
        status,
        reason: reason.into(),
        hint: hint.into(),
    };
    Manifest {
        tool: "coldcase-testkit".into(),
        host: HostEntry {
            name: "shop-1".into(),
            kernel: "Linux 6.1.0".into(),
            arch: "x86_64".into(),
            cpus: 2,
            ..HostEntry::default()
        },
        command: vec!["coldcase".into(), "record".into()],
        sources: vec![
            source("kernel.sched", SourceStatus::Recorded, "", ""),
            source("kernel.tcp", SourceStatus::Recorded, "", ""),
            source("metrics", SourceStatus::Skipped, "no scrape target was named", "name one with --scrape"),
        ],
        clock: "synchronised".into(),
        ended: "time limit".into(),
        ..Manifest::default()
    }
}

/// One second of everything, in chunks of its own.
fn second_of(b: Builder, second: u64) -> Builder {
    let requests: Vec<u64> = (second * 20..second * 20 + 20).collect();
    let at = BOOT + second * SECOND;
    let mut b = b
        .rows("kernel.offcpu", off_cpu(&requests, at))
        .unwrap()
        .rows("kernel.cpu_sample", samples(&requests))
        .unwrap()
        .events(requests.iter().map(|&i| block(i)))
        .unwrap()
        .events(requests.iter().map(|&i| log(i)))
        .unwrap()
        .events(host_metrics(second))
        .unwrap()
        .raw("otlp.traces", &spans(&requests), at + SECOND - 1)
        .unwrap()
        .raw("packets", &packets(&requests), at + SECOND - 1)
        .unwrap();
    if second == 12 {
        b = b.events([retransmit(240)]).unwrap();
    }
    b.cut().unwrap()
}

fn one<E: Event>(event: E) -> Columns {
    let mut rows = Columns::new(&E::DEF);
    event.push(&mut rows);
    rows
}

fn processes() -> Vec<Process> {
    let process = |pid, tid, comm: &str, exe: &str| Process {
        time: BOOT,
        tid,
        pid,
        ppid: 1,
        uid: 1000,
        started: BOOT / 2,
        comm: comm.into(),
        exe: exe.into(),
        argv: exe.into(),
        cgroup: String::new(),
        inner_pid: 0,
        pid_namespace: 0,
    };
    vec![
        process(GATEWAY, GATEWAY, "gateway", "/usr/bin/gateway"),
        process(ORDERS, ORDERS, "orders", "/usr/bin/orders"),
        process(ORDERS, ORDERS + 1, "worker", ""),
        process(WORKERS, WORKERS, "batch;job", "/usr/bin/batch"),
    ]
}

fn ip(last: u8) -> Ip {
    Ip::from(std::net::IpAddr::from([10, 0, 0, last]))
}

fn sockets() -> Vec<Socket> {
    vec![Socket { time: BOOT, pid: ORDERS, protocol: 6, state: 10, local_port: 8081, ..Socket::default() }]
}

/// The gateway connects for each request from a port of its own.
fn states() -> Vec<TcpState> {
    (0..REQUESTS)
        .map(|i| TcpState {
            time: request(i).0 - 1_000,
            socket: i,
            pid: GATEWAY,
            tid: GATEWAY,
            on_behalf: 1,
            local_port: 20_000 + i as u16,
            remote_port: 8081,
            old_state: 7,
            new_state: 2,
            family: 2,
            local_addr: ip(1),
            remote_addr: ip(2),
            ..TcpState::default()
        })
        .collect()
}

fn symbols() -> Vec<Symbol> {
    let symbol = |start, module: &str, name: &str| Symbol {
        time: BOOT,
        start,
        size: 0x1000,
        module: module.into(),
        name: name.into(),
    };
    vec![
        symbol(0x1000, "build-id:abcd", "orders::main"),
        symbol(0x2000, "build-id:abcd", "orders::commit"),
        symbol(0x3000, "build-id:abcd", "unixSync"),
        symbol(0xffff_ffff_8100_0000, "kernel", "do_fsync"),
    ]
}

/// The raw form of a kernel row with stacks: fixed part, then frames.
fn push_with_stacks(rows: &mut Columns, kernel: &[u64], user: &[u64]) {
    for (name, frames) in [("kernel_stack", kernel), ("user_stack", user)] {
        let at = rows.names.iter().position(|n| n == name).unwrap();
        if let Column::Stack(c) = &mut rows.columns[at] {
            c.ids.pop();
            c.push(frames);
        }
    }
    let _ = Stack::default();
}

fn off_cpu(requests: &[u64], second: u64) -> Columns {
    let mut rows = Columns::new(&OffCpu::DEF);
    for &i in requests {
        let (begin, fsync) = request(i);
        OffCpu {
            time: begin + MILLI,
            duration: fsync,
            run_queue: 20_000,
            tid: ORDERS + 1,
            pid: ORDERS,
            state: 2,
            syscall: 74,
            ..OffCpu::default()
        }
        .push(&mut rows);
        push_with_stacks(&mut rows, &[0xffff_ffff_8100_0010], &[0x40_3010, 0x40_2010, 0x40_1010]);
        OffCpu {
            time: begin + 10,
            duration: 5_000,
            run_queue: 5_000,
            tid: GATEWAY,
            pid: GATEWAY,
            syscall: -1,
            flags: 1,
            ..OffCpu::default()
        }
        .push(&mut rows);
    }
    // An idle pool: seconds in epoll and futex, as in any service.
    for (tid, syscall) in [(GATEWAY, 232), (WORKERS, 202)] {
        OffCpu {
            time: second + 3,
            duration: SECOND - 10,
            run_queue: 100,
            tid,
            pid: tid,
            state: 1,
            syscall,
            ..OffCpu::default()
        }
        .push(&mut rows);
    }
    rows
}

fn samples(requests: &[u64]) -> Columns {
    let mut rows = Columns::new(&CpuSample::DEF);
    for &i in requests {
        CpuSample { time: request(i).0 + 500_000, tid: ORDERS + 1, pid: ORDERS, cpu: 0, ..CpuSample::default() }
            .push(&mut rows);
        push_with_stacks(&mut rows, &[], &[0x40_2020, 0x40_1010]);
    }
    rows
}

fn block(i: u64) -> BlockIo {
    let (begin, fsync) = request(i);
    let mut comm = [0; 16];
    comm[..6].copy_from_slice(b"worker");
    BlockIo {
        time: begin + MILLI + 1_000,
        duration: fsync - 10_000,
        queue: 1_000,
        bytes: 4096,
        dev: 8 << 20,
        op: 1,
        pid: ORDERS,
        tid: ORDERS + 1,
        comm: Comm(comm),
        ..BlockIo::default()
    }
}

fn log(i: u64) -> LogLine {
    let (begin, fsync) = request(i);
    let time = begin + fsync + 2 * MILLI;
    let line = if is_slow(i) && i.is_multiple_of(2) {
        format!("ERROR order {i} took too long <b>\x1b[31m")
    } else {
        format!("INFO order {i} done")
    };
    LogLine {
        time,
        read: time as i64 + OFFSET,
        offset: i * 50,
        inode: 7,
        flags: 0,
        path: "/var/log/orders.log".into(),
        line: line.into_bytes(),
    }
}

fn host_metrics(second: u64) -> Vec<HostMetric> {
    let metric = |name: &str, labels: &str, value: f64| HostMetric {
        time: BOOT + second * SECOND,
        name: name.into(),
        labels: labels.into(),
        value,
    };
    let busy = if second < 10 { second as f64 * 0.1 } else { 1.0 + (second - 10) as f64 * 0.9 };
    vec![
        metric("node_disk_io_time_seconds_total", "device=\"sda\"", busy),
        metric("node_cpu_seconds_total", "cpu=\"0\",mode=\"user\"", second as f64 * 0.2),
        metric("node_cpu_seconds_total", "cpu=\"1\",mode=\"user\"", second as f64 * 0.2),
        metric("node_cpu_seconds_total", "cpu=\"0\",mode=\"idle\"", second as f64 * 0.7),
        metric("node_memory_MemAvailable_bytes", "", 1e9 - (second % 3) as f64 * 1e6),
    ]
}

fn attribute(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }), ..Default::default() }
}

/// A request of the gateway's span and the order's child for each.
fn spans(requests: &[u64]) -> Vec<u8> {
    let resource = |service: &str, pid: u32| {
        Some(Resource {
            attributes: vec![
                attribute("service.name", any_value::Value::StringValue(service.into())),
                attribute("process.pid", any_value::Value::IntValue(pid.into())),
            ],
            ..Default::default()
        })
    };
    let span = |i: u64, root: bool| {
        let (begin, fsync) = request(i);
        let start = (begin as i64 + OFFSET) as u64 + if root { 0 } else { MILLI / 2 };
        let mut trace = [0xab; 16];
        trace[8..].copy_from_slice(&i.to_be_bytes());
        Span {
            trace_id: trace.to_vec(),
            span_id: (i * 2 + 1 + u64::from(root)).to_be_bytes().to_vec(),
            parent_span_id: if root { vec![] } else { (i * 2 + 2).to_be_bytes().to_vec() },
            name: if root { "POST /order" } else { "commit" }.into(),
            kind: if root { 2 } else { 1 },
            start_time_unix_nano: start,
            end_time_unix_nano: start + fsync + MILLI + if root { MILLI } else { 0 },
            status: Some(Status {
                code: if root && is_slow(i) && i.is_multiple_of(2) { 2 } else { 0 },
                ..Default::default()
            }),
            ..Default::default()
        }
    };
    let part = |service: &str, pid, root: bool| ResourceSpans {
        resource: resource(service, pid),
        scope_spans: vec![ScopeSpans {
            spans: requests.iter().map(|&i| span(i, root)).collect(),
            ..Default::default()
        }],
        ..Default::default()
    };
    ExportTraceServiceRequest { resource_spans: vec![part("gateway", GATEWAY, true), part("orders", ORDERS, false)] }
        .encode_to_vec()
}

fn retransmit(i: u64) -> TcpRetransmit {
    TcpRetransmit {
        time: request(i).0 + 2 * MILLI,
        segments: 1,
        local_port: 20_000 + i as u16,
        remote_port: 8081,
        state: 1,
        family: 2,
        local_addr: ip(1),
        remote_addr: ip(2),
        ..TcpRetransmit::default()
    }
}

/// Handshake, a request, its answer, and a FIN or, for requests 210 and 225, a reset. Request 240 sends its bytes
/// twice.
fn packets(requests: &[u64]) -> Vec<u8> {
    let mut out = block_of(0x0a0d_0d0a, &[0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255]);
    out.extend(block_of(1, &[1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0]));
    for &i in requests {
        let (begin, fsync) = request(i);
        let utc = (begin as i64 + OFFSET) as u64;
        let mut send = |at: u64, client: bool, flags: &str, seq: u32, ack: u32, payload: usize| {
            let frame = frame(i, client, flags, seq, ack, payload);
            let time = utc + at;
            let mut body = vec![0, 0, 0, 0];
            body.extend(((time >> 32) as u32).to_le_bytes());
            body.extend((time as u32).to_le_bytes());
            body.extend(54u32.to_le_bytes());
            body.extend((frame.len() as u32).to_le_bytes());
            body.extend(&frame[..54]);
            out.extend(block_of(6, &body));
        };
        send(0, true, "S", 100, 0, 0);
        send(50_000, false, "SA", 500, 101, 0);
        send(100_000, true, "A", 101, 501, 0);
        send(200_000, true, "A", 101, 501, 400);
        if i == 240 {
            send(2_200_000, true, "A", 101, 501, 400);
        }
        send(fsync + MILLI, false, "A", 501, 501, 900);
        if i == 210 || i == 225 {
            send(fsync + MILLI + 10_000, false, "R", 1401, 0, 0);
        } else {
            send(fsync + MILLI + 10_000, true, "FA", 501, 1401, 0);
        }
    }
    out
}

fn block_of(kind: u32, body: &[u8]) -> Vec<u8> {
    let padded = body.len().next_multiple_of(4);
    let total = (12 + padded) as u32;
    let mut out = kind.to_le_bytes().to_vec();
    out.extend(total.to_le_bytes());
    out.extend(body);
    out.resize(8 + padded, 0);
    out.extend(total.to_le_bytes());
    out
}

fn frame(i: u64, client: bool, flags: &str, seq: u32, ack: u32, payload: usize) -> Vec<u8> {
    let ends = [([10, 0, 0, 1], 20_000 + i as u16), ([10, 0, 0, 2], 8081)];
    let (from, to) = if client { (ends[0], ends[1]) } else { (ends[1], ends[0]) };
    let mut tcp =
        etherparse::PacketBuilder::ethernet2([1; 6], [2; 6]).ipv4(from.0, to.0, 64).tcp(from.1, to.1, seq, 500);
    for flag in flags.chars() {
        tcp = match flag {
            'S' => tcp.syn(),
            'A' => tcp.ack(ack),
            'F' => tcp.fin(),
            _ => tcp.rst(),
        };
    }
    let mut out = Vec::new();
    tcp.write(&mut out, &vec![0; payload]).unwrap();
    out
}
