//! What is known of one side of a connection.

use super::flags::Flags;
use super::seq::not_after;
use super::unacked::Unacked;
use crate::packet::{Sack, Tcp};

/// How a side scales the windows that it announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Scale {
    /// Its SYN was not seen.
    #[default]
    Unknown,
    /// Not at all: one of the SYNs did not offer it.
    Unused,
    /// By this shift.
    Shift(u8),
}

/// One side: what it sent, and what it said of the bytes of the other.
///
/// Where Wireshark takes 0 for "not seen yet", so does this: sequence numbers `next`, `whole` and `ack` are then
/// treated alike even where a connection passes through 0.
#[derive(Debug, Clone)]
pub(super) struct Side {
    /// First sequence number; one before the first byte where the SYN was not seen.
    pub(super) base: Option<u32>,
    /// The number after the highest byte sent.
    pub(super) next: u32,
    /// When that was sent.
    pub(super) next_time: i64,
    /// The number up to which everything was seen: what may be acknowledged.
    pub(super) whole: u32,
    /// Its newest acknowledgment, whether its flag was set or not.
    pub(super) ack: u32,
    /// When it came.
    pub(super) ack_time: i64,
    /// Frame of the first with this acknowledgment.
    pub(super) ack_frame: u64,
    /// Its newest window, unscaled; more than a window can be where none was seen.
    pub(super) window: u32,
    /// How it scales windows.
    pub(super) scale: Scale,
    /// Whether its newest window is that of a SYN, which is never scaled.
    pub(super) window_of_syn: bool,
    /// Duplicates of its newest acknowledgment; [`Side::AFTER_LOSS`] once it followed bytes that were not captured.
    pub(super) duplicates: u32,
    /// What its newest segment was.
    pub(super) last: Flags,
    /// Whether what it has in flight can be told: not behind a hole, until the other side acknowledges.
    pub(super) in_flight_known: bool,
    /// Its segments without acknowledgment.
    pub(super) unacked: Unacked,
    /// The blocks of its newest segment.
    pub(super) sack: Sack,
    /// MPTCP options seen on the connection when it sent its newest segment.
    pub(super) mptcp: u8,
}

impl Default for Side {
    fn default() -> Self {
        Side {
            base: None,
            next: 0,
            next_time: 0,
            whole: 0,
            ack: 0,
            ack_time: 0,
            ack_frame: 0,
            window: u32::MAX,
            scale: Scale::Unknown,
            window_of_syn: false,
            duplicates: 0,
            last: Flags::default(),
            in_flight_known: true,
            unacked: Unacked::default(),
            sack: Sack::default(),
            mptcp: 0,
        }
    }
}

impl Side {
    /// Value of [`Side::duplicates`]: an acknowledgment went beyond what was captured. More than any number, so that
    /// the retransmission that follows counts as asked for.
    pub(super) const AFTER_LOSS: u32 = u32::MAX;

    /// The highest number that the other side may send, by the newest window; `None` when the scale is unknown.
    pub(super) fn edge(&self) -> Option<u32> {
        let shift = match self.scale {
            Scale::Unknown => return None,
            Scale::Shift(n) if !self.window_of_syn => n,
            Scale::Shift(_) | Scale::Unused => 0,
        };
        Some(self.ack.wrapping_add(self.window.wrapping_shl(u32::from(shift))))
    }

    /// Bytes that the newest blocks say have arrived; tshark takes the first three.
    pub(super) fn sacked(&self) -> u32 {
        self.sack.blocks().take(3).fold(0u32, |sum, (left, right)| sum.wrapping_add(right.wrapping_sub(left)))
    }

    /// Whether all of a segment that ends at `end` was acknowledged by this side.
    pub(super) fn has_acknowledged(&self, end: u32) -> bool {
        self.ack != 0 && not_after(end, self.ack)
    }
}

/// Takes the scales out of a SYN: without the option on either side, nobody scales.
pub(super) fn agree_on_scale(me: &mut Side, peer: &mut Side, tcp: &Tcp) {
    if let Some(shift) = tcp.window_scale {
        // RFC 7323, section 2.3: more than 14 means 14.
        me.scale = Scale::Shift(shift.min(14));
    }
    if !tcp.has(Tcp::SYN) {
        return;
    }
    if me.scale == Scale::Unknown {
        (me.scale, peer.scale) = (Scale::Unused, Scale::Unused);
    } else if tcp.has(Tcp::ACK) && peer.scale == Scale::Unused {
        me.scale = Scale::Unused;
    }
}
