//! Look-ups of names: of this process, and of a program whose name server is slow.

use std::ffi::CString;
use std::net::UdpSocket;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use coldcase_model::events::NameLookup;

use crate::captured::{Captured, capture, only, tid, until};
use crate::losses::agree_on;

const CENSORED: u32 = 1;
const THREAD_ENDED: u32 = 2;

/// The C library's own, as programs call it.
fn getaddrinfo(name: &str) -> i32 {
    let name = CString::new(name).unwrap();
    let mut found = std::ptr::null_mut();
    // SAFETY: the name ends with a zero; hints may be absent; what is found is freed once.
    unsafe {
        let result = libc::getaddrinfo(name.as_ptr(), std::ptr::null(), std::ptr::null(), &raw mut found);
        if result == 0 {
            libc::freeaddrinfo(found);
        }
        result
    }
}

#[derive(Debug)]
struct Row {
    name: String,
    pid: u32,
    tid: u32,
    duration: u64,
    result: i32,
    flags: u32,
}

fn rows(captured: &Captured) -> Vec<Row> {
    let mut all = Vec::new();
    captured.each::<NameLookup>(|c, rows| {
        all.extend((0..rows).map(|i| Row {
            name: c.name.text(i).into_owned(),
            pid: c.pid[i],
            tid: c.tid[i],
            duration: c.duration[i],
            result: c.result[i],
            flags: c.flags[i],
        }));
    });
    all
}

#[test]
fn each_look_up_is_a_row_with_name_result_and_duration() {
    let Some((captured, calls)) = capture(&only("libc"), || {
        let long = "a".repeat(400);
        ["127.0.0.1", "localhost", "no such name", "", &long].map(|name| {
            let began = Instant::now();
            (name.to_owned(), getaddrinfo(name), began.elapsed().as_nanos() as u64)
        })
    }) else {
        return;
    };
    assert!(captured.wrong.is_empty(), "{:?}", captured.wrong);
    let rows: Vec<_> = rows(&captured).into_iter().filter(|r| r.tid == tid()).collect();
    assert_eq!(rows.len(), calls.len(), "{rows:?}");
    for (row, (name, result, took)) in rows.iter().zip(&calls) {
        assert_eq!((row.result, row.pid), (*result, std::process::id()));
        assert!(name.starts_with(&row.name) && row.name.len() == name.len().min(255), "{row:?}");
        assert_eq!(row.flags, if name.len() > 255 { 4 } else { 0 });
        assert!(row.duration > 0 && row.duration <= *took, "{row:?} in {took}");
    }
}

/// A name server on an address of its own that says of each name, after this time, that there is none.
fn slow_server(delay: Duration) -> Option<std::net::SocketAddr> {
    let socket = UdpSocket::bind("127.77.0.53:53").ok()?;
    let address = socket.local_addr().ok()?;
    std::thread::spawn(move || {
        let mut query = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut query) {
            std::thread::sleep(delay);
            let mut answer = query[..length].to_vec();
            // A response, recursion available, no such name.
            (answer[2], answer[3]) = (answer[2] | 0x80, 0x83);
            let _ = socket.send_to(&answer, from);
        }
    });
    Some(address)
}

/// A program that looks a name up through that server, in a mount namespace of its own.
fn resolve(address: std::net::SocketAddr, name: &str) -> Command {
    let folder = tempfile::tempdir().unwrap().keep();
    let config = folder.join("resolv.conf");
    std::fs::write(&config, format!("nameserver {}\noptions attempts:1 timeout:30\n", address.ip())).unwrap();
    let script = "mount --bind \"$0\" /etc/resolv.conf || exit 77; exec getent ahosts \"$1\"";
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", script]).arg(config).arg(name).stdout(Stdio::null());
    command
}

/// Waits until a server that never answers has been asked for a name of each of these hosts.
fn asked_for(silent: &UdpSocket, hosts: &[&str]) {
    let mut missing = hosts.to_vec();
    let mut query = [0; 512];
    silent.set_nonblocking(true).unwrap();
    until("queries", || {
        while let Ok((length, _)) = silent.recv_from(&mut query) {
            // In a query the name stands as it is, its first label behind a byte with the length.
            missing.retain(|host| !query[..length].windows(host.len()).any(|w| w == host.as_bytes()));
        }
        missing.is_empty().then_some(())
    });
}

#[test]
fn a_slow_name_server_shows_in_the_duration_and_a_look_up_that_is_not_answered_is_told_as_such() {
    const DELAY: Duration = Duration::from_millis(250);
    let Some(address) = slow_server(DELAY) else {
        eprintln!("skipped: no name server can be had on port 53");
        return;
    };
    let Some((captured, open)) = capture(&only("libc"), || {
        let code = resolve(address, "slow.example.com.").status().ok().and_then(|s| s.code());
        if code == Some(77) {
            return None;
        }
        // To the network and back nowhere: 127.77.0.54 has no server, and the socket waits.
        let silent = UdpSocket::bind("127.77.0.54:53").unwrap();
        let mut killed = resolve(silent.local_addr().unwrap(), "killed.example.com.").spawn().unwrap();
        let open = resolve(silent.local_addr().unwrap(), "open.example.com.").spawn().unwrap();
        asked_for(&silent, &["killed", "open"]);
        let asked = Instant::now();
        killed.kill().unwrap();
        killed.wait().unwrap();
        std::thread::sleep(Duration::from_millis(50));
        Some((open, silent, asked.elapsed()))
    }) else {
        return;
    };
    let Some((mut open, _silent, waited)) = open else {
        eprintln!("skipped: no mount namespace can be made");
        return;
    };
    open.kill().unwrap();
    open.wait().unwrap();
    let rows = rows(&captured);
    let of = |name: &str| {
        let mut of = rows.iter().filter(|r| r.name == name);
        (of.next().unwrap_or_else(|| panic!("{name}: {rows:?}")), of.next().is_none())
    };
    let (slow, alone) = of("slow.example.com.");
    assert!(alone && slow.flags == 0 && slow.result == -2, "{slow:?}");
    assert!(slow.duration >= DELAY.as_nanos() as u64, "{slow:?}");
    let (killed, _) = of("killed.example.com.");
    assert_eq!(killed.flags, THREAD_ENDED, "{killed:?}");
    let (open, _) = of("open.example.com.");
    assert!(open.flags == CENSORED && open.duration > waited.as_nanos() as u64, "{open:?}, asked {waited:?} before");
}

#[test]
fn the_recorder_is_left_out() {
    let mut options = only("libc");
    options.leave_out = std::process::id();
    let Some((captured, _)) = capture(&options, || getaddrinfo("127.0.0.1")) else { return };
    assert!(rows(&captured).iter().all(|r| r.pid != std::process::id()));
}

#[test]
fn with_a_ring_of_one_page_losses_are_counted_to_the_look_up() {
    const THREADS: u64 = 3;
    const CALLS: u64 = 4000;
    let mut options = only("libc");
    options.ring_bytes = 1;
    let Some((captured, ())) = capture(&options, || {
        std::thread::scope(|s| {
            for _ in 0..THREADS {
                s.spawn(|| (0..CALLS).for_each(|_| assert_eq!(getaddrinfo("127.0.0.1"), 0)));
            }
        });
    }) else {
        return;
    };
    let emitted: u64 = captured.polled.iter().map(|p| p.change.emitted).sum();
    let lost: u64 = captured.polled.iter().map(|p| p.change.ring_full).sum();
    // Others on this machine may look names up as well.
    assert!(emitted >= THREADS * CALLS, "{emitted}");
    assert!(lost > 0, "{emitted} events fitted into one page");
    assert_eq!(emitted, captured.count::<NameLookup>() as u64 + lost);
    agree_on(&captured, captured.count::<NameLookup>());
}
