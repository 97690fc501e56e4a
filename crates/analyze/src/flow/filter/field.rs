//! What a filter can ask of a connection or a request, by the names that tcpdump and Wireshark users know.

use std::net::IpAddr;

use coldcase_model::analysis::{Connection, SeenRequest, TcpFacts};

/// Which end: `src` opened the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Any,
    Src,
    Dst,
}

type OfTcp = fn(&TcpFacts) -> u64;
type OfTime = fn(&Connection, Option<&SeenRequest>) -> Option<u64>;
type OfText = fn(&SeenRequest) -> Option<&str>;

/// What can be asked.
#[derive(Debug, Clone, Copy)]
pub(super) enum Field {
    Address(End),
    /// Of a transport, if one is named.
    Port(End, Option<&'static str>),
    Process(End),
    Pid(End),
    /// Whether the transport is this one.
    Transport(&'static str),
    /// Whether it is IPv6, or IPv4.
    Ipv6(bool),
    Stream(&'static str),
    Packets,
    Bytes,
    Copies,
    Requests,
    Tcp(OfTcp),
    Time(OfTime),
    /// Whether these are spoken.
    Protocol(&'static [&'static str]),
    /// A text of requests of these protocols; of all, where none is named.
    Text(&'static [&'static str], OfText),
    Frame,
    Rows,
}

/// A value that a row has.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Got {
    /// That it is so; absent where it is not.
    Yes,
    Number(u64),
    /// Nanoseconds.
    Time(u64),
    Text(String),
    Address(IpAddr),
    /// Frames from the first to the last.
    Frames(u64, u64),
}

/// What values of a field look like in a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Flag,
    Number,
    Time,
    Text,
    Address,
}

const HTTP: &[&str] = &["http", "http2", "grpc"];

/// Names and what they ask. Wireshark's where it has one; `src` and `dst` are the ends by who opened the connection.
pub(super) const FIELDS: &[(&str, Field)] = &[
    ("ip.addr", Field::Address(End::Any)),
    ("ip.src", Field::Address(End::Src)),
    ("ip.dst", Field::Address(End::Dst)),
    ("ipv6.addr", Field::Address(End::Any)),
    ("ipv6.src", Field::Address(End::Src)),
    ("ipv6.dst", Field::Address(End::Dst)),
    ("tcp.port", Field::Port(End::Any, Some("tcp"))),
    ("tcp.srcport", Field::Port(End::Src, Some("tcp"))),
    ("tcp.dstport", Field::Port(End::Dst, Some("tcp"))),
    ("udp.port", Field::Port(End::Any, Some("udp"))),
    ("udp.srcport", Field::Port(End::Src, Some("udp"))),
    ("udp.dstport", Field::Port(End::Dst, Some("udp"))),
    ("tcp", Field::Transport("tcp")),
    ("udp", Field::Transport("udp")),
    ("ip", Field::Ipv6(false)),
    ("ip6", Field::Ipv6(true)),
    ("ipv6", Field::Ipv6(true)),
    ("tcp.stream", Field::Stream("tcp")),
    ("udp.stream", Field::Stream("udp")),
    ("process", Field::Process(End::Any)),
    ("src.process", Field::Process(End::Src)),
    ("dst.process", Field::Process(End::Dst)),
    ("pid", Field::Pid(End::Any)),
    ("src.pid", Field::Pid(End::Src)),
    ("dst.pid", Field::Pid(End::Dst)),
    ("packets", Field::Packets),
    ("bytes", Field::Bytes),
    ("copies", Field::Copies),
    ("requests", Field::Requests),
    ("frame.number", Field::Frame),
    ("tcp.analysis.retransmission", Field::Tcp(|t| t.retransmissions)),
    ("tcp.analysis.fast_retransmission", Field::Tcp(|t| t.fast_retransmissions)),
    ("tcp.analysis.spurious_retransmission", Field::Tcp(|t| t.spurious_retransmissions)),
    ("tcp.analysis.out_of_order", Field::Tcp(|t| t.out_of_order)),
    ("tcp.analysis.duplicate_ack", Field::Tcp(|t| t.duplicate_acks)),
    ("tcp.analysis.lost_segment", Field::Tcp(|t| t.lost_segments)),
    ("tcp.analysis.ack_lost_segment", Field::Tcp(|t| t.more.acked_lost_segments)),
    ("tcp.analysis.zero_window", Field::Tcp(|t| t.zero_windows)),
    ("tcp.analysis.zero_window_probe", Field::Tcp(|t| t.more.zero_window_probes)),
    ("tcp.analysis.window_full", Field::Tcp(|t| t.more.windows_full)),
    ("tcp.analysis.window_update", Field::Tcp(|t| t.more.window_updates)),
    ("tcp.analysis.keep_alive", Field::Tcp(|t| t.more.keep_alives)),
    ("tcp.analysis.reused_ports", Field::Tcp(|t| t.more.reused_ports)),
    ("tcp.flags.reset", Field::Tcp(|t| t.resets)),
    ("sent_again", Field::Tcp(|t| t.sent_again())),
    ("unanswered_syns", Field::Tcp(|t| t.unanswered_syns)),
    ("stalls", Field::Tcp(|t| t.more.stall_count)),
    ("stalled", Field::Time(|c, _| c.tcp.as_ref().map(|t| t.more.stalled))),
    ("rtt", Field::Time(|c, _| c.tcp.as_ref().and_then(|t| t.rtt))),
    ("tcp.analysis.initial_rtt", Field::Time(|c, _| c.tcp.as_ref()?.more.initial_rtt?.try_into().ok())),
    ("lasted", Field::Time(|c, _| u64::try_from(c.last.saturating_sub(c.first)).ok())),
    ("duration", Field::Time(|_, r| r?.duration)),
    ("first_byte", Field::Time(|_, r| r?.first)),
    ("http.time", Field::Time(|_, r| r.filter(|r| HTTP.contains(&r.protocol.as_str()))?.duration)),
    ("dns.time", Field::Time(|_, r| r.filter(|r| r.protocol == "dns")?.duration)),
    ("http", Field::Protocol(&["http"])),
    ("http2", Field::Protocol(&["http2", "grpc"])),
    ("grpc", Field::Protocol(&["grpc"])),
    ("tls", Field::Protocol(&["tls"])),
    ("dns", Field::Protocol(&["dns"])),
    ("pgsql", Field::Protocol(&["postgres"])),
    ("postgres", Field::Protocol(&["postgres"])),
    ("mysql", Field::Protocol(&["mysql"])),
    ("redis", Field::Protocol(&["redis"])),
    ("resp", Field::Protocol(&["redis"])),
    ("kafka", Field::Protocol(&["kafka"])),
    ("mongo", Field::Protocol(&["mongo"])),
    ("key", Field::Text(&[], |r| Some(&r.key))),
    ("detail", Field::Text(&[], |r| Some(&r.detail))),
    ("target", Field::Text(&[], |r| Some(&r.target))),
    ("code", Field::Text(&[], |r| Some(&r.code))),
    ("outcome", Field::Text(&[], |r| Some(&r.outcome))),
    ("trace", Field::Text(&[], |r| r.span.as_ref().map(|s| s.trace.as_str()))),
    ("rows", Field::Rows),
    ("http.request.method", Field::Text(HTTP, |r| r.detail.split(' ').next())),
    ("http.request.uri", Field::Text(HTTP, |r| r.detail.split(' ').nth(1))),
    ("http.host", Field::Text(HTTP, |r| Some(&r.target))),
    ("http.response.code", Field::Text(HTTP, |r| Some(&r.code))),
    ("tls.handshake.extensions_server_name", Field::Text(&["tls"], |r| Some(&r.target))),
    ("dns.qry.name", Field::Text(&["dns"], |r| r.key.split(' ').nth(1))),
    ("dns.flags.rcode", Field::Text(&["dns"], |r| Some(&r.code))),
    ("pgsql.query", Field::Text(&["postgres"], |r| Some(&r.detail))),
    ("mysql.query", Field::Text(&["mysql"], |r| Some(&r.detail))),
];

impl Field {
    /// What is compared to it.
    pub(super) fn kind(self) -> Kind {
        match self {
            Field::Address(_) => Kind::Address,
            Field::Process(_) | Field::Text(..) => Kind::Text,
            Field::Time(_) => Kind::Time,
            Field::Transport(_) | Field::Ipv6(_) | Field::Protocol(_) => Kind::Flag,
            _ => Kind::Number,
        }
    }

    /// What a connection, with one of its requests, has of it: nothing where it does not apply.
    pub(super) fn of(self, c: &Connection, r: Option<&SeenRequest>) -> Vec<Got> {
        let yes = |is: bool| if is { vec![Got::Yes] } else { Vec::new() };
        let number = |n: Option<u64>| n.map(Got::Number).into_iter().collect();
        match self {
            Field::Address(end) => {
                ends(end, &c.a, &c.b).filter_map(|e| split(e).map(|(ip, _)| Got::Address(ip))).collect()
            }
            Field::Port(_, Some(transport)) if c.proto != transport => Vec::new(),
            Field::Port(end, _) => {
                ends(end, &c.a, &c.b).filter_map(|e| split(e).map(|(_, port)| Got::Number(port))).collect()
            }
            Field::Process(end) => {
                ends(end, &c.process_a, &c.process_b).flatten().map(|p| Got::Text(process(p).0.to_owned())).collect()
            }
            Field::Pid(end) => {
                ends(end, &c.process_a, &c.process_b).flatten().filter_map(|p| process(p).1.map(Got::Number)).collect()
            }
            Field::Transport(name) => yes(c.proto == name),
            Field::Ipv6(wanted) => yes(split(&c.a).is_some_and(|(ip, _)| ip.is_ipv6() == wanted)),
            Field::Stream(name) => number(c.stream.filter(|_| c.proto == name)),
            Field::Packets => number(Some(c.packets_ab + c.packets_ba)),
            Field::Bytes => number(Some(c.bytes_ab + c.bytes_ba)),
            Field::Copies => number(Some(c.copies)),
            Field::Requests => number(Some(c.requests)),
            Field::Tcp(of) => number(c.tcp.as_ref().map(of)),
            Field::Time(of) => of(c, r).map(Got::Time).into_iter().collect(),
            Field::Protocol(names) => {
                let spoken = r.map(|r| r.protocol.as_str()).or(c.protocol.as_deref());
                yes(spoken.is_some_and(|p| names.contains(&p)))
            }
            Field::Text(protocols, of) => {
                let applies = |r: &&SeenRequest| protocols.is_empty() || protocols.contains(&r.protocol.as_str());
                let text = r.filter(applies).and_then(of).filter(|t| !t.is_empty());
                text.map(|t| Got::Text(t.to_owned())).into_iter().collect()
            }
            Field::Frame => r.map(|r| Got::Frames(r.frames[0], r.frames[1])).into_iter().collect(),
            Field::Rows => number(r.and_then(|r| r.rows)),
        }
    }
}

fn ends<'a, T>(end: End, a: &'a T, b: &'a T) -> impl Iterator<Item = &'a T> {
    let (a, b) = (Some(a).filter(|_| end != End::Dst), Some(b).filter(|_| end != End::Src));
    a.into_iter().chain(b)
}

/// Address and port of `ip:port`.
fn split(end: &str) -> Option<(IpAddr, u64)> {
    let (ip, port) = end.rsplit_once(':')?;
    Some((ip.trim_matches(['[', ']']).parse().ok()?, port.parse().ok()?))
}

/// Name and pid of `name[pid]`.
fn process(label: &str) -> (&str, Option<u64>) {
    match label.rsplit_once('[') {
        Some((name, pid)) => (name, pid.trim_end_matches(']').parse().ok()),
        None => (label, None),
    }
}
