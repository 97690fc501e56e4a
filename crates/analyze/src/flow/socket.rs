//! What the kernel told of sockets: figures of each connection, packets dropped, connects that failed.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

use coldcase_model::analysis::{Drops, FailedConnects, SocketFacts};
use coldcase_model::events::{PacketDrop, TcpInfo};
use coldcase_model::{Boottime, Evidence, Ip, errno};
use coldcase_timeline::{Scope, Timeline};

use crate::latency::connect::{CLOSED, SYN_SENT};

/// How many rows a line cites.
const CITED: usize = 4;

/// Figures of sockets by local and remote end. Two sockets can have the same ends one after the other.
#[derive(Debug, Default)]
pub struct KernelSockets(HashMap<(SocketAddr, SocketAddr), Vec<OneSocket>>);

#[derive(Debug)]
struct OneSocket {
    id: u64,
    first: i64,
    last: i64,
    facts: SocketFacts,
}

impl KernelSockets {
    /// The socket of `local` to `remote` that lived in this time.
    pub(super) fn of(&self, local: SocketAddr, remote: SocketAddr, first: i64, last: i64) -> Option<SocketFacts> {
        /// Rows are written beside the packets, not with them.
        const SLACK: i64 = 1_500_000_000;
        let sockets = self.0.get(&(local, remote))?;
        let meets = |s: &&OneSocket| s.first <= last.saturating_add(SLACK) && s.last >= first.saturating_sub(SLACK);
        // The one whose beginning is nearest: short connections follow each other within the slack.
        sockets.iter().filter(meets).min_by_key(|s| s.first.abs_diff(first)).map(|s| s.facts.clone())
    }

    /// From `kernel.tcp_info`; `None` when there is none.
    pub(super) fn read(t: &Timeline) -> Option<KernelSockets> {
        let mut out = KernelSockets::default();
        let mut any = false;
        for part in t.rows::<TcpInfo>() {
            let c = &part.cols;
            for i in (0..part.len()).filter(|&i| c.remote_port[i] != 0) {
                any = true;
                let ends = (at(c.local_addr[i], c.local_port[i]), at(c.remote_addr[i], c.remote_port[i]));
                let (time, sockets) = (t.utc_of(c.time[i]).0, out.0.entry(ends).or_default());
                let began = t.utc_of(c.time[i].saturating_sub(c.age[i])).0;
                let known = sockets.iter().position(|s| s.id == c.socket[i] && s.last >= began);
                let known = known.unwrap_or_else(|| {
                    let facts = SocketFacts { cwnd_min: u32::MAX, ..SocketFacts::default() };
                    sockets.push(OneSocket { id: c.socket[i], first: began, last: time, facts });
                    sockets.len() - 1
                });
                let s = &mut sockets[known];
                s.last = s.last.max(time);
                let f = &mut s.facts;
                f.connect = (c.connect[i] > 0).then_some(c.connect[i]).or(f.connect);
                f.rtt_max = f.rtt_max.max(c.rtt[i]);
                f.rtt_min = c.rtt_min[i];
                f.cwnd_min = f.cwnd_min.min(c.cwnd[i]);
                f.retransmits = f.retransmits.max(c.retransmits[i]);
                f.bytes_sent = f.bytes_sent.max(c.bytes_sent[i]);
                f.bytes_received = f.bytes_received.max(c.bytes_received[i]);
                f.send_queue_max = f.send_queue_max.max(c.send_queue[i]);
                f.receive_queue_max = f.receive_queue_max.max(c.receive_queue[i]);
                if c.why[i] == CLOSED && c.error[i] != 0 {
                    f.error = Some(errno::name(c.error[i]));
                }
                f.evidence = vec![evidence(t, "kernel.tcp_info", part.row(i))];
            }
        }
        any.then_some(out)
    }
}

/// Packets dropped, by reason, place and namespace; most first.
pub(super) fn drops(t: &Timeline) -> Vec<Drops> {
    let mut groups = BTreeMap::<(u32, u64, u32), (Drops, HashMap<SocketAddr, u64>)>::new();
    for part in t.rows::<PacketDrop>() {
        let c = &part.cols;
        for i in 0..part.len() {
            let place = c.location.get(i).first().copied().unwrap_or(0);
            let (drops, to) = groups.entry((c.reason[i], place, c.netns[i])).or_insert_with(|| {
                let frames = t.symbols().stack(0, Boottime(c.time[i]), &[place], &[]);
                let named = frames.first().map(|f| f.name.to_string()).filter(|n| !n.starts_with('['));
                let reason = t.enum_names().name("skb_drop_reason", c.reason[i]);
                let location = named.unwrap_or_default();
                (Drops { reason, location, netns: c.netns[i], ..Drops::default() }, HashMap::new())
            });
            drops.packets += 1;
            drops.bytes += u64::from(c.length[i]);
            if c.family[i] != 0 {
                *to.entry(at(c.destination_addr[i], c.destination_port[i])).or_default() += 1;
            }
            if drops.evidence.len() < CITED {
                drops.evidence.push(evidence(t, "kernel.drop", part.row(i)));
            }
        }
    }
    let mut out: Vec<Drops> = groups
        .into_values()
        .map(|(mut drops, to)| {
            let most = to.into_iter().max_by_key(|&(to, n)| (n, std::cmp::Reverse(to)));
            drops.to = most.map_or_else(String::new, |(to, _)| to.to_string());
            drops
        })
        .collect();
    out.sort_by(|x, y| y.packets.cmp(&x.packets).then_with(|| (&x.reason, &x.location).cmp(&(&y.reason, &y.location))));
    out
}

/// Connects that failed, by process, destination and error; most first.
pub(super) fn failed_connects(t: &Timeline, scope: &Scope) -> Vec<FailedConnects> {
    let mut groups = BTreeMap::<(String, SocketAddr, u32), FailedConnects>::new();
    for part in t.rows::<TcpInfo>() {
        let c = &part.cols;
        for i in (0..part.len()).filter(|&i| (c.why[i], c.state[i]) == (CLOSED, SYN_SENT)) {
            let when = Boottime(c.time[i]);
            if !scope.has_process(t, c.pid[i], when) {
                continue;
            }
            let process = match c.pid[i] {
                0 => "unknown".to_owned(),
                pid => t.processes().label(pid, when).to_string(),
            };
            let to = at(c.remote_addr[i], c.remote_port[i]);
            let failed = groups.entry((process.clone(), to, c.error[i])).or_insert_with(|| FailedConnects {
                process,
                to: to.to_string(),
                error: if c.error[i] == 0 { "none".to_owned() } else { errno::name(c.error[i]) },
                ..FailedConnects::default()
            });
            failed.count += 1;
            failed.longest = failed.longest.max(c.age[i]);
            if failed.evidence.len() < CITED {
                failed.evidence.push(evidence(t, "kernel.tcp_info", part.row(i)));
            }
        }
    }
    let mut out: Vec<FailedConnects> = groups.into_values().collect();
    out.sort_by(|x, y| y.count.cmp(&x.count).then_with(|| (&x.process, &x.to).cmp(&(&y.process, &y.to))));
    out
}

fn at(ip: Ip, port: u16) -> SocketAddr {
    SocketAddr::new(ip.addr(), port)
}

pub(super) fn evidence(t: &Timeline, stream: &str, row: u64) -> Evidence {
    Evidence { bundle: t.bundle().id().to_owned(), stream: stream.to_owned(), row }
}
