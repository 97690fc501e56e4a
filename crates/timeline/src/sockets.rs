//! Whose connection it is: from the snapshot of sockets and the kernel's TCP state changes.

use std::collections::HashMap;
use std::net::IpAddr;

use coldcase_model::{Boottime, Event, Ip, events};

use crate::processes::Processes;
use crate::segment::Segment;
use crate::translations::{Translated, Translations};

/// How an owner was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OwnerHow {
    /// The process itself connected, accepted or closed the socket, seen by the kernel's events.
    Acted,
    /// The snapshot found the socket among the process's files.
    Held,
    /// The process listens on the connection's local port. Inferred: it may have passed the connection on.
    Listens,
}

/// The process at one end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// Its pid.
    pub pid: u32,
    /// How it was found.
    pub how: OwnerHow,
}

pub(crate) type End = (Ip, u16);
/// Local address (all zero or unspecified for any), since when, and the pid.
type Listener = (Ip, Boottime, u32);

/// Owners of sockets over time.
#[derive(Debug, Default)]
pub struct Sockets {
    /// By local and remote end: since when, and who. In order of time.
    connections: HashMap<(End, End), Vec<(Boottime, Owner)>>,
    /// By protocol and local port.
    listeners: HashMap<(u8, u16), Vec<Listener>>,
    translations: Translations,
}

/// TCP_LISTEN.
const LISTEN: u8 = 10;

impl Sockets {
    /// Learns from segments of `host.socket`, `kernel.socket` and `kernel.tcp_state`.
    pub(crate) fn new(snapshot: &[Segment], owners: &[Segment], states: &[Segment], processes: &Processes) -> Sockets {
        let mut out = Sockets::default();
        owners.iter().for_each(|s| out.owners(s));
        for cols in snapshot.iter().filter_map(|s| events::Socket::cols(&s.columns).ok()) {
            for i in 0..cols.time.len() {
                if cols.pid[i] == 0 {
                    continue;
                }
                let (time, pid) = (Boottime(cols.time[i]), cols.pid[i]);
                if cols.state[i] == LISTEN || (cols.protocol[i] == 17 && cols.remote_port[i] == 0) {
                    let port = (cols.protocol[i], cols.local_port[i]);
                    out.listeners.entry(port).or_default().push((cols.local_addr[i], time, pid));
                } else {
                    let ends = ((cols.local_addr[i], cols.local_port[i]), (cols.remote_addr[i], cols.remote_port[i]));
                    let owner = Owner { pid, how: OwnerHow::Held };
                    out.connections.entry(ends).or_default().push((time, owner));
                }
            }
        }
        for cols in states.iter().filter_map(|s| events::TcpState::cols(&s.columns).ok()) {
            for i in 0..cols.time.len() {
                let (time, pid) = (Boottime(cols.time[i]), cols.pid[i]);
                // A kernel thread (ksoftirqd, a workqueue) changes states for others and owns nothing.
                let kernel = processes.get(pid, time).is_some_and(|p| p.kernel);
                if cols.on_behalf[i] == 0 || pid == 0 || kernel {
                    continue;
                }
                if cols.new_state[i] == LISTEN {
                    let port = (6, cols.local_port[i]);
                    out.listeners.entry(port).or_default().push((cols.local_addr[i], time, pid));
                } else if cols.remote_port[i] != 0 {
                    let ends = ((cols.local_addr[i], cols.local_port[i]), (cols.remote_addr[i], cols.remote_port[i]));
                    let owner = Owner { pid, how: OwnerHow::Acted };
                    out.connections.entry(ends).or_default().push((time, owner));
                }
            }
        }
        for owners in out.connections.values_mut() {
            owners.sort_by_key(|&(t, o)| (t, o.how, o.pid));
        }
        for owners in out.listeners.values_mut() {
            owners.sort_by_key(|&(a, t, pid)| (t, a, pid));
        }
        out
    }

    /// Learns from segments of `host.nat` as well.
    pub(crate) fn with_translations(self, nat: &[Segment]) -> Sockets {
        Sockets { translations: Translations::new(nat), ..self }
    }

    /// The other side of an address translation that a connection goes through.
    pub fn translated(&self, protocol: u8, a: (IpAddr, u16), b: (IpAddr, u16)) -> Option<Translated> {
        self.translations.of(protocol, a, b)
    }

    fn owners(&mut self, segment: &Segment) {
        let Ok(cols) = events::SocketOwner::cols(&segment.columns) else { return };
        for i in 0..cols.time.len() {
            let (time, pid) = (Boottime(cols.time[i]), cols.pid[i]);
            let protocol = cols.protocol[i] as u8;
            if cols.state[i] == LISTEN || (protocol == 17 && cols.remote_port[i] == 0) {
                let port = (protocol, cols.local_port[i]);
                self.listeners.entry(port).or_default().push((cols.local_addr[i], time, pid));
            } else if cols.remote_port[i] != 0 {
                let ends = ((cols.local_addr[i], cols.local_port[i]), (cols.remote_addr[i], cols.remote_port[i]));
                let how = if cols.how[i] == 1 { OwnerHow::Acted } else { OwnerHow::Held };
                self.connections.entry(ends).or_default().push((time, Owner { pid, how }));
            }
        }
    }

    /// The process at the local end of a connection, as it was around a time. `protocol` is IP's: 6 TCP, 17 UDP.
    pub fn owner(&self, protocol: u8, local: (IpAddr, u16), remote: (IpAddr, u16), at: Boottime) -> Option<Owner> {
        let ends = ((Ip::from(local.0), local.1), (Ip::from(remote.0), remote.1));
        if let Some(owner) = self.of_connection(ends, at) {
            return Some(owner);
        }
        // Whoever listens on a port that is translated does not see the connection.
        if let Some((local, remote)) = self.translations.elsewhere(protocol, ends) {
            return self.of_connection((local, remote), at).or_else(|| self.listener(protocol, local, at));
        }
        self.listener(protocol, ends.0, at)
    }

    fn of_connection(&self, ends: (End, End), at: Boottime) -> Option<Owner> {
        if let Some(owners) = self.connections.get(&ends) {
            // A process is often known only by its close; so the next owner after `at` is as good as the last before
            // it, and the nearer one is taken.
            let nearest = owners.iter().min_by_key(|(t, _)| t.0.abs_diff(at.0));
            if let Some(&(_, owner)) = nearest {
                return Some(owner);
            }
        }
        None
    }

    fn listener(&self, protocol: u8, local: End, at: Boottime) -> Option<Owner> {
        let any = |ip: Ip| ip.addr().is_unspecified() || ip == Ip([0; 16]);
        let owners = self.listeners.get(&(protocol, local.1))?;
        let fits = |a: Ip| any(a) || a.addr() == local.0.addr();
        let before = owners.iter().rev().find(|&&(a, t, _)| fits(a) && t <= at);
        before
            .or_else(|| owners.iter().find(|&&(a, _, _)| fits(a)))
            .map(|&(_, _, pid)| Owner { pid, how: OwnerHow::Listens })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use coldcase_model::Columns;

    #[test]
    fn both_ends_of_an_accepted_connection_find_their_process() {
        let ip = |a: [u8; 4]| Ip::from(IpAddr::from(a));
        let mut snapshot = Columns::new(&events::Socket::DEF);
        events::Socket { time: 1, pid: 100, protocol: 6, state: LISTEN, local_port: 80, ..Default::default() }
            .push(&mut snapshot);
        let mut states = Columns::new(&events::TcpState::DEF);
        events::TcpState {
            time: 5,
            pid: 200,
            on_behalf: 1,
            local_port: 4000,
            remote_port: 80,
            local_addr: ip([127, 0, 0, 1]),
            remote_addr: ip([127, 0, 0, 1]),
            new_state: 2,
            ..Default::default()
        }
        .push(&mut states);
        let s = Sockets::new(&[Segment::new(0, snapshot)], &[], &[Segment::new(0, states)], &Processes::default());
        let (client, server) = ((IpAddr::from([127, 0, 0, 1]), 4000), (IpAddr::from([127, 0, 0, 1]), 80));
        assert_eq!(s.owner(6, client, server, Boottime(6)), Some(Owner { pid: 200, how: OwnerHow::Acted }));
        assert_eq!(s.owner(6, server, client, Boottime(6)), Some(Owner { pid: 100, how: OwnerHow::Listens }));
        assert_eq!(s.owner(17, server, client, Boottime(6)), None);
    }

    #[test]
    fn the_kernels_word_on_who_holds_an_accepted_connection_beats_the_guess_by_its_port() {
        let ip = Ip::from(IpAddr::from([10, 0, 0, 1]));
        let mut owners = Columns::new(&events::SocketOwner::DEF);
        let row = |pid, state, remote_port, how| events::SocketOwner {
            time: 5,
            pid,
            state,
            how,
            protocol: 6,
            local_port: 80,
            remote_port,
            local_addr: ip,
            remote_addr: if remote_port == 0 { Ip::default() } else { ip },
            ..Default::default()
        };
        row(100, LISTEN, 0, 2).push(&mut owners);
        row(101, 1, 4000, 2).push(&mut owners);
        let s = Sockets::new(&[], &[Segment::new(0, owners)], &[], &Processes::default());
        let at = |port| (IpAddr::from([10, 0, 0, 1]), port);
        assert_eq!(s.owner(6, at(80), at(4000), Boottime(9)), Some(Owner { pid: 101, how: OwnerHow::Held }));
        assert_eq!(s.owner(6, at(80), at(4001), Boottime(9)), Some(Owner { pid: 100, how: OwnerHow::Listens }));
    }
}
