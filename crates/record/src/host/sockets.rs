//! TCP and UDP sockets of all network namespaces, with the processes that hold them.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use coldcase_model::Ip;
use coldcase_model::events::Socket;

use crate::clock;

/// Every socket. Processes of others are known only with CAP_SYS_PTRACE; their sockets have pid 0.
pub(crate) fn all(pids: &[u32]) -> Vec<Socket> {
    let mut namespaces: HashMap<u32, u32> = HashMap::new();
    let mut holders: HashMap<u64, u32> = HashMap::new();
    for &pid in pids {
        if let Some(netns) = link_number(format!("/proc/{pid}/ns/net"), "net:[") {
            namespaces.entry(netns as u32).or_insert(pid);
        }
        let Ok(descriptors) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { continue };
        for descriptor in descriptors.flatten() {
            if let Some(inode) = link_number(descriptor.path(), "socket:[") {
                holders.entry(inode).or_insert(pid);
            }
        }
    }
    let mut rows = Vec::new();
    for (netns, pid) in namespaces {
        for (table, protocol) in [("tcp", 6), ("tcp6", 6), ("udp", 17), ("udp6", 17)] {
            let Ok(text) = std::fs::read_to_string(format!("/proc/{pid}/net/{table}")) else { continue };
            let time = clock::boottime().0;
            rows.extend(text.lines().skip(1).filter_map(parse).map(|s| Socket {
                time,
                pid: holders.get(&s.inode).copied().unwrap_or(0),
                netns,
                inode: s.inode,
                protocol,
                state: s.state,
                local_port: s.local.1,
                remote_port: s.remote.1,
                local_addr: s.local.0,
                remote_addr: s.remote.0,
            }));
        }
    }
    rows
}

/// The number in a link such as `socket:[123]`.
fn link_number(path: impl AsRef<std::path::Path>, before: &str) -> Option<u64> {
    let target = std::fs::read_link(path).ok()?;
    target.to_str()?.strip_prefix(before)?.strip_suffix(']')?.parse().ok()
}

struct Line {
    local: (Ip, u16),
    remote: (Ip, u16),
    state: u8,
    inode: u64,
}

/// A line of `/proc/net/tcp` and its kin: number, local, remote, state, queues, timer, retransmits, uid, timeout, inode.
fn parse(line: &str) -> Option<Line> {
    let mut parts = line.split_whitespace().skip(1);
    let local = end(parts.next()?)?;
    let remote = end(parts.next()?)?;
    let state = u8::from_str_radix(parts.next()?, 16).ok()?;
    let inode = parts.nth(5)?.parse().ok()?;
    Some(Line { local, remote, state, inode })
}

/// `0100007F:1F90` is 127.0.0.1:8080: words of the address in the host's byte order, the port in order.
fn end(text: &str) -> Option<(Ip, u16)> {
    let (address, port) = text.split_once(':')?;
    let mut bytes = [0; 16];
    let words = address.len() / 8;
    if !address.is_ascii() || !matches!(address.len(), 8 | 32) {
        return None;
    }
    for i in 0..words {
        let word = u32::from_str_radix(&address[i * 8..i * 8 + 8], 16).ok()?;
        bytes[i * 4..i * 4 + 4].copy_from_slice(&word.to_ne_bytes());
    }
    let address = match words {
        1 => IpAddr::from(Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3])),
        _ => IpAddr::from(Ipv6Addr::from(bytes)),
    };
    Some((Ip::from(address), u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn addresses_are_read_in_the_hosts_byte_order() {
        let line =
            "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0";
        let parsed = parse(line).unwrap();
        assert_eq!((parsed.local.0.addr().to_string(), parsed.local.1), ("127.0.0.1".into(), 8080));
        assert_eq!((parsed.state, parsed.inode), (10, 4711));
        let (v6, port) = end("00000000000000000000000001000000:0016").unwrap();
        assert_eq!((v6.addr().to_string(), port), ("::1".into(), 22));
        assert!(end("xyz:1").is_none() && parse("  sl  local_address").is_none());
    }

    #[test]
    fn a_listening_socket_of_this_process_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let rows = all(&[std::process::id()]);
        let row = rows.iter().find(|r| r.local_port == port && r.protocol == 6).unwrap();
        assert_eq!((row.pid, row.state), (std::process::id(), 10));
        assert!(row.netns != 0);
    }
}
