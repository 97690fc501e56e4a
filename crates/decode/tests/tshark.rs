//! Connections that no network would make, marked by tshark and by us: frame by frame the same. Skipped where there is
//! no tshark.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod seen;

use std::process::Command;

use coldcase_decode::packet::Tcp;
use coldcase_decode::tcp::Flags;

/// Random numbers, the same each time.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 11) % n
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }
}

/// One side of a connection, as far as it makes segments that hang together.
#[derive(Clone, Copy, Default)]
struct Side {
    next: u32,
    acked: u32,
    window: u16,
}

struct Capture {
    bytes: Vec<u8>,
    time: u64,
}

impl Capture {
    fn new() -> Capture {
        let words = [0xa1b2_3c4d, 4 << 16 | 2, 0, 0, 262_144, 101];
        Capture { bytes: words.iter().flat_map(|w: &u32| w.to_le_bytes()).collect(), time: 1_700_000_000_000_000_000 }
    }

    /// A segment between ports of 10.0.0.1 and 10.0.0.2, without the bytes of its payload.
    fn push(&mut self, from: usize, port: u16, tcp: &Tcp, len: u16, options: &[u8]) {
        let mut segment = Vec::new();
        let ports = [port, 9_999];
        segment.extend(ports[from].to_be_bytes());
        segment.extend(ports[1 - from].to_be_bytes());
        segment.extend(tcp.seq.to_be_bytes());
        segment.extend(tcp.ack.to_be_bytes());
        let padded = options.len().next_multiple_of(4);
        segment.extend([((20 + padded) as u8 / 4) << 4, tcp.flags]);
        segment.extend(tcp.window.to_be_bytes());
        segment.extend([0; 4]);
        segment.extend(options);
        segment.resize(20 + padded, 1);
        let total = 20 + segment.len() as u16 + len;
        let mut ip = vec![0x45, 0];
        ip.extend(total.to_be_bytes());
        ip.extend([0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1 + from as u8, 10, 0, 0, 2 - from as u8]);
        ip.extend(segment);
        let head = [self.time / 1_000_000_000, self.time % 1_000_000_000, ip.len() as u64, u64::from(total)];
        self.bytes.extend(head.iter().flat_map(|w| (*w as u32).to_le_bytes()));
        self.bytes.extend(ip);
    }
}

/// Options of a segment: SACK blocks near `ack`, scales, MPTCP.
fn options(dice: &mut Dice, flags: u8, ack: u32) -> Vec<u8> {
    let mut out = Vec::new();
    if flags & Tcp::SYN != 0 && !dice.one_in(3) {
        out.extend([3, 3, dice.below(17) as u8]);
    }
    if flags & Tcp::SYN == 0 && dice.one_in(6) {
        let blocks = 1 + dice.below(3) as u8;
        out.extend([5, 2 + 8 * blocks]);
        for _ in 0..blocks {
            let left = ack.wrapping_add(dice.below(4_000) as u32).wrapping_sub(300);
            out.extend(left.to_be_bytes());
            out.extend(left.wrapping_add(dice.below(1_500) as u32).to_be_bytes());
        }
    }
    out
}

/// Flags of the next segment: mostly plain.
fn flags(dice: &mut Dice) -> u8 {
    match dice.below(60) {
        0 => Tcp::SYN,
        1 => Tcp::SYN | Tcp::ACK,
        2 => Tcp::FIN | Tcp::ACK,
        3 => Tcp::RST,
        4 => Tcp::RST | Tcp::ACK,
        5 => 0,
        n if n % 3 == 0 => Tcp::ACK | Tcp::PSH,
        _ => Tcp::ACK,
    }
}

/// Segments that mostly follow from each other, with every kind of trouble between.
fn troubled(dice: &mut Dice, count: usize) -> Vec<u8> {
    let mut capture = Capture::new();
    let mut connections = [[Side::default(); 2]; 5];
    for sides in &mut connections {
        for side in sides.iter_mut() {
            *side = Side { next: dice.next() as u32, acked: 0, window: 1_000 };
        }
        (sides[0].acked, sides[1].acked) = (sides[1].next, sides[0].next);
    }
    // One passes through zero.
    connections[1][0].next = 0u32.wrapping_sub(3_000);
    connections[2][1].next = 0;
    for _ in 0..count {
        let step = dice.pick(&[1_000, 50_000, 900_000, 2_999_999, 15_000_000, 21_000_000, 300_000_000]);
        capture.time += dice.below(step);
        if dice.one_in(200) {
            capture.time -= 40_000_000;
        }
        let which = dice.below(5) as usize;
        let from = dice.below(2) as usize;
        let flags = flags(dice);
        let [me, peer] = [connections[which][from], connections[which][1 - from]];
        let mut me = me;
        let len = if dice.one_in(2) { 0 } else { dice.pick(&[1, 1, 2, 10, 500, 1_000, 1_460, 3_000]) };
        let back = dice.pick(&[0, 0, 0, 0, 0, 1, 1, 10, 500, 1_000, 1_460, 2_920]);
        let ahead = if dice.one_in(25) { dice.pick(&[1, 500, 1_460]) } else { 0 };
        let seq = me.next.wrapping_sub(back).wrapping_add(ahead);
        if dice.one_in(2) {
            me.acked = peer.next.wrapping_sub(dice.pick(&[0, 0, 0, 1, 500, 1_000, 1_460]));
        }
        if dice.one_in(40) {
            me.acked = me.acked.wrapping_add(700);
        }
        if dice.one_in(6) {
            me.window = dice.pick(&[0, 0, 1, 500, 1_000, 1_460, 65_535]);
        }
        let tcp = Tcp { flags, seq, ack: me.acked, window: me.window, ..Tcp::default() };
        let options = options(dice, flags, me.acked);
        capture.push(from, 1_000 + which as u16, &tcp, len, &options);
        let end = seq.wrapping_add(u32::from(len)).wrapping_add(u32::from(flags & (Tcp::SYN | Tcp::FIN) != 0));
        if (end.wrapping_sub(me.next) as i32) > 0 {
            me.next = end;
        }
        connections[which][from] = me;
    }
    capture.bytes
}

const OTHERS: [&str; 6] = [
    "tcp.stream",
    "tcp.analysis.duplicate_ack_num",
    "tcp.analysis.duplicate_ack_frame",
    "tcp.analysis.acks_frame",
    "tcp.analysis.ack_rtt",
    "tcp.analysis.bytes_in_flight",
];

/// What tshark says of each frame: the names of its marks, then the other fields.
fn tshark(bytes: &[u8]) -> Option<Vec<String>> {
    let path = std::env::temp_dir().join(format!("coldcase-tshark-{}.pcap", std::process::id()));
    std::fs::write(&path, bytes).unwrap();
    let mut command = Command::new("tshark");
    command.arg("-r").arg(&path).args(["-T", "fields", "-E", "separator=|", "-E", "occurrence=f"]);
    for (_, name) in Flags::ALL {
        command.args(["-e", &format!("tcp.analysis.{name}")]);
    }
    for field in OTHERS {
        command.args(["-e", field]);
    }
    let output = command.output();
    std::fs::remove_file(&path).unwrap();
    let output = output.ok()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    let line = |line: &str| {
        let fields: Vec<&str> = line.split('|').collect();
        let marks = Flags::ALL.iter().zip(&fields).filter(|(_, v)| !v.is_empty()).map(|((_, name), _)| *name);
        let rest = fields[Flags::ALL.len()..].iter().zip(OTHERS).filter(|(v, _)| !v.is_empty());
        let rest = rest.map(|(v, name)| format!("{}={v}", name.trim_start_matches("tcp.analysis.")));
        marks.map(str::to_owned).chain(rest).collect::<Vec<_>>().join(" ")
    };
    Some(lines.lines().map(line).collect())
}

fn ours(bytes: &[u8]) -> Vec<String> {
    let seen = seen::read(bytes).unwrap();
    let one = |(frame, flow, marks): &(u64, usize, coldcase_decode::tcp::Marks)| {
        let mut out: Vec<String> = marks.flags.names().map(str::to_owned).collect();
        out.push(format!("tcp.stream={flow}"));
        if marks.duplicate_ack > 0 {
            out.push(format!("duplicate_ack_num={}", marks.duplicate_ack));
            out.push(format!("duplicate_ack_frame={}", marks.duplicate_of.unwrap_or(0)));
        }
        out.extend(marks.acks_frame.map(|n| format!("acks_frame={n}")));
        out.extend(marks.ack_rtt.map(|n| {
            let sign = if n < 0 { "-" } else { "" };
            let n = n.unsigned_abs();
            format!("ack_rtt={sign}{}.{:09}", n / 1_000_000_000, n % 1_000_000_000)
        }));
        if marks.bytes_in_flight > 0 {
            out.push(format!("bytes_in_flight={}", marks.bytes_in_flight));
        }
        assert!(*frame > 0);
        out.join(" ")
    };
    seen.marks.iter().map(one).collect()
}

#[test]
fn troubled_connections_are_marked_like_by_tshark_frame_by_frame() {
    if Command::new("tshark").arg("--version").output().is_err() {
        eprintln!("skipped: tshark's marks: no tshark");
        return;
    }
    let (mut frames, mut marks) = (0, 0);
    for seed in 1..=8 {
        let capture = troubled(&mut Dice(0x9e37_79b9_7f4a_7c15 ^ seed << 40), 4_000);
        let theirs = tshark(&capture).unwrap();
        let ours = ours(&capture);
        assert_eq!(ours.len(), theirs.len());
        for (i, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
            assert_eq!(ours, theirs, "seed {seed}, frame {}", i + 1);
            frames += 1;
            marks += usize::from(!ours.starts_with("tcp.stream"));
        }
    }
    eprintln!("{frames} frames, {marks} of them with marks");
}
