//! Captures as files, to their requests: what tests need to run the dissectors, without bundles and flows.

#![allow(unreachable_pub, clippy::expect_used)]

use std::collections::HashMap;
use std::fs::File;
use std::io::BufReader;
use std::net::IpAddr;
use std::path::Path;

use coldcase_decode::packet::link;
use coldcase_decode::request::connection::Connection;
use coldcase_decode::request::dns::Datagrams;
use coldcase_decode::request::reassembly::{Segment, Way};
use coldcase_decode::request::{Request, Stamp};
use etherparse::{EtherType, LaxNetSlice, LaxSlicedPacket, TransportSlice};
use pcap_file::pcap::PcapReader;
use pcap_file::pcapng::{Block, PcapNgReader};

/// A packet of a file.
pub struct Packet {
    pub link: u16,
    /// UTC nanoseconds.
    pub time: i64,
    pub bytes: Vec<u8>,
}

/// The packets of a capture file, up to where it can not be read.
pub fn packets(path: &Path) -> Vec<Packet> {
    let open = || BufReader::new(File::open(path).expect("the capture can be opened"));
    let nanos = |d: std::time::Duration| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX);
    let mut out = Vec::new();
    if let Ok(mut reader) = PcapReader::new(open()) {
        let link = u32::from(reader.header().datalink) as u16;
        while let Some(Ok(packet)) = reader.next_packet() {
            out.push(Packet { link, time: nanos(packet.timestamp), bytes: packet.data.into_owned() });
        }
    } else if let Ok(mut reader) = PcapNgReader::new(open()) {
        let mut links = Vec::new();
        while let Some(Ok(block)) = reader.next_block() {
            match block {
                Block::SectionHeader(_) => links.clear(),
                Block::InterfaceDescription(i) => links.push(u32::from(i.linktype) as u16),
                Block::EnhancedPacket(p) => {
                    let link = links.get(p.interface_id as usize).copied().unwrap_or(0);
                    out.push(Packet { link, time: nanos(p.timestamp), bytes: p.data.into_owned() });
                }
                _ => {}
            }
        }
    }
    out
}

/// The innermost addresses and transport of a packet.
struct Inner<'a> {
    src: (IpAddr, u16),
    dst: (IpAddr, u16),
    tcp: Option<etherparse::TcpSlice<'a>>,
    payload: &'a [u8],
    len: u32,
}

fn inner(link: u16, frame: &[u8]) -> Option<Inner<'_>> {
    let by = |at: usize, rest: usize| {
        let kind = u16::from_be_bytes([*frame.get(at)?, *frame.get(at + 1)?]);
        ether(kind, frame.get(rest..)?)
    };
    match link {
        link::ETHERNET => by(12, 14),
        link::LINUX_SLL => by(14, 16),
        link::LINUX_SLL2 => by(0, 20),
        link::NULL | link::LOOP => ip(frame.get(4..)?),
        link::RAW | link::IPV4 | link::IPV6 | 12 | 14 => ip(frame),
        _ => None,
    }
}

fn ether(kind: u16, rest: &[u8]) -> Option<Inner<'_>> {
    match kind {
        0x8100 | 0x88a8 | 0x9100 => ether(u16::from_be_bytes([*rest.get(2)?, *rest.get(3)?]), &rest[4..]),
        0x8847 | 0x8848 => {
            let last = rest.chunks(4).position(|label| label.get(2).is_some_and(|b| b & 1 == 1))?;
            ip(rest.get(last * 4 + 4..)?)
        }
        0x0800 | 0x86dd => sliced(LaxSlicedPacket::from_ether_type(EtherType(kind), rest), rest),
        _ => None,
    }
}

fn ip(packet: &[u8]) -> Option<Inner<'_>> {
    sliced(LaxSlicedPacket::from_ip(packet).ok()?, packet)
}

fn sliced<'a>(p: LaxSlicedPacket<'a>, packet: &'a [u8]) -> Option<Inner<'a>> {
    let net = p.net.as_ref()?;
    let (src, dst, total): (IpAddr, IpAddr, usize) = match net {
        LaxNetSlice::Ipv4(v4) => {
            let h = v4.header();
            (h.source_addr().into(), h.destination_addr().into(), h.total_len().into())
        }
        LaxNetSlice::Ipv6(v6) => {
            let h = v6.header();
            (h.source_addr().into(), h.destination_addr().into(), usize::from(h.payload_length()) + 40)
        }
        LaxNetSlice::Arp(_) => return None,
    };
    let body = net.ip_payload_ref()?;
    if body.fragmented {
        return None;
    }
    if body.ip_number.0 == 47 {
        return gre(body.payload);
    }
    let behind =
        |payload: &[u8]| (total as u32).saturating_sub((payload.as_ptr() as usize - packet.as_ptr() as usize) as u32);
    match p.transport? {
        TransportSlice::Tcp(tcp) => {
            let payload = packet_part(packet, tcp.payload());
            let len = behind(payload);
            Some(Inner {
                src: (src, tcp.source_port()),
                dst: (dst, tcp.destination_port()),
                payload,
                len,
                tcp: Some(tcp),
            })
        }
        TransportSlice::Udp(udp) => {
            let payload = udp.payload();
            match udp.destination_port() {
                4789 => return ether_frame(payload.get(8..)?),
                6081 => return geneve(payload),
                _ => {}
            }
            let len = behind(payload);
            Some(Inner { src: (src, udp.source_port()), dst: (dst, udp.destination_port()), payload, len, tcp: None })
        }
        _ => None,
    }
}

/// The same bytes, borrowed from the packet.
fn packet_part<'a>(packet: &'a [u8], part: &[u8]) -> &'a [u8] {
    let at = part.as_ptr() as usize - packet.as_ptr() as usize;
    &packet[at..at + part.len()]
}

fn ether_frame(frame: &[u8]) -> Option<Inner<'_>> {
    inner(link::ETHERNET, frame)
}

fn gre(bytes: &[u8]) -> Option<Inner<'_>> {
    let (flags, kind) = (*bytes.first()?, u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]));
    let head = 4 + [0x80u8, 0x20, 0x10].iter().filter(|f| flags & **f != 0).count() * 4;
    let rest = bytes.get(head..)?;
    if kind == 0x6558 { ether_frame(rest) } else { ether(kind, rest) }
}

fn geneve(bytes: &[u8]) -> Option<Inner<'_>> {
    let head = 8 + usize::from(bytes.first()? & 0x3f) * 4;
    let kind = u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]);
    let rest = bytes.get(head..)?;
    if kind == 0x6558 { ether_frame(rest) } else { ether(kind, rest) }
}

type End = (IpAddr, u16);

/// What a capture held.
#[derive(Default)]
pub struct Read {
    /// All requests, in the order in which they ended.
    pub requests: Vec<Request>,
    /// Bytes that no message could be read from, of connections whose protocol is known.
    pub unread: u64,
}

/// Reads a capture file.
pub fn read(path: &Path) -> Read {
    let mut tcp: HashMap<(End, End), (Connection, End)> = HashMap::new();
    let mut udp: HashMap<(End, End), Datagrams> = HashMap::new();
    let mut order = Vec::new();
    let mut read = Read::default();
    let out = &mut read.requests;
    for (number, packet) in packets(path).iter().enumerate() {
        let at = Stamp { time: packet.time, packet: number as u64 };
        let Some(p) = inner(packet.link, &packet.bytes) else { continue };
        let key = if p.src <= p.dst { (p.src, p.dst) } else { (p.dst, p.src) };
        let Some(header) = &p.tcp else {
            udp.entry(key).or_default().datagram(at, p.payload, p.len, out);
            continue;
        };
        let (connection, first) = tcp.entry(key).or_insert_with(|| {
            order.push(key);
            (Connection::new(), p.src)
        });
        let segment = Segment {
            way: if *first == p.src { Way::Forward } else { Way::Back },
            at,
            seq: header.sequence_number(),
            ack: header.ack().then(|| header.acknowledgment_number()),
            syn: header.syn(),
            fin: header.fin(),
            rst: header.rst(),
            len: p.len,
            data: p.payload,
        };
        if connection.reopened_by(&segment) {
            let mut old = std::mem::take(connection);
            old.finish(out);
            read.unread += old.unread();
            *first = p.src;
        }
        let way = if *first == p.src { Way::Forward } else { Way::Back };
        connection.segment(&Segment { way, ..segment }, out);
    }
    for key in order {
        if let Some((mut connection, _)) = tcp.remove(&key) {
            connection.finish(out);
            read.unread += connection.unread();
        }
    }
    let mut flows: Vec<_> = udp.into_iter().collect();
    flows.sort_by_key(|(key, _)| *key);
    for (_, mut flow) in flows {
        flow.finish(out);
        read.unread += flow.unread();
    }
    read
}
