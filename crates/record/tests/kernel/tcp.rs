//! TCP states and retransmits of connections that the tests make.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use coldcase_model::events::{TcpReset, TcpRetransmit, TcpState};

use crate::captured::{capture, only};
use crate::netns::{self, counter, in_own_namespace, nft};

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

#[test]
fn retransmitted_segments_equal_the_kernels_count_under_random_drop() {
    if !in_own_namespace("tcp::retransmitted_segments_equal_the_kernels_count_under_random_drop") {
        return;
    }
    let drops = netns::up()
        && nft("add table inet t")
        && nft("add chain inet t in { type filter hook input priority 0 ; }")
        && nft("add rule inet t in tcp dport 7999 numgen random mod 100 < 8 drop");
    if !drops {
        eprintln!("skipped: nft or ip is missing");
        return;
    }
    let before = counter("snmp", "Tcp", "RetransSegs");
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
    let counted = counter("snmp", "Tcp", "RetransSegs") - before;
    let netns = netns::own();
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

#[test]
fn resets_equal_the_kernels_counts() {
    const REFUSED: usize = 20;
    const ABORTED: usize = 15;
    if !in_own_namespace("tcp::resets_equal_the_kernels_counts") {
        return;
    }
    if !netns::up() {
        eprintln!("skipped: ip is missing");
        return;
    }
    let counts = || (counter("snmp", "Tcp", "OutRsts"), counter("snmp", "Tcp", "EstabResets"));
    let before = counts();
    let Some((captured, ())) = capture(&only("tcp"), || {
        for _ in 0..REFUSED {
            assert!(TcpStream::connect("127.0.0.1:7998").is_err());
        }
        let listener = TcpListener::bind("127.0.0.1:7999").unwrap();
        for _ in 0..ABORTED {
            let mut client = TcpStream::connect("127.0.0.1:7999").unwrap();
            let (server, _) = listener.accept().unwrap();
            // What is closed with bytes unread is reset.
            client.write_all(b"never read").unwrap();
            std::thread::sleep(Duration::from_millis(2));
            drop(server);
            std::thread::sleep(Duration::from_millis(2));
        }
    }) else {
        return;
    };
    let after = counts();
    let (netns, mut sent, mut received, mut refused) = (netns::own(), 0, 0, 0);
    captured.each::<TcpReset>(|c, rows| {
        for i in (0..rows).filter(|&i| c.netns[i] == netns) {
            match c.what[i] {
                1 => sent += 1,
                _ => received += 1,
            }
            refused += usize::from(c.what[i] == 1 && c.local_port[i] == 7998);
            assert!([7998, 7999].contains(&c.local_port[i]) || [7998, 7999].contains(&c.remote_port[i]));
        }
    });
    let mut established = 0;
    captured.each::<TcpState>(|c, rows| {
        // From ESTABLISHED or CLOSE_WAIT straight to CLOSE: what TcpEstabResets counts.
        let direct = |i: usize| [1, 8].contains(&c.old_state[i]) && c.new_state[i] == CLOSE;
        established += (0..rows).filter(|&i| c.netns[i] == netns && direct(i)).count() as u64;
    });
    eprintln!("sent {sent}, received {received}; the kernel counted {before:?} to {after:?}");
    assert_eq!(sent, after.0 - before.0, "OutRsts");
    assert_eq!(established, after.1 - before.1, "EstabResets");
    assert_eq!((received, refused), (REFUSED + ABORTED, REFUSED));
}
