//! Lines for what the kernel tells of sockets: figures, owners, resets, drops.

use std::fmt::Write;

use coldcase_model::quantity::format_size;
use coldcase_model::{Boottime, Columns, Event, Nanos, errno, events};
use coldcase_timeline::Timeline;

use super::line::{end, flags, tcp_name};

/// Figures of a socket.
pub(super) fn info(t: &Timeline, columns: &Columns, i: usize) -> Option<String> {
    let c = events::TcpInfo::cols(columns).ok()?;
    let (local, remote) = (end(c.local_addr[i], c.local_port[i]), end(c.remote_addr[i], c.remote_port[i]));
    let state = tcp_name(c.state[i]);
    let owner = match c.pid[i] {
        0 => String::new(),
        pid => format!(" ({})", t.processes().describe(pid, pid, Boottime(c.time[i]))),
    };
    if state == "LISTEN" {
        return Some(format!(
            "{local} LISTEN{owner}, {} of {} wait to be accepted, {} handshakes",
            c.accept_queue[i], c.accept_limit[i], c.syn_queue[i]
        ));
    }
    let what = match (c.why[i], state) {
        (2, _) if c.connect[i] > 0 => format!("connected in {}", Nanos(c.connect[i])),
        (2, _) => "accepted by the kernel".to_owned(),
        (3, "SYN_SENT") => format!("could not connect after {}", Nanos(c.age[i])),
        (3, _) => format!("closed after {}", Nanos(c.age[i])),
        _ => state.to_owned(),
    };
    let mut out = format!("{local} > {remote}{owner} {what}");
    if c.error[i] != 0 {
        _ = write!(out, ", {}", errno::name(c.error[i]));
    }
    if state != "SYN_SENT" {
        _ = write!(
            out,
            ", sent {} received {}, rtt {}, cwnd {}",
            format_size(c.bytes_sent[i]),
            format_size(c.bytes_received[i]),
            Nanos(c.rtt[i]),
            c.cwnd[i]
        );
    }
    for (count, what) in [(c.retransmits[i], "sent again"), (c.unacked[i], "unacknowledged"), (c.drops[i], "dropped")] {
        if count > 0 {
            _ = write!(out, ", {count} {what}");
        }
    }
    for (bytes, what) in [(c.send_queue[i], "to send"), (c.receive_queue[i], "unread")] {
        if bytes > 0 {
            _ = write!(out, ", {} {what}", format_size(u64::from(bytes)));
        }
    }
    if c.unaccepted[i] != 0 && c.why[i] == 1 {
        _ = write!(out, ", not accepted for {}", Nanos(c.age[i]));
    }
    Some(out)
}

/// Who owns a socket.
pub(super) fn owner(t: &Timeline, columns: &Columns, i: usize) -> Option<String> {
    let c = events::SocketOwner::cols(columns).ok()?;
    let protocol = if c.protocol[i] == 17 { "udp" } else { "tcp" };
    let how = if c.how[i] == 1 { "acts on" } else { "holds" };
    let who = t.processes().describe(c.pid[i], c.pid[i], Boottime(c.time[i]));
    let (local, remote) = (end(c.local_addr[i], c.local_port[i]), end(c.remote_addr[i], c.remote_port[i]));
    Some(match c.remote_port[i] {
        0 => format!("{who} {how} {protocol} {local}"),
        _ => format!("{who} {how} {protocol} {local} > {remote}"),
    })
}

/// A reset.
pub(super) fn reset(t: &Timeline, columns: &Columns, i: usize) -> Option<String> {
    let c = events::TcpReset::cols(columns).ok()?;
    let (local, remote) = (end(c.local_addr[i], c.local_port[i]), end(c.remote_addr[i], c.remote_port[i]));
    let state = if c.state[i] == 0 { "no socket" } else { tcp_name(c.state[i]) };
    let mut out = match c.what[i] {
        1 => format!("{local} > {remote} reset sent, {state}"),
        _ => format!("{local} < {remote} reset received, {state}"),
    };
    if c.what[i] == 1 {
        _ = write!(out, ", {}", t.enum_names().name("sk_rst_reason", c.reason[i]));
    }
    if c.on_behalf[i] != 0 {
        _ = write!(out, ", by {}", t.processes().describe(c.tid[i], c.pid[i], Boottime(c.time[i])));
    }
    Some(out)
}

/// A packet that the kernel dropped.
pub(super) fn drop(t: &Timeline, columns: &Columns, i: usize) -> Option<String> {
    let c = events::PacketDrop::cols(columns).ok()?;
    let mut out = String::new();
    if c.family[i] != 0 {
        let from = end(c.source_addr[i], c.source_port[i]);
        _ = write!(out, "{from} > {} ", end(c.destination_addr[i], c.destination_port[i]));
    }
    match (c.protocol[i], c.ethertype[i]) {
        (6, _) => _ = write!(out, "tcp {} ", flags(c.flags[i])),
        (17, _) => out.push_str("udp "),
        (0, 0) => out.push_str("message of no network "),
        (0, ethertype) => _ = write!(out, "ethertype {ethertype:#06x} "),
        (protocol, _) => _ = write!(out, "protocol {protocol} "),
    }
    _ = write!(out, "dropped: {}", t.enum_names().name("skb_drop_reason", c.reason[i]));
    let frames = t.symbols().stack(0, Boottime(c.time[i]), c.location.get(i), &[]);
    if let Some(frame) = frames.first() {
        _ = write!(out, " in {}", frame.name);
    }
    Some(out)
}
