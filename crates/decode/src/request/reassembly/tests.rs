#![allow(clippy::unwrap_used)]

use super::half::PIECE;
use super::*;

fn at(n: i64) -> Stamp {
    Stamp { time: n, packet: n as u64 }
}

/// A connection, and what came out of it as text: bytes (those of the way back in parentheses), `[n]` a gap, `.` an
/// end; and the stamps of the bytes.
struct Seen {
    both: Reassembly,
    text: String,
    stamps: Vec<i64>,
    now: i64,
}

const BACK: u32 = 5000;

impl Seen {
    /// A stream whose first byte has the number `isn + 1`; the other one begins with `BACK`.
    fn opened(isn: u32) -> Seen {
        let mut seen = Seen::midway();
        seen.both.halves[0].syn(isn);
        seen.both.halves[1].syn(BACK - 1);
        seen
    }

    fn midway() -> Seen {
        Seen { both: Reassembly::default(), text: String::new(), stamps: Vec::new(), now: 0 }
    }

    fn run(&mut self, work: impl FnOnce(&mut Reassembly, Stamp, &mut Sink<'_>)) -> &mut Seen {
        let Seen { both, text, stamps, now } = self;
        work(both, at(*now), &mut |way, piece| {
            let mut said = match piece {
                Piece::Bytes(at, bytes) => {
                    stamps.push(at.time);
                    String::from_utf8_lossy(bytes).into_owned()
                }
                Piece::Gap(_, n) => format!("[{n}]"),
                Piece::Fin(_) => ".".to_owned(),
            };
            if way == Way::Back {
                said = format!("({said})");
            }
            text.push_str(&said);
        });
        self.now += 1;
        self
    }

    fn any(&mut self, way: Way, seq: u32, ack: Option<u32>, len: usize, data: &[u8], fin: bool) -> &mut Seen {
        self.run(|both, at, sink| {
            let len = len as u32;
            both.segment(&Segment { way, at, seq, ack, syn: false, fin, rst: false, len, data }, sink);
        })
    }

    fn segment(&mut self, seq: u32, len: usize, data: &[u8], fin: bool) -> &mut Seen {
        self.any(Way::Forward, seq, None, len, data, fin)
    }

    fn data(&mut self, seq: u32, data: &str) -> &mut Seen {
        self.segment(seq, data.len(), data.as_bytes(), false)
    }

    /// An acknowledgment without data.
    fn acked(&mut self, ack: u32) -> &mut Seen {
        self.any(Way::Back, BACK, Some(ack), 0, b"", false)
    }

    /// Data with an acknowledgment.
    fn says(&mut self, way: Way, seq: u32, ack: u32, data: &str) -> &mut Seen {
        self.any(way, seq, Some(ack), data.len(), data.as_bytes(), false)
    }

    fn flushed(&mut self) -> &str {
        self.run(|both, now, sink| both.flush(now, sink));
        &self.text
    }
}

use Way::{Back, Forward};

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
    s.data(1, "ab").data(5, "ef").acked(3);
    assert_eq!(s.text, "ab");
    s.acked(7);
    assert_eq!(s.text, "ab[2]ef");
    // Nothing behind the hole: only when the other side goes on.
    s.acked(20);
    assert_eq!(s.text, "ab[2]ef");
    s.says(Back, BACK, 20, "yes");
    assert_eq!(s.text, "ab[2]ef[13](yes)");
    s.data(9, "late").data(20, "go");
    assert_eq!(s.text, "ab[2]ef[13](yes)go");
    // One byte is a FIN or a keep-alive.
    s.says(Back, BACK + 3, 23, "so").data(22, "on");
    assert_eq!(s.text, "ab[2]ef[13](yes)go(so)on");
}

#[test]
fn what_both_sides_said_comes_in_the_order_of_cause() {
    // The answer was captured before the request, as happens between queues of a card.
    let mut s = Seen::opened(0);
    s.acked(4).data(1, "ask").says(Back, BACK, 4, "answer");
    assert_eq!(s.text, "ask(answer)");
    // The answer to `a` and the request `b` are lost; what was said before tells whose turn it was.
    let mut s = Seen::opened(0);
    s.says(Forward, 1, BACK, "a").says(Back, BACK + 1, 3, "B").says(Forward, 3, BACK + 2, "c");
    assert_eq!(s.text, "a([1])[1](B)c");
    // The request `b` and the answer to it are lost.
    let mut s = Seen::opened(0);
    s.says(Forward, 1, BACK, "a").says(Back, BACK, 2, "A").says(Forward, 5, BACK + 3, "c");
    assert_eq!(s.text, "a(A)");
    s.says(Back, BACK + 3, 6, "C");
    assert_eq!(s.text, "a(A)[3]([2])c(C)");
    // Two answers are lost: each has its place.
    let mut s = Seen::opened(0);
    s.says(Forward, 1, BACK, "a").says(Forward, 3, BACK + 5, "c").says(Forward, 4, BACK + 9, "d");
    s.says(Back, BACK + 9, 5, "D");
    assert_eq!(s.text, "a([5])[1]c([4])d(D)");
}

#[test]
fn cut_segments_and_the_end_of_the_capture_leave_gaps() {
    let mut s = Seen::opened(0);
    s.segment(1, 1000, b"ab", false).segment(1001, 10, b"", false).data(1021, "z");
    assert_eq!(s.text, "ab[998][10]");
    s.segment(1050, 0, b"", true);
    assert_eq!(s.flushed(), "ab[998][10][10]z[28].");
    // What was acknowledged and never seen; the last of it is FIN.
    let mut s = Seen::opened(0);
    assert_eq!(s.data(1, "a").acked(12).flushed(), "a[9]");
}

#[test]
fn what_is_held_back_is_bounded() {
    let mut s = Seen::opened(0);
    let piece = "x".repeat(1000);
    for n in 0..5000u32 {
        s.data(2 + n * 1000, &piece);
    }
    assert!(s.both.halves[0].cost <= HELD);
    assert!(s.text.starts_with("[1]x"));
    let mut s = Seen::opened(0);
    for n in 0..100_000u32 {
        s.data(2 + n * 2, "x");
        assert!(s.both.halves[0].held.len() <= HELD / PIECE);
    }
}

#[test]
fn a_stream_met_in_its_midst_begins_with_what_is_sent_next() {
    // A keep-alive is not data.
    let mut s = Seen::midway();
    s.acked(100).segment(99, 1, b"\0", false).data(100, "ab");
    assert_eq!(s.text, "ab");
    // The receiver's acknowledgment tells that something is to come before.
    let mut s = Seen::midway();
    s.acked(100).data(102, "cd").data(100, "ab");
    assert_eq!(s.text, "abcd");
    // Of the other way nothing was captured: what is acknowledged of it was there all the same.
    let mut s = Seen::midway();
    s.says(Forward, 1, BACK, "a").says(Forward, 2, BACK + 9, "b").says(Forward, 3, BACK + 9, "c");
    assert_eq!(s.text, "a([9])bc");
    let mut s = Seen::midway();
    s.data(102, "cd").data(100, "ab").data(104, "ef");
    assert_eq!(s.text, "cdef");
}

#[test]
fn stray_segments_are_left_out() {
    let mut s = Seen::opened(0);
    s.data(1, "ab").data(0x7000_0000, "far").data(0x9000_0000, "farther").acked(0x6000_0000).data(3, "cd");
    assert_eq!(s.flushed(), "abcd");
    assert!(s.both.halves[0].reopened_by(7) && !s.both.halves[0].reopened_by(0));
}
