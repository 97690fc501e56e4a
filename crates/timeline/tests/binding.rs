//! Where spans ran: what fits the host's own record is taken, with its tier; what does not is unknown.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use coldcase_bundle::{RawMessage, Writer, WriterOptions};
use coldcase_model::events::{Anchor, OffCpu, Process, Receipt, SocketOwner, Task};
use coldcase_model::manifest::{HostEntry, Manifest};
use coldcase_model::{Boottime, Columns, Comm, Event, Ip, Utc};
use coldcase_timeline::{Binder, Options, Scope, Selection, Timeline};

const BOOT: u64 = 1_000_000_000_000;
const REAL: i64 = 1_700_000_000_000_000_000;
const SECOND: u64 = 1_000_000_000;
const CONTAINER: &str = "4fa6e0f0c6786287e131c3852c58a2e01cc697a68231826813597e4994f1d6e2";

fn comm(name: &str) -> Comm {
    let mut out = [0; 16];
    out[..name.len()].copy_from_slice(name.as_bytes());
    Comm(out)
}

/// A span of JSON: attributes of resource and span as (key, value), numbers where they parse.
fn span(resource: &[(&str, &str)], attributes: &[(&str, &str)], at: u64) -> String {
    let list = |all: &[(&str, &str)]| {
        let one = |(k, v): &(&str, &str)| match v.parse::<i64>() {
            Ok(_) => format!(r#"{{"key":"{k}","value":{{"intValue":"{v}"}}}}"#),
            Err(_) => format!(r#"{{"key":"{k}","value":{{"stringValue":"{v}"}}}}"#),
        };
        all.iter().map(one).collect::<Vec<_>>().join(",")
    };
    let start = REAL as u64 + at;
    format!(
        r#"{{"resource":{{"attributes":[{}]}},"scopeSpans":[{{"spans":[{{"traceId":"{}","spanId":"{}","name":"op","kind":2,
        "startTimeUnixNano":"{start}","endTimeUnixNano":"{}","attributes":[{}]}}]}}]}}"#,
        list(resource),
        "ab".repeat(16),
        "cd".repeat(8),
        start + SECOND,
        list(attributes)
    )
}

/// A host `web1` with: `java`[100] of threads 100, 131 (`http-nio-8080-e`) and 132; `once`[200] of one thread, gone after
/// five seconds; `inside`[300], pid 7 in a container, with thread 301; a kernel thread 31; and 400 that holds a connection.
fn bundle(path: &Path, spans: &[String]) -> Timeline {
    let options = WriterOptions { id: Some("00c01dca5e000002".to_owned()), ..WriterOptions::default() };
    let writer = Writer::create(path, true, options).unwrap();
    let mut anchors = Columns::new(&Anchor::DEF);
    for time in [BOOT, BOOT + 60 * SECOND] {
        Anchor { time, realtime: REAL + (time - BOOT) as i64, ..Anchor::default() }.push(&mut anchors);
    }
    writer.append("recorder.anchor", anchors).unwrap();
    let mut tasks = Columns::new(&Process::DEF);
    let cgroup = format!("0::/system.slice/docker-{CONTAINER}.scope");
    for (tid, pid, name, inner, group) in [
        (100, 100, "java", 100, "0::/a"),
        (131, 100, "http-nio-8080-e", 100, ""),
        (132, 100, "GC Thread#0", 100, ""),
        (200, 200, "once", 200, "0::/a"),
        (300, 300, "inside", 7, cgroup.as_str()),
        (301, 300, "worker", 7, ""),
        (400, 400, "proxy", 400, "0::/a"),
    ] {
        Process {
            time: BOOT,
            tid,
            pid,
            ppid: 1,
            started: BOOT - SECOND,
            comm: name.to_owned(),
            cgroup: group.to_owned(),
            inner_pid: inner,
            pid_namespace: if inner == 7 { 99 } else { 1 },
            ..Process::default()
        }
        .push(&mut tasks);
    }
    Process { time: BOOT, tid: 31, pid: 31, ppid: 2, started: 1, comm: "kworker/0:1".to_owned(), ..Process::default() }
        .push(&mut tasks);
    writer.append("host.process", tasks).unwrap();
    let mut ended = Columns::new(&Task::DEF);
    Task {
        time: BOOT + 5 * SECOND,
        what: 3,
        tid: 200,
        pid: 200,
        ppid: 1,
        started: BOOT - SECOND,
        comm: comm("once"),
        inner_pid: 200,
        pid_namespace: 1,
        ..Task::default()
    }
    .push(&mut ended);
    writer.append("kernel.task", ended).unwrap();
    let mut sockets = Columns::new(&SocketOwner::DEF);
    let ip = |last| Ip::from(std::net::IpAddr::from([10, 0, 0, last]));
    SocketOwner {
        time: BOOT,
        pid: 400,
        state: 1,
        how: 1,
        protocol: 6,
        local_port: 8443,
        remote_port: 50_000,
        local_addr: ip(1),
        remote_addr: ip(2),
        ..SocketOwner::default()
    }
    .push(&mut sockets);
    writer.append("kernel.socket", sockets).unwrap();
    let mut waits = Columns::new(&OffCpu::DEF);
    for (tid, pid) in [(31, 31), (131, 100)] {
        OffCpu { time: BOOT + SECOND, duration: 1000, tid, pid, ..OffCpu::default() }.push(&mut waits);
    }
    writer.append("kernel.offcpu", waits).unwrap();
    let bytes = format!("{{\"resourceSpans\":[{}]}}", spans.join(",")).into_bytes();
    let (at, log_time) = (Boottime(BOOT), Utc(REAL));
    let message = RawMessage { bytes, log_time, publish_time: log_time, first: at, last: at };
    writer.append_raw("otlp.traces.json", message, Receipt { time: BOOT, ..Receipt::default() }).unwrap();
    let host = HostEntry { name: "web1".to_owned(), ..HostEntry::default() };
    writer.seal(Manifest { host, ..Manifest::default() }).unwrap();
    Timeline::open(path, &Options::default()).unwrap()
}

/// Pid, thread and tier of each span.
fn bound(spans: &[String]) -> Vec<(Option<u32>, Option<u32>, String)> {
    let dir = tempfile::tempdir().unwrap();
    let t = bundle(&dir.path().join("b.case"), spans);
    let binder = Binder::new(&t);
    let all = t.spans().iter().map(|s| binder.bind(&s.span));
    all.map(|b| (b.pid(), b.tid(), b.tier())).collect()
}

fn is(pid: u32, tid: impl Into<Option<u32>>, tier: &str) -> (Option<u32>, Option<u32>, String) {
    (Some(pid), tid.into(), tier.to_owned())
}

#[test]
fn what_fits_the_record_is_taken_and_says_how() {
    let connection = [
        ("client.address", "10.0.0.2"),
        ("client.port", "50000"),
        ("server.address", "10.0.0.1"),
        ("server.port", "8443"),
    ];
    let found = bound(&[
        span(&[("process.pid", "100")], &[("thread.id", "131")], SECOND),
        span(&[("process.pid", "100"), ("host.name", "web1.example.org")], &[("thread.id", "132")], SECOND),
        span(&[("process.pid", "100")], &[("thread.id", "42"), ("thread.name", "http-nio-8080-exec-1")], SECOND),
        span(&[("process.pid", "200")], &[], SECOND),
        span(&[("process.pid", "7"), ("container.id", CONTAINER)], &[("thread.id", "7")], SECOND),
        span(&[("container.id", &CONTAINER[..12])], &[], SECOND),
        span(&[("service.name", "proxy")], &connection, SECOND),
    ]);
    let expected = [
        is(100, 131, "process.pid, thread.id"),
        is(100, 132, "process.pid+host.name, thread.id"),
        is(100, 131, "process.pid, thread.name"),
        is(200, 200, "process.pid, only thread"),
        is(300, 300, "process.pid+container.id, thread.id"),
        is(300, None, "container.id"),
        is(400, 400, "5-tuple, only thread"),
    ];
    assert_eq!(found, expected);
}

#[test]
fn what_does_not_fit_is_unknown_and_never_the_nearest() {
    let unknown = (None, None, "unknown".to_owned());
    let found = bound(&[
        // Another host, another container, a number that nobody has, one of a process that was gone.
        span(&[("process.pid", "100"), ("host.name", "web2")], &[("thread.id", "131")], SECOND),
        span(&[("process.pid", "100"), ("container.id", CONTAINER)], &[], SECOND),
        span(&[("process.pid", "999")], &[], SECOND),
        span(&[("process.pid", "200")], &[], 10 * SECOND),
        // The pid of a process that knows itself by another number, and of a kernel thread.
        span(&[("process.pid", "300")], &[], SECOND),
        span(&[("process.pid", "31")], &[], SECOND),
        // Nothing but a port that somebody has, and another connection.
        span(&[("service.name", "proxy")], &[("server.port", "8443")], SECOND),
        span(
            &[],
            &[
                ("client.address", "10.0.0.2"),
                ("client.port", "50001"),
                ("server.address", "10.0.0.1"),
                ("server.port", "8443"),
            ],
            SECOND,
        ),
    ]);
    assert!(found.iter().all(|f| *f == unknown), "{found:#?}");
    // A number that a runtime gave its thread, which is a kernel thread's here; one of another process; inside a container.
    let found = bound(&[
        span(&[("process.pid", "100")], &[("thread.id", "31")], SECOND),
        span(&[("process.pid", "100")], &[("thread.id", "200")], SECOND),
        span(&[("process.pid", "7"), ("container.id", CONTAINER)], &[("thread.id", "301")], SECOND),
    ]);
    assert_eq!(found[..2], [is(100, None, "process.pid"), is(100, None, "process.pid")]);
    assert_eq!(found[2], is(300, None, "process.pid+container.id"));
}

#[test]
fn what_a_kernel_thread_did_is_not_of_a_trace_whose_runtime_numbers_threads_alike() {
    let dir = tempfile::tempdir().unwrap();
    let of = |thread: &str| {
        let spans = [span(&[("process.pid", "100")], &[("thread.id", thread)], SECOND / 2)];
        let t = bundle(&dir.path().join(format!("{thread}.case")), &spans);
        let scope = Scope { traces: vec!["ab".repeat(16)], ..Scope::default() };
        let selection = Selection::new(&t, &scope);
        [(31, 31), (100, 131)].map(|(pid, tid)| selection.has(pid, tid, BOOT + SECOND, 1000))
    };
    assert_eq!(of("31"), [false, false]);
    assert_eq!(of("131"), [false, true]);
}
