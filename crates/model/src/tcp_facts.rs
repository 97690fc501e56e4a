//! What the packets of a TCP connection came to. `formats/flow.md` defines each figure.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// TCP facts of a connection. Durations are nanoseconds. `_ab` is from side a to side b.
///
/// Where a tshark field is named, the figure counts the frames that have it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TcpFacts {
    /// Whether SYN, SYN-ACK and ACK were seen.
    pub handshake: bool,
    /// SYN to the ACK that ends the handshake.
    pub rtt: Option<u64>,
    /// Segments that do not advance the sequence and did not only come late: `tcp.analysis.retransmission`.
    pub retransmissions: u64,
    /// Segments retransmitted, by the kernel's own events; `None` when they were not recorded.
    pub kernel_retransmissions: Option<u64>,
    /// Resets seen.
    pub resets: u64,
    /// SYNs that nobody answered.
    pub unanswered_syns: u64,
    /// Segments that announce a closed window: `tcp.analysis.zero_window`.
    pub zero_windows: u64,
    /// Of `retransmissions`, those sent at once after duplicate acknowledgments: `tcp.analysis.fast_retransmission`.
    #[serde(default)]
    pub fast_retransmissions: u64,
    /// Of `retransmissions`, those whose bytes had been acknowledged: `tcp.analysis.spurious_retransmission`.
    #[serde(default)]
    pub spurious_retransmissions: u64,
    /// Segments that arrived late but not again: `tcp.analysis.out_of_order`.
    #[serde(default)]
    pub out_of_order: u64,
    /// Acknowledgments that repeat the one before: `tcp.analysis.duplicate_ack`.
    #[serde(default)]
    pub duplicate_acks: u64,
    /// Segments behind a hole, something before them was not captured: `tcp.analysis.lost_segment`.
    #[serde(default)]
    pub lost_segments: u64,
    /// Everything else that is read out of the segments.
    #[serde(flatten, default)]
    pub more: TcpDetail,
}

impl TcpFacts {
    /// Segments that were sent again, by whoever saw most of them: the kernel, the bytes, Wireshark's rules.
    pub fn sent_again(&self) -> u64 {
        let seen = self.more.sent_again_ab.segments.saturating_add(self.more.sent_again_ba.segments);
        self.kernel_retransmissions.unwrap_or(0).max(seen).max(self.retransmissions)
    }

    /// How much is wrong with it, to be compared: how long it stood still, nanoseconds, then how many segments tell of
    /// trouble. Nothing is wrong where both are 0.
    pub fn trouble(&self) -> (u64, u64) {
        let more = &self.more;
        let counts = [
            self.retransmissions,
            self.out_of_order,
            self.lost_segments,
            self.zero_windows,
            self.unanswered_syns,
            more.resets_refused,
            more.resets_mid_stream,
            more.sent_again_ab.segments,
            more.sent_again_ba.segments,
        ];
        (more.stalled, counts.into_iter().fold(0, u64::saturating_add))
    }
}

/// TCP facts beyond the first.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TcpDetail {
    /// Newest SYN to the first ACK after it, whatever became of the handshake: `tcp.analysis.initial_rtt`.
    pub initial_rtt: Option<i64>,
    /// Acknowledgments of bytes that were not captured: `tcp.analysis.ack_lost_segment`.
    pub acked_lost_segments: u64,
    /// Single bytes sent to a closed window: `tcp.analysis.zero_window_probe`.
    pub zero_window_probes: u64,
    /// Answers to them: `tcp.analysis.zero_window_probe_ack`.
    pub zero_window_probe_acks: u64,
    /// Segments that fill the receiver's window: `tcp.analysis.window_full`.
    pub windows_full: u64,
    /// Segments that change the window and nothing else: `tcp.analysis.window_update`.
    pub window_updates: u64,
    /// Keep-alives: `tcp.analysis.keep_alive`.
    pub keep_alives: u64,
    /// Answers to them: `tcp.analysis.keep_alive_ack`.
    pub keep_alive_acks: u64,
    /// SYNs on ports that were in use by another connection: `tcp.analysis.reused_ports`.
    pub reused_ports: u64,
    /// Round trips of segments to their acknowledgments; `None` when there were none: `tcp.analysis.ack_rtt`.
    pub ack_rtt: Option<AckRtt>,
    /// Most bytes without acknowledgment at once: the largest `tcp.analysis.bytes_in_flight`.
    pub bytes_in_flight_max: u64,
    /// SYNs without ACK.
    pub syns: u64,
    /// SYN-ACKs.
    pub syn_acks: u64,
    /// Segments with FIN.
    pub fins: u64,
    /// Of `resets`, answers to a SYN.
    pub resets_refused: u64,
    /// Of `resets`, those while neither side had sent a FIN.
    pub resets_mid_stream: u64,
    /// Of `resets`, those after a FIN or another reset.
    pub resets_after_close: u64,
    /// Bytes of payload, those sent again included: the sum of `tcp.len`.
    pub payload_ab: u64,
    /// From b to a.
    pub payload_ba: u64,
    /// Bytes of payload that were not sent before, per second from the first to the last.
    pub goodput_ab: u64,
    /// From b to a.
    pub goodput_ba: u64,
    /// What a sent more than once in truth: by bytes seen before, SACK and DSACK.
    pub sent_again_ab: SentAgain,
    /// What b did.
    pub sent_again_ba: SentAgain,
    /// The longest times without progress, in order.
    pub stalls: Vec<TcpStall>,
    /// How many there were.
    pub stall_count: u64,
    /// How long they were together.
    pub stalled: u64,
    /// Numbers of the frames with each mark, by tshark's name of it; at most [`TcpDetail::FRAMES`] of each.
    pub frames: MarkedFrames,
}

/// Numbers of frames by what they are marked with, in the order of the names. A map in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MarkedFrames(Vec<(Cow<'static, str>, Vec<u64>)>);

impl MarkedFrames {
    /// Each mark and its frames.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u64])> {
        self.0.iter().map(|(name, frames)| (name.as_ref(), frames.as_slice()))
    }

    /// Whether nothing is marked.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(Cow<'static, str>, Vec<u64>)> for MarkedFrames {
    fn from_iter<I: IntoIterator<Item = (Cow<'static, str>, Vec<u64>)>>(all: I) -> MarkedFrames {
        // A connection has few marks, and there may be many connections: this takes less room than a map.
        let mut all: Vec<_> = all.into_iter().collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all.shrink_to_fit();
        MarkedFrames(all)
    }
}

impl Serialize for MarkedFrames {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for MarkedFrames {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<MarkedFrames, D::Error> {
        let map = BTreeMap::<String, Vec<u64>>::deserialize(from)?;
        Ok(map.into_iter().map(|(name, frames)| (Cow::Owned(name), frames)).collect())
    }
}

impl TcpDetail {
    /// Most frames listed of each mark.
    pub const FRAMES: usize = 200;
}

/// Round trips. Quantiles are the value at place count × percent / 100 of the sorted ones; beyond 8,192 of them too
/// low by less than one percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AckRtt {
    /// How many.
    pub count: u64,
    /// The shortest.
    pub min: i64,
    /// The mean.
    pub mean: i64,
    /// The median.
    pub p50: i64,
    /// 95th percentile.
    pub p95: i64,
    /// The longest.
    pub max: i64,
}

/// What one side sent more than once, by which bytes were seen before and what the receiver reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SentAgain {
    /// Segments, SYN and FIN included; of a frame that offload joined, as many as its repeated bytes fill. To compare
    /// with the kernel's `TcpRetransSegs`.
    pub segments: u64,
    /// Bytes of payload.
    pub bytes: u64,
    /// Of `bytes`, those that the receiver had acknowledged before, also selectively (RFC 2018).
    pub needless_bytes: u64,
    /// Duplicates that the receiver reported: DSACK blocks (RFC 2883).
    pub duplicates_reported: u64,
}

/// A time in which a connection wanted to go on and did not.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TcpStall {
    /// When the last thing went on, UTC nanoseconds.
    pub start: i64,
    /// How long until the next.
    pub length: u64,
    /// `handshake`, `zero_window`, `retransmission` or `unacknowledged`.
    pub cause: String,
    /// The side that waited: `a` or `b`.
    pub waiting: String,
}
