//! Packets inside packets: GRE, VXLAN, Geneve, IP in IP. The innermost one counts.

use super::ether;
use super::part::{Part, Stop};
use super::walk::{Found, Walk};
use super::{Headers, Trouble, Tunnel, TunnelKind};

const VXLAN: u16 = 4789;
const VXLAN_GPE: u16 = 4790;
const GENEVE: u16 = 6081;

/// The kind of tunnel that a UDP port tells.
pub(super) fn by_port(ports: [u16; 2]) -> Option<TunnelKind> {
    // The lower one first, as tshark does.
    let mut ports = ports;
    ports.sort_unstable();
    ports.into_iter().find_map(|port| match port {
        VXLAN | VXLAN_GPE => Some(TunnelKind::Vxlan),
        GENEVE => Some(TunnelKind::Geneve),
        _ => None,
    })
}

impl<'a> Walk<'a> {
    /// What an IP header with a protocol that is a tunnel carries; the headers of the tunnel where nothing inside can
    /// be told.
    pub(super) fn inside(&mut self, h: Headers, body: Part<'a>) -> Headers {
        let kind = if h.protocol == 47 { TunnelKind::Gre } else { TunnelKind::IpInIp };
        let outside = (self.vlan, self.tunnel);
        self.enter(&h, kind);
        let found = if kind == TunnelKind::Gre { self.gre(body) } else { self.ip(body) };
        self.leave(h, outside, found)
    }

    /// What a UDP datagram to the port of a tunnel carries.
    pub(super) fn inside_udp(&mut self, h: Headers, kind: TunnelKind, body: Part<'a>) -> Headers {
        let outside = (self.vlan, self.tunnel);
        self.enter(&h, kind);
        let found = if kind == TunnelKind::Vxlan { self.vxlan(body) } else { self.geneve(body) };
        self.leave(h, outside, found)
    }

    fn enter(&mut self, h: &Headers, kind: TunnelKind) {
        // Of UDP tunnels the outermost is kept: its datagrams are a flow of their own.
        if self.tunnel.is_none_or(|t| t.ports == [0; 2]) {
            self.tunnel = Some(Tunnel { kind, ends: [h.src, h.dst], ports: [h.src_port, h.dst_port] });
        }
    }

    fn leave(&mut self, h: Headers, outside: (Option<u16>, Option<Tunnel>), found: Found) -> Headers {
        let trouble = match found {
            Ok(inner) => return inner,
            Err(Stop::Malformed) => Some(Trouble::Malformed),
            Err(Stop::Cut) => Some(Trouble::Cut),
            Err(Stop::Other | Stop::UnknownLink) => None,
        };
        (self.vlan, self.tunnel) = outside;
        Headers { trouble, ..h }
    }

    /// RFC 2784 and 2890, and version 1 of PPTP (RFC 2637).
    fn gre(&mut self, part: Part<'a>) -> Found {
        let [flags, version, a, b] = part.array()?;
        let kind = u16::from_be_bytes([a, b]);
        let bit = |n: u8| usize::from(flags >> (7 - n) & 1);
        let has_sequence = bit(3);
        let length = match version & 7 {
            // Checksum (or routing) with an offset, key, sequence number.
            0 => 4 + 4 * (bit(0) | bit(1)) + 4 * bit(2) + 4 * has_sequence,
            // Key, sequence number, acknowledgment.
            1 => 8 + 4 * has_sequence + 4 * usize::from(version >> 7),
            _ => return Err(Stop::Malformed),
        };
        part.head(length)?;
        let rest = part.after(length);
        match kind {
            // ERSPAN type II has a header only where there is a sequence number.
            0x88be => {
                self.deeper()?;
                self.ethernet(rest.after(8 * has_sequence))
            }
            0x22eb => {
                self.deeper()?;
                let [.., last] = rest.array::<12>()?;
                self.ethernet(rest.after(if last & 1 == 1 { 20 } else { 12 }))
            }
            kind => self.ether_type(kind, rest),
        }
    }

    /// RFC 7348; with the P flag of the generic extension the next protocol stands in the header.
    fn vxlan(&mut self, part: Part<'a>) -> Found {
        let [flags, _, _, next, ..] = part.array::<8>()?;
        self.deeper()?;
        let rest = part.after(8);
        match (flags & 8 != 0, flags & 4 != 0, next) {
            (false, ..) => Err(Stop::Other),
            (_, true, 1 | 2) => self.ip(rest),
            (_, true, 5) => self.mpls(rest),
            (_, true, 3) | (_, false, _) => self.ethernet(rest),
            _ => Err(Stop::Other),
        }
    }

    /// RFC 8926.
    fn geneve(&mut self, part: Part<'a>) -> Found {
        let [first, _, a, b, ..] = part.array::<8>()?;
        self.deeper()?;
        if first >> 6 != 0 {
            return Err(Stop::Other);
        }
        let length = 8 + usize::from(first & 0x3f) * 4;
        part.head(length)?;
        let kind = u16::from_be_bytes([a, b]);
        let rest = part.after(length);
        if kind == ether::ETHERNET { self.ethernet(rest) } else { self.ether_type(kind, rest) }
    }
}
