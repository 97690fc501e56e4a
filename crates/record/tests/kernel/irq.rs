//! Interrupts against `/proc/softirqs`.

use std::collections::BTreeMap;
use std::net::UdpSocket;

use coldcase_model::events::InterruptSum;

use crate::captured::{capture, only};

const SOFT: u16 = 2;

/// Soft interrupts so far, by vector, on all CPUs.
fn counted() -> Vec<u64> {
    let text = std::fs::read_to_string("/proc/softirqs").unwrap();
    let sum = |line: &str| line.split_ascii_whitespace().skip(1).filter_map(|n| n.parse::<u64>().ok()).sum();
    text.lines().skip(1).map(sum).collect()
}

#[test]
fn soft_interrupts_are_as_many_as_the_kernel_counts_and_have_its_names() {
    let Some((captured, (before, after))) = capture(&only("irq"), || {
        let before = counted();
        // Each packet on the loopback is a soft interrupt of its own, or shares one.
        let (a, b) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        let mut byte = [0];
        for _ in 0..20_000 {
            a.send_to(&[1], b.local_addr().unwrap()).unwrap();
            b.recv(&mut byte).unwrap();
        }
        std::thread::sleep(std::time::Duration::from_millis(700));
        (before, counted())
    }) else {
        return;
    };
    assert!(captured.wrong.is_empty(), "{:?}", captured.wrong);
    let mut sums = BTreeMap::<u32, (u64, u64, String)>::new();
    captured.each::<InterruptSum>(|c, rows| {
        for i in (0..rows).filter(|&i| c.what[i] == SOFT) {
            assert!(c.longest[i] <= c.total[i] && c.count[i] > 0);
            let sum = sums.entry(c.number[i]).or_default();
            *sum = (sum.0 + c.count[i], sum.1 + c.total[i], c.name.text(i).into_owned());
        }
    });
    let (received, time, name) = sums.get(&3).cloned().unwrap_or_default();
    assert_eq!(name, "net_rx");
    let truth = after[3] - before[3];
    // The capture reaches a little further than the two readings.
    assert!(truth > 1000 && received >= truth && received <= truth + truth / 20 + 200, "{received} against {truth}");
    assert!(time / received > 100, "{} ns each", time / received);
}
