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
fn a_cut_frame_is_decoded_as_far_as_it_goes_and_arp_is_not_malformed() {
    let whole = tcp_frame(b"");
    let at = |end: usize| decode(link::ETHERNET, &whole[..end], whole.len() as u32);
    let ports = |d: Decoded| d.headers().map(|h| (h.dst_port, h.tcp.is_some(), h.trouble));
    assert_eq!(at(30), Decoded::Cut);
    assert_eq!(ports(at(40)), Some((0, false, Some(Trouble::Cut))));
    assert_eq!(ports(at(50)), Some((80, true, None)), "numbers, flags and window are there");
    assert_eq!(decode(link::ETHERNET, &whole[..40], 40), Decoded::Malformed, "on the wire it was no longer");
    let mut arp = vec![0xff; 12];
    arp.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    arp.extend([0; 20]);
    assert_eq!(decode(link::ETHERNET, &arp, 42), Decoded::Other);
    assert_eq!(decode(147, &whole, 60), Decoded::UnknownLink);
}
