//! pcapng, block by block.
//!
//! The blocks are walked here rather than with a crate: `pcap-file` 2 ignores the timestamp resolution of the
//! interface, and wants the whole file in memory or a reader of its own.

use super::{Next, Record, longest};

/// Type of a section header, alike in both byte orders.
pub(crate) const MAGIC: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];
/// Longest block that is believed.
const LONGEST: usize = 64 << 20;

/// An interface of a section.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Interface {
    /// Its name, from the option `if_name`; empty where it has none.
    pub name: String,
    /// Its link type.
    pub link: u16,
    /// Most bytes that were captured of a packet; 0 for no limit.
    pub snap: u32,
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

impl Interface {
    /// An interface whose timestamps have this many decimals of a second.
    pub(super) fn with_decimals(link: u16, snap: u32, decimals: u8) -> Interface {
        Interface { link, snap, units: Units::Decimal(decimals), ..Interface::default() }
    }

    /// How many decimals of a second its timestamps have; `None` where they are binary fractions.
    pub fn decimals(&self) -> Option<u8> {
        match self.units {
            Units::Decimal(d) => Some(d),
            Units::Binary(_) => None,
        }
    }
}

/// Options of a packet, as they stand in its block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options<'a> {
    bytes: &'a [u8],
    big: bool,
}

impl<'a> Options<'a> {
    /// Calls `each` with code and value of each option; stops at the end or at the first that is cut.
    fn each(self, mut each: impl FnMut(u16, &'a [u8])) {
        let mut rest = self.bytes;
        while rest.len() >= 4 {
            let (code, len) = (u16_of(self.big, rest, 0), u16_of(self.big, rest, 2) as usize);
            let Some(value) = rest.get(4..4 + len) else { return };
            if code == 0 {
                return;
            }
            each(code, value);
            rest = rest.get(4 + len.next_multiple_of(4)..).unwrap_or(&[]);
        }
    }

    /// `epb_flags`: direction, kind of reception, length of the checksum, link errors. `None` where there are none.
    pub fn flags(self) -> Option<u32> {
        let mut flags = None;
        self.each(|code, value| {
            if code == 2 && value.len() == 4 {
                flags = Some(u32_of(self.big, value, 0));
            }
        });
        flags
    }

    /// The comments (`opt_comment`), in order. They are whatever the writer of the file wanted: hostile until made
    /// visible.
    pub fn comments(self) -> Vec<String> {
        let mut comments = Vec::new();
        self.each(|code, value| {
            if code == 1 {
                comments.push(String::from_utf8_lossy(value).into_owned());
            }
        });
        comments
    }
}

fn u16_of(big: bool, b: &[u8], at: usize) -> u16 {
    let Some(&[x, y]) = b.get(at..at + 2) else { return 0 };
    if big { u16::from_be_bytes([x, y]) } else { u16::from_le_bytes([x, y]) }
}

fn u32_of(big: bool, b: &[u8], at: usize) -> u32 {
    let Some(&[w, x, y, z]) = b.get(at..at + 4) else { return 0 };
    if big { u32::from_be_bytes([w, x, y, z]) } else { u32::from_le_bytes([w, x, y, z]) }
}

/// A pcapng file, or sections one after the other; interfaces are numbered on.
#[derive(Debug, Clone, Default)]
pub struct Ng {
    started: bool,
    big: bool,
    /// Number of the section's first interface.
    base: usize,
    interfaces: Vec<Interface>,
    dropped: u64,
}

impl Ng {
    /// The interfaces so far.
    pub fn interfaces(&self) -> &[Interface] {
        &self.interfaces
    }

    /// The interfaces, when all was read.
    pub(crate) fn into_interfaces(self) -> Vec<Interface> {
        self.interfaces
    }

    /// Packets that the capture dropped, by its interface statistics blocks.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    pub(crate) fn next<'a>(&mut self, bytes: &'a [u8]) -> Next<'a> {
        let Some(head) = bytes.get(..12) else { return Next::Need(12) };
        let mut kind = self.u32(head, 0);
        let section = head.starts_with(&MAGIC);
        if section {
            kind = 0x0a0d_0d0a;
            self.big = match head[8..12] {
                [0x1a, 0x2b, 0x3c, 0x4d] => true,
                [0x4d, 0x3c, 0x2b, 0x1a] => false,
                _ => return Next::Bad("bad byte order mark in a section header"),
            };
        } else if !self.started {
            return Next::Bad("does not begin with a section header");
        }
        let total = self.u32(head, 4) as usize;
        if !(12..=LONGEST).contains(&total) || !total.is_multiple_of(4) {
            return Next::Bad("impossible length of a block; what follows was not read");
        }
        let Some(block) = bytes.get(..total) else { return Next::Need(total) };
        if self.u32(block, total - 4) as usize != total {
            return Next::Bad("the two lengths of a block differ; what follows was not read");
        }
        if section {
            self.started = true;
            self.base = self.interfaces.len();
        }
        self.block(kind, &block[8..total - 4], total).unwrap_or_else(Next::Bad)
    }

    fn block<'a>(&mut self, kind: u32, body: &'a [u8], total: usize) -> Result<Next<'a>, &'static str> {
        match kind {
            1 => self.interface(body)?,
            2 => return Ok(Next::Packet(self.packet(body, true)?, total)),
            3 => return Ok(Next::Packet(self.simple(body)?, total)),
            5 => self.statistics(body),
            6 => return Ok(Next::Packet(self.packet(body, false)?, total)),
            // systemd's journal, sysdig's events, custom blocks.
            9 | 0x204 | 0x208 | 0x216 | 0x217 | 0x221 | 0x222 | 0xbad | 0x4000_0bad => return Ok(Next::Frame(total)),
            _ => {}
        }
        Ok(Next::Skip(total))
    }

    fn u16(&self, b: &[u8], at: usize) -> u16 {
        u16_of(self.big, b, at)
    }

    fn u32(&self, b: &[u8], at: usize) -> u32 {
        u32_of(self.big, b, at)
    }

    fn u64(&self, b: &[u8], at: usize) -> u64 {
        let (a, b) = (u64::from(self.u32(b, at)), u64::from(self.u32(b, at + 4)));
        if self.big { a << 32 | b } else { b << 32 | a }
    }

    fn options<'a>(&self, bytes: &'a [u8]) -> Options<'a> {
        Options { bytes, big: self.big }
    }

    fn interface(&mut self, body: &[u8]) -> Result<(), &'static str> {
        if body.len() < 8 {
            return Err("short interface description");
        }
        let mut i = Interface { link: self.u16(body, 0), snap: self.u32(body, 4), ..Interface::default() };
        self.options(&body[8..]).each(|code, value| match (code, value) {
            (2, name) => i.name = String::from_utf8_lossy(name).into_owned(),
            (9, &[r]) => i.units = if r & 0x80 != 0 { Units::Binary(r & 0x7f) } else { Units::Decimal(r) },
            (14, v) if v.len() == 8 => i.offset = self.u64(v, 0) as i64,
            _ => {}
        });
        self.interfaces.push(i);
        Ok(())
    }

    /// An enhanced packet block, or the obsolete packet block, whose interface is 16 bits and a drop count.
    fn packet<'a>(&mut self, body: &'a [u8], obsolete: bool) -> Result<Record<'a>, &'static str> {
        if body.len() < 20 {
            return Err("short packet block");
        }
        let local = if obsolete { u32::from(self.u16(body, 0)) } else { self.u32(body, 0) };
        let captured = self.u32(body, 12) as usize;
        let frame = body.get(20..).and_then(|b| b.get(..captured)).ok_or("a packet is longer than its block")?;
        let interface = self.base.saturating_add(local as usize);
        let Some(about) = self.interfaces.get(interface) else { return Err("a packet of an unknown interface") };
        if captured > longest(about.link) {
            return Err("an impossible packet length; what follows was not read");
        }
        let ticks = u64::from(self.u32(body, 4)) << 32 | u64::from(self.u32(body, 8));
        let time = nanos(ticks, about.units, about.offset);
        let link = about.link;
        let options = self.options(body.get(20 + captured.next_multiple_of(4)..).unwrap_or(&[]));
        let direction = options.flags().map_or(0, |flags| (flags & 3).min(2) as u8);
        if obsolete {
            let drops = self.u16(body, 2);
            self.dropped = self.dropped.saturating_add(if drops == u16::MAX { 0 } else { u64::from(drops) });
        }
        let (interface, original) = (interface as u32, self.u32(body, 16));
        Ok(Record { time, interface, link, original, direction, bytes: frame, options })
    }

    /// A simple packet block: no time, always of the first interface.
    fn simple<'a>(&self, body: &'a [u8]) -> Result<Record<'a>, &'static str> {
        let Some(about) = self.interfaces.get(self.base) else { return Err("a packet of an unknown interface") };
        if body.len() < 4 {
            return Err("short simple packet block");
        }
        let original = self.u32(body, 0);
        let limit = if about.snap == 0 { original } else { original.min(about.snap) };
        let bytes = &body[4..body.len().min(4usize.saturating_add(limit as usize))];
        let (interface, link, options) = (self.base as u32, about.link, Options::default());
        Ok(Record { time: None, interface, link, original, direction: 0, bytes, options })
    }

    fn statistics(&mut self, body: &[u8]) {
        let mut dropped = 0u64;
        self.options(body.get(12..).unwrap_or(&[])).each(|code, value| {
            // isb_ifdrop and isb_osdrop
            if matches!(code, 5 | 7) && value.len() == 8 {
                dropped = dropped.saturating_add(self.u64(value, 0));
            }
        });
        self.dropped = self.dropped.saturating_add(dropped);
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

    #[test]
    fn timestamps_follow_the_resolution_of_the_interface() {
        assert_eq!(nanos(1_500_000, Units::Decimal(6), 0), Some(1_500_000_000));
        assert_eq!(nanos(3, Units::Decimal(0), 1), Some(4_000_000_000));
        assert_eq!(nanos(1 << 20, Units::Binary(20), 0), Some(1_000_000_000));
        assert_eq!(nanos(u64::MAX, Units::Decimal(0), 0), None);
    }
}
