//! Sockets: their figures and owners, against what the tests did and what `ss` and `getsockopt` say.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use coldcase_model::events::{SocketOwner, TcpInfo};

use crate::captured::{Captured, capture, only};
use crate::netns::{self, counter, in_own_namespace};

const SECOND: u8 = 1;
const ESTABLISHED: u8 = 2;
const CLOSED: u8 = 3;
const LISTEN: u8 = 10;
const HELD: u8 = 2;

/// What is looked at of a row.
#[derive(Debug, Clone, Default)]
struct Row {
    time: u64,
    why: u8,
    state: u8,
    pid: u32,
    sent: u64,
    acked: u64,
    received: u64,
    rtt: u64,
    connect: u64,
    age: u64,
    queue: [u32; 4],
    error: u32,
    drops: u32,
}

/// The rows between two ports, in order of time; remote 0 for a listener.
fn rows(captured: &Captured, local: u16, remote: u16) -> Vec<Row> {
    let mut out = Vec::new();
    captured.each::<TcpInfo>(|c, rows| {
        for i in (0..rows).filter(|&i| (c.local_port[i], c.remote_port[i]) == (local, remote)) {
            out.push(Row {
                time: c.time[i],
                why: c.why[i],
                state: c.state[i],
                pid: c.pid[i],
                sent: c.bytes_sent[i],
                acked: c.bytes_acked[i],
                received: c.bytes_received[i],
                rtt: c.rtt[i],
                connect: c.connect[i],
                age: c.age[i],
                queue: [c.send_queue[i], c.receive_queue[i], c.accept_queue[i], c.accept_limit[i]],
                error: c.error[i],
                drops: c.drops[i],
            });
        }
    });
    out.sort_by_key(|r| r.time);
    out
}

/// One connection to a listener and its end; the client's port.
fn short_connection(listener: &TcpListener) -> u16 {
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    let at = client.local_addr().unwrap().port();
    client.write_all(&[7; 10_000]).unwrap();
    server.read_exact(&mut [0; 10_000]).unwrap();
    server.write_all(&[7; 300]).unwrap();
    client.read_exact(&mut [0; 300]).unwrap();
    at
}

/// Whether all rows of a short connection are there; what is there must be right.
fn is_whole(captured: &Captured, client: u16, port: u16) -> bool {
    let me = std::process::id();
    let mut owners = Vec::new();
    captured.each::<SocketOwner>(|c, rows| {
        for i in (0..rows).filter(|&i| [(client, port), (port, client)].contains(&(c.local_port[i], c.remote_port[i])))
        {
            owners.push((c.local_port[i], c.pid[i]));
        }
    });
    owners.sort_unstable();
    let mut expected = vec![(client, me), (port, me)];
    expected.sort_unstable();
    let told = owners.len();
    owners.dedup();
    assert!(told == owners.len() && owners.iter().all(|o| expected.contains(o)), "each end is told once: {owners:?}");
    let of = |local, remote| {
        let mut rows = rows(captured, local, remote);
        rows.retain(|r| r.why != SECOND);
        rows
    };
    let (of_client, of_server) = (of(client, port), of(port, client));
    let all = owners == expected
        && matches!(of_client.as_slice(), [first, .., last] if first.why == ESTABLISHED && last.why == CLOSED)
        && of_server.last().is_some_and(|r| r.why == CLOSED);
    if !all {
        return false;
    }
    let (first, last) = (of_client.first().unwrap(), of_client.last().unwrap());
    assert_eq!((first.pid, last.pid), (me, me), "{of_client:?}");
    assert!(first.connect > 0 && first.connect < 1_000_000_000 && last.age > first.age, "{of_client:?}");
    assert_eq!((last.sent, last.acked, last.received), (10_000, 10_002, 301), "SYN and FIN count as a byte");
    assert!(last.rtt > 0 && last.error == 0);
    let last = of_server.last().unwrap();
    assert_eq!((last.pid, last.connect), (me, 0), "{of_server:?}");
    assert_eq!((last.sent, last.received), (300, 10_001), "{of_server:?}");
    true
}

#[test]
fn a_short_connection_has_its_figures_and_its_process() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let Some((captured, clients)) = capture(&only("socket"), || {
        let clients: Vec<u16> = (0..10).map(|_| short_connection(&listener)).collect();
        std::thread::sleep(Duration::from_millis(100));
        clients
    }) else {
        return;
    };
    // Some machines run no tracepoint now and then (tests/truth/untraced.py).
    let whole = clients.iter().filter(|&&client| is_whole(&captured, client, port)).count();
    assert!(whole >= 8, "of 10 connections {whole} are there whole");
}

#[test]
fn open_sockets_are_owned_from_the_start_and_told_each_second_they_change() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let (server, _) = listener.accept().unwrap();
    let at = client.local_addr().unwrap().port();
    let quiet = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let Some((captured, ())) = capture(&only("socket"), || {
        client.write_all(&[1; 500]).unwrap();
        std::thread::sleep(Duration::from_millis(1600));
        client.write_all(&[1; 500]).unwrap();
        std::thread::sleep(Duration::from_millis(1000));
    }) else {
        return;
    };
    let me = std::process::id();
    let mut owned = Vec::new();
    captured.each::<SocketOwner>(|c, rows| {
        for i in (0..rows).filter(|&i| c.pid[i] == me && c.how[i] == HELD) {
            assert!(c.started[i] > 0 && c.inode[i] > 0);
            owned.push((c.local_port[i], c.remote_port[i]));
        }
    });
    for ends in [(port, 0), (at, port), (port, at)] {
        assert!(owned.contains(&ends), "{ends:?} not in {owned:?}");
    }
    let of_client = rows(&captured, at, port);
    assert!((2..=4).contains(&of_client.len()) && of_client.iter().all(|r| r.why == SECOND), "{of_client:?}");
    assert_eq!(of_client.last().unwrap().sent, 1000, "{of_client:?}");
    let of_server = rows(&captured, port, at);
    assert_eq!(of_server.last().unwrap().queue[1], 1000, "nobody read them: {of_server:?}");
    let told = rows(&captured, quiet.local_addr().unwrap().port(), port).len();
    assert!(told <= 2, "a connection without traffic was told {told} times");
    let of_listener = rows(&captured, port, 0);
    let listening = of_listener.last().unwrap();
    assert_eq!((listening.state, listening.queue[2]), (LISTEN, 1), "one waits to be accepted: {of_listener:?}");
    assert_eq!(listening.queue[3], 128, "the backlog of std's listener");
    drop(server);
}

#[test]
fn a_refused_connection_closes_with_its_error() {
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let Some((captured, ())) = capture(&only("socket"), || {
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    }) else {
        return;
    };
    let mut closed = Vec::new();
    captured.each::<TcpInfo>(|c, rows| {
        // The look of each second may fall into the connect.
        let mine = |&i: &usize| c.remote_port[i] == port && c.why[i] == CLOSED;
        closed.extend((0..rows).filter(mine).map(|i| (c.state[i], c.error[i])));
    });
    assert_eq!(closed, [(2, 111)], "from SYN_SENT, ECONNREFUSED");
}

#[test]
fn a_full_accept_queue_is_counted_by_its_listener() {
    if !in_own_namespace("socket::a_full_accept_queue_is_counted_by_its_listener") {
        return;
    }
    if !netns::up() {
        eprintln!("skipped: ip is missing");
        return;
    }
    let dropped = || counter("netstat", "TcpExt", "ListenDrops");
    let before = dropped();
    let Some((captured, ())) = capture(&only("socket"), || {
        let listener = TcpListener::bind("127.0.0.1:7995").unwrap();
        // A second listen(2) sets the backlog.
        rustix::net::listen(&listener, 1).unwrap();
        let connect = || TcpStream::connect_timeout(&"127.0.0.1:7995".parse().unwrap(), Duration::from_millis(200));
        let kept: Vec<_> = (0..6).map(|_| connect()).collect();
        assert!(kept.iter().any(Result::is_err), "the queue holds two");
        // A queue that stays full is told of again only because more was turned away.
        std::thread::sleep(Duration::from_millis(1500));
        let late = connect();
        assert!(late.is_err());
        std::thread::sleep(Duration::from_millis(1500));
    }) else {
        return;
    };
    let counted = dropped() - before;
    let told = rows(&captured, 7995, 0);
    assert_eq!(told.first().map(|r| (r.state, r.drops)), Some((LISTEN, 0)), "{told:?}");
    let seconds: Vec<u32> = told.iter().filter(|r| r.why == SECOND).map(|r| r.drops).collect();
    assert!(seconds.len() >= 2 && seconds.is_sorted(), "{told:?}");
    assert!(counted > 0 && told.last().is_some_and(|r| u64::from(r.drops) == counted), "{counted}: {told:?}");
    assert!(told.iter().any(|r| r.queue[2] == 2 && r.queue[3] == 1), "{told:?}");
}
