//! Where the headers of a packet end: found by parsing, so that no byte of payload is kept unasked.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::links::LinkType;

/// What parsing the headers found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Headers {
    /// Bytes up to the end of the last header that could be decoded.
    pub(super) end: usize,
    /// Addresses and ports of the outermost TCP or UDP header, and whether it is TCP.
    pub(super) ports: Option<(SocketAddr, SocketAddr, bool)>,
}

/// Tunnels in tunnels are followed this deep.
const DEPTH: u8 = 4;

/// Parses the headers of a packet of which `bytes` were captured.
pub(super) fn headers(link: LinkType, bytes: &[u8]) -> Headers {
    let mut parse = Parse { bytes, ports: None };
    let end = match link {
        LinkType::Ethernet => parse.ethernet(0, 0),
        LinkType::Raw => parse.by_version(0, 0),
    };
    Headers { end: end.min(bytes.len()), ports: parse.ports }
}

struct Parse<'a> {
    bytes: &'a [u8],
    ports: Option<(SocketAddr, SocketAddr, bool)>,
}

/// Each step gets where its header starts and gives where the last decodable header ends: its own start when it
/// cannot be decoded.
impl Parse<'_> {
    fn array<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.bytes.get(at..at.checked_add(N)?)?.try_into().ok()
    }

    fn u8(&self, at: usize) -> Option<usize> {
        self.bytes.get(at).map(|&b| usize::from(b))
    }

    fn u16(&self, at: usize) -> Option<u16> {
        self.array(at).map(u16::from_be_bytes)
    }

    /// `end` if so many bytes were captured, else `start`: a header that is not whole is not decodable.
    fn whole(&self, start: usize, end: usize) -> usize {
        if end <= self.bytes.len() { end } else { start }
    }

    fn ethernet(&mut self, start: usize, depth: u8) -> usize {
        let mut at = start + 12;
        loop {
            let Some(ethertype) = self.u16(at) else { return (start + 14).min(self.bytes.len()) };
            let after = at + 2;
            match ethertype {
                // VLAN, QinQ and its elders.
                0x8100 | 0x88a8 | 0x9100 => at = self.whole(after, after + 4) - 2,
                _ => return self.network(ethertype, after, depth),
            }
            if at < after {
                // The tag is not whole.
                return after;
            }
        }
    }

    fn network(&mut self, ethertype: u16, at: usize, depth: u8) -> usize {
        match ethertype {
            0x0800 => self.ipv4(at, depth),
            0x86dd => self.ipv6(at, depth),
            0x0806 => self.arp(at),
            0x8847 | 0x8848 => self.mpls(at, depth),
            0x8864 => match (self.array::<6>(at), self.u16(at + 6)) {
                (Some(_), Some(0x0021)) => self.ipv4(at + 8, depth),
                (Some(_), Some(0x0057)) => self.ipv6(at + 8, depth),
                _ => self.whole(at, at + 6),
            },
            _ => at,
        }
    }

    fn arp(&self, at: usize) -> usize {
        match (self.u8(at + 4), self.u8(at + 5)) {
            (Some(hardware), Some(protocol)) => self.whole(at, at + 8 + 2 * hardware + 2 * protocol),
            _ => at,
        }
    }

    fn mpls(&mut self, mut at: usize, depth: u8) -> usize {
        while let Some(label) = self.array::<4>(at) {
            at += 4;
            if label[2] & 1 == 1 {
                return self.by_version(at, depth);
            }
        }
        at
    }

    /// IPv4 or IPv6, as the first nibble says.
    fn by_version(&mut self, at: usize, depth: u8) -> usize {
        match self.u8(at).map(|b| b >> 4) {
            Some(4) => self.ipv4(at, depth),
            Some(6) => self.ipv6(at, depth),
            _ => at,
        }
    }

    fn ipv4(&mut self, at: usize, depth: u8) -> usize {
        let Some(fixed) = self.array::<20>(at) else { return at };
        let length = usize::from(fixed[0] & 0xf) * 4;
        let end = at + length;
        if fixed[0] >> 4 != 4 || length < 20 || end > self.bytes.len() {
            return at;
        }
        let fragment = u16::from_be_bytes([fixed[6], fixed[7]]) & 0x1fff;
        if fragment != 0 {
            // Payload of a transport header that came in the first fragment.
            return end;
        }
        let ip = |i: usize| IpAddr::V4(Ipv4Addr::new(fixed[i], fixed[i + 1], fixed[i + 2], fixed[i + 3]));
        self.transport(fixed[9], end, (ip(12), ip(16)), depth)
    }

    fn ipv6(&mut self, at: usize, depth: u8) -> usize {
        let (Some(fixed), Some(from), Some(to)) =
            (self.array::<8>(at), self.array::<16>(at + 8), self.array::<16>(at + 24))
        else {
            return at;
        };
        if fixed[0] >> 4 != 6 {
            return at;
        }
        let addresses = (IpAddr::V6(Ipv6Addr::from(from)), IpAddr::V6(Ipv6Addr::from(to)));
        let (mut next, mut at) = (fixed[6], at + 40);
        loop {
            let length = match (next, self.u8(at + 1)) {
                // Hop-by-hop, routing, destination options, mobility, HIP, shim6.
                (0 | 43 | 60 | 135 | 139 | 140, Some(units)) => 8 + units * 8,
                // Authentication counts in fours.
                (51, Some(units)) => 8 + units * 4,
                (44, Some(_)) => 8,
                (0 | 43 | 44 | 51 | 60 | 135 | 139 | 140, None) => return at,
                _ => return self.transport(next, at, addresses, depth),
            };
            if at + length > self.bytes.len() {
                return at;
            }
            if next == 44 && self.u16(at + 2).is_none_or(|offset| offset & 0xfff8 != 0) {
                return at + 8;
            }
            (next, at) = (self.bytes[at], at + length);
        }
    }

    fn transport(&mut self, protocol: u8, at: usize, addresses: (IpAddr, IpAddr), depth: u8) -> usize {
        match protocol {
            6 => self.tcp(at, addresses),
            // UDP, UDP-Lite.
            17 | 136 => {
                let end = self.whole(at, at + 8);
                if end > at {
                    self.note_ports(at, addresses, false);
                }
                end
            }
            // SCTP: the common header; its chunks carry the payload.
            132 => self.whole(at, at + 12),
            1 => self.icmp(at, &[3, 4, 5, 11, 12], depth),
            58 => self.icmp(at, &[1, 2, 3, 4], depth),
            4 | 41 if depth < DEPTH => self.by_version(at, depth + 1),
            47 if depth < DEPTH => self.gre(at, depth + 1),
            _ => at,
        }
    }

    fn tcp(&mut self, at: usize, addresses: (IpAddr, IpAddr)) -> usize {
        let Some(length) = self.u8(at + 12).map(|b| (b >> 4) * 4) else { return at };
        if length < 20 || at + length > self.bytes.len() {
            return at;
        }
        self.note_ports(at, addresses, true);
        at + length
    }

    fn note_ports(&mut self, at: usize, (from, to): (IpAddr, IpAddr), tcp: bool) {
        if let (None, Some(source), Some(destination)) = (self.ports, self.u16(at), self.u16(at + 2)) {
            self.ports = Some((SocketAddr::new(from, source), SocketAddr::new(to, destination), tcp));
        }
    }

    /// The ICMP header, and in an error message the headers of the packet that it quotes: they say what failed.
    fn icmp(&mut self, at: usize, errors: &[u8], depth: u8) -> usize {
        let end = self.whole(at, at + 8);
        if end == at || depth >= DEPTH || !errors.contains(&self.bytes[at]) {
            return end;
        }
        // The ports of a quoted packet are not those of this one, and what it quotes itself is payload.
        let ports = self.ports.replace((NOWHERE, NOWHERE, false));
        let quoted = self.by_version(end, DEPTH);
        self.ports = ports;
        quoted
    }

    fn gre(&mut self, at: usize, depth: u8) -> usize {
        let (Some(flags), Some(ethertype)) = (self.u16(at), self.u16(at + 2)) else { return at };
        let optional = [0x8000, 0x2000, 0x1000].iter().filter(|&&bit| flags & bit != 0).count();
        let end = at + 4 + 4 * optional;
        // Version 0 without source routing; anything else is not decodable here.
        if flags & 0x4007 != 0 || end > self.bytes.len() {
            return at;
        }
        match ethertype {
            0x6558 if self.bytes.len() >= end + 14 => self.ethernet(end, depth),
            _ => self.network(ethertype, end, depth),
        }
    }
}

const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

#[cfg(test)]
mod tests {
    use super::*;

    /// Ethernet, VLAN, IPv6 with hop-by-hop and fragment header, then GRE, IPv4 with options, ICMP quoting TCP: every
    /// step of the parser is in one of these.
    const SEEDS: [&[u8]; 3] = [
        &[
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x81, 0, 0, 5, 0x86, 0xdd, 0x60, 0, 0, 0, 0, 40, 0, 64, 1, 1, 1, 1, 1,
            1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 44, 0, 0, 0, 0, 0, 0, 0,
            6, 0, 0, 1, 0, 0, 0, 9, 0, 80, 0, 81, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 2, 0, 0, 0, 0, 0, 0,
        ],
        &[
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0x46, 0, 0, 0, 0, 0, 0, 0, 64, 47, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2,
            1, 1, 1, 1, 0xb0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0x45, 0, 0, 0, 0, 0, 0, 0, 64, 1, 0, 0, 3,
            3, 3, 3, 4, 4, 4, 4, 3, 1, 0, 0, 0, 0, 0, 0, 0x45, 0, 0, 0, 0, 0, 0, 0, 64, 6, 0, 0, 3, 3, 3, 3, 4, 4, 4,
            4, 0, 80, 0, 81, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 2, 0, 0, 0, 0, 0, 0,
        ],
        &[
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x88, 0x47, 0, 1, 0, 64, 0, 1, 1, 64, 0x45, 0, 0, 0, 0, 0, 0, 0, 64,
            17, 0, 0, 3, 3, 3, 3, 4, 4, 4, 4, 0, 53, 0, 54, 0, 8, 0, 0,
        ],
    ];

    #[test]
    fn the_last_header_of_each_seed_is_its_end() {
        for (seed, tcp) in SEEDS.iter().zip([Some(true), None, Some(false)]) {
            let found = headers(LinkType::Ethernet, seed);
            assert_eq!((found.end, found.ports.map(|p| p.2)), (seed.len(), tcp));
        }
    }

    #[test]
    fn damaged_and_shortened_packets_never_reach_beyond_their_bytes() {
        let mut state = 1u64;
        let mut random = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as usize % below
        };
        for _ in 0..200_000 {
            let mut bytes = SEEDS[random(3)].to_vec();
            for _ in 0..random(4) {
                let at = random(bytes.len());
                bytes[at] = random(256) as u8;
            }
            bytes.truncate(random(bytes.len() + 1));
            let link = if random(2) == 0 { LinkType::Ethernet } else { LinkType::Raw };
            assert!(headers(link, &bytes).end <= bytes.len(), "{bytes:02x?}");
        }
    }
}
