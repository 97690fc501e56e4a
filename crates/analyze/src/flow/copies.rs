//! Packets that a host sees more than once: at both ends of a veth pair, on a bridge and on its port.
//!
//! A copy is told by its content (sequence and acknowledgment numbers, flags, window, timestamps, the identification of
//! IPv4, lengths) and by coming soon after the first on another interface. What a host sends again differs in one of
//! these; where a datagram has nothing to tell it by, it counts.

use std::collections::VecDeque;

use coldcase_decode::packet::Headers;
use hashbrown::HashMap;

/// Packets of a direction that are remembered: dumpcap writes those of each interface in runs of hundreds.
const RECENT: usize = 4096;
/// How soon a copy comes: the way through a bridge or a pair of devices. Nanoseconds.
const WITHIN: u64 = 100_000_000;
/// Interfaces that are told apart.
const INTERFACES: usize = 64;

/// The interfaces seen, which the capture tells apart by any number: each has a place among the first ones; those beyond
/// share the last.
#[derive(Debug, Default)]
pub(super) struct Places(Vec<u64>);

impl Places {
    /// The place of an interface.
    pub(super) fn of(&mut self, interface: u64) -> u8 {
        let known = self.0.iter().position(|&i| i == interface);
        let place = known.unwrap_or_else(|| {
            if self.0.len() < INTERFACES {
                self.0.push(interface);
            }
            self.0.len() - 1
        });
        place as u8
    }

    /// Whether there is more than one.
    pub(super) fn are_several(&self) -> bool {
        self.0.len() > 1
    }
}

/// What was seen of one direction.
#[derive(Debug, Default)]
pub(super) struct Copies {
    /// Signatures, the oldest in front: one for each packet in `seen`.
    recent: VecDeque<u64>,
    seen: HashMap<u64, Vec<Seen>>,
}

#[derive(Debug)]
struct Seen {
    time: i64,
    /// The interfaces that saw it, a bit each.
    interfaces: u64,
}

impl Copies {
    /// Whether a packet is the copy of one that came by another interface; remembered if not.
    pub(super) fn is_copy(&mut self, signature: u64, time: i64, interface: u8) -> bool {
        let bit = 1 << (usize::from(interface) % INTERFACES);
        let alike = self.seen.entry(signature).or_default();
        // The second of two alike on one interface has its copy in the second of two on the other.
        let first = alike.iter_mut().find(|s| s.interfaces & bit == 0 && s.time.abs_diff(time) <= WITHIN);
        if let Some(first) = first {
            first.interfaces |= bit;
            return true;
        }
        alike.push(Seen { time, interfaces: bit });
        self.recent.push_back(signature);
        if self.recent.len() > RECENT {
            self.forget();
        }
        false
    }

    fn forget(&mut self) {
        let Some(oldest) = self.recent.pop_front() else { return };
        if let Some(alike) = self.seen.get_mut(&oldest) {
            alike.remove(0);
            if alike.is_empty() {
                self.seen.remove(&oldest);
            }
        }
    }
}

/// What tells a packet from others of its connection and direction; `None` where nothing does.
pub(super) fn signature(h: &Headers, data: &[u8]) -> Option<u64> {
    let mut mixed = Mix(0);
    mixed.add(u64::from(h.ip_id) << 32 | u64::from(h.payload));
    if let Some(tcp) = &h.tcp {
        mixed.add(u64::from(tcp.seq) << 32 | u64::from(tcp.ack));
        mixed.add(u64::from(tcp.flags) << 16 | u64::from(tcp.window));
        let (value, echo) = tcp.timestamps.unwrap_or_default();
        mixed.add(u64::from(value) << 32 | u64::from(echo));
        // A duplicate acknowledgment of IPv6 may differ in nothing but these.
        tcp.sack.blocks().for_each(|(left, right)| mixed.add(u64::from(left) << 32 | u64::from(right)));
        return Some(mixed.0);
    }
    if h.ip_id == 0 && data.is_empty() {
        return None;
    }
    for piece in data.chunks(8).take(16) {
        let mut bytes = [0; 8];
        bytes[..piece.len()].copy_from_slice(piece);
        mixed.add(u64::from_le_bytes(bytes));
    }
    Some(mixed.0)
}

/// A hash of whole words: it tells packets apart, and need not withstand an attack.
struct Mix(u64);

impl Mix {
    fn add(&mut self, word: u64) {
        let x = (self.0.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = x ^ x >> 29;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_comes_by_another_interface_and_soon() {
        let mut c = Copies::default();
        assert!(!c.is_copy(7, 0, 0));
        assert!(!c.is_copy(7, 10, 0), "the same interface again: sent twice");
        assert!(c.is_copy(7, 20, 1) && c.is_copy(7, 30, 1), "each of the two has its copy");
        assert!(!c.is_copy(7, 40, 1), "a third on the other side is a packet of its own");
        assert!(!c.is_copy(9, 50, 0));
        assert!(!c.is_copy(9, 51 + WITHIN as i64, 1), "too late");
    }

    #[test]
    fn a_packet_on_three_interfaces_counts_once() {
        let mut c = Copies::default();
        assert!(!c.is_copy(1, 0, 2) && c.is_copy(1, 1, 5) && c.is_copy(1, 2, 9));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut c = Copies::default();
        (0..10_000).for_each(|n| assert!(!c.is_copy(n / 2, 0, 0)));
        assert_eq!((c.recent.len(), c.seen.len()), (RECENT, RECENT / 2));
    }
}
