//! pcapng sections to packet rows. One message of the stream `packets` is one whole section.

use crate::capture::{Next, Ng, Record};
use crate::packet::{self, Decoded};

pub use crate::capture::Interface;

/// One packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacketRow {
    /// Number of the packet in its section, from 0, malformed ones counted.
    pub index: u32,
    /// When: UTC nanoseconds as the capturing host's real-time clock had it; `None` where the block holds no time.
    pub time: Option<i64>,
    /// Its interface: index into [`Section::interfaces`].
    pub interface: u32,
    /// Length on the wire.
    pub original: u32,
    /// Bytes captured.
    pub captured: u32,
    /// 1 received, 2 sent, 0 unknown (option `epb_flags`).
    pub direction: u8,
    /// What it is.
    pub decoded: Decoded,
}

/// A decoded section.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Section {
    /// Its interfaces.
    pub interfaces: Vec<Interface>,
    /// Its packets, in file order.
    pub packets: Vec<PacketRow>,
    /// Packets the capture dropped, by its interface statistics blocks.
    pub dropped: u64,
    /// What could not be read; the packets before it are there.
    pub problem: Option<&'static str>,
}

/// Decodes a message: one section, or several one after the other (interfaces are then numbered on).
pub fn decode(mut bytes: &[u8]) -> Section {
    let mut out = Section::default();
    let mut reader = Ng::default();
    loop {
        match reader.next(bytes) {
            Next::Packet(record, length) => {
                out.packets.push(row(&record, out.packets.len() as u32));
                bytes = &bytes[length..];
            }
            Next::Frame(length) | Next::Skip(length) => bytes = &bytes[length..],
            Next::Need(_) if bytes.is_empty() => break,
            Next::Need(_) => {
                out.problem = Some("cut inside a block");
                break;
            }
            Next::Bad(problem) => {
                out.problem = Some(problem);
                break;
            }
        }
    }
    out.dropped = reader.dropped();
    out.interfaces = reader.into_interfaces();
    out
}

fn row(record: &Record<'_>, index: u32) -> PacketRow {
    PacketRow {
        index,
        time: record.time,
        interface: record.interface,
        original: record.original,
        captured: record.bytes.len() as u32,
        direction: record.direction,
        decoded: packet::decode(record.link, record.bytes, record.original),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(kind: u32, body: &[u8]) -> Vec<u8> {
        let padded = body.len().next_multiple_of(4);
        let total = (12 + padded) as u32;
        let mut out = kind.to_le_bytes().to_vec();
        out.extend(total.to_le_bytes());
        out.extend(body);
        out.resize(8 + padded, 0);
        out.extend(total.to_le_bytes());
        out
    }

    fn section() -> Vec<u8> {
        let mut out = block(0x0a0d_0d0a, &[0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255]);
        let mut idb = vec![101, 0, 0, 0, 0, 0, 0, 0];
        idb.extend([2, 0, 2, 0, b'l', b'o', 0, 0, 9, 0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0]);
        out.extend(block(1, &idb));
        out
    }

    fn packet(time: u64, frame: &[u8]) -> Vec<u8> {
        let mut body = vec![0, 0, 0, 0];
        body.extend(((time >> 32) as u32).to_le_bytes());
        body.extend((time as u32).to_le_bytes());
        body.extend((frame.len() as u32).to_le_bytes());
        body.extend(2000u32.to_le_bytes());
        body.extend(frame);
        block(6, &body)
    }

    #[test]
    fn packets_carry_nanoseconds_lengths_and_interface() {
        let mut bytes = section();
        bytes.extend(packet(1_700_000_000_123_456_789, &[0x45, 0, 0]));
        let s = decode(&bytes);
        assert_eq!(s.problem, None);
        assert_eq!(s.interfaces[0].name, "lo");
        assert_eq!(s.packets[0].time, Some(1_700_000_000_123_456_789));
        assert_eq!((s.packets[0].original, s.packets[0].captured), (2000, 3));
        assert_eq!(s.packets[0].decoded, Decoded::Cut);
    }

    #[test]
    fn a_cut_section_keeps_the_packets_before_the_cut() {
        let mut bytes = section();
        bytes.extend(packet(1, &[0x45; 40]));
        bytes.extend(packet(2, &[0x45; 40]));
        for cut in 0..bytes.len() {
            let s = decode(&bytes[..cut]);
            assert!(s.packets.len() <= 1 && (cut == 0 || s.problem.is_some() || s.packets.len() < 2), "at {cut}");
        }
        assert_eq!(decode(&bytes).packets.len(), 2);
    }
}
