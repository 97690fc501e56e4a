//! What packets, sockets and the kernel's TCP came to: connections and who talks to whom. Part of what `analyze` found.

use serde::{Deserialize, Serialize};

use crate::analysis::{
    DatabaseUse, RepeatedRequest, RequestKind, RetriedRequests, SeenRequest, Sequence, TcpFacts, VanishedRequests,
};

/// Connections and services.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Flow {
    /// Packets read.
    pub packets: u64,
    /// Their original bytes.
    pub bytes: u64,
    /// Of these, copies of packets that another interface had seen before: connections count them once.
    #[serde(default)]
    pub copies: u64,
    /// Packets with a header that is wrong.
    pub malformed: u64,
    /// Numbers of their frames, from 1; the first ones.
    #[serde(default)]
    pub malformed_frames: Vec<u64>,
    /// Packets captured too short to tell what they are.
    #[serde(default)]
    pub cut: u64,
    /// Datagrams of which fragments are missing.
    #[serde(default)]
    pub incomplete_datagrams: u64,
    /// Connections that are not listed because there were too many.
    #[serde(default)]
    pub folded: Folded,
    /// Connections.
    pub connections: Vec<Connection>,
    /// Services: processes, or addresses where the process is unknown, and who talks to whom.
    pub edges: Vec<Edge>,
    /// Packets that the kernel dropped, most first.
    #[serde(default)]
    pub drops: Vec<Drops>,
    /// Connections that could not be established, most first.
    #[serde(default)]
    pub failed_connects: Vec<FailedConnects>,
    /// Listeners that turned connections away, most first.
    #[serde(default)]
    pub full_listeners: Vec<FullListener>,
    /// Requests in the order of their first bytes.
    #[serde(default)]
    pub requests: Vec<SeenRequest>,
    /// Kinds of requests by service, longest total first.
    #[serde(default)]
    pub request_kinds: Vec<RequestKind>,
    /// Who uses which database how, longest total first.
    #[serde(default)]
    pub databases: Vec<DatabaseUse>,
    /// Statements that were sent again and again, longest total first.
    #[serde(default)]
    pub repeated: Vec<RepeatedRequest>,
    /// Requests without a whole answer, by who asked whom and how they ended, most first.
    #[serde(default)]
    pub vanished: Vec<VanishedRequests>,
    /// Requests that their client sent again after they had failed, most retries first.
    #[serde(default)]
    pub retried: Vec<RetriedRequests>,
    /// Connections segment by segment, where that was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sequences: Vec<Sequence>,
}

/// One connection: `a` opened it (or, unseen, is the side with the higher port).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Connection {
    /// Its place among all connections, from 0, filtered or not.
    #[serde(default)]
    pub number: u64,
    /// Opener, `ip:port`.
    pub a: String,
    /// Other side, `ip:port`.
    pub b: String,
    /// `tcp` or `udp`.
    pub proto: String,
    /// Process of side a, where known.
    pub process_a: Option<String>,
    /// Process of side b, where known.
    pub process_b: Option<String>,
    /// How the process of side a was found: `acted` (the kernel's events show it acting on the socket), `held` (the
    /// snapshot shows the socket among its files), `inferred` (it listens on the port).
    #[serde(default)]
    pub found_a: Option<String>,
    /// How the process of side b was found, likewise.
    #[serde(default)]
    pub found_b: Option<String>,
    /// Its number among those of its transport, in order of their first packets: `tcp.stream` or `udp.stream` of
    /// tshark. `None` when some are not listed, or packets outside of a window were left out.
    #[serde(default)]
    pub stream: Option<u64>,
    /// Numbers of its first and its last packet, from 1 as Wireshark numbers frames. Of a bundle: in an export of all
    /// of its packets.
    #[serde(default)]
    pub frames: [u64; 2],
    /// The display filter with which Wireshark and tshark show its packets: in the capture file, or in an export of all
    /// packets of the bundle.
    #[serde(default)]
    pub display_filter: String,
    /// First packet.
    pub first: i64,
    /// Last packet.
    pub last: i64,
    /// Packets from a to b.
    pub packets_ab: u64,
    /// Packets from b to a.
    pub packets_ba: u64,
    /// Original bytes from a to b.
    pub bytes_ab: u64,
    /// Original bytes from b to a.
    pub bytes_ba: u64,
    /// Packets that two interfaces saw, both ends of a veth pair or a bridge and its port: counted once above.
    #[serde(default)]
    pub copies: u64,
    /// The other side of an address translation (NAT) that it goes through, by the kernel's table.
    #[serde(default)]
    pub translated: Option<Translation>,
    /// TCP facts.
    pub tcp: Option<TcpFacts>,
    /// What the kernel's TCP knew of the socket of side a, where it was recorded.
    #[serde(default)]
    pub socket_a: Option<SocketFacts>,
    /// Of side b, likewise.
    #[serde(default)]
    pub socket_b: Option<SocketFacts>,
    /// The protocol of its requests, as in [`SeenRequest::protocol`]; found by content.
    #[serde(default)]
    pub protocol: Option<String>,
    /// Requests on it.
    #[serde(default)]
    pub requests: u64,
    /// Captured bytes that belong to no message that could be read.
    #[serde(default)]
    pub unread: u64,
    /// Rows that show it: the message of its first packet, then of what went wrong with it.
    #[serde(default)]
    pub evidence: Vec<crate::finding::Evidence>,
}

/// The same connection on the other side of an address translation.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Translation {
    /// Opener, `ip:port`.
    pub a: String,
    /// Other side, `ip:port`.
    pub b: String,
    /// Whether these are the ends behind the translation; else those before it.
    pub behind: bool,
}

/// Connections that are counted but not listed: SYNs without an answer first, then those that were quiet longest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Folded {
    /// How many.
    pub connections: u64,
    /// Their packets.
    pub packets: u64,
    /// Their original bytes.
    pub bytes: u64,
    /// Their SYNs without an answer.
    pub unanswered_syns: u64,
    /// Requests on them.
    #[serde(default)]
    pub requests: u64,
}

/// What the kernel's TCP knew of a socket, from `kernel.tcp_info`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SocketFacts {
    /// From connect to established; `None` when it accepted or this was not seen.
    pub connect: Option<u64>,
    /// Smoothed round-trip time, the largest of its rows.
    pub rtt_max: u64,
    /// Smallest round-trip time.
    pub rtt_min: u64,
    /// Smallest congestion window of its rows, in segments.
    pub cwnd_min: u32,
    /// Segments sent again in all.
    pub retransmits: u32,
    /// Payload bytes sent, those sent again included.
    pub bytes_sent: u64,
    /// Payload bytes received.
    pub bytes_received: u64,
    /// Most bytes that waited to be sent or acknowledged.
    pub send_queue_max: u32,
    /// Most bytes that the process left unread.
    pub receive_queue_max: u32,
    /// The error that it closed with: `ECONNRESET`.
    pub error: Option<String>,
    /// Its last row.
    pub evidence: Vec<crate::finding::Evidence>,
}

/// Packets that the kernel dropped for one reason in one place.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Drops {
    /// Why, in the kernel's words: `tcp_listen_overflow`.
    pub reason: String,
    /// The function of the kernel that dropped them; empty when it has no name.
    pub location: String,
    /// Network namespace inode number.
    pub netns: u32,
    /// Packets.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Where most of them went, `ip:port`; empty when no header could be read.
    pub to: String,
    /// The first of them.
    pub evidence: Vec<crate::finding::Evidence>,
}

/// Connections that could not be established, from one process to one destination with one error.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct FailedConnects {
    /// The process.
    pub process: String,
    /// The destination, `ip:port`.
    pub to: String,
    /// `ECONNREFUSED`, `ETIMEDOUT`…; `none` when the process gave up first.
    pub error: String,
    /// How many.
    pub count: u64,
    /// The longest time until it failed.
    pub longest: u64,
    /// The first of them.
    pub evidence: Vec<crate::finding::Evidence>,
}

/// A listener that turned connections away while it was recorded.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct FullListener {
    /// Where it listens, `ip:port`.
    pub listener: String,
    /// The process that listens.
    pub process: String,
    /// SYNs and finished handshakes that it dropped: the growth of the socket's own counter, of which the kernel's `ListenDrops` is the
    /// sum. A client sends its SYN again and is counted again.
    pub turned_away: u64,
    /// Most connections that waited to be accepted, seen once a second.
    pub queue_max: u32,
    /// How many may wait (the backlog of `listen`); one more than that fit.
    pub limit: u32,
    /// Its last row.
    pub evidence: Vec<crate::finding::Evidence>,
}

/// Who talks to whom.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Edge {
    /// Client.
    pub from: String,
    /// Server, with its port.
    pub to: String,
    /// Connections.
    pub connections: u64,
    /// Packets, both ways.
    pub packets: u64,
    /// Bytes, both ways.
    pub bytes: u64,
    /// Retransmitted segments.
    pub retransmissions: u64,
    /// Resets.
    pub resets: u64,
    /// Unanswered SYNs.
    pub unanswered_syns: u64,
    /// Median handshake RTT.
    pub rtt: Option<u64>,
    /// Share of `retransmissions` in `packets`, 0 to 1.
    #[serde(default)]
    pub retransmit_share: f64,
    /// Requests seen in the packets.
    #[serde(default)]
    pub requests: u64,
    /// Of these, answered with an error.
    #[serde(default)]
    pub request_errors: u64,
    /// Of these, never answered in whole: the capture, or the connection, ended first.
    #[serde(default)]
    pub unanswered_requests: u64,
    /// Requests per second, from the first packet of all connections to the last; 0 when that is no time.
    #[serde(default)]
    pub request_rate: f64,
    /// Median duration of the requests that were answered, nanoseconds (nearest rank); `None` when none was.
    #[serde(default)]
    pub request_p50: Option<u64>,
    /// Their 99th percentile.
    #[serde(default)]
    pub request_p99: Option<u64>,
}

/// The name in the label of a process, which is `name[pid]`.
pub fn process_name(label: &str) -> &str {
    label.rsplit_once('[').map_or(label, |(name, _)| name)
}

/// Who is at an end of a connection: its process without the pid, else its address without the port.
pub fn end_name<'a>(address: &'a str, process: Option<&'a str>) -> &'a str {
    let host = || address.rsplit_once(':').map_or(address, |(host, _)| host).trim_matches(['[', ']']);
    process.map_or_else(host, process_name)
}

#[cfg(test)]
mod tests {
    use super::end_name;

    #[test]
    fn an_end_is_called_by_its_process_or_by_its_address() {
        assert_eq!(end_name("10.0.0.1:80", Some("worker [1][20]")), "worker [1]");
        assert_eq!(end_name("10.0.0.1:80", None), "10.0.0.1");
        assert_eq!(end_name("[::1]:80", None), "::1");
    }
}
