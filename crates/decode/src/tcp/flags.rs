//! What a segment is, in the words of Wireshark's sequence analysis.

/// A set of the marks that a segment can carry. Each is named after tshark's field `tcp.analysis.<name>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Flags(u16);

impl Flags {
    /// `retransmission`: does not advance the sequence, and did not only come late. Set beside
    /// [`Flags::FAST_RETRANSMISSION`] and [`Flags::SPURIOUS_RETRANSMISSION`] too.
    pub const RETRANSMISSION: Flags = Flags(1);
    /// `fast_retransmission`: within 20 ms of the second duplicate acknowledgment, or a later one, that asks for it.
    pub const FAST_RETRANSMISSION: Flags = Flags(1 << 1);
    /// `spurious_retransmission`: all its bytes had been acknowledged.
    pub const SPURIOUS_RETRANSMISSION: Flags = Flags(1 << 2);
    /// `out_of_order`: does not advance the sequence, but comes within a round trip (3 ms where it is not known) of
    /// the newest segment.
    pub const OUT_OF_ORDER: Flags = Flags(1 << 3);
    /// `duplicate_ack`: repeats sequence number, acknowledgment and window of the one before, without bytes.
    pub const DUPLICATE_ACK: Flags = Flags(1 << 4);
    /// `lost_segment`: begins behind a hole; something before it was not captured.
    pub const LOST_SEGMENT: Flags = Flags(1 << 5);
    /// `ack_lost_segment`: acknowledges bytes that were not captured.
    pub const ACK_LOST_SEGMENT: Flags = Flags(1 << 6);
    /// `zero_window`: its sender takes no more bytes.
    pub const ZERO_WINDOW: Flags = Flags(1 << 7);
    /// `zero_window_probe`: one byte beyond a closed window.
    pub const ZERO_WINDOW_PROBE: Flags = Flags(1 << 8);
    /// `zero_window_probe_ack`: the answer to a probe, with the window still closed.
    pub const ZERO_WINDOW_PROBE_ACK: Flags = Flags(1 << 9);
    /// `window_full`: fills the receiver's window to its edge.
    pub const WINDOW_FULL: Flags = Flags(1 << 10);
    /// `window_update`: changes the window and nothing else.
    pub const WINDOW_UPDATE: Flags = Flags(1 << 11);
    /// `keep_alive`: no or one byte, one before the next sequence number.
    pub const KEEP_ALIVE: Flags = Flags(1 << 12);
    /// `keep_alive_ack`: the answer to a keep-alive.
    pub const KEEP_ALIVE_ACK: Flags = Flags(1 << 13);
    /// `reused_ports`: opens another connection on the ports of one before it.
    pub const REUSED_PORTS: Flags = Flags(1 << 14);

    /// Each flag with its name in tshark.
    pub const ALL: [(Flags, &'static str); 15] = [
        (Flags::RETRANSMISSION, "retransmission"),
        (Flags::FAST_RETRANSMISSION, "fast_retransmission"),
        (Flags::SPURIOUS_RETRANSMISSION, "spurious_retransmission"),
        (Flags::OUT_OF_ORDER, "out_of_order"),
        (Flags::DUPLICATE_ACK, "duplicate_ack"),
        (Flags::LOST_SEGMENT, "lost_segment"),
        (Flags::ACK_LOST_SEGMENT, "ack_lost_segment"),
        (Flags::ZERO_WINDOW, "zero_window"),
        (Flags::ZERO_WINDOW_PROBE, "zero_window_probe"),
        (Flags::ZERO_WINDOW_PROBE_ACK, "zero_window_probe_ack"),
        (Flags::WINDOW_FULL, "window_full"),
        (Flags::WINDOW_UPDATE, "window_update"),
        (Flags::KEEP_ALIVE, "keep_alive"),
        (Flags::KEEP_ALIVE_ACK, "keep_alive_ack"),
        (Flags::REUSED_PORTS, "reused_ports"),
    ];

    /// Whether it holds any of `others`.
    pub fn has(self, others: Flags) -> bool {
        self.0 & others.0 != 0
    }

    /// Whether it holds none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Adds `others`.
    pub fn insert(&mut self, others: Flags) {
        self.0 |= others.0;
    }

    /// The names of those that it holds, as tshark has them.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Flags::ALL.into_iter().filter(move |(flag, _)| self.has(*flag)).map(|(_, name)| name)
    }

    /// Places in [`Flags::ALL`] of those that it holds.
    pub(super) fn places(self) -> impl Iterator<Item = usize> {
        (0..Flags::ALL.len()).filter(move |&i| self.0 & (1 << i) != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_stands_at_its_own_place_in_the_list() {
        for (i, (flag, _)) in Flags::ALL.iter().enumerate() {
            assert_eq!(flag.places().collect::<Vec<_>>(), [i]);
        }
    }
}
