//! Whose sockets they are: processes by the addresses that the host's socket table and the kernel's events gave.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use coldcase_model::entity::Protocol;

/// Processes by local and remote address. A socket can have several: workers that inherited a listener, or equal
/// addresses in two network namespaces. Who asks must not pick one of them.
#[derive(Debug, Default)]
pub struct Owners {
    exact: HashMap<(Protocol, SocketAddr, SocketAddr), Vec<Claim>>,
    listening: HashMap<(Protocol, SocketAddr), Vec<Claim>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Claim {
    time: i64,
    pid: u32,
}

impl Owners {
    /// A socket connected from `local` to `remote` was seen with a process. Pid 0 says nothing.
    pub fn connected(&mut self, proto: Protocol, local: SocketAddr, remote: SocketAddr, time: i64, pid: u32) {
        if pid != 0 {
            self.exact.entry((proto, local, remote)).or_default().push(Claim { time, pid });
        }
    }

    /// A listening (or, for UDP, unconnected) socket was seen with a process.
    pub fn listens(&mut self, proto: Protocol, local: SocketAddr, time: i64, pid: u32) {
        if pid != 0 {
            self.listening.entry((proto, local)).or_default().push(Claim { time, pid });
        }
    }

    /// To be called when all is in: puts claims into order.
    pub fn sort(&mut self) {
        for claims in self.exact.values_mut().chain(self.listening.values_mut()) {
            claims.sort_unstable();
            claims.dedup();
        }
    }

    /// The processes that hold the socket at `local` of a connection that lived from `first` to `last`, in order.
    pub fn of(&self, proto: Protocol, local: SocketAddr, remote: SocketAddr, first: i64, last: i64) -> Vec<u32> {
        if let Some(claims) = self.exact.get(&(proto, local, remote)) {
            return during(claims, first, last);
        }
        let any = match local.ip() {
            IpAddr::V4(_) => IpAddr::from([0u8; 4]),
            IpAddr::V6(_) => IpAddr::from([0u8; 16]),
        };
        let both = IpAddr::from([0u8; 16]);
        [local.ip(), any, both]
            .into_iter()
            .find_map(|ip| self.listening.get(&(proto, SocketAddr::new(ip, local.port()))))
            .map_or(Vec::new(), |claims| during(claims, first, last))
    }
}

/// The processes that claim it while the connection lives, else those that claimed it last before.
fn during(claims: &[Claim], first: i64, last: i64) -> Vec<u32> {
    // A connect is seen a moment before its first packet.
    const SLACK: i64 = 1_000_000_000;
    let (from, to) = (first.saturating_sub(SLACK), last.saturating_add(SLACK));
    let mut pids: Vec<u32> = claims.iter().filter(|c| (from..=to).contains(&c.time)).map(|c| c.pid).collect();
    if pids.is_empty() {
        let latest = claims.iter().map(|c| c.time).filter(|&t| t < first).max();
        pids = claims.iter().filter(|c| Some(c.time) == latest).map(|c| c.pid).collect();
    }
    pids.sort_unstable();
    pids.dedup();
    pids
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap_or_else(|_| SocketAddr::from(([0; 4], 0)))
    }

    const S: i64 = 1_000_000_000;

    #[test]
    fn a_server_is_found_by_its_listening_socket_and_a_client_by_its_own() {
        let mut owners = Owners::default();
        owners.listens(Protocol::Tcp, at("0.0.0.0:80"), 0, 7);
        owners.connected(Protocol::Tcp, at("10.0.0.1:4000"), at("10.0.0.2:80"), 5 * S, 8);
        owners.sort();
        let of = |local, remote| owners.of(Protocol::Tcp, at(local), at(remote), 5 * S, 6 * S);
        assert_eq!(of("10.0.0.2:80", "10.0.0.1:4000"), [7]);
        assert_eq!(of("10.0.0.1:4000", "10.0.0.2:80"), [8]);
        assert_eq!(of("10.0.0.1:4001", "10.0.0.2:80"), []);
        assert_eq!(owners.of(Protocol::Udp, at("10.0.0.2:80"), at("10.0.0.1:4000"), 0, S), []);
    }

    #[test]
    fn a_listener_on_all_of_v6_also_serves_v4() {
        let mut owners = Owners::default();
        owners.listens(Protocol::Tcp, at("[::]:80"), 0, 7);
        assert_eq!(owners.of(Protocol::Tcp, at("10.0.0.2:80"), at("10.0.0.1:4000"), 0, S), [7]);
    }

    #[test]
    fn ports_used_again_belong_to_whoever_had_them_at_the_time() {
        let mut owners = Owners::default();
        let (a, b) = (at("10.0.0.1:4000"), at("10.0.0.2:80"));
        owners.connected(Protocol::Tcp, a, b, 10 * S, 8);
        owners.connected(Protocol::Tcp, a, b, 50 * S, 9);
        owners.sort();
        assert_eq!(owners.of(Protocol::Tcp, a, b, 10 * S, 20 * S), [8]);
        assert_eq!(owners.of(Protocol::Tcp, a, b, 50 * S, 60 * S), [9]);
        assert_eq!(owners.of(Protocol::Tcp, a, b, 30 * S, 31 * S), [8]);
    }

    #[test]
    fn a_socket_with_two_owners_has_both() {
        let mut owners = Owners::default();
        owners.listens(Protocol::Tcp, at("0.0.0.0:80"), 0, 8);
        owners.listens(Protocol::Tcp, at("0.0.0.0:80"), 0, 7);
        owners.sort();
        assert_eq!(owners.of(Protocol::Tcp, at("10.0.0.2:80"), at("10.0.0.1:4000"), 0, S), [7, 8]);
    }
}
