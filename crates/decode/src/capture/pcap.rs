//! Classic pcap: all byte orders, micro- and nanoseconds, and the variants that patched libpcaps wrote.

use super::{Interface, Next, Options, Record, longest};

/// The file header.
const HEADER: usize = 24;
/// How many records are looked at to tell variants apart that share a magic number.
const PROBED: usize = 3;
/// No packet is longer than this on the wire.
const ABSURD: u32 = 128 << 20;

/// A pcap file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pcap {
    big: bool,
    /// Nanoseconds in a unit of the second timestamp field.
    unit: i64,
    /// Length of the file header, until it was passed.
    header: Option<usize>,
    link: u16,
    /// The one interface that such a file has.
    interface: Interface,
    /// Length of a record's header.
    head: usize,
    swapped: Swapped,
    /// Major version.
    version: u16,
}

/// Whether captured and original length change places, as they did before version 2.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Swapped {
    No,
    Yes,
    /// Some files of version 2.3 have them the old way: where captured is more than original.
    IfImpossible,
}

impl Pcap {
    pub(super) fn of(file: &[u8]) -> Option<Pcap> {
        let &magic = file.first_chunk::<4>()?;
        [true, false].into_iter().find_map(|big| {
            let number = if big { u32::from_be_bytes(magic) } else { u32::from_le_bytes(magic) };
            let (unit, extra, heads): (_, _, &[usize]) = match number {
                // Patched libpcaps and Nokia's wrote longer record headers behind the usual magic.
                0xa1b2_c3d4 => (1_000, 0, &[16, 24, 20]),
                0xa1b2_3c4d => (1, 0, &[16]),
                // Alexey Kuznetzov's patches of 1999.
                0xa1b2_cd34 => (1_000, 0, &[24, 28]),
                // Ixia: four bytes more in the file header.
                0x1c00_01ac | 0x1c00_01ab => (1_000, 4, &[16]),
                _ => return None,
            };
            let header = Some(HEADER + extra);
            let (swapped, interface) = (Swapped::No, Interface::default());
            let mut pcap = Pcap { big, unit, header, link: 0, interface, head: 16, swapped, version: 0 };
            pcap.about(file, heads);
            Some(pcap)
        })
    }

    /// Takes in the file header, and finds out by the first records how long their headers are.
    fn about(&mut self, file: &[u8], heads: &[usize]) {
        self.version = self.u16(file, 4);
        self.swapped = match (self.version, self.u16(file, 6)) {
            (2, 0..3) | (543, _) => Swapped::Yes,
            (2, 3) => Swapped::IfImpossible,
            _ => Swapped::No,
        };
        // The upper half may hold the length of a checksum at the end of each frame.
        self.link = self.u32(file, 20) as u16;
        let decimals = if self.unit == 1 { 9 } else { 6 };
        self.interface = Interface::with_decimals(self.link, self.u32(file, 16), decimals);
        let records = file.get(self.header.unwrap_or(HEADER)..).unwrap_or(&[]);
        // The usual one, unless it makes no sense and another does.
        let usual = heads.first().copied().unwrap_or(16);
        self.head = heads.iter().copied().find(|&head| self.makes_sense(records, head)).unwrap_or(usual);
    }

    pub(super) fn interface(&self) -> &Interface {
        &self.interface
    }

    fn u32(&self, bytes: &[u8], at: usize) -> u32 {
        let Some(&four) = bytes.get(at..).and_then(|b| b.first_chunk()) else { return 0 };
        if self.big { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) }
    }

    fn u16(&self, bytes: &[u8], at: usize) -> u16 {
        let Some(&two) = bytes.get(at..).and_then(|b| b.first_chunk()) else { return 0 };
        if self.big { u16::from_be_bytes(two) } else { u16::from_le_bytes(two) }
    }

    pub(super) fn next<'a>(&mut self, bytes: &'a [u8]) -> Next<'a> {
        let Some(header) = self.header else { return self.record(bytes) };
        if bytes.len() < header {
            return Next::Need(header);
        }
        if self.version < 2 {
            return Next::Bad("a pcap file of a version before 2");
        }
        self.header = None;
        Next::Skip(header)
    }

    /// Whether the first records make sense with headers of this length.
    fn makes_sense(&self, mut records: &[u8], head: usize) -> bool {
        for _ in 0..PROBED {
            if records.len() < head {
                return true;
            }
            let (captured, original) = self.lengths(records);
            // The part of a second tells most: it would be another field.
            let part = i64::from(self.u32(records, 4)) * self.unit;
            let lengths =
                captured <= longest(self.link) && captured as u64 <= u64::from(original) && original <= ABSURD;
            if !lengths || part >= 1_000_000_000 {
                return false;
            }
            records = records.get(head + captured..).unwrap_or(&[]);
        }
        true
    }

    fn lengths(&self, record: &[u8]) -> (usize, u32) {
        let (captured, original) = (self.u32(record, 8), self.u32(record, 12));
        match self.swapped {
            Swapped::Yes => (original as usize, captured),
            Swapped::IfImpossible if captured > original => (original as usize, captured),
            _ => (captured as usize, original),
        }
    }

    fn record<'a>(&self, bytes: &'a [u8]) -> Next<'a> {
        let (link, head) = (self.link, self.head);
        if bytes.len() < head {
            return Next::Need(head);
        }
        let (captured, original) = self.lengths(bytes);
        if captured > longest(link) {
            return Next::Bad("an impossible packet length; what follows was not read");
        }
        let Some(frame) = bytes.get(head..head + captured) else { return Next::Need(head + captured) };
        let (seconds, part) = (self.u32(bytes, 0), self.u32(bytes, 4));
        let time = i64::from(seconds) * 1_000_000_000 + i64::from(part) * self.unit;
        let (time, options) = (Some(time), Options::default());
        let record = Record { time, interface: 0, link, original, direction: 0, bytes: frame, options };
        Next::Packet(record, head + captured)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::Reader;

    /// A file of four packets of 30 bytes, 100 on the wire.
    fn file(magic: u32, big: bool, minor: u16, head: usize) -> Vec<u8> {
        let four = |n: u32| if big { n.to_be_bytes() } else { n.to_le_bytes() };
        let two = |n: u16| if big { n.to_be_bytes() } else { n.to_le_bytes() };
        let mut out = four(magic).to_vec();
        out.extend([two(2), two(minor)].concat());
        out.extend([four(0), four(0), four(65_535), four(1 | 0x5000_0000)].concat());
        if magic & 0xffff_0000 == 0x1c00_0000 {
            out.extend([0; 4]);
        }
        for i in 0..4 {
            let lengths = if minor < 3 { [four(100), four(30)] } else { [four(30), four(100)] };
            out.extend([four(7 + i), four(5), lengths[0], lengths[1]].concat());
            out.resize(out.len() + head - 16, 0xee);
            out.extend([9; 30]);
        }
        out
    }

    fn read(file: &[u8]) -> Vec<(i64, u32, Vec<u8>)> {
        let mut reader = Reader::of(file).expect("a capture");
        let (mut at, mut out) = (0, Vec::new());
        loop {
            match reader.next(&file[at..]) {
                Next::Packet(r, length) => {
                    assert_eq!(r.link, 1);
                    out.push((r.time.unwrap_or(0), r.original, r.bytes.to_vec()));
                    at += length;
                }
                Next::Skip(length) | Next::Frame(length) => at += length,
                Next::Need(_) => return out,
                Next::Bad(problem) => panic!("{problem}"),
            }
        }
    }

    #[test]
    fn every_magic_byte_order_and_record_header_gives_the_same_packets() {
        let packet = |second: i64, unit: i64| (second * 1_000_000_000 + 5 * unit, 100, vec![9; 30]);
        let packets = |unit: i64| (7..11).map(|second| packet(second, unit)).collect::<Vec<_>>();
        for big in [true, false] {
            for (magic, unit, heads) in [
                (0xa1b2_c3d4, 1_000, vec![16, 24, 20]),
                (0xa1b2_3c4d, 1, vec![16]),
                (0xa1b2_cd34, 1_000, vec![24, 28]),
                (0x1c00_01ac, 1_000, vec![16]),
            ] {
                for head in heads {
                    assert_eq!(read(&file(magic, big, 4, head)), packets(unit), "{magic:x} {big} {head}");
                }
            }
            assert_eq!(read(&file(0xa1b2_c3d4, big, 2, 16)), packets(1_000), "lengths the other way round");
        }
    }
}
