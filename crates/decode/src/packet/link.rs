//! Link types (`LINKTYPE_*` of pcap and pcapng), and what stands before the packet in each.

use super::Headers;
use super::part::{Part, Stop};
use super::walk::Walk;

/// BSD loopback: a 4-byte address family in the byte order of the host that captured.
pub const NULL: u16 = 0;
/// Ethernet.
pub const ETHERNET: u16 = 1;
/// PPP, with HDLC's address and control bytes or without.
pub const PPP: u16 = 9;
/// Raw IP in files of some systems.
pub const RAW_BSD: u16 = 12;
/// Raw IP in files of OpenBSD.
pub const RAW_OPENBSD: u16 = 14;
/// PPP in HDLC framing.
pub const PPP_HDLC: u16 = 50;
/// PPPoE session without Ethernet.
pub const PPP_ETHER: u16 = 51;
/// Raw IP, version by its first nibble.
pub const RAW: u16 = 101;
/// Cisco HDLC.
pub const C_HDLC: u16 = 104;
/// 802.11.
pub const WIFI: u16 = 105;
/// OpenBSD loopback: like [`NULL`], big-endian.
pub const LOOP: u16 = 108;
/// Linux cooked v1.
pub const LINUX_SLL: u16 = 113;
/// 802.11 behind a Prism header.
pub const WIFI_PRISM: u16 = 119;
/// 802.11 behind a radiotap header.
pub const WIFI_RADIOTAP: u16 = 127;
/// 802.11 behind an AVS header.
pub const WIFI_AVS: u16 = 163;
/// PPP behind a byte that tells the direction.
pub const PPP_WITH_DIRECTION: u16 = 204;
/// Raw IPv4.
pub const IPV4: u16 = 228;
/// Raw IPv6.
pub const IPV6: u16 = 229;
/// Linux cooked v2.
pub const LINUX_SLL2: u16 = 276;

impl<'a> Walk<'a> {
    /// From the first byte of a frame of link type `link`.
    pub(super) fn link(&mut self, link: u16, part: Part<'a>) -> Result<Headers, Stop> {
        match link {
            ETHERNET => self.ethernet(part),
            RAW | RAW_BSD | RAW_OPENBSD | IPV4 | IPV6 => self.ip(part),
            LINUX_SLL => self.ether_type(part.u16(14)?, part.after(16)),
            LINUX_SLL2 => self.ether_type(part.u16(0)?, part.after(20)),
            NULL | LOOP => self.loopback(part),
            PPP | PPP_HDLC => self.ppp(part),
            PPP_WITH_DIRECTION => self.ppp(part.after(1)),
            PPP_ETHER => self.pppoe(part),
            C_HDLC => self.ether_type(part.u16(2)?, part.after(4)),
            WIFI => self.wifi(part, false),
            WIFI_RADIOTAP => self.radiotap(part),
            WIFI_PRISM => self.behind_length(part, u32::from_le_bytes),
            WIFI_AVS => self.behind_length(part, u32::from_be_bytes),
            _ => Err(Stop::UnknownLink),
        }
    }

    /// The family's byte order is the capturing host's, and its IPv6 value the system's; the version nibble decides,
    /// the family only tells IP from the rest.
    fn loopback(&mut self, part: Part<'a>) -> Result<Headers, Stop> {
        let family: [u8; 4] = part.array()?;
        match u32::from_be_bytes(family).min(u32::from_le_bytes(family)) {
            2 | 10 | 24 | 28 | 30 => self.ip(part.after(4)),
            _ => Err(Stop::Other),
        }
    }

    /// 802.11 behind a header whose length stands at its fifth byte.
    fn behind_length(&mut self, part: Part<'a>, number: fn([u8; 4]) -> u32) -> Result<Headers, Stop> {
        let [_, _, _, _, a, b, c, d] = part.array()?;
        let length = number([a, b, c, d]) as usize;
        if length < 8 {
            return Err(Stop::Malformed);
        }
        self.wifi(part.after(length), false)
    }
}
