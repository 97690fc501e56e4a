//! The file that is written: one section, interfaces as they come up, packets with their comments.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Write;
use std::time::Duration;

use coldcase_decode::capture::{Interface, Record};
use coldcase_model::text::visible;
use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{InterfaceDescriptionBlock, InterfaceDescriptionOption};
use pcap_file::pcapng::blocks::section_header::{SectionHeaderBlock, SectionHeaderOption};
use pcap_file::{DataLink, Endianness, PcapError};

/// Bytes of an interface's name at most: longer ones are cut. The kernel's have 15.
const NAME: usize = 256;
/// Interfaces of a file at most: who needs more makes them up.
const INTERFACES: usize = 65_536;
/// Decimals of a second where those of the interface cannot be kept.
const NANOSECONDS: u8 = 9;

/// Why a block could not be written.
#[derive(Debug)]
pub(super) enum Refused {
    Io(String),
    TooManyInterfaces,
}

impl From<PcapError> for Refused {
    fn from(e: PcapError) -> Refused {
        Refused::Io(match e {
            PcapError::IoError(e) => e.to_string(),
            e => e.to_string(),
        })
    }
}

/// What an interface is told apart by: name, link type, most bytes of a packet, decimals of a second.
type Key = (String, u16, u32, u8);

pub(super) struct Output<W: Write> {
    writer: PcapNgWriter<W>,
    interfaces: HashMap<Key, u32>,
    names: Vec<String>,
}

/// A packet as it is written.
pub(super) struct Packet<'a> {
    pub(super) record: &'a Record<'a>,
    /// UTC nanoseconds.
    pub(super) time: u64,
    pub(super) comments: Vec<String>,
}

impl<W: Write> Output<W> {
    /// Begins the one section. `about` is its comment, `system` the operating system of the recorded host; both are safe
    /// to show.
    pub(super) fn begin(out: W, about: &str, system: &str) -> Result<Output<W>, Refused> {
        let program = concat!("coldcase ", env!("CARGO_PKG_VERSION"));
        let mut options = vec![SectionHeaderOption::Comment(Cow::Owned(about.to_owned()))];
        if !system.is_empty() {
            options.push(SectionHeaderOption::OS(Cow::Owned(system.to_owned())));
        }
        options.push(SectionHeaderOption::UserApplication(Cow::Borrowed(program)));
        let header = SectionHeaderBlock { endianness: Endianness::Little, options, ..SectionHeaderBlock::default() };
        let writer = PcapNgWriter::with_section_header(out, header)?;
        Ok(Output { writer, interfaces: HashMap::new(), names: Vec::new() })
    }

    /// Number of an interface in this file: described when it first comes up, the same for all that are alike.
    pub(super) fn interface(&mut self, about: &Interface) -> Result<u32, Refused> {
        let mut name = visible(&about.name).into_owned();
        name.truncate((0..=NAME).rev().find(|&at| name.is_char_boundary(at)).unwrap_or(0));
        let key = (name, about.link, about.snap, decimals(about));
        if let Some(&number) = self.interfaces.get(&key) {
            return Ok(number);
        }
        if self.names.len() >= INTERFACES {
            return Err(Refused::TooManyInterfaces);
        }
        let mut options = vec![InterfaceDescriptionOption::IfTsResol(key.3)];
        if !key.0.is_empty() {
            options.insert(0, InterfaceDescriptionOption::IfName(Cow::Borrowed(&key.0)));
        }
        let linktype = DataLink::from(u32::from(about.link));
        self.writer.write_pcapng_block(InterfaceDescriptionBlock { linktype, snaplen: about.snap, options })?;
        let number = self.names.len() as u32;
        self.names.push(key.0.clone());
        self.interfaces.insert(key, number);
        Ok(number)
    }

    /// Writes a packet of the interface with this number, which `about` describes.
    pub(super) fn packet(&mut self, number: u32, about: &Interface, packet: Packet<'_>) -> Result<(), Refused> {
        let mut options: Vec<EnhancedPacketOption<'_>> =
            packet.comments.into_iter().map(|c| EnhancedPacketOption::Comment(Cow::Owned(c))).collect();
        options.extend(packet.record.options.flags().map(EnhancedPacketOption::Flags));
        let ticks = packet.time / 10u64.pow(u32::from(NANOSECONDS - decimals(about)));
        self.writer.write_pcapng_block(EnhancedPacketBlock {
            interface_id: number,
            // The crate writes the nanoseconds of this as the timestamp, whatever the interface's resolution is.
            timestamp: Duration::from_nanos(ticks),
            original_len: packet.record.original,
            data: Cow::Borrowed(packet.record.bytes),
            options,
        })?;
        Ok(())
    }

    /// Names of the interfaces, and what was written to.
    pub(super) fn end(self) -> (Vec<String>, W) {
        (self.names, self.writer.into_inner())
    }
}

/// Decimals of a second that are written: the interface's own, unless times are finer than nanoseconds or binary
/// fractions. Those were read to the nanosecond, and are written as nanoseconds.
fn decimals(about: &Interface) -> u8 {
    about.decimals().filter(|&d| d <= NANOSECONDS).unwrap_or(NANOSECONDS)
}
