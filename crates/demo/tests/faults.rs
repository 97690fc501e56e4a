//! The whole shop for a few seconds with each fault: requests are served, and the fault shows in the shop's own figures.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What one run left behind.
struct Outcome {
    load: serde_json::Value,
    /// The text of orders' `/metrics`, shortly before the end.
    metrics: String,
    orders_log: String,
    gateway_log: String,
    /// All bytes that the OTLP endpoint got.
    spans: Vec<u8>,
}

/// Runs the shop for four seconds; the fault sets in after two.
fn run(fault: &str, amount: u64) -> Outcome {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (otlp, received) = otlp_sink();
    let child = shop(dir.path(), &otlp, &["--fault", fault, "--fault-amount", &amount.to_string()]);
    let env = wait_for(&dir.path().join("shop.env"));
    std::thread::sleep(Duration::from_millis(3300));
    let metrics = get(address(&env, "ORDERS_ADDR"), "/metrics");
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let spans = received.lock().unwrap().clone();
    Outcome {
        load: serde_json::from_slice(&output.stdout).unwrap(),
        metrics,
        orders_log: std::fs::read_to_string(dir.path().join("orders.log")).unwrap(),
        gateway_log: std::fs::read_to_string(dir.path().join("gateway.log")).unwrap(),
        spans,
    }
}

fn shop(dir: &Path, otlp: &str, more: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_coldcase-demo"))
        .args(["all", "--for", "4s", "--fault-after", "2s", "--json", "--gateway-port", "0", "--orders-port", "0"])
        .args(["--rate", "60", "--dir", dir.to_str().unwrap(), "--otlp", otlp])
        .args(more)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// An endpoint that keeps whatever is posted and answers 200.
fn otlp_sink() -> (String, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let received = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&received);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, kept) = (stream.unwrap(), Arc::clone(&kept));
            std::thread::spawn(move || while answer(&mut stream, &kept).is_some() {});
        }
    });
    (base, received)
}

fn answer(stream: &mut TcpStream, kept: &Mutex<Vec<u8>>) -> Option<()> {
    let mut message = Vec::new();
    let mut piece = [0; 65536];
    loop {
        let read = stream.read(&mut piece).ok().filter(|read| *read > 0)?;
        message.extend_from_slice(&piece[..read]);
        let Some(head) = message.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let text = String::from_utf8_lossy(&message[..head]).to_lowercase();
        let length =
            text.lines().find_map(|line| line.strip_prefix("content-length: ")).map(|l| l.parse::<usize>().unwrap());
        if message.len() >= head + 4 + length.unwrap_or(0) {
            break;
        }
    }
    kept.lock().unwrap().extend_from_slice(&message);
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n").ok()
}

fn wait_for(path: &Path) -> String {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(20) {
        if let Ok(text) = std::fs::read_to_string(path) {
            return text;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("{} did not appear", path.display());
}

fn address<'a>(env: &'a str, name: &str) -> &'a str {
    env.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).unwrap()
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(800))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: shop\r\n\r\n").unwrap();
    let mut text = Vec::new();
    // The connection stays open: the end of the answer is the time-out.
    let _ = stream.read_to_end(&mut text);
    String::from_utf8(text).unwrap()
}

impl Outcome {
    fn number(&self, phase: &str, what: &str) -> u64 {
        self.load[phase][what].as_u64().unwrap()
    }

    /// Milliseconds.
    fn after(&self, quantile: &str) -> u64 {
        self.number("after", quantile) / 1_000_000
    }

    fn metric(&self, series: &str) -> f64 {
        let value = self.metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {series} in {}", self.metrics)).parse().unwrap()
    }

    /// What holds with every fault.
    fn check(&self, fault: &str, failures: bool) {
        // At 60/s for 2 s each; slow machines may be late, but must have served most.
        assert!(self.number("before", "requests") >= 100, "{}", self.load);
        assert!(self.number("after", "requests") >= 80, "{}", self.load);
        assert_eq!(self.number("before", "failed"), 0, "{}", self.load);
        assert_eq!(self.number("after", "failed") > 0, failures, "{}", self.load);
        assert_eq!(self.metric(&format!("shop_fault_active{{kind=\"{fault}\"}}")), 1.0);
        assert!(self.orders_log.contains(&format!("fault switched on kind={fault}")));
        self.check_trace();
    }

    /// One trace id stands in both logs and in the exported spans, with the names of the spans and of their threads.
    fn check_trace(&self) {
        let line = self.gateway_log.lines().find(|line| line.contains("POST /order status=201")).unwrap();
        let id = line.split("trace_id=").nth(1).unwrap().split(' ').next().unwrap();
        assert!(self.orders_log.lines().any(|line| line.contains(id) && line.contains("place_order status=201")));
        let bytes: Vec<u8> = (0..id.len()).step_by(2).map(|i| u8::from_str_radix(&id[i..i + 2], 16).unwrap()).collect();
        for wanted in
            [&bytes[..], b"place_order", b"db.insert", b"db.commit", b"db.query", b"GET /order", b"orders.place"]
        {
            assert!(self.spans.windows(wanted.len()).any(|window| window == wanted), "no {wanted:?} in the spans");
        }
        for wanted in ["thread.id", "thread.name", "orders-worker-", "gateway-work-", "process.pid", "service.name"] {
            assert!(self.spans.windows(wanted.len()).any(|w| w == wanted.as_bytes()), "no {wanted} in the spans");
        }
    }
}

#[test]
fn a_busy_loop_makes_orders_slow() {
    let outcome = run("cpu", 40);
    outcome.check("cpu", false);
    assert!(outcome.after("p90_ns") >= 40, "{}", outcome.load);
}

#[test]
fn a_lock_held_too_long_makes_others_wait() {
    let outcome = run("lock", 150);
    outcome.check("lock", false);
    assert!(outcome.after("max_ns") >= 150, "{}", outcome.load);
}

#[test]
fn additional_syncs_are_counted() {
    let outcome = run("fsync", 10);
    outcome.check("fsync", false);
    assert!(outcome.metric("shop_audit_syncs_total") >= 50.0);
}

#[test]
fn a_query_without_an_index_takes_its_time_in_the_database() {
    let outcome = run("slow-query", 150);
    outcome.check("slow-query", false);
    let mean = outcome.metric("shop_db_query_seconds_sum") / outcome.metric("shop_db_query_seconds_count");
    assert!(mean > 0.003, "{mean}");
}

#[test]
fn a_sleep_in_orders_is_seen_at_the_gateway() {
    let outcome = run("downstream-sleep", 60);
    outcome.check("downstream-sleep", false);
    assert!(outcome.after("p50_ns") >= 60, "{}", outcome.load);
}

#[test]
fn resets_become_failed_requests() {
    let outcome = run("reset", 30);
    outcome.check("reset", true);
    assert!(outcome.metric("shop_resets_total") >= 10.0);
    assert!(outcome.gateway_log.contains("orders did not answer"));
}

#[test]
fn nothing_is_left_running_when_the_shop_is_killed() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut child = shop(dir.path(), &otlp_sink().0, &[]);
    let env = wait_for(&dir.path().join("shop.env"));
    child.kill().unwrap();
    child.wait().unwrap();
    let alive = |name| {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", address(&env, name))).unwrap_or_default();
        // A zombie that init has not collected yet is not running.
        !stat.is_empty() && !stat.contains(") Z ")
    };
    let start = Instant::now();
    while ["ORDERS_PID", "GATEWAY_PID", "LOAD_PID"].into_iter().any(alive) {
        assert!(start.elapsed() < Duration::from_secs(10), "still running: {env}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
