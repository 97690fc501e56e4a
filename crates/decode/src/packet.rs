//! Packet headers: a link-layer frame, possibly cut, to addresses, ports and TCP fields.

use coldcase_model::Ip;
use etherparse::{EtherType, LaxNetSlice, LaxSlicedPacket, TcpOptionElement, TransportSlice};

/// IP protocol numbers that occur here.
pub const TCP: u8 = 6;
/// UDP.
pub const UDP: u8 = 17;

/// Link types (`LINKTYPE_*` of pcap and pcapng) that [`decode`] understands.
pub mod link {
    /// BSD loopback: a 4-byte address family in the byte order of the host that captured.
    pub const NULL: u16 = 0;
    /// Ethernet.
    pub const ETHERNET: u16 = 1;
    /// Raw IP, version by its first nibble.
    pub const RAW: u16 = 101;
    /// OpenBSD loopback: like [`NULL`], big-endian.
    pub const LOOP: u16 = 108;
    /// Linux cooked v1.
    pub const LINUX_SLL: u16 = 113;
    /// Raw IPv4.
    pub const IPV4: u16 = 228;
    /// Raw IPv6.
    pub const IPV6: u16 = 229;
    /// Linux cooked v2.
    pub const LINUX_SLL2: u16 = 276;
}

/// What a frame turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decoded {
    /// An IP packet.
    Ip(Headers),
    /// Well-formed, but not IP: ARP, or an ether type that is not decoded.
    Other,
    /// Of a link type that is not decoded.
    UnknownLink,
    /// A header is wrong or cut.
    Malformed,
}

impl Decoded {
    /// The headers, if it is an IP packet.
    pub fn headers(&self) -> Option<&Headers> {
        match self {
            Decoded::Ip(h) => Some(h),
            _ => None,
        }
    }
}

/// The headers of an IP packet: the outermost IP header, and its transport header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Headers {
    /// Sender.
    pub src: Ip,
    /// Receiver.
    pub dst: Ip,
    /// IP protocol of the transport: 6 TCP, 17 UDP, 1 ICMP, 58 ICMPv6.
    pub protocol: u8,
    /// Port of the sender; 0 where the protocol has none or the header is not there.
    pub src_port: u16,
    /// Port of the receiver, likewise.
    pub dst_port: u16,
    /// Bytes behind the transport header as the IP header tells, whether captured or not. For a fragment, bytes
    /// behind the IP header.
    pub payload: u32,
    /// Bytes from the IP header to the end as the IP header tells.
    pub ip_bytes: u32,
    /// Time to live, or hop limit.
    pub ttl: u8,
    /// Whether it is a fragment.
    pub fragment: bool,
    /// Innermost VLAN id.
    pub vlan: Option<u16>,
    /// TCP fields, if it is TCP and its header was captured.
    pub tcp: Option<Tcp>,
}

/// Fields of a TCP header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tcp {
    /// Flag bits as on the wire: [`Tcp::FIN`] and the others.
    pub flags: u8,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgment number; meaningful with [`Tcp::ACK`].
    pub ack: u32,
    /// Window as on the wire, unscaled.
    pub window: u16,
    /// Window scale option, as seen in SYN segments.
    pub window_scale: Option<u8>,
    /// Maximum segment size option, as seen in SYN segments.
    pub mss: Option<u16>,
    /// Timestamp option: value and echo.
    pub timestamps: Option<(u32, u32)>,
    /// SACK blocks.
    pub sack: Sack,
    /// MPTCP options, a bit for each subtype from 0 (`MP_CAPABLE`) to 7 (`MP_FASTCLOSE`).
    pub mptcp: u8,
}

/// The blocks of a SACK option (RFC 2018): at most four fit into a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sack {
    blocks: [(u32, u32); 4],
    count: u8,
}

impl Sack {
    /// The blocks: first number, and the number after the last.
    pub fn blocks(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.blocks.iter().take(usize::from(self.count)).copied()
    }

    /// Adds a block; a fifth has no room.
    pub fn push(&mut self, left: u32, right: u32) {
        if let Some(place) = self.blocks.get_mut(usize::from(self.count)) {
            *place = (left, right);
            self.count += 1;
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

#[allow(missing_docs)] // the names are those of RFC 9293
impl Tcp {
    pub const FIN: u8 = 0x01;
    pub const SYN: u8 = 0x02;
    pub const RST: u8 = 0x04;
    pub const PSH: u8 = 0x08;
    pub const ACK: u8 = 0x10;
    pub const URG: u8 = 0x20;
    pub const ECE: u8 = 0x40;
    pub const CWR: u8 = 0x80;

    /// Whether all the given flag bits are set.
    pub fn has(&self, flags: u8) -> bool {
        self.flags & flags == flags
    }
}

/// Decodes a frame of link type `link`. `original` is its length on the wire: it stands in where the IP header holds
/// no length, as segmentation offload leaves it.
pub fn decode(link: u16, frame: &[u8], original: u32) -> Decoded {
    match link {
        link::ETHERNET => match LaxSlicedPacket::from_ethernet(frame) {
            Ok(p) => sliced(&p, frame, original),
            Err(_) => Decoded::Malformed,
        },
        link::RAW | link::IPV4 | link::IPV6 | 12 | 14 => ip(frame, frame, original),
        link::LINUX_SLL => cooked(frame, 14, 16, original),
        link::LINUX_SLL2 => cooked(frame, 0, 20, original),
        link::NULL | link::LOOP => loopback(frame, original),
        _ => Decoded::UnknownLink,
    }
}

/// A frame with a cooked header: the ether type stands at `protocol`, the payload at `payload`.
fn cooked(frame: &[u8], protocol: usize, payload: usize, original: u32) -> Decoded {
    match (frame.get(protocol..protocol + 2), frame.get(payload..)) {
        (Some(&[a, b]), Some(rest)) => by_ether_type(u16::from_be_bytes([a, b]), rest, frame, original),
        _ => Decoded::Malformed,
    }
}

/// A BSD loopback frame. The family's byte order is the capturing host's, and its IPv6 value the system's; the
/// version nibble decides, the family only tells IP from the rest.
fn loopback(frame: &[u8], original: u32) -> Decoded {
    let (Some(&[a, b, c, d]), Some(rest)) = (frame.get(..4), frame.get(4..)) else { return Decoded::Malformed };
    match u32::from_be_bytes([a, b, c, d]).min(u32::from_le_bytes([a, b, c, d])) {
        2 | 10 | 24 | 28 | 30 => ip(rest, frame, original),
        _ => Decoded::Other,
    }
}

fn by_ether_type(ether_type: u16, rest: &[u8], frame: &[u8], original: u32) -> Decoded {
    sliced(&LaxSlicedPacket::from_ether_type(EtherType(ether_type), rest), frame, original)
}

fn ip(packet: &[u8], frame: &[u8], original: u32) -> Decoded {
    match LaxSlicedPacket::from_ip(packet) {
        Ok(p) => sliced(&p, frame, original),
        Err(_) => Decoded::Malformed,
    }
}

/// MPLS: the labels are skipped to the bottom of the stack; what follows is IP if it looks like it.
fn mpls(mut rest: &[u8], frame: &[u8], original: u32) -> Decoded {
    while let Some((label, tail)) = rest.split_at_checked(4) {
        rest = tail;
        if label[2] & 1 == 1 {
            return match rest.first().map(|b| b >> 4) {
                Some(4 | 6) => ip(rest, frame, original),
                _ => Decoded::Other,
            };
        }
    }
    Decoded::Malformed
}

fn sliced(p: &LaxSlicedPacket<'_>, frame: &[u8], original: u32) -> Decoded {
    let Some(net) = &p.net else {
        if let Some(inner) = p.ether_payload() {
            match inner.ether_type.0 {
                0x8847 | 0x8848 => return mpls(inner.payload, frame, original),
                // VLAN tags beyond what one slice holds.
                0x8100 | 0x88a8 | 0x9100 if p.stop_err.is_none() && inner.payload.len() < frame.len() => {
                    return by_ether_type(inner.ether_type.0, inner.payload, frame, original);
                }
                _ => {}
            }
        }
        return if p.stop_err.is_some() { Decoded::Malformed } else { Decoded::Other };
    };
    // Where the IP header stands in the frame tells how much of the wire length is its own.
    let mut h = match net {
        LaxNetSlice::Arp(_) => return Decoded::Other,
        LaxNetSlice::Ipv4(v4) => {
            let header = v4.header();
            Headers {
                src: std::net::IpAddr::V4(header.source_addr()).into(),
                dst: std::net::IpAddr::V4(header.destination_addr()).into(),
                ttl: header.ttl(),
                ip_bytes: u32::from(header.total_len()),
                ..Headers::default()
            }
        }
        LaxNetSlice::Ipv6(v6) => {
            let header = v6.header();
            Headers {
                src: std::net::IpAddr::V6(header.source_addr()).into(),
                dst: std::net::IpAddr::V6(header.destination_addr()).into(),
                ttl: header.hop_limit(),
                ip_bytes: match header.payload_length() {
                    0 => 0,
                    n => u32::from(n) + 40,
                },
                ..Headers::default()
            }
        }
    };
    let ip_at = match net {
        LaxNetSlice::Ipv4(v4) => offset_in(frame, v4.header().slice()),
        LaxNetSlice::Ipv6(v6) => offset_in(frame, v6.header().slice()),
        LaxNetSlice::Arp(_) => 0,
    };
    if h.ip_bytes == 0 {
        h.ip_bytes = original.saturating_sub(ip_at as u32);
    }
    h.vlan = p.vlan_ids().last().map(|v| v.value());
    let Some(body) = net.ip_payload_ref() else { return Decoded::Malformed };
    h.protocol = body.ip_number.0;
    h.fragment = body.fragmented;
    let before_body = offset_in(frame, body.payload).saturating_sub(ip_at) as u32;
    h.payload = h.ip_bytes.saturating_sub(before_body);
    if body.fragmented {
        return Decoded::Ip(h);
    }
    match &p.transport {
        Some(TransportSlice::Tcp(tcp)) => {
            h.src_port = tcp.source_port();
            h.dst_port = tcp.destination_port();
            h.payload = h.payload.saturating_sub(tcp.header_slice().len() as u32);
            h.tcp = Some(tcp_fields(tcp));
        }
        Some(TransportSlice::Udp(udp)) => {
            h.src_port = udp.source_port();
            h.dst_port = udp.destination_port();
            h.payload = h.payload.saturating_sub(8);
        }
        Some(_) => {}
        // The header of a transport that would be decoded is wrong or cut.
        None if p.stop_err.is_some() || matches!(h.protocol, TCP | UDP) => return Decoded::Malformed,
        None => {}
    }
    Decoded::Ip(h)
}

/// Where a part of the frame begins in it; the part was sliced from the frame.
fn offset_in(frame: &[u8], part: &[u8]) -> usize {
    (part.as_ptr() as usize).saturating_sub(frame.as_ptr() as usize).min(frame.len())
}

fn tcp_fields(tcp: &etherparse::TcpSlice<'_>) -> Tcp {
    let mut out = Tcp {
        flags: tcp.header_slice().get(13).copied().unwrap_or(0),
        seq: tcp.sequence_number(),
        ack: tcp.acknowledgment_number(),
        window: tcp.window_size(),
        ..Tcp::default()
    };
    if !tcp.options().is_empty() {
        for option in tcp.options_iterator() {
            match option {
                Ok(TcpOptionElement::WindowScale(n)) => out.window_scale = Some(n),
                Ok(TcpOptionElement::MaximumSegmentSize(n)) => out.mss = Some(n),
                Ok(TcpOptionElement::Timestamp(value, echo)) => out.timestamps = Some((value, echo)),
                Ok(TcpOptionElement::SelectiveAcknowledgement(first, rest)) => {
                    out.sack = Sack::default();
                    std::iter::once(first).chain(rest.into_iter().flatten()).for_each(|b| out.sack.push(b.0, b.1));
                }
                Ok(_) => {}
                Err(_) => break,
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use etherparse::PacketBuilder;

    fn tcp_frame(payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        PacketBuilder::ethernet2([1; 6], [2; 6])
            .ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
            .tcp(4000, 80, 1000, 512)
            .syn()
            .write(&mut out, payload)
            .unwrap();
        out
    }

    #[test]
    fn a_frame_cut_after_its_headers_keeps_its_payload_length() {
        let whole = tcp_frame(&[7; 900]);
        let Decoded::Ip(h) = decode(link::ETHERNET, &whole[..54], whole.len() as u32) else { panic!("not ip") };
        assert_eq!((h.payload, h.src_port, h.dst_port, h.protocol), (900, 4000, 80, TCP));
        assert_eq!(h.tcp.map(|t| (t.seq, t.has(Tcp::SYN), t.window)), Some((1000, true, 512)));
        assert_eq!(h.src.addr().to_string(), "10.0.0.1");
    }

    #[test]
    fn a_frame_without_ip_length_takes_it_from_the_wire() {
        let mut whole = tcp_frame(&[7; 900]);
        whole[16..18].copy_from_slice(&[0, 0]);
        let Decoded::Ip(h) = decode(link::ETHERNET, &whole[..54], whole.len() as u32) else { panic!("not ip") };
        assert_eq!(h.payload, 900);
    }

    #[test]
    fn cooked_raw_and_loopback_links_give_the_same_headers() {
        let whole = tcp_frame(b"abc");
        let ip = &whole[14..];
        let wire = |head: &[u8]| [head, ip].concat();
        let sll = wire(&[0, 0, 0, 1, 0, 6, 1, 2, 3, 4, 5, 6, 0, 0, 8, 0]);
        let sll2 = wire(&[8, 0, 0, 0, 0, 0, 0, 2, 0, 1, 0, 6, 1, 2, 3, 4, 5, 6, 0, 0]);
        let null = wire(&[2, 0, 0, 0]);
        let mpls = wire(&[1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 0x88, 0x47, 0, 0, 0, 64, 0, 0, 1, 64]);
        let reference = decode(link::ETHERNET, &whole, whole.len() as u32);
        assert!(reference.headers().is_some());
        for (link, frame) in
            [(link::LINUX_SLL, &sll), (link::LINUX_SLL2, &sll2), (link::NULL, &null), (link::RAW, &ip.to_vec())]
        {
            assert_eq!(decode(link, frame, frame.len() as u32), reference, "link {link}");
        }
        assert_eq!(decode(link::ETHERNET, &mpls, mpls.len() as u32), reference);
    }

    #[test]
    fn a_cut_tcp_header_is_malformed_and_arp_is_not() {
        let whole = tcp_frame(b"");
        assert_eq!(decode(link::ETHERNET, &whole[..40], whole.len() as u32), Decoded::Malformed);
        let mut arp = vec![0xff; 12];
        arp.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
        arp.extend([0; 20]);
        assert_eq!(decode(link::ETHERNET, &arp, 42), Decoded::Other);
        assert_eq!(decode(147, &whole, 60), Decoded::UnknownLink);
    }
}
