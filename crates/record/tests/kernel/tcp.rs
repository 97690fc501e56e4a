//! TCP states and retransmits of connections that the tests make.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use coldcase_model::events::{TcpRetransmit, TcpState};

use crate::captured::{capture, only};

const ESTABLISHED: u8 = 1;
const SYN_SENT: u8 = 2;
const CLOSE: u8 = 7;

#[test]
fn a_connection_goes_through_its_states_with_its_ends_and_its_process() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let Some((captured, client)) = capture(&only("tcp"), || {
        let client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let (server, _) = listener.accept().unwrap();
        let at = client.local_addr().unwrap().port();
        drop((client, server));
        std::thread::sleep(Duration::from_millis(50));
        at
    }) else {
        return;
    };
    let mut of_client = Vec::new();
    captured.each::<TcpState>(|c, rows| {
        for i in (0..rows).filter(|&i| c.remote_port[i] == port && c.family[i] == 2) {
            assert_eq!(c.remote_addr[i].addr().to_string(), "127.0.0.1");
            of_client.push((
                c.time[i],
                c.old_state[i],
                c.new_state[i],
                c.local_port[i],
                c.pid[i],
                c.on_behalf[i],
                c.socket[i],
            ));
        }
    });
    of_client.sort_unstable();
    // Others may knock at the port too: a recorder elsewhere on this machine that looks for metrics.
    let ours = of_client.iter().find(|s| s.3 == client).map(|s| s.6).expect("no event of our connection");
    assert_ne!(ours, 0);
    of_client.retain(|s| s.6 == ours);
    let states: Vec<_> = of_client.iter().map(|s| (s.1, s.2)).collect();
    assert!(states.starts_with(&[(CLOSE, SYN_SENT), (SYN_SENT, ESTABLISHED)]), "{of_client:?}");
    assert_eq!((of_client[0].4, of_client[0].5), (std::process::id(), 1), "connect(2) is ours: {of_client:?}");
    assert_eq!(of_client[1].3, client);
}

/// TcpRetransSegs of this network namespace.
fn retransmitted() -> u64 {
    let text = std::fs::read_to_string("/proc/net/snmp").unwrap();
    let mut lines = text.lines().filter(|l| l.starts_with("Tcp:"));
    let at = lines.next().unwrap().split(' ').position(|w| w == "RetransSegs").unwrap();
    lines.next().unwrap().split(' ').nth(at).unwrap().parse().unwrap()
}

/// Runs this test again in a network namespace of its own: what others retransmit does not count.
fn in_own_namespace(test: &str) -> bool {
    const INSIDE: &str = "COLDCASE_TEST_NETNS";
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let me = std::env::current_exe().unwrap();
    let run =
        Command::new("unshare").arg("-n").arg(me).args([test, "--exact", "--nocapture"]).env(INSIDE, "1").output();
    match run {
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stderr);
            eprint!("{text}");
            let refused = text.contains("unshare failed");
            assert!(output.status.success() || refused, "{}", String::from_utf8_lossy(&output.stdout));
            if refused {
                eprintln!("skipped: no network namespace can be made");
            }
        }
        Err(e) => eprintln!("skipped: unshare: {e}"),
    }
    false
}

fn nft(command: &str) -> bool {
    Command::new("nft").args(command.split(' ')).status().is_ok_and(|s| s.success())
}

#[test]
fn retransmitted_segments_equal_the_kernels_count_under_random_drop() {
    if !in_own_namespace("tcp::retransmitted_segments_equal_the_kernels_count_under_random_drop") {
        return;
    }
    let up = Command::new("ip").args(["link", "set", "lo", "up"]).status().is_ok_and(|s| s.success());
    let drops = up
        && nft("add table inet t")
        && nft("add chain inet t in { type filter hook input priority 0 ; }")
        && nft("add rule inet t in tcp dport 7999 numgen random mod 100 < 8 drop");
    if !drops {
        eprintln!("skipped: nft or ip is missing");
        return;
    }
    let before = retransmitted();
    let Some((captured, ())) = capture(&only("tcp"), || {
        let listener = TcpListener::bind("127.0.0.1:7999").unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
        });
        let mut client = TcpStream::connect("127.0.0.1:7999").unwrap();
        for _ in 0..400 {
            client.write_all(&[1; 20_000]).unwrap();
        }
        drop(client);
        server.join().unwrap();
        std::thread::sleep(Duration::from_millis(500));
    }) else {
        return;
    };
    let counted = retransmitted() - before;
    let netns = std::fs::read_link("/proc/self/ns/net").unwrap();
    let netns: u32 = netns.to_str().unwrap().trim_start_matches("net:[").trim_end_matches(']').parse().unwrap();
    let (mut segments, mut failed) = (0, 0);
    captured.each::<TcpRetransmit>(|c, rows| {
        for i in (0..rows).filter(|&i| c.netns[i] == netns) {
            if c.error[i] == 0 {
                segments += u64::from(c.segments[i])
            } else {
                failed += 1
            }
            assert!(c.local_port[i] == 7999 || c.remote_port[i] == 7999);
        }
    });
    eprintln!("{segments} segments in rows, {counted} by the kernel, {failed} rows failed");
    assert!(counted > 0, "nothing was dropped");
    assert_eq!(segments, counted, "{failed} rows failed");
}
