//! Drops: against the counters of nft, of the listen queue, and of the flood that the test makes.

use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::time::Duration;

use coldcase_model::events::PacketDrop;

use crate::captured::{Captured, capture, only};
use crate::netns::{self, counter, in_own_namespace, nft};

/// How many drops there are to a port, and their reasons.
fn drops(captured: &Captured, port: u16) -> (u64, Vec<u32>) {
    let (mut count, mut reasons, netns) = (0, Vec::new(), netns::own());
    captured.each::<PacketDrop>(|c, rows| {
        for i in (0..rows).filter(|&i| c.netns[i] == netns && c.destination_port[i] == port) {
            assert_eq!(c.family[i], 2);
            assert!(c.location.get(i).len() == 1 && c.location.get(i)[0] >> 63 == 1, "kernel text");
            count += 1;
            if !reasons.contains(&c.reason[i]) {
                reasons.push(c.reason[i]);
            }
        }
    });
    (count, reasons)
}

fn reason(name: &str) -> Option<u32> {
    let kernel = libbpf_rs::btf::Btf::from_vmlinux().unwrap();
    let values = kernel.type_by_name::<libbpf_rs::btf::types::Enum<'_>>("skb_drop_reason")?;
    let found = values.iter().find(|m| m.name.is_some_and(|n| n.to_str() == Some(name)))?;
    u32::try_from(found.value).ok()
}

#[test]
fn packets_that_nft_drops_are_counted_as_nft_counts_them() {
    if !in_own_namespace("drop::packets_that_nft_drops_are_counted_as_nft_counts_them") {
        return;
    }
    let ready = netns::up()
        && nft("add table inet t")
        && nft("add chain inet t in { type filter hook input priority 0 ; }")
        && nft("add rule inet t in udp dport 7997 counter drop");
    if !ready {
        eprintln!("skipped: nft or ip is missing");
        return;
    }
    let send = |count: usize, pause: Duration| {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..count {
            let _ = socket.send_to(b"into the void", "127.0.0.1:7997");
            std::thread::sleep(pause);
        }
    };
    let Some((captured, ())) = capture(&only("drop"), || {
        send(200, Duration::from_millis(1));
        send(20_000, Duration::ZERO);
    }) else {
        return;
    };
    let rules = Command::new("nft").args(["list", "ruleset"]).output().unwrap();
    let rules = String::from_utf8_lossy(&rules.stdout).into_owned();
    let counted: u64 = rules.split("counter packets ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    let (rows, reasons) = drops(&captured, 7997);
    let left_out: u64 = captured.polled.iter().map(|p| p.change.rate_limited + p.change.ring_full).sum();
    eprintln!("{rows} rows and {left_out} left out, nft counted {counted}");
    assert_eq!(reasons, [reason("SKB_DROP_REASON_NETFILTER_DROP").unwrap_or(u32::MAX)]);
    assert!(rows >= 200 && rows < counted && counted >= 20_000, "a flood is bounded");
    // Drops elsewhere on this machine may be among those left out.
    assert!(rows + left_out >= counted, "each drop is a row or counted");
}

#[test]
fn a_full_accept_queue_shows_in_no_more_drops_than_the_kernel_counts() {
    if !in_own_namespace("drop::a_full_accept_queue_shows_in_no_more_drops_than_the_kernel_counts") {
        return;
    }
    if !netns::up() {
        eprintln!("skipped: ip is missing");
        return;
    }
    let overflows = || counter("netstat", "TcpExt", "ListenOverflows");
    let before = overflows();
    let Some((captured, ())) = capture(&only("drop"), || {
        let listener = TcpListener::bind("127.0.0.1:7996").unwrap();
        // A second listen(2) sets the backlog.
        rustix::net::listen(&listener, 1).unwrap();
        let connect = || TcpStream::connect_timeout(&"127.0.0.1:7996".parse().unwrap(), Duration::from_millis(200));
        let kept: Vec<_> = (0..6).map(|_| connect()).collect();
        assert!(kept.iter().any(Result::is_err), "the queue holds two");
    }) else {
        return;
    };
    let counted = overflows() - before;
    let (mut overflowed, overflow) = (0, reason("SKB_DROP_REASON_TCP_LISTEN_OVERFLOW"));
    captured.each::<PacketDrop>(|c, rows| {
        overflowed +=
            (0..rows).filter(|&i| Some(c.reason[i]) == overflow && c.destination_port[i] == 7996).count() as u64;
    });
    eprintln!("{overflowed} drops for a full queue, ListenOverflows {counted}");
    // A SYN that a full queue turns away is freed as consumed (tcp_rcv_state_process), which is no drop; the listener's own counter has
    // it (socket::a_full_accept_queue_is_counted_by_its_listener). A handshake's last ACK that finds it full is dropped.
    assert!(counted > 0 && overflowed <= counted);
}
