#![allow(clippy::unwrap_used)]

use super::*;

fn at(n: i64) -> Stamp {
    Stamp { time: n, packet: n as u64 }
}

/// A half, and what came out of it as text: bytes, `[n]` a gap, `.` the end; each with its stamp where that is asked.
struct Seen {
    half: Half,
    text: String,
    stamps: Vec<i64>,
    now: i64,
}

impl Seen {
    /// A stream whose first byte has the number `isn + 1`.
    fn opened(isn: u32) -> Seen {
        let mut seen = Seen::midway();
        seen.half.syn(isn);
        seen
    }

    fn midway() -> Seen {
        Seen { half: Half::default(), text: String::new(), stamps: Vec::new(), now: 0 }
    }

    fn run(&mut self, work: impl FnOnce(&mut Half, Stamp, &mut Sink<'_>)) -> &mut Seen {
        let Seen { half, text, stamps, now } = self;
        work(half, at(*now), &mut |piece| match piece {
            Piece::Bytes(at, bytes) => {
                text.push_str(&String::from_utf8_lossy(bytes));
                stamps.push(at.time);
            }
            Piece::Gap(_, n) => text.push_str(&format!("[{n}]")),
            Piece::Fin(_) => text.push('.'),
        });
        self.now += 1;
        self
    }

    fn segment(&mut self, seq: u32, len: usize, data: &[u8], fin: bool) -> &mut Seen {
        self.run(|half, at, sink| {
            let s =
                Segment { way: Way::Forward, at, seq, ack: None, syn: false, fin, rst: false, len: len as u32, data };
            half.segment(&s, sink);
        })
    }

    fn data(&mut self, seq: u32, data: &str) -> &mut Seen {
        self.segment(seq, data.len(), data.as_bytes(), false)
    }

    fn acked(&mut self, ack: u32, all: bool) -> &mut Seen {
        self.run(|half, at, sink| {
            half.ack(ack);
            half.settle(at, all, sink);
        })
    }

    fn flushed(&mut self) -> &str {
        self.run(|half, _, sink| half.flush(sink));
        &self.text
    }
}

#[test]
fn what_comes_late_twice_or_over_the_wrap_is_put_in_order() {
    let first = u32::MAX - 3;
    let mut s = Seen::opened(first.wrapping_sub(1));
    s.data(first.wrapping_add(6), "gh").data(first.wrapping_add(3), "DEF");
    assert_eq!(s.text, "");
    s.data(first, "abcd");
    assert_eq!(s.text, "abcDEFgh");
    // All again, with other content.
    s.data(first, "XXXXXXXX").segment(first.wrapping_add(8), 1, b"i", true);
    assert_eq!(s.text, "abcDEFghi.");
    // The bytes that waited have the stamp of the segment that released them.
    assert_eq!(s.stamps, [2, 2, 2, 4]);
}

#[test]
fn of_overlapping_copies_the_first_stays() {
    let mut s = Seen::opened(0);
    s.data(5, "ef").data(3, "CDEFG").data(9, "i").data(1, "AB");
    assert_eq!(s.text, "ABCDefG");
    s.data(1, "abcdefghij");
    assert_eq!(s.text, "ABCDefGhij");
}

#[test]
fn a_loss_of_the_capture_is_concluded_from_the_acknowledgment() {
    let mut s = Seen::opened(0);
    s.data(1, "ab").data(5, "ef").acked(3, false);
    assert_eq!(s.text, "ab");
    s.acked(7, false);
    assert_eq!(s.text, "ab[2]ef");
    // Nothing behind the hole: only when the other side goes on.
    s.acked(20, false);
    assert_eq!(s.text, "ab[2]ef");
    s.acked(20, true);
    assert_eq!(s.text, "ab[2]ef[13]");
    s.data(9, "late").data(20, "go");
    assert_eq!(s.text, "ab[2]ef[13]go");
    // One byte is a FIN or a keep-alive.
    s.acked(23, true).data(22, "on");
    assert_eq!(s.text, "ab[2]ef[13]goon");
}

#[test]
fn cut_segments_and_the_end_of_the_capture_leave_gaps() {
    let mut s = Seen::opened(0);
    s.segment(1, 1000, b"ab", false).segment(1001, 10, b"", false).data(1021, "z");
    assert_eq!(s.text, "ab[998][10]");
    s.segment(1050, 0, b"", true);
    assert_eq!(s.flushed(), "ab[998][10][10]z[28].");
}

#[test]
fn what_is_held_back_is_bounded() {
    let mut s = Seen::opened(0);
    let piece = "x".repeat(1000);
    for n in 0..5000u32 {
        s.data(2 + n * 1000, &piece);
    }
    assert!(s.half.cost <= HELD);
    assert!(s.text.starts_with("[1]x"));
    let mut s = Seen::opened(0);
    for n in 0..100_000u32 {
        s.data(2 + n * 2, "x");
        assert!(s.half.held.len() <= HELD / PIECE);
    }
}

#[test]
fn a_stream_met_in_its_midst_begins_with_what_is_sent_next() {
    // A keep-alive is not data.
    let mut s = Seen::midway();
    s.acked(100, false).segment(99, 1, b"\0", false).data(100, "ab");
    assert_eq!(s.text, "ab");
    // The receiver's acknowledgment tells that something is to come before.
    let mut s = Seen::midway();
    s.acked(100, false).data(102, "cd").data(100, "ab");
    assert_eq!(s.text, "abcd");
    let mut s = Seen::midway();
    s.data(102, "cd").data(100, "ab").data(104, "ef");
    assert_eq!(s.text, "cdef");
}

#[test]
fn stray_segments_are_left_out() {
    let mut s = Seen::opened(0);
    s.data(1, "ab").data(0x7000_0000, "far").data(0x9000_0000, "farther").acked(0x6000_0000, true).data(3, "cd");
    assert_eq!(s.flushed(), "abcd");
    assert!(s.half.reopened_by(7) && !s.half.reopened_by(0));
}
