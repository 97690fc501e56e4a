//! Packets on their way into the bundle: collected, put in order of time, written as one pcapng section.

use std::borrow::Cow;
use std::time::Duration;

use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{InterfaceDescriptionBlock, InterfaceDescriptionOption};
use pcap_file::{DataLink, Endianness};

use super::links::LinkType;

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
    interface: usize,
    time: u64,
    original: u32,
    flags: u32,
    start: usize,
    end: usize,
}

/// Packets that wait to be written.
#[derive(Default)]
pub(super) struct Pending {
    packets: Vec<Packet>,
    bytes: Vec<u8>,
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
        let start = self.bytes.len();
        self.bytes.extend_from_slice(kept);
        self.packets.push(Packet { interface, time, original, flags, start, end: self.bytes.len() });
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.packets.len()
    }

    /// Bytes that wait, without the blocks around them.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Writes what waits as one section and forgets it; `None` when nothing waits. Only interfaces with packets in it
    /// are described.
    pub(super) fn take(&mut self, interfaces: &[Interface]) -> Result<Option<Section>, pcap_file::PcapError> {
        // Each ring is in order, all of them together are not.
        self.packets.sort_by_key(|p| p.time);
        let (Some(first), Some(last)) = (self.packets.first(), self.packets.last()) else { return Ok(None) };
        let (first, last) = (first.time, last.time);
        let room = Vec::with_capacity(self.bytes.len() + self.packets.len() * 56 + 1024);
        let mut writer = PcapNgWriter::with_endianness(room, Endianness::Little)?;
        let mut numbers = vec![None; interfaces.len()];
        let mut origin: Vec<&str> = Vec::new();
        for packet in &self.packets {
            let Some(interface) = interfaces.get(packet.interface) else { continue };
            let number = match numbers[packet.interface] {
                Some(number) => number,
                None => {
                    writer.write_pcapng_block(describe(interface))?;
                    let number = origin.len() as u32;
                    origin.push(&interface.name);
                    numbers[packet.interface] = Some(number);
                    number
                }
            };
            writer.write_pcapng_block(EnhancedPacketBlock {
                interface_id: number,
                timestamp: Duration::from_nanos(packet.time),
                original_len: packet.original,
                data: Cow::Borrowed(&self.bytes[packet.start..packet.end]),
                options: vec![EnhancedPacketOption::Flags(packet.flags)],
            })?;
        }
        let packets = self.packets.len() as u64;
        origin.sort_unstable();
        let section = Section { packets, origin: origin.join(","), first, last, bytes: writer.into_inner() };
        self.packets.clear();
        self.bytes.clear();
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
