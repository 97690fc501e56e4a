use super::*;
use coldcase_decode::packet::{Decoded, Headers, TCP};
use coldcase_model::analysis::TcpFacts;

const A: ([u8; 4], u16) = ([10, 0, 0, 1], 40_000);
const B: ([u8; 4], u16) = ([10, 0, 0, 2], 80);
/// First sequence number of side a: it wraps soon.
const FIRST: u32 = u32::MAX - 2_000;

fn connection(frames: [u64; 2]) -> Connection {
    Connection {
        a: "10.0.0.1:40000".to_owned(),
        b: "10.0.0.2:80".to_owned(),
        proto: "tcp".to_owned(),
        frames,
        first: 1_000,
        last: 9_000_000,
        packets_ab: 9,
        packets_ba: 9,
        tcp: Some(TcpFacts::default()),
        ..Connection::default()
    }
}

struct Line {
    picker: Picker,
    frame: u64,
}

impl Line {
    fn new(most: usize) -> Line {
        let mut picker = Picker::new(&[connection([1, u64::MAX])], Sequences::One(0)).unwrap_or_else(|| Picker {
            wanted: Vec::new(),
            by_ends: HashMap::new(),
            interfaces: Default::default(),
            fragments: Reassembler::default(),
        });
        picker.wanted.iter_mut().for_each(|w| w.most = most);
        Line { picker, frame: 0 }
    }

    /// A segment each millisecond.
    fn push(&mut self, ends: [([u8; 4], u16); 2], payload: u32, tcp: Tcp) {
        self.frame += 1;
        let [(src, src_port), (dst, dst_port)] = ends;
        let ip = |bytes: [u8; 4]| std::net::IpAddr::from(bytes).into();
        let headers = Headers {
            src: ip(src),
            dst: ip(dst),
            protocol: TCP,
            src_port,
            dst_port,
            payload,
            length_known: true,
            tcp: Some(tcp),
            ..Headers::default()
        };
        self.picker.take(vec![Packet {
            row: 0,
            frame: self.frame,
            time: self.frame as i64 * 1_000_000,
            original: 60,
            interface: 0,
            place: 0,
            decoded: Decoded::Ip(headers),
            data: Default::default(),
            fragment: None,
        }]);
    }

    fn handshake(&mut self) {
        let syn = Tcp { flags: Tcp::SYN, seq: FIRST, window: 1_000, window_scale: Some(3), ..Tcp::default() };
        self.push([A, B], 0, syn);
        let answer = Tcp { flags: Tcp::SYN | Tcp::ACK, seq: 7, ack: FIRST.wrapping_add(1), ..syn };
        self.push([B, A], 0, answer);
        self.push(
            [A, B],
            0,
            Tcp { flags: Tcp::ACK, seq: FIRST.wrapping_add(1), ack: 8, window: 500, ..Tcp::default() },
        );
    }

    fn data(&mut self, relative: u32) {
        let seq = FIRST.wrapping_add(relative);
        self.push([A, B], 1_000, Tcp { flags: Tcp::ACK, seq, ack: 8, window: 500, ..Tcp::default() });
    }

    fn answer(&mut self, relative: u32, window: u16) {
        let ack = FIRST.wrapping_add(relative);
        self.push([B, A], 0, Tcp { flags: Tcp::ACK, seq: 8, ack, window, ..Tcp::default() });
    }

    fn finish(self) -> Sequence {
        self.picker.finish().pop().unwrap_or_default()
    }
}

#[test]
fn numbers_go_on_where_they_wrap_and_windows_are_scaled() {
    let mut line = Line::new(1_000);
    line.handshake();
    for relative in [1, 1_001, 2_001, 3_001] {
        line.data(relative);
        line.answer(relative + 1_000, 500);
    }
    let [ab, ba] = line.finish().ways;
    let seqs: Vec<_> = ab.segments.iter().map(|s| (s.seq, s.end(), s.syn)).collect();
    assert_eq!(
        seqs,
        [(0, 1, true), (1, 1_001, false), (1_001, 2_001, false), (2_001, 3_001, false), (3_001, 4_001, false)]
    );
    let acked: Vec<_> = ab.acked.iter().map(|a| a.1).collect();
    assert_eq!(acked, [1, 1_001, 2_001, 3_001, 4_001]);
    // The window of the SYN-ACK is not scaled, those after it are by 8.
    let allowed: Vec<_> = ab.allowed.iter().map(|a| a.1).collect();
    assert_eq!(allowed, [1_001, 5_001, 6_001, 7_001, 8_001]);
    assert_eq!((ba.segments.len(), ba.acked.len()), (1, 1), "side b sent nothing but its SYN");
    assert_eq!((ab.left_out, ba.left_out), (0, 0));
}

#[test]
fn what_is_sent_again_resets_and_closed_windows_are_marked() {
    let mut line = Line::new(1_000);
    line.handshake();
    line.data(1);
    line.data(1_001);
    line.data(1);
    line.answer(2_001, 0);
    line.push([B, A], 0, Tcp { flags: Tcp::RST, seq: 4_000_000_000, ..Tcp::default() });
    let [ab, ba] = line.finish().ways;
    let again: Vec<_> = ab.segments.iter().map(|s| (s.frame, s.again)).collect();
    assert_eq!(again, [(1, false), (4, false), (5, false), (6, true)]);
    assert_eq!(ab.closed.len(), 1);
    assert!(ba.segments.last().is_some_and(|s| s.reset));
}

#[test]
fn of_a_long_connection_as_much_is_kept_as_was_asked_for_up_to_its_end() {
    let mut line = Line::new(100);
    line.handshake();
    for i in 0..2_000u32 {
        line.data(1 + i * 1_000);
        line.answer(1_001 + i * 1_000, 500);
    }
    let [ab, ba] = line.finish().ways;
    let kept = ab.segments.len() + ab.acked.len() + ab.allowed.len();
    assert!((50..=110).contains(&kept), "{kept}");
    assert_eq!(ab.segments.last().map(|s| s.end()), Some(2_000_001));
    assert_eq!(ab.acked.last().map(|a| a.1), Some(2_000_001));
    assert_eq!(ab.left_out + kept as u64, 1 + 2_000 + 2_001 + 2_001);
    assert_eq!(ba.left_out, 0);
    let steps: Vec<_> = ab.acked.windows(2).map(|w| w[1].0 - w[0].0).collect();
    // But for the first, which is that of the SYN, and the last.
    assert!(steps[1..steps.len() - 1].windows(2).all(|w| w[0] == w[1]), "evenly: {steps:?}");
}

#[test]
fn frames_before_and_after_the_connection_are_those_of_others_on_the_same_ports() {
    let mut line = Line::new(1_000);
    line.picker.wanted[0].frames = 4..=5;
    line.handshake();
    for relative in [1, 1_001, 2_001] {
        line.data(relative);
    }
    let frames: Vec<_> = line.finish().ways[0].segments.iter().map(|s| s.frame).collect();
    assert_eq!(frames, [4, 5]);
}

#[test]
fn hostile_numbers_do_not_overflow() {
    let mut line = Line::new(50);
    let mut seq = 0u32;
    for i in 0..5_000u32 {
        seq = seq.wrapping_mul(2_654_435_761).wrapping_add(i);
        let tcp = Tcp { flags: seq as u8, seq, ack: !seq, window: seq as u16, ..Tcp::default() };
        line.push(if i % 2 == 0 { [A, B] } else { [B, A] }, seq % 70_000, tcp);
    }
    let sequence = line.finish();
    assert!(sequence.ways.iter().all(|w| w.segments.len() < 60));
}

#[test]
fn only_connections_with_trouble_are_sick_and_the_longest_standstill_comes_first() {
    let with = |stalled, retransmissions| {
        let mut c = connection([1, 2]);
        let tcp = TcpFacts { retransmissions, ..TcpFacts::default() };
        c.tcp = Some(TcpFacts { more: coldcase_model::analysis::TcpDetail { stalled, ..tcp.more.clone() }, ..tcp });
        c
    };
    let mut connections = vec![with(0, 0), with(0, 5), with(9, 0), with(0, 7), with(3, 1)];
    assert_eq!(Sequences::Sickest.chosen(&connections), [2, 4, 3]);
    connections[2].packets_ba = 0;
    assert_eq!(Sequences::Sickest.chosen(&connections), [4, 3, 1]);
    connections[0].tcp = None;
    assert!(Picker::new(&connections, Sequences::One(0)).is_none());
    assert!(Picker::new(&connections, Sequences::One(99)).is_none());
    assert!(Picker::new(&connections[..0], Sequences::Sickest).is_none());
}
