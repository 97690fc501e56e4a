//! Listeners that turned connections away: whose accept queue was full.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use coldcase_model::Boottime;
use coldcase_model::analysis::FullListener;
use coldcase_model::events::TcpInfo;
use coldcase_timeline::{Scope, Timeline};

use super::socket::evidence;

/// `TCP_LISTEN` of the kernel's `enum` in `net/tcp_states.h`.
const LISTEN: u8 = 10;

/// A listener as its rows tell of it.
struct Seen {
    at: SocketAddr,
    pid: u32,
    time: u64,
    row: u64,
    /// Its counter in the first row and in the last.
    drops: (u32, u32),
    queue_max: u32,
    limit: u32,
}

/// Listeners whose counter of drops grew, most first. A counter that stood at something when the recording began tells of before.
pub(super) fn full(t: &Timeline, scope: &Scope) -> Vec<FullListener> {
    let mut listeners = BTreeMap::<u64, Seen>::new();
    for part in t.rows::<TcpInfo>() {
        let c = &part.cols;
        for i in (0..part.len()).filter(|&i| c.state[i] == LISTEN) {
            let seen = listeners.entry(c.socket[i]).or_insert_with(|| Seen {
                at: SocketAddr::new(c.local_addr[i].addr(), c.local_port[i]),
                pid: c.pid[i],
                time: 0,
                row: 0,
                drops: (c.drops[i], c.drops[i]),
                queue_max: 0,
                limit: 0,
            });
            seen.queue_max = seen.queue_max.max(c.accept_queue[i]);
            if c.time[i] >= seen.time {
                (seen.time, seen.row, seen.limit, seen.drops.1) =
                    (c.time[i], part.row(i), c.accept_limit[i], c.drops[i]);
                seen.pid = if c.pid[i] == 0 { seen.pid } else { c.pid[i] };
            }
        }
    }
    let full = listeners.into_values().filter(|s| s.drops.1 != s.drops.0);
    let mut out: Vec<FullListener> = full
        .filter(|s| scope.has_process(t, s.pid, Boottime(s.time)))
        .map(|s| FullListener {
            listener: s.at.to_string(),
            process: match s.pid {
                0 => "unknown".to_owned(),
                pid => t.processes().label(pid, Boottime(s.time)).to_string(),
            },
            turned_away: u64::from(s.drops.1.wrapping_sub(s.drops.0)),
            queue_max: s.queue_max,
            limit: s.limit,
            evidence: vec![evidence(t, "kernel.tcp_info", s.row)],
        })
        .collect();
    out.sort_by(|x, y| y.turned_away.cmp(&x.turned_away).then_with(|| x.listener.cmp(&y.listener)));
    out
}
