//! Packets on their way into the bundle: collected, put in order of time, written as one pcapng section.

use std::borrow::Cow;

use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::interface_description::{InterfaceDescriptionBlock, InterfaceDescriptionOption};
use pcap_file::{DataLink, Endianness};

use super::links::LinkType;

/// Type of the Enhanced Packet Block, its option `epb_flags` with its length, and the bytes of such a block with that
/// option, without the packet (draft-ietf-opsawg-pcapng). Written by hand: there is one for each packet.
const ENHANCED_PACKET: u32 = 6;
const EPB_FLAGS: [u8; 4] = [2, 0, 4, 0];
const BLOCK: usize = 28 + 16;

/// An interface as a section names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Interface {
    /// Its kernel name.
    pub(super) name: String,
    /// What its packets begin with.
    pub(super) link: LinkType,
    /// Bytes of a packet that can be kept at most.
    pub(super) snap: u32,
}

struct Packet {
    time: u64,
    start: usize,
    end: usize,
}

/// Packets that wait to be written, each as the block that it will be.
#[derive(Default)]
pub(super) struct Pending {
    packets: Vec<Packet>,
    bytes: Vec<u8>,
    /// Of each interface: its number in this section.
    numbers: Vec<Option<u32>>,
    /// Interfaces in the order of their numbers.
    seen: Vec<usize>,
}

/// A finished section.
pub(super) struct Section {
    /// The pcapng bytes.
    pub(super) bytes: Vec<u8>,
    /// How many packets.
    pub(super) packets: u64,
    /// Names of the interfaces that they came from, separated by commas.
    pub(super) origin: String,
    /// Time of the first packet, real-time clock.
    pub(super) first: u64,
    /// Time of the last packet, real-time clock.
    pub(super) last: u64,
}

impl Pending {
    /// Takes a packet: `time` in ns of the real-time clock, `original` its length on the wire, `flags` as in the
    /// pcapng option `epb_flags`.
    pub(super) fn push(&mut self, interface: usize, time: u64, original: u32, flags: u32, kept: &[u8]) {
        let number = self.number(interface);
        let start = self.bytes.len();
        let padded = kept.len().next_multiple_of(4);
        let length = (BLOCK + padded) as u32;
        let mut head = [0; 28];
        let words = [ENHANCED_PACKET, length, number, (time >> 32) as u32, time as u32, kept.len() as u32, original];
        for (slot, word) in head.chunks_exact_mut(4).zip(words) {
            slot.copy_from_slice(&word.to_le_bytes());
        }
        let mut tail = [0; 16];
        tail[..4].copy_from_slice(&EPB_FLAGS);
        tail[4..8].copy_from_slice(&flags.to_le_bytes());
        // Four zeros end the options.
        tail[12..].copy_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(&head);
        self.bytes.extend_from_slice(kept);
        self.bytes.extend_from_slice(&[0; 3][..padded - kept.len()]);
        self.bytes.extend_from_slice(&tail);
        self.packets.push(Packet { time, start, end: self.bytes.len() });
    }

    fn number(&mut self, interface: usize) -> u32 {
        if self.numbers.len() <= interface {
            self.numbers.resize(interface + 1, None);
        }
        *self.numbers[interface].get_or_insert_with(|| {
            self.seen.push(interface);
            self.seen.len() as u32 - 1
        })
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.packets.len()
    }

    /// Bytes that wait.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Writes what waits as one section and forgets it; `None` when nothing waits. Only interfaces with packets in it
    /// are described.
    pub(super) fn take(&mut self, interfaces: &[Interface]) -> Result<Option<Section>, pcap_file::PcapError> {
        let Some(first) = self.packets.iter().map(|p| p.time).min() else { return Ok(None) };
        let last = self.packets.iter().map(|p| p.time).max().unwrap_or(first);
        let room = Vec::with_capacity(self.bytes.len() + 1024);
        let mut writer = PcapNgWriter::with_endianness(room, Endianness::Little)?;
        let seen: Vec<&Interface> = self.seen.iter().filter_map(|&i| interfaces.get(i)).collect();
        for interface in &seen {
            writer.write_pcapng_block(describe(interface))?;
        }
        let mut bytes = writer.into_inner();
        // Each ring is in order, all of them together need not be.
        if self.packets.is_sorted_by_key(|p| p.time) {
            bytes.extend_from_slice(&self.bytes);
        } else {
            self.packets.sort_by_key(|p| p.time);
            self.packets.iter().for_each(|p| bytes.extend_from_slice(&self.bytes[p.start..p.end]));
        }
        let mut origin: Vec<&str> = seen.iter().map(|i| i.name.as_str()).collect();
        origin.sort_unstable();
        let packets = self.packets.len() as u64;
        let section = Section { packets, origin: origin.join(","), first, last, bytes };
        self.packets.clear();
        self.bytes.clear();
        self.numbers.clear();
        self.seen.clear();
        Ok(Some(section))
    }
}

fn describe(interface: &Interface) -> InterfaceDescriptionBlock<'_> {
    InterfaceDescriptionBlock {
        linktype: match interface.link {
            LinkType::Ethernet => DataLink::ETHERNET,
            LinkType::Raw => DataLink::RAW,
        },
        snaplen: interface.snap,
        options: vec![
            InterfaceDescriptionOption::IfName(Cow::Borrowed(&interface.name)),
            InterfaceDescriptionOption::IfTsResol(9),
        ],
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use pcap_file::pcapng::PcapNgReader;
    use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketOption;

    use super::*;

    #[test]
    fn what_was_pushed_is_read_again_in_order_of_time() {
        let interfaces =
            ["unused", "eth0", "lo"].map(|n| Interface { name: n.into(), link: LinkType::Ethernet, snap: 512 });
        let mut pending = Pending::default();
        let frame = |n: u8| vec![n; 14 + usize::from(n)];
        pending.push(2, 3_000_000_000_000_000_003, 1500, 2, &frame(3));
        pending.push(1, 3_000_000_000_000_000_001, 60, 5, &frame(1));
        pending.push(2, 3_000_000_000_000_000_002, 61, 0, &frame(2));
        let section = pending.take(&interfaces).unwrap().unwrap();
        assert_eq!((section.packets, section.origin.as_str()), (3, "eth0,lo"));
        assert_eq!((section.first, section.last), (3_000_000_000_000_000_001, 3_000_000_000_000_000_003));
        let mut reader = PcapNgReader::new(section.bytes.as_slice()).unwrap();
        let mut told = Vec::new();
        while let Some(block) = reader.next_block() {
            if let Some(p) = block.unwrap().into_owned().into_enhanced_packet() {
                let name = reader.interfaces()[p.interface_id as usize].options.clone();
                let name = name.into_iter().find_map(|o| match o {
                    InterfaceDescriptionOption::IfName(name) => Some(name.into_owned()),
                    _ => None,
                });
                let flags = p.options.iter().find_map(|o| match o {
                    EnhancedPacketOption::Flags(flags) => Some(*flags),
                    _ => None,
                });
                told.push((name.unwrap(), p.timestamp.subsec_nanos(), p.original_len, p.data.len(), flags.unwrap()));
            }
        }
        let expected = [("eth0", 1, 60, 15, 5), ("lo", 2, 61, 16, 0), ("lo", 3, 1500, 17, 2)];
        assert_eq!(told, expected.map(|(name, at, length, kept, flags)| (name.to_owned(), at, length, kept, flags)));
        assert!(pending.take(&interfaces).unwrap().is_none());
    }
}
