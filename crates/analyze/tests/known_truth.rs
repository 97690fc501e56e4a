//! A bundle with a known truth, and what the analysis says of it.
#![allow(clippy::unwrap_used)]

mod shop;

use coldcase_analyze::{Options, Part, analyze};
use coldcase_model::analysis::{Analysis, Connection, Latency};
use coldcase_timeline::{Scope, When};
use shop::*;

fn analysis(options: &Options) -> Analysis {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shop.case");
    write(&path);
    analyze(&path, options).unwrap()
}

fn latency<'a>(a: &'a Analysis, group: &str, name: &str) -> &'a Latency {
    let found = a.latencies.iter().find(|l| l.group == group && l.name == name);
    found.unwrap_or_else(|| panic!("no {group} {name}: {:?}", names(a)))
}

fn names(a: &Analysis) -> Vec<String> {
    a.latencies.iter().map(|l| format!("{} {}", l.group, l.name)).collect()
}

fn all() -> Scope {
    Scope::default()
}

#[test]
fn one_thread_and_four_give_the_same_bytes() {
    let bytes = |threads| {
        let a = analysis(&Options { threads: Some(threads), ..Options::default() });
        serde_json::to_string_pretty(&a).unwrap()
    };
    let one = bytes(1);
    assert!(one.len() > 10_000);
    assert_eq!(one, bytes(4));
    assert_eq!(one, bytes(4), "and the same again");
}

#[test]
fn spans_have_the_durations_that_were_sent() {
    let a = analysis(&Options::default());
    let l = latency(&a, "span", "POST /order (gateway)");
    let mut durations: Vec<u64> = (0..REQUESTS).map(|i| request(i).1 + 2 * MILLI).collect();
    durations.sort_unstable();
    assert_eq!(l.count, REQUESTS);
    assert_eq!(l.p50, durations[199]);
    assert_eq!(l.p99, durations[395]);
    assert_eq!(l.max, SLOW + 2 * MILLI);
    assert_eq!(l.total, durations.iter().sum::<u64>());
    let failed = (0..REQUESTS).filter(|&i| is_slow(i) && i % 2 == 0).count() as u64;
    assert_eq!(l.errors, Some(failed));
    assert_eq!(l.heat.columns.iter().flatten().sum::<u64>(), REQUESTS);
    assert_eq!(l.exemplars[0].evidence.to_string(), format!("{}/otlp.traces#10", a.bundle.id));
    assert_eq!(l.exemplars[0].trace.as_ref().map(String::len), Some(32));
}

#[test]
fn every_nanosecond_off_the_cpu_is_in_one_wait_and_in_the_flame() {
    let a = analysis(&Options::default());
    let pool = 2 * 20 * (SECOND - 10);
    let truth = (0..REQUESTS).map(|i| request(i).1).sum::<u64>() + REQUESTS * 5_000 + pool;
    assert_eq!(a.waits.iter().map(|w| w.total).sum::<u64>(), truth);
    let flame = a.flames.iter().find(|f| f.kind == "off-cpu").unwrap();
    assert_eq!(flame.stacks.iter().map(|s| s.1).sum::<u64>(), truth);
    let fsync = "orders::main;orders::commit;unixSync;do_fsync_[k]";
    let weight = |line: &str| {
        flame.stacks.iter().find(|s| s.0 == line).unwrap_or_else(|| panic!("{line}: {:#?}", flame.stacks)).1
    };
    let waited = (0..REQUESTS).map(|i| request(i).1 - 20_000).sum::<u64>();
    assert_eq!(weight(&format!("orders[200];[disk];{fsync}")), waited);
    assert_eq!(weight(&format!("orders[200];[run queue];{fsync}")), REQUESTS * 20_000);
    assert_eq!(weight("batch:job[300];[futex];[no stack];futex"), 20 * (SECOND - 10 - 100));
    let on = a.flames.iter().find(|f| f.kind == "on-cpu").unwrap();
    assert_eq!(on.stacks, [("orders[200];orders::main;orders::commit".to_owned(), REQUESTS)]);
    assert_eq!(a.quality.frames_named, Some(1.0));
}

#[test]
fn waiting_for_a_cpu_is_apart_from_waiting_for_the_disk() {
    let a = analysis(&Options::default());
    let wait = |process: &str, reason: &str| {
        a.waits.iter().find(|w| w.process == process && w.reason == reason).unwrap_or_else(|| panic!("{:#?}", a.waits))
    };
    let fsync = wait("orders[200]", "fsync");
    assert_eq!((fsync.count, fsync.idle), (REQUESTS, false));
    assert_eq!(fsync.total, (0..REQUESTS).map(|i| request(i).1 - 20_000).sum::<u64>());
    assert_eq!(wait("orders[200]", "run queue").total, REQUESTS * 20_000);
    assert_eq!(wait("gateway[100]", "run queue").total, REQUESTS * 5_000 + 20 * 100);
    assert!(wait("gateway[100]", "epoll_wait").idle);
    assert!(wait("batch;job[300]", "futex").idle);
    assert_eq!(latency(&a, "run_queue", "all").count, 2 * REQUESTS + 40);
    assert_eq!(latency(&a, "block", "8:0 write").count, REQUESTS);
}

#[test]
fn connections_know_their_processes_and_what_went_wrong() {
    let a = analysis(&Options::default());
    let f = &a.flow;
    assert_eq!((f.packets, f.malformed, f.connections.len()), (REQUESTS * 6 + 1, 0, REQUESTS as usize));
    let edges: Vec<_> = f.edges.iter().map(|e| (e.from.as_str(), e.to.as_str(), e.connections)).collect();
    assert_eq!(edges, [("gateway", "orders:8081", REQUESTS)]);
    let e = &f.edges[0];
    assert_eq!((e.resets, e.unanswered_syns, e.retransmissions, e.rtt), (2, 0, 1, Some(100_000)));
    let c = f.connections.iter().find(|c| c.a == "10.0.0.1:20240").unwrap();
    assert_eq!(c.process_a.as_deref(), Some("gateway[100]"));
    assert_eq!(c.process_b.as_deref(), Some("orders[200]"));
    assert_eq!((c.found_a.as_deref(), c.found_b.as_deref()), (Some("acted"), Some("inferred")));
    let tcp = c.tcp.as_ref().unwrap();
    assert_eq!((tcp.retransmissions, tcp.kernel_retransmissions, tcp.handshake), (1, Some(1), true));
    assert!(
        f.connections
            .iter()
            .filter(|c| c.a != "10.0.0.1:20240")
            .all(|c| { c.tcp.as_ref().is_some_and(|t| t.kernel_retransmissions == Some(0) && t.retransmissions == 0) })
    );
}

#[test]
fn the_scope_narrows_what_is_counted() {
    let orders = analysis(&Options { scope: Scope { comms: vec!["orders".into()], ..all() }, ..Options::default() });
    assert!(!orders.waits.is_empty());
    assert!(orders.waits.iter().all(|w| w.process == "orders[200]"), "{:#?}", orders.waits);
    let of_orders = |c: &Connection| [&c.process_a, &c.process_b].iter().any(|p| p.as_deref() == Some("orders[200]"));
    assert!(!orders.flow.connections.is_empty() && orders.flow.connections.iter().all(of_orders));
    let none = analysis(&Options { scope: Scope { comms: vec!["nobody".into()], ..all() }, ..Options::default() });
    assert_eq!((none.flow.connections.len(), none.flow.packets, none.waits.len()), (0, 0, 0));
    let late = analysis(&Options { from: Some(When::After(15 * SECOND as i64)), ..Options::default() });
    assert_eq!(latency(&late, "span", "commit (orders)").count, 101, "one began before and was still running");
    let one = analysis(&Options { scope: Scope { services: vec!["gateway".into()], ..all() }, ..Options::default() });
    assert!(!names(&one).contains(&"span commit (orders)".to_owned()));
    assert!(!one.waits.is_empty() && one.waits.iter().all(|w| w.process.starts_with("gateway[")), "{:#?}", one.waits);
    let trace = format!("abababababababab{:016x}", 7);
    let one = analysis(&Options { scope: Scope { traces: vec![trace], ..all() }, ..Options::default() });
    assert_eq!(latency(&one, "span", "POST /order (gateway)").count, 1);
    let flow = analysis(&Options { parts: vec![Part::Flow], ..Options::default() });
    assert!(flow.flames.is_empty() && flow.flow.packets > 0);
}

#[test]
fn the_slowdown_is_told_with_its_time_and_what_came_with_it() {
    let a = analysis(&Options::default());
    insta::assert_snapshot!(a.summary.join("\n"));
    let findings: Vec<String> = a
        .findings
        .iter()
        .map(|f| {
            let evidence: Vec<String> = f.evidence.iter().map(ToString::to_string).collect();
            format!("{} | {} | {} {} | {} | {}", f.detector, f.claim, f.size, f.unit, f.confidence, evidence.join(" "))
        })
        .collect();
    insta::assert_snapshot!("findings", findings.join("\n"));
}

#[test]
fn the_worst_moment_is_in_the_slow_half_and_shows_its_errors() {
    let a = analysis(&Options::default());
    let w = a.worst.unwrap();
    assert!(w.from >= a.bundle.first + 10 * SECOND as i64 - 400_000_000, "{} {}", w.from, a.bundle.first);
    assert!(w.logs.iter().any(|l| l.line.contains("ERROR")), "{:?}", w.logs);
    assert!(w.logs.windows(2).all(|l| l[0].time <= l[1].time));
    assert_eq!(a.bundle.marks.len(), 1);
}

#[test]
fn the_metric_that_moved_most_comes_first() {
    let a = analysis(&Options::default());
    let first = &a.metrics[0];
    assert_eq!(first.name, "node_disk_io_time_seconds_total{device=\"sda\"}");
    assert!((first.points[2].1 - 0.1).abs() < 1e-9 && (first.points[15].1 - 0.9).abs() < 1e-9, "{:?}", first.points);
    assert!(a.metrics.iter().all(|m| !m.name.contains("idle")));
}
