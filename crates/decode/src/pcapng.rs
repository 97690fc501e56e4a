//! pcapng sections to packet rows. One message of the stream `packets` is one whole section.
//!
//! The blocks are walked here rather than with a crate: `pcap-file` 2 ignores the timestamp resolution of the
//! interface and gives up a section at the first block that it dislikes, where the rest is still evidence.

use crate::packet::{self, Decoded};

/// An interface of a section.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Interface {
    /// Its name, from the option `if_name`; empty where it has none.
    pub name: String,
    /// Its link type.
    pub link: u16,
    /// Units of its timestamps in a second.
    units: Units,
    /// Seconds to add to its timestamps.
    offset: i64,
}

/// How many timestamp units a second has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Units {
    Decimal(u8),
    Binary(u8),
}

impl Default for Units {
    fn default() -> Self {
        Units::Decimal(6)
    }
}

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
pub fn decode(bytes: &[u8]) -> Section {
    let mut out = Section::default();
    let mut walk = Walk { rest: bytes, big: false, base: 0 };
    if let Err(problem) = walk.run(&mut out) {
        out.problem = Some(problem);
    }
    out
}

struct Walk<'a> {
    rest: &'a [u8],
    big: bool,
    /// Number of the section's first interface.
    base: usize,
}

impl<'a> Walk<'a> {
    fn run(&mut self, out: &mut Section) -> Result<(), &'static str> {
        let mut first = true;
        while !self.rest.is_empty() {
            let head = self.rest.get(..12).ok_or("cut in the head of a block")?;
            let mut kind = self.u32(head, 0);
            if head[..4] == [0x0a, 0x0d, 0x0d, 0x0a] {
                kind = 0x0a0d_0d0a;
                self.big = match head[8..12] {
                    [0x1a, 0x2b, 0x3c, 0x4d] => true,
                    [0x4d, 0x3c, 0x2b, 0x1a] => false,
                    _ => return Err("bad byte order mark in a section header"),
                };
                self.base = out.interfaces.len();
            } else if first {
                return Err("does not begin with a section header");
            }
            first = false;
            let total = self.u32(head, 4) as usize;
            if total < 12 || !total.is_multiple_of(4) {
                return Err("impossible length of a block");
            }
            let block = self.rest.get(..total).ok_or("cut inside a block")?;
            let body = &block[8..total - 4];
            self.rest = &self.rest[total..];
            match kind {
                1 => self.interface(body, out)?,
                2 => self.packet(body, out, true)?,
                3 => self.simple(body, out)?,
                5 => self.statistics(body, out),
                6 => self.packet(body, out, false)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn u16(&self, b: &[u8], at: usize) -> u16 {
        let Some(&[x, y]) = b.get(at..at + 2) else { return 0 };
        if self.big { u16::from_be_bytes([x, y]) } else { u16::from_le_bytes([x, y]) }
    }

    fn u32(&self, b: &[u8], at: usize) -> u32 {
        let Some(&[w, x, y, z]) = b.get(at..at + 4) else { return 0 };
        if self.big { u32::from_be_bytes([w, x, y, z]) } else { u32::from_le_bytes([w, x, y, z]) }
    }

    fn u64(&self, b: &[u8], at: usize) -> u64 {
        let (a, b) = (u64::from(self.u32(b, at)), u64::from(self.u32(b, at + 4)));
        if self.big { a << 32 | b } else { b << 32 | a }
    }

    /// Calls `each` with code and value of each option; stops at the end or at the first that is cut.
    fn options(&self, mut rest: &'a [u8], mut each: impl FnMut(u16, &'a [u8])) {
        while rest.len() >= 4 {
            let (code, len) = (self.u16(rest, 0), self.u16(rest, 2) as usize);
            let Some(value) = rest.get(4..4 + len) else { return };
            if code == 0 {
                return;
            }
            each(code, value);
            rest = rest.get(4 + len.next_multiple_of(4)..).unwrap_or(&[]);
        }
    }

    fn interface(&self, body: &'a [u8], out: &mut Section) -> Result<(), &'static str> {
        if body.len() < 8 {
            return Err("short interface description");
        }
        let mut i = Interface { link: self.u16(body, 0), ..Interface::default() };
        self.options(&body[8..], |code, value| match (code, value) {
            (2, name) => i.name = String::from_utf8_lossy(name).into_owned(),
            (9, &[r]) => i.units = if r & 0x80 != 0 { Units::Binary(r & 0x7f) } else { Units::Decimal(r) },
            (14, v) if v.len() == 8 => i.offset = self.u64(v, 0) as i64,
            _ => {}
        });
        out.interfaces.push(i);
        Ok(())
    }

    /// An enhanced packet block, or the obsolete packet block, whose interface is 16 bits and a drop count.
    fn packet(&self, body: &'a [u8], out: &mut Section, obsolete: bool) -> Result<(), &'static str> {
        if body.len() < 20 {
            return Err("short packet block");
        }
        let local = if obsolete { u32::from(self.u16(body, 0)) } else { self.u32(body, 0) };
        let captured = self.u32(body, 12) as usize;
        let frame = body.get(20..).and_then(|b| b.get(..captured)).ok_or("a packet is longer than its block")?;
        let interface = self.base + local as usize;
        let Some(about) = out.interfaces.get(interface) else { return Err("a packet of an unknown interface") };
        let ticks = u64::from(self.u32(body, 4)) << 32 | u64::from(self.u32(body, 8));
        let mut direction = 0;
        if let Some(options) = body.get(20 + captured.next_multiple_of(4)..) {
            self.options(options, |code, value| {
                if code == 2 && value.len() == 4 {
                    direction = (self.u32(value, 0) & 3).min(2) as u8;
                }
            });
        }
        let original = self.u32(body, 16);
        let row = PacketRow {
            index: out.packets.len() as u32,
            time: nanos(ticks, about.units, about.offset),
            interface: interface as u32,
            original,
            captured: captured as u32,
            direction,
            decoded: packet::decode(about.link, frame, original),
        };
        out.packets.push(row);
        Ok(())
    }

    /// A simple packet block: no time, always of the first interface.
    fn simple(&self, body: &'a [u8], out: &mut Section) -> Result<(), &'static str> {
        let Some(about) = out.interfaces.get(self.base) else { return Err("a packet of an unknown interface") };
        if body.len() < 4 {
            return Err("short simple packet block");
        }
        let original = self.u32(body, 0);
        let frame = &body[4..body.len().min(4 + original as usize)];
        let row = PacketRow {
            index: out.packets.len() as u32,
            time: None,
            interface: self.base as u32,
            original,
            captured: frame.len() as u32,
            direction: 0,
            decoded: packet::decode(about.link, frame, original),
        };
        out.packets.push(row);
        Ok(())
    }

    fn statistics(&self, body: &'a [u8], out: &mut Section) {
        let mut dropped = 0u64;
        self.options(body.get(12..).unwrap_or(&[]), |code, value| {
            // isb_ifdrop and isb_osdrop
            if matches!(code, 5 | 7) && value.len() == 8 {
                dropped = dropped.saturating_add(self.u64(value, 0));
            }
        });
        out.dropped = out.dropped.saturating_add(dropped);
    }
}

/// Timestamp units to UTC nanoseconds; `None` where they do not fit.
fn nanos(ticks: u64, units: Units, offset: i64) -> Option<i64> {
    let ticks = i128::from(ticks);
    let ns = match units {
        Units::Decimal(d @ 0..=9) => ticks * 10i128.pow(u32::from(9 - d)),
        Units::Decimal(d @ 10..=38) => ticks / 10i128.pow(u32::from(d - 9)),
        Units::Binary(b @ 0..=63) => (ticks * 1_000_000_000) >> b,
        _ => return None,
    };
    i64::try_from(ns + i128::from(offset) * 1_000_000_000).ok()
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
        assert_eq!(s.packets[0].decoded, Decoded::Malformed);
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

    #[test]
    fn timestamps_follow_the_resolution_of_the_interface() {
        assert_eq!(nanos(1_500_000, Units::Decimal(6), 0), Some(1_500_000_000));
        assert_eq!(nanos(3, Units::Decimal(0), 1), Some(4_000_000_000));
        assert_eq!(nanos(1 << 20, Units::Binary(20), 0), Some(1_000_000_000));
        assert_eq!(nanos(u64::MAX, Units::Decimal(0), 0), None);
    }
}
