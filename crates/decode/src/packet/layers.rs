//! What stands before and around a packet: each leads to the same segment.

use super::*;
use etherparse::PacketBuilder;

/// A whole IPv4 packet with a SYN to port 80, three bytes of payload.
fn packet() -> Vec<u8> {
    let mut out = Vec::new();
    let builder = PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64).tcp(4000, 80, 1000, 512).syn();
    builder.write(&mut out, b"abc").expect("a packet");
    out
}

const MACS: [u8; 12] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];

fn ethernet(kind: u16, rest: &[u8]) -> Vec<u8> {
    [&MACS[..], &kind.to_be_bytes(), rest].concat()
}

/// An IPv4 header before `rest`.
fn ipv4(protocol: u8, rest: &[u8]) -> Vec<u8> {
    let total = (20 + rest.len()) as u16;
    let head =
        [0x45, 0, (total >> 8) as u8, total as u8, 0, 7, 0, 0, 64, protocol, 0, 0, 192, 168, 0, 1, 192, 168, 0, 2];
    [&head[..], rest].concat()
}

/// An IPv6 header before `rest`.
fn ipv6(next: u8, rest: &[u8]) -> Vec<u8> {
    let mut out = vec![0x60, 0, 0, 0];
    out.extend((rest.len() as u16).to_be_bytes());
    out.extend([next, 64]);
    out.extend([0xfd; 16]);
    out.extend([0xfe; 16]);
    [&out[..], rest].concat()
}

fn udp(port: u16, rest: &[u8]) -> Vec<u8> {
    let length = (8 + rest.len()) as u16;
    [&5555u16.to_be_bytes()[..], &port.to_be_bytes(), &length.to_be_bytes(), &[0, 0], rest].concat()
}

fn gre(flags: u16, kind: u16, more: &[u8], rest: &[u8]) -> Vec<u8> {
    [&flags.to_be_bytes()[..], &kind.to_be_bytes(), more, rest].concat()
}

#[track_caller]
fn leads_to_the_segment(link: u16, frame: &[u8]) -> Headers {
    let Decoded::Ip(h) = decode(link, frame, frame.len() as u32) else { panic!("{:?}", decode(link, frame, 0)) };
    assert_eq!((h.dst_port, h.payload, h.trouble), (80, 3, None), "{h:?}");
    assert!(h.tcp.is_some_and(|t| t.has(Tcp::SYN)));
    h
}

#[test]
fn every_link_leads_to_the_packet() {
    let ip = packet();
    let before = |head: &[u8]| [head, &ip].concat();
    let snap = [0xaa, 0xaa, 3, 0, 0, 0, 8, 0];
    let data = |control: [u8; 2], header: usize| {
        let mut out = control.to_vec();
        out.resize(header, 0);
        [&out[..], &snap, &ip].concat()
    };
    let radiotap = |flags: u8, frame: Vec<u8>| {
        // Time and flags are present: the time is aligned to eight bytes.
        let head = [0, 0, 17, 0, 3, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, flags];
        [&head[..], &frame].concat()
    };
    let qos = {
        let mut out = vec![0x88, 1];
        out.resize(26, 0);
        out
    };
    let padded = [&qos[..], &[0, 0], &snap, &ip].concat();
    for (link, frame) in [
        (link::PPP, before(&[0xff, 3, 0, 0x21])),
        (link::PPP, before(&[0, 0x21])),
        (link::PPP_HDLC, before(&[0x21])),
        (link::PPP_WITH_DIRECTION, before(&[1, 0xff, 3, 0, 0x21])),
        (link::PPP_ETHER, before(&[0x11, 0, 0, 1, 0, 45, 0, 0x21])),
        (link::C_HDLC, before(&[15, 0, 8, 0])),
        (link::WIFI, data([0x08, 1], 24)),
        (link::WIFI, data([0x88, 1], 26)),
        (link::WIFI, data([0x08, 3], 30)),
        (link::WIFI_RADIOTAP, radiotap(0, data([0x08, 2], 24))),
        (link::WIFI_RADIOTAP, radiotap(0x20, padded)),
        (link::LOOP, before(&[0, 0, 0, 2])),
        (link::RAW_BSD, ip.clone()),
    ] {
        leads_to_the_segment(link, &frame);
    }
    let management = data([0, 0], 24);
    assert_eq!(decode(link::WIFI, &management, 99), Decoded::Other);
    let encrypted = data([0x08, 0x41], 24);
    assert_eq!(decode(link::WIFI, &encrypted, 99), Decoded::Other);
}

#[test]
fn tags_labels_and_sessions_are_passed() {
    let ip = packet();
    let tag = |id: u16, kind: u16, rest: &[u8]| [&id.to_be_bytes()[..], &kind.to_be_bytes(), rest].concat();
    let inner = tag(7, 0x0800, &ip);
    let tagged = ethernet(0x88a8, &tag(100, 0x8100, &tag(200, 0x8100, &inner)));
    assert_eq!(leads_to_the_segment(link::ETHERNET, &tagged).vlan, Some(7));
    let labels = [&[0, 1, 0, 64, 0, 2, 1, 64][..], &ip].concat();
    leads_to_the_segment(link::ETHERNET, &ethernet(0x8847, &labels));
    let wire = [&[0, 1, 1, 64, 0, 0, 0, 0][..], &ethernet(0x0800, &ip)].concat();
    leads_to_the_segment(link::ETHERNET, &ethernet(0x8847, &wire));
    let session = [&[0x11, 0, 0, 1, 0, (ip.len() + 2) as u8, 0, 0x21][..], &ip].concat();
    leads_to_the_segment(link::ETHERNET, &ethernet(0x8864, &session));
    let snap = [&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0][..], &ip].concat();
    leads_to_the_segment(link::ETHERNET, &ethernet(snap.len() as u16, &snap));
    let mut nested = ip;
    for _ in 0..60 {
        nested = tag(1, 0x8100, &nested);
    }
    assert_eq!(decode(link::ETHERNET, &ethernet(0x8100, &nested), 9), Decoded::Malformed, "too many tags");
}

#[test]
fn the_packet_inside_a_tunnel_counts() {
    let ip = packet();
    let inside = ethernet(0x0800, &ip);
    let vxlan = [&[8, 0, 0, 0, 0, 0, 1, 0][..], &inside].concat();
    let geneve = [&[1, 0, 0x65, 0x58, 0, 0, 1, 0, 1, 1, 1, 1][..], &inside].concat();
    let plain = [&[0, 0, 8, 0, 0, 0, 1, 0][..], &ip].concat();
    for (kind, outer) in [
        (TunnelKind::Gre, ipv4(47, &gre(0, 0x0800, &[], &ip))),
        (TunnelKind::Gre, ipv4(47, &gre(0xb000, 0x0800, &[0; 12], &ip))),
        (TunnelKind::Gre, ipv4(47, &gre(0, 0x6558, &[], &inside))),
        (TunnelKind::Gre, ipv4(47, &gre(0x1000, 0x88be, &[0; 12], &inside))),
        (
            TunnelKind::Gre,
            ipv4(47, &gre(0x3001, 0x880b, &[0, 47, 0, 1, 0, 0, 0, 1], &[&[0xff, 3, 0, 0x21][..], &ip].concat())),
        ),
        (TunnelKind::IpInIp, ipv4(4, &ip)),
        (TunnelKind::IpInIp, ipv6(4, &ip)),
        (TunnelKind::Vxlan, ipv4(17, &udp(4789, &vxlan))),
        (TunnelKind::Geneve, ipv6(17, &udp(6081, &geneve))),
        (TunnelKind::Geneve, ipv4(17, &udp(6081, &plain))),
    ] {
        let h = leads_to_the_segment(link::RAW, &outer);
        assert_eq!(h.tunnel.map(|t| t.kind), Some(kind));
        assert_eq!(h.src.addr().to_string(), "10.0.0.1");
    }
    let h = leads_to_the_segment(link::RAW, &ipv4(17, &udp(4789, &vxlan)));
    assert_eq!(h.tunnel.map(|t| t.ports), Some([5555, 4789]), "its datagrams are a flow of their own");
}

#[test]
fn six_in_four_and_extension_headers_lead_to_the_segment() {
    let tcp = packet()[20..].to_vec();
    let options = [&[43, 0, 1, 4, 0, 0, 0, 0][..], &[60, 0, 0, 0, 0, 0, 0, 0], &[51, 0, 1, 4, 0, 0, 0, 0]].concat();
    // Authentication, then a fragment header of a datagram in one piece.
    let rest = [&[44, 2, 0, 0][..], &[0; 12], &[6, 0, 0, 0, 0, 0, 0, 9], &tcp].concat();
    let chain = ipv6(0, &[options, rest].concat());
    assert!(!leads_to_the_segment(link::RAW, &chain).fragment);
    let h = leads_to_the_segment(link::RAW, &ipv4(41, &chain));
    assert_eq!(h.tunnel.map(|t| t.kind), Some(TunnelKind::IpInIp));
    for cut in 40..chain.len() {
        // Wherever it is cut, it is not taken for malformed.
        let decoded = decode(link::RAW, &chain[..cut], chain.len() as u32);
        assert!(matches!(decoded, Decoded::Ip(_)), "{cut}: {decoded:?}");
    }
}

#[test]
fn what_cannot_be_read_in_a_tunnel_leaves_the_tunnel() {
    let broken = ipv4(17, &udp(4789, &[&[8, 0, 0, 0, 0, 0, 1, 0][..], &ethernet(0x0800, &[0x45, 0, 0])].concat()));
    let h = decode(link::RAW, &broken, broken.len() as u32);
    let h = h.headers().expect("the datagram");
    assert_eq!((h.dst_port, h.udp, h.trouble), (4789, true, Some(Trouble::Malformed)));
    let arp = ipv4(17, &udp(4789, &[&[8, 0, 0, 0, 0, 0, 1, 0][..], &ethernet(0x0806, &[0; 28])].concat()));
    assert_eq!(decode(link::RAW, &arp, 99).headers().map(|h| (h.dst_port, h.trouble)), Some((4789, None)));
    let mut nested = packet();
    for _ in 0..60 {
        nested = ipv4(4, &nested);
    }
    let h = decode(link::RAW, &nested, nested.len() as u32);
    assert_eq!(h.headers().map(|h| h.trouble), Some(Some(Trouble::Malformed)), "too many tunnels");
}

#[test]
fn what_an_icmp_error_quotes_is_no_packet() {
    let error = ipv4(1, &[&[3, 3, 0, 0, 0, 0, 0, 0][..], &packet()].concat());
    let h = decode(link::RAW, &error, error.len() as u32);
    assert_eq!(h.headers().map(|h| (h.protocol, h.dst_port, h.tcp)), Some((1, 0, None)));
}

/// The packet in fragments of eight bytes of what follows the IP header.
fn fragments(packet: &[u8]) -> Vec<Vec<u8>> {
    let body = &packet[20..];
    let pieces = body.len().div_ceil(8);
    let one = |i: usize| {
        let part = &body[i * 8..body.len().min(i * 8 + 8)];
        let mut out = [&packet[..20], part].concat();
        out[2..4].copy_from_slice(&((20 + part.len()) as u16).to_be_bytes());
        let field = i as u16 | if i + 1 < pieces { 0x2000 } else { 0 };
        out[6..8].copy_from_slice(&field.to_be_bytes());
        out
    };
    (0..pieces).map(one).collect()
}

#[test]
fn fragments_in_any_order_and_repeated_make_the_datagram_once() {
    let parts = fragments(&packet());
    assert!(parts.len() > 2);
    let order = [2, 0, 0, 2, 1];
    let mut waiting = Reassembler::default();
    for (n, &i) in order.iter().enumerate() {
        let part = &parts[i];
        let alone = decode(link::RAW, part, part.len() as u32);
        assert!(alone.headers().is_some_and(|h| h.fragment && h.tcp.is_none()));
        let whole = waiting.push(link::RAW, part, part.len() as u32);
        assert_eq!(whole.is_some(), n + 1 == order.len(), "{n}");
        if let Some((Decoded::Ip(h), data)) = whole {
            assert_eq!(data, b"abc");
            assert_eq!((h.dst_port, h.payload, h.fragment, h.length_known), (80, 3, false, true));
            assert_eq!(h.ip_bytes, packet().len() as u32);
        }
    }
    assert_eq!(waiting.incomplete(), 0);
}

#[test]
fn a_datagram_knows_the_frames_that_it_came_in() {
    let (parts, mut waiting) = (fragments(&packet()), Reassembler::default());
    let mut whole = None;
    for (part, number) in parts.iter().zip(7..) {
        assert!(whole.is_none());
        whole = waiting.push_numbered(number, link::RAW, part, part.len() as u32);
    }
    let expected: Vec<u64> = (7..7 + parts.len() as u64).collect();
    assert_eq!(whole.map(|w| w.frames), Some(expected));
}

#[test]
fn a_datagram_in_a_fragmented_tunnel_is_found() {
    let outer = ipv4(47, &gre(0, 0x0800, &[], &packet()));
    let mut waiting = Reassembler::default();
    let whole: Vec<Decoded> =
        fragments(&outer).iter().filter_map(|p| Some(waiting.push(link::RAW, p, p.len() as u32)?.0)).collect();
    let [Decoded::Ip(h)] = whole[..] else { panic!("{whole:?}") };
    assert_eq!((h.dst_port, h.payload, h.tunnel.map(|t| t.kind)), (80, 3, Some(TunnelKind::Gre)));
}

#[test]
fn datagrams_that_never_end_are_given_up() {
    let mut waiting = Reassembler::default();
    let mut first = fragments(&packet()).swap_remove(0);
    for id in 0..5_000u16 {
        first[4..6].copy_from_slice(&id.to_be_bytes());
        assert_eq!(waiting.push(link::RAW, &first, first.len() as u32), None);
    }
    assert_eq!(waiting.incomplete(), 5_000);
}

#[test]
fn the_first_fragment_of_a_cut_datagram_tells_its_ports_and_no_length() {
    let mut first = packet();
    first[6..8].copy_from_slice(&0x2000u16.to_be_bytes());
    let h = decode(link::RAW, &first[..40], first.len() as u32);
    assert_eq!(h.headers().map(|h| (h.dst_port, h.fragment, h.length_known)), Some((80, true, false)));
}

#[test]
fn options_beyond_the_crate_are_passed() {
    let mut ip = packet();
    let options = [30, 8, 0x20, 1, 1, 1, 1, 1, 1, 1, 5, 10, 0, 0, 0, 1, 0, 0, 0, 9, 3, 3, 7, 0];
    ip[32] = ((20 + options.len()) as u8 / 4) << 4;
    ip.splice(40..40, options);
    let total = ip.len() as u16;
    ip[2..4].copy_from_slice(&total.to_be_bytes());
    let tcp = leads_to_the_segment(link::RAW, &ip).tcp.expect("a segment");
    assert_eq!((tcp.mptcp, tcp.sack.blocks().collect::<Vec<_>>(), tcp.window_scale), (4, vec![(1, 9)], Some(7)));
}
