#![allow(clippy::unwrap_used)]
use etherparse::PacketBuilder;
use etherparse::checksum::Sum16BitWords;

use super::*;

const A: [u8; 4] = [10, 0, 0, 1];
const B: [u8; 4] = [10, 0, 0, 2];
const M: Mac = [2, 0, 0, 0, 0, 1];
const N: Mac = [2, 0, 0, 0, 0, 2];

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn to(old: &str, new: &str) -> Rewrite {
    Rewrite { ips: vec![(ip(old), ip(new))], macs: Vec::new() }
}

/// What all words of a transport segment and its pseudo header sum up to: 0 where the checksum is right (RFC 1071).
fn sum(frame: &[u8], addresses: std::ops::Range<usize>, segment: usize, protocol: u8) -> u16 {
    let length = ((frame.len() - segment) as u16).to_be_bytes();
    Sum16BitWords::new()
        .add_slice(&frame[addresses])
        .add_2bytes([0, protocol])
        .add_2bytes(length)
        .add_slice(&frame[segment..])
        .ones_complement()
}

#[test]
fn checksums_of_tcp_are_right_behind_a_rewrite() {
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(M, N).ipv4(A, B, 64).tcp(1000, 80, 7, 9).write(&mut frame, b"hello").unwrap();
    assert_eq!(sum(&frame, 26..34, 34, 6), 0);
    assert_eq!(to("10.0.0.2", "192.0.2.77").apply(&mut frame), Ok(true));
    assert_eq!(frame[30..34], [192, 0, 2, 77]);
    assert_eq!(sum(&frame, 26..34, 34, 6), 0);
    assert_eq!(Sum16BitWords::new().add_slice(&frame[14..34]).ones_complement(), 0);
}

#[test]
fn checksums_behind_vlan_tags_and_in_ipv6_are_right() {
    let mut frame = Vec::new();
    let vlan = 5u16.try_into().unwrap();
    PacketBuilder::ethernet2(M, N).single_vlan(vlan).ipv4(A, B, 64).udp(53, 53).write(&mut frame, b"odd").unwrap();
    assert_eq!(to("10.0.0.1", "10.9.9.9").apply(&mut frame), Ok(true));
    assert_eq!(sum(&frame, 30..38, 38, 17), 0);

    let (a, b) = ([0xfd; 16], [0xfe; 16]);
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(M, N).ipv6(a, b, 64).tcp(1, 2, 3, 4).write(&mut frame, b"x").unwrap();
    let old = std::net::Ipv6Addr::from(b).to_string();
    assert_eq!(to(&old, "2001:db8::1").apply(&mut frame), Ok(true));
    assert_eq!(sum(&frame, 22..54, 54, 6), 0);

    let mut frame = Vec::new();
    PacketBuilder::ethernet2(M, N).ipv6(a, b, 64).icmpv6_echo_request(1, 2).write(&mut frame, b"ping").unwrap();
    assert_eq!(to(&old, "2001:db8::1").apply(&mut frame), Ok(true));
    assert_eq!(sum(&frame, 22..54, 54, 58), 0);
}

#[test]
fn a_datagram_without_a_checksum_stays_without() {
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(M, N).ipv4(A, B, 64).udp(53, 53).write(&mut frame, b"abcd").unwrap();
    frame[40..42].fill(0);
    assert_eq!(to("10.0.0.1", "10.9.9.9").apply(&mut frame), Ok(true));
    assert_eq!(frame[40..42], [0, 0]);
}

#[test]
fn frames_without_the_address_stay_as_they_are() {
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(M, N).ipv4(A, B, 64).tcp(1, 2, 3, 4).write(&mut frame, b"x").unwrap();
    // A checksum that its host left to the card.
    frame[50..52].fill(0xab);
    let before = frame.clone();
    assert_eq!(to("10.0.0.3", "10.0.0.4").apply(&mut frame), Ok(false));
    assert_eq!(frame, before);
}

#[test]
fn hardware_addresses_are_rewritten_in_arp_too() {
    let mut frame = [&N[..], &M, &ARP, &[0, 1, 8, 0, 6, 4, 0, 1], &M, &A, &[0; 6], &B].concat();
    let rewrite = Rewrite { ips: vec![(ip("10.0.0.2"), ip("10.0.0.9"))], macs: vec![(M, [9; 6])] };
    assert_eq!(rewrite.apply(&mut frame), Ok(true));
    assert_eq!((&frame[6..12], &frame[22..28], &frame[38..42]), (&[9; 6][..], &[9; 6][..], &[10, 0, 0, 9][..]));
}

#[test]
fn what_cannot_be_rewritten_is_told() {
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(M, N).ipv4(A, B, 64).udp(53, 53).write(&mut frame, b"abcd").unwrap();
    let mut fragment = frame.clone();
    fragment[20] |= 0x20;
    assert_eq!(to("10.0.0.1", "10.9.9.9").apply(&mut fragment), Err(Skip::Fragment));
    for length in 0..frame.len() {
        let mut cut = frame[..length].to_vec();
        assert_eq!(to("10.0.0.1", "10.9.9.9").apply(&mut cut), Err(Skip::Unreadable), "{length} bytes");
    }
}

#[test]
fn pairs_are_read() {
    assert_eq!(mac("02:00:00:00:00:01"), Ok(M));
    assert!(
        ["", "02:00", "02:00:00:00:00:0g", "+2:00:00:00:00:01", "02-00-00-00-00-01"].iter().all(|t| mac(t).is_err())
    );
    assert_eq!(pair("02:00:00:00:00:01=02:00:00:00:00:02", mac), Ok((M, N)));
    assert!(pair("02:00:00:00:00:01", mac).is_err());
}

#[test]
fn checksums_of_icmp_are_made_anew() {
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(M, N).ipv4(A, B, 64).icmpv4_echo_request(1, 2).write(&mut frame, b"ping").unwrap();
    let whole = frame.clone();
    frame[36..38].fill(0);
    assert_eq!(checksums(&mut frame), Ok(()));
    assert_eq!(frame, whole);
}
