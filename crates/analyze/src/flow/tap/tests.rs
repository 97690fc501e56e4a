use super::*;
use coldcase_decode::packet::{Headers, TCP, Tcp};
use std::net::IpAddr;

fn packet(tap: &Tap, time: i64, original: u32, decoded: Decoded) -> Packet<'static> {
    let (row, frame, data) = (0, tap.packets + 1, Default::default());
    Packet { row, frame, time, original, interface: 0, place: 0, decoded, data, fragment: None }
}

fn segment(from: (&str, u16), to: (&str, u16), flags: u8, seq: u32) -> Decoded {
    let ip = |s: &str| s.parse::<IpAddr>().map(Into::into).unwrap_or_default();
    Decoded::Ip(Headers {
        src: ip(from.0),
        dst: ip(to.0),
        protocol: TCP,
        src_port: from.1,
        dst_port: to.1,
        length_known: true,
        tcp: Some(Tcp { flags, seq, window: 1, ..Tcp::default() }),
        ..Headers::default()
    })
}

fn push(tap: &mut Tap, time: i64, original: u32, decoded: Decoded) {
    let packet = packet(tap, time, original, decoded);
    tap.take(vec![packet]);
}

const A: (&str, u16) = ("10.0.0.1", 40_000);
const B: (&str, u16) = ("10.0.0.2", 80);

#[test]
fn both_directions_are_one_connection_and_the_syn_tells_the_opener() {
    let mut tap = Tap::default();
    push(&mut tap, 5, 60, segment(B, A, Tcp::SYN, 7));
    push(&mut tap, 6, 70, segment(A, B, Tcp::SYN | Tcp::ACK, 9));
    let connections: Vec<Connected> = tap.finish().collect();
    assert_eq!(connections.len(), 1);
    let c = &connections[0];
    assert_eq!(c.ends.map(|e| e.port()), [80, 40_000], "it was opened from the lower port");
    assert_eq!((c.packets, c.bytes, c.first, c.last), ([1, 1], [60, 70], 5, 6));
}

#[test]
fn an_unseen_opener_is_taken_to_be_the_side_with_the_higher_port() {
    let mut tap = Tap::default();
    push(&mut tap, 5, 60, segment(B, A, Tcp::ACK, 7));
    let connections: Vec<Connected> = tap.finish().collect();
    assert_eq!((connections[0].ends[0].port(), connections[0].packets), (40_000, [0, 1]));
}

#[test]
fn ports_used_again_are_another_connection() {
    let mut tap = Tap::default();
    for seq in [1, 50_000] {
        push(&mut tap, 5, 60, segment(A, B, Tcp::SYN, seq));
        push(&mut tap, 6, 60, segment(B, A, Tcp::SYN | Tcp::ACK, seq));
    }
    let connections: Vec<Connected> = tap.finish().collect();
    assert_eq!(connections.len(), 2);
    assert!(connections.iter().all(|c| c.packets == [1, 1]));
    assert_eq!(connections.iter().map(|c| c.stream).collect::<Vec<_>>(), [Some(0), Some(1)]);
    let reused = |c: &Connected| c.tcp.as_ref().map(|t| t.more.reused_ports);
    assert_eq!(connections.iter().map(reused).collect::<Vec<_>>(), [Some(0), Some(1)]);
}

#[test]
fn each_packet_is_counted_once_whatever_it_is() {
    let mut tap = Tap::default();
    push(&mut tap, 1, 60, segment(A, B, Tcp::SYN, 1));
    for decoded in [Decoded::Other, Decoded::Malformed, Decoded::UnknownLink, Decoded::Cut] {
        push(&mut tap, 2, 42, decoded);
    }
    assert_eq!((tap.packets, tap.bytes, tap.malformed, tap.cut, tap.finish().count()), (5, 228, 1, 1, 1));
    assert_eq!(tap.malformed_frames, [3]);
}

#[test]
fn a_flood_of_syns_is_counted_whole_and_kept_in_part() {
    let mut tap = Tap::default();
    let many = 300_000u32;
    push(&mut tap, 1, 60, segment(A, B, Tcp::SYN, 1));
    push(&mut tap, 1, 60, segment(B, A, Tcp::SYN | Tcp::ACK, 1));
    for batch in 0..30u32 {
        let packets = (0..many / 30).map(|i| {
            let n = batch * (many / 30) + i;
            let from = format!("11.{}.{}.{}", n >> 16 & 255, n >> 8 & 255, n & 255);
            Packet { frame: u64::from(n) + 3, ..packet(&tap, 2, 60, segment((&from, 1_000), B, Tcp::SYN, n)) }
        });
        let packets = packets.collect();
        tap.take(packets);
    }
    let (kept, folded) = (tap.finish().collect::<Vec<_>>(), tap.folded());
    assert_eq!(kept.len() as u64 + folded.connections, u64::from(many) + 1);
    assert!(kept.len() <= 1 + (1 << 16), "{} kept", kept.len());
    let unanswered: u64 = kept.iter().filter_map(|c| c.tcp.as_ref()).map(|t| t.unanswered_syns).sum();
    assert_eq!(unanswered + folded.unanswered_syns, u64::from(many));
    assert!(kept.iter().any(|c| c.packets == [1, 1]), "a connection that was answered stays");
}
