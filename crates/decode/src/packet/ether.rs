//! Ethernet and what an ether type leads to: VLAN tags, MPLS, PPPoE, LLC.

use super::Headers;
use super::part::{Part, Stop};
use super::walk::Walk;

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
/// Transparent Ethernet bridging.
pub(super) const ETHERNET: u16 = 0x6558;
pub(super) const MPLS: u16 = 0x8847;
pub(super) const PPP: u16 = 0x880b;
/// Below this the field is a length, and LLC follows.
const SMALLEST_TYPE: u16 = 0x0600;
/// Linux cooked captures write this where LLC follows.
const LINUX_LLC: u16 = 4;
/// Most MPLS labels on a packet.
const LABELS: usize = 64;

impl<'a> Walk<'a> {
    /// From a destination address.
    pub(super) fn ethernet(&mut self, part: Part<'a>) -> Result<Headers, Stop> {
        let kind = part.u16(12)?;
        let rest = part.after(14);
        if kind < SMALLEST_TYPE {
            return self.llc(rest.limit(u32::from(kind)));
        }
        self.ether_type(kind, rest)
    }

    /// What an ether type says follows.
    pub(super) fn ether_type(&mut self, kind: u16, rest: Part<'a>) -> Result<Headers, Stop> {
        match kind {
            IPV4 | IPV6 => self.ip(rest),
            0x8100 | 0x88a8 | 0x9100 | 0x9200 | 0x9300 => {
                self.deeper()?;
                self.vlan = Some(rest.u16(0)? & 0x0fff);
                let inner = rest.u16(2)?;
                let rest = rest.after(4);
                if inner < SMALLEST_TYPE { self.llc(rest) } else { self.ether_type(inner, rest) }
            }
            MPLS | 0x8848 => self.mpls(rest),
            0x8864 => self.pppoe(rest),
            ETHERNET => {
                self.deeper()?;
                self.ethernet(rest)
            }
            PPP => self.ppp(rest),
            LINUX_LLC => self.llc(rest),
            _ => Err(Stop::Other),
        }
    }

    /// 802.2: only SNAP with an Ethernet type leads on.
    pub(super) fn llc(&mut self, part: Part<'a>) -> Result<Headers, Stop> {
        match part.head(8)? {
            [0xaa, 0xaa, 3, 0, 0, 0 | 0xf8, a, b] => self.ether_type(u16::from_be_bytes([*a, *b]), part.after(8)),
            _ => Err(Stop::Other),
        }
    }

    /// The labels are skipped to the bottom of the stack; what follows is IP if it looks like it, and Ethernet behind
    /// a control word (RFC 4448) if that leads somewhere.
    pub(super) fn mpls(&mut self, mut rest: Part<'a>) -> Result<Headers, Stop> {
        self.deeper()?;
        for _ in 0..LABELS {
            let [_, _, bottom, _] = rest.array()?;
            rest = rest.after(4);
            if bottom & 1 == 0 {
                continue;
            }
            let [first] = rest.array()?;
            return match first >> 4 {
                4 | 6 => self.ip(rest),
                0 => self.ethernet(rest.after(4)).map_err(|_| Stop::Other),
                _ => Err(Stop::Other),
            };
        }
        Err(Stop::Malformed)
    }

    /// PPPoE session (RFC 2516): version and type, code, session, length, then PPP.
    pub(super) fn pppoe(&mut self, part: Part<'a>) -> Result<Headers, Stop> {
        let [version, code, _, _, a, b] = part.array()?;
        if version != 0x11 {
            return Err(Stop::Malformed);
        }
        if code != 0 {
            return Err(Stop::Other);
        }
        self.ppp(part.after(6).limit(u32::from(u16::from_be_bytes([a, b]))))
    }

    /// PPP (RFC 1661), with HDLC's address and control or without; the protocol takes one byte where it is compressed.
    pub(super) fn ppp(&mut self, mut part: Part<'a>) -> Result<Headers, Stop> {
        self.deeper()?;
        if part.bytes.starts_with(&[0xff, 3]) {
            part = part.after(2);
        }
        let [first] = part.array()?;
        let (protocol, rest) = match first & 1 {
            1 => (u16::from(first), part.after(1)),
            _ => (part.u16(0)?, part.after(2)),
        };
        match protocol {
            0x21 | 0x57 => self.ip(rest),
            0x281 | 0x283 => self.mpls(rest),
            _ => Err(Stop::Other),
        }
    }
}
