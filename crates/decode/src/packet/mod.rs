//! Packet headers: a link-layer frame, possibly cut, to addresses, ports and TCP fields.
//!
//! The innermost packet of a tunnel counts. Lengths come from the IP header, but never beyond what the frame had on the
//! wire, so that frames cut after their headers keep the payload that they carried. What an ICMP error quotes is no
//! packet. Fragments are put together by a [`Reassembler`]; [`decode`] alone sees each by itself.
//!
//! One file a layer: `link`, `ether`, `wifi`, `ip`, `tunnel`, `transport`.

mod ether;
mod fragment;
mod ip;
pub mod link;
mod part;
mod transport;
mod tunnel;
mod walk;
mod wifi;

use coldcase_model::Ip;

pub use fragment::{Reassembler, Whole};

use part::{Part, Stop};
use walk::Walk;

/// IP protocol numbers that occur here.
pub const TCP: u8 = 6;
/// UDP.
pub const UDP: u8 = 17;

/// What a frame turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decoded {
    /// An IP packet.
    Ip(Headers),
    /// Well-formed, but not IP: ARP, or an ether type that is not decoded.
    Other,
    /// Of a link type that is not decoded.
    UnknownLink,
    /// A header before the transport's is wrong.
    Malformed,
    /// The capture ends before the end of the IP header.
    Cut,
}

/// What is amiss behind the headers that could be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// A header further in is wrong.
    Malformed,
    /// A header further in was not captured whole.
    Cut,
}

/// How a packet was carried inside another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TunnelKind {
    /// GRE, ERSPAN and PPTP included.
    Gre,
    /// VXLAN.
    Vxlan,
    /// Geneve.
    Geneve,
    /// IP in IP: IPv4 or IPv6 in either.
    IpInIp,
}

/// The tunnel that a packet came through: the innermost, but the outermost of those over UDP, whose datagrams are a
/// flow of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tunnel {
    /// Its kind.
    pub kind: TunnelKind,
    /// Sender and receiver outside.
    pub ends: [Ip; 2],
    /// Their UDP ports; 0 where it does not run over UDP.
    pub ports: [u16; 2],
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

/// The headers of an IP packet: the innermost IP header, and its transport header.
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
    /// Bytes behind the transport header as the IP header tells, whether captured or not, but no more than the frame
    /// had on the wire. For a fragment or another transport, bytes behind the IP header.
    pub payload: u32,
    /// Whether `payload` is that of the TCP segment or UDP datagram: not so for a fragment by itself, nor where the
    /// packet is shorter than its transport header.
    pub length_known: bool,
    /// Bytes from the IP header to the end as the IP header tells.
    pub ip_bytes: u32,
    /// Time to live, or hop limit.
    pub ttl: u8,
    /// The identification of IPv4, which many senders count up; 0 for IPv6.
    pub ip_id: u16,
    /// Whether it is a fragment by itself.
    pub fragment: bool,
    /// Innermost VLAN id.
    pub vlan: Option<u16>,
    /// The tunnel that it came through.
    pub tunnel: Option<Tunnel>,
    /// What is amiss further in.
    pub trouble: Option<Trouble>,
    /// Whether it is UDP, and its header was captured.
    pub udp: bool,
    /// TCP fields, if it is TCP and its header was captured up to the window.
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
    decoded(Walk::default().link(link, whole(frame, original)))
}

/// The same, with what was captured of the payload behind the transport header.
pub fn decode_payload(link: u16, frame: &[u8], original: u32) -> (Decoded, &[u8]) {
    let mut walk = Walk::default();
    let found = walk.link(link, whole(frame, original));
    (decoded(found), walk.payload)
}

/// A frame as the stretch that it is. What was captured was on the wire too.
fn whole(frame: &[u8], original: u32) -> Part<'_> {
    Part { bytes: frame, wire: original.max(u32::try_from(frame.len()).unwrap_or(u32::MAX)) }
}

fn decoded(found: walk::Found) -> Decoded {
    match found {
        Ok(headers) => Decoded::Ip(headers),
        Err(Stop::Malformed) => Decoded::Malformed,
        Err(Stop::Cut) => Decoded::Cut,
        Err(Stop::Other) => Decoded::Other,
        Err(Stop::UnknownLink) => Decoded::UnknownLink,
    }
}

#[cfg(test)]
mod layers;
#[cfg(test)]
mod tests;
