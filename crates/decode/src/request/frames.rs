//! One side's bytes cut into messages by the lengths that the messages carry.
//!
//! Of each message only the first bytes are kept; the rest is passed over as it comes, whether the capture has it or
//! not. Where it is no longer known at which byte a message begins (a gap went over a message's end, or a length is
//! absurd), the side is lost until a message is recognised again.

use std::borrow::Cow;
use std::collections::VecDeque;

use super::Stamp;
use super::buffer::Buffer;

/// What the first bytes of a message tell of its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Measure {
    /// Too few to tell.
    More,
    /// Its length, and how many of its first bytes are wanted.
    Size { total: u64, keep: usize },
    /// It is no message.
    Bad,
}

/// Where the next message of a lost side begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sync {
    /// At this byte.
    At(usize),
    /// Not within this many bytes; more may tell.
    Wait(usize),
}

/// Whether bytes begin with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sound {
    Yes,
    More,
    No,
}

/// The first byte at which a message begins.
pub(super) fn search(bytes: &[u8], sound: impl Fn(&[u8]) -> Sound) -> Sync {
    for at in 0..bytes.len() {
        match sound(&bytes[at..]) {
            Sound::Yes => return Sync::At(at),
            Sound::More => return Sync::Wait(at),
            Sound::No => {}
        }
    }
    Sync::Wait(bytes.len())
}

/// A message.
#[derive(Debug)]
pub(super) struct Frame<'a> {
    /// Its first bytes: as many as were wanted, or as the capture has in one run.
    pub(super) head: Cow<'a, [u8]>,
    /// Its length on the wire.
    pub(super) total: u64,
    /// How many of these bytes the capture has.
    pub(super) captured: u64,
    /// Bytes of it are missing.
    pub(super) missing: bool,
    /// Bytes of `head` that are missing.
    pub(super) short: bool,
    pub(super) first: Stamp,
    pub(super) last: Stamp,
}

/// What came of the bytes of a side.
#[derive(Debug)]
pub(super) enum Event<'a> {
    Message(Frame<'a>),
    /// From here on it is not known where messages begin.
    Lost,
    /// It is known again; this many bytes were passed over.
    Found(u64),
}

/// Bytes that are searched for a message before the oldest are given up.
const SEARCHED: usize = 64 << 10;
/// Bytes that are looked at at a time for the length of a message.
const STEP: usize = 4 << 10;

/// The messages of a side.
#[derive(Debug, Default)]
pub(super) struct Frames {
    head: Vec<u8>,
    /// Bytes of the message at hand that went by.
    passed: u64,
    /// How many of these are not in the capture.
    absent: u64,
    size: Option<(u64, usize)>,
    missing: bool,
    first: Stamp,
    last: Stamp,
    lost: bool,
    /// It was lost, and no message came since it was found.
    fresh: bool,
    held: Buffer,
    /// What was held when the side was found again.
    again: VecDeque<(Stamp, Vec<u8>, usize)>,
    skipped: u64,
    unread: u64,
}

impl Frames {
    /// The next of what `rest` brings; `None` when all of it was taken.
    pub(super) fn next<'a>(
        &mut self,
        rest: &mut &'a [u8],
        at: Stamp,
        measure: impl Fn(&[u8]) -> Measure,
        search: impl Fn(&[u8]) -> Sync,
    ) -> Option<Event<'a>> {
        if self.lost {
            return self.find(std::mem::take(rest), at, search);
        }
        while let Some((at, piece, from)) = self.again.pop_front() {
            let (taken, event) = self.step(&piece[from..], at, &measure);
            let event = event.map(own);
            if self.lost {
                self.hold_again((at, piece, from + taken));
            } else if from + taken < piece.len() {
                self.again.push_front((at, piece, from + taken));
            }
            if event.is_some() {
                return event;
            }
        }
        while !rest.is_empty() {
            let (taken, event) = self.step(rest, at, &measure);
            *rest = &rest[taken..];
            if event.is_some() {
                return event;
            }
        }
        None
    }

    /// Bytes that are not there. A message may end with them, and the side may be lost behind it.
    pub(super) fn gap(&mut self, at: Stamp, len: u64) -> (Option<Frame<'static>>, bool) {
        if len == 0 {
            return (None, false);
        }
        if self.lost {
            let n = self.held.clear() as u64;
            self.pass_over(n);
            return (None, true);
        }
        let Some((total, _)) = self.size else {
            let n = self.head.len() as u64;
            self.head.clear();
            self.pass_over(n);
            self.lost = true;
            return (None, true);
        };
        let remaining = total - self.passed;
        self.missing = true;
        self.last = at;
        self.passed += len.min(remaining);
        self.absent += len.min(remaining);
        self.lost = len > remaining;
        (if len < remaining { None } else { Some(self.complete()) }, self.lost)
    }

    /// What came of a message that is not whole yet: its first stamp and how many bytes.
    pub(super) fn partial(&self) -> Option<(Stamp, u64)> {
        match self.size {
            Some(_) => Some((self.first, self.passed)),
            None if !self.head.is_empty() => Some((self.first, self.head.len() as u64)),
            None => None,
        }
    }

    /// Bytes of no message.
    pub(super) fn unread(&self) -> u64 {
        self.unread
    }

    fn pass_over(&mut self, n: u64) {
        self.skipped += n;
        self.unread += n;
    }

    fn find(&mut self, piece: &[u8], at: Stamp, search: impl Fn(&[u8]) -> Sync) -> Option<Event<'static>> {
        if self.held.left().len() + piece.len() > SEARCHED {
            let n = self.held.clear() as u64;
            self.pass_over(n);
        }
        // A piece that is longer than what is held at most is searched in its last part.
        let from = piece.len().saturating_sub(SEARCHED);
        self.pass_over(from as u64);
        if !self.held.push(at, &piece[from..]) {
            return None;
        }
        let found = search(self.held.left());
        let (Sync::At(n) | Sync::Wait(n)) = found;
        self.held.take(n);
        self.pass_over(n as u64);
        if matches!(found, Sync::Wait(_)) {
            return None;
        }
        while let Some((stamp, length)) = self.held.piece() {
            let left = self.held.left();
            let piece = left[..length.min(left.len())].to_vec();
            self.held.take(length);
            self.again.push_back((stamp, piece, 0));
        }
        (self.lost, self.fresh) = (false, true);
        Some(Event::Found(std::mem::take(&mut self.skipped)))
    }

    /// Puts back what was not taken when the side was lost again.
    fn hold_again(&mut self, front: (Stamp, Vec<u8>, usize)) {
        let mut pieces = std::mem::take(&mut self.again);
        pieces.push_front(front);
        for (stamp, piece, from) in pieces {
            // What does not fit is less than one message.
            if !self.held.push(stamp, &piece[from..]) {
                self.pass_over((piece.len() - from) as u64);
            }
        }
    }

    /// Takes bytes of one message at most.
    fn step<'a>(
        &mut self,
        piece: &'a [u8],
        at: Stamp,
        measure: impl Fn(&[u8]) -> Measure,
    ) -> (usize, Option<Event<'a>>) {
        if self.size.is_some() {
            return self.fill(piece, at);
        }
        let before = self.head.len();
        if before == 0 {
            self.first = at;
        }
        let piece_now = &piece[..piece.len().min(STEP)];
        let measured = if before == 0 {
            measure(piece_now)
        } else {
            self.head.extend_from_slice(piece_now);
            measure(&self.head)
        };
        match measured {
            Measure::More => {
                if before == 0 {
                    self.head.extend_from_slice(piece_now);
                }
                (piece_now.len(), None)
            }
            Measure::Bad => {
                self.lost = true;
                let mut head = std::mem::take(&mut self.head);
                head.truncate(before);
                // Where it was found just now, it would be found again: a byte is given up.
                let given_up = usize::from(std::mem::take(&mut self.fresh));
                self.pass_over(given_up as u64);
                let from_head = given_up.min(before);
                let _fits = self.held.push(self.first, &head[from_head..]);
                (given_up - from_head, Some(Event::Lost))
            }
            Measure::Size { total, keep } if before == 0 && total <= piece.len() as u64 && total > 0 => {
                let total = total as usize;
                self.fresh = false;
                let head = Cow::Borrowed(&piece[..total.min(keep)]);
                let frame = Frame {
                    head,
                    total: total as u64,
                    captured: total as u64,
                    missing: false,
                    short: false,
                    first: at,
                    last: at,
                };
                (total, Some(Event::Message(frame)))
            }
            Measure::Size { total, keep } => {
                // A length shorter than what it was told from is as absurd as one of nothing.
                let total = total.max(before as u64 + 1);
                self.head.truncate(before);
                self.head.truncate(keep);
                self.passed = before as u64;
                self.size = Some((total, keep));
                self.fill(piece, at)
            }
        }
    }

    fn fill(&mut self, piece: &[u8], at: Stamp) -> (usize, Option<Event<'static>>) {
        let Some((total, keep)) = self.size else { return (0, None) };
        let taken = (total - self.passed).min(piece.len() as u64) as usize;
        if self.passed == self.head.len() as u64 && self.head.len() < keep {
            let wanted = (keep - self.head.len()).min(taken);
            self.head.extend_from_slice(&piece[..wanted]);
        }
        self.passed += taken as u64;
        self.last = at;
        let event = (self.passed == total).then(|| Event::Message(self.complete()));
        (taken, event)
    }

    fn complete(&mut self) -> Frame<'static> {
        let (total, keep) = self.size.take().unwrap_or_default();
        let head = std::mem::take(&mut self.head);
        let short = (head.len() as u64) < total.min(keep as u64);
        self.passed = 0;
        self.fresh = false;
        let missing = std::mem::take(&mut self.missing);
        let captured = total.saturating_sub(std::mem::take(&mut self.absent));
        Frame { head: Cow::Owned(head), total, captured, missing, short, first: self.first, last: self.last }
    }
}

fn own(event: Event<'_>) -> Event<'static> {
    match event {
        Event::Message(f) => Event::Message(Frame {
            head: Cow::Owned(f.head.into_owned()),
            total: f.total,
            captured: f.captured,
            missing: f.missing,
            short: f.short,
            first: f.first,
            last: f.last,
        }),
        Event::Lost => Event::Lost,
        Event::Found(n) => Event::Found(n),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A byte of length, that itself included, and the first four bytes wanted; 0 and above 200 are no lengths.
    fn measure(head: &[u8]) -> Measure {
        match head[0] {
            1..=200 => Measure::Size { total: u64::from(head[0]), keep: 4 },
            _ => Measure::Bad,
        }
    }

    /// A message of three bytes whose last is `!`.
    fn sound(bytes: &[u8]) -> Sound {
        match bytes {
            [3, _, b'!', ..] => Sound::Yes,
            [3] | [3, _] => Sound::More,
            _ => Sound::No,
        }
    }

    fn at(time: i64) -> Stamp {
        Stamp { time, packet: 0 }
    }

    fn feed(frames: &mut Frames, time: i64, mut bytes: &[u8], out: &mut Vec<String>) {
        while let Some(event) = frames.next(&mut bytes, at(time), measure, |b| search(b, sound)) {
            out.push(match event {
                Event::Message(f) => told(&f),
                Event::Lost => "lost".into(),
                Event::Found(n) => format!("found {n}"),
            });
        }
        assert!(bytes.is_empty());
    }

    fn told(f: &Frame<'_>) -> String {
        let mark = if f.short {
            " short"
        } else if f.missing {
            " missing"
        } else {
            ""
        };
        format!("{} of {} {}-{}{mark}", String::from_utf8_lossy(&f.head[1..]), f.total, f.first.time, f.last.time)
    }

    #[test]
    fn messages_are_the_same_in_whatever_pieces_they_come() {
        let bytes = b"\x03ab\x08abcdefg\x01\x02a";
        let mut whole = Vec::new();
        feed(&mut Frames::default(), 1, bytes, &mut whole);
        assert_eq!(whole, ["ab of 3 1-1", "abc of 8 1-1", " of 1 1-1", "a of 2 1-1"]);
        for size in 1..bytes.len() {
            let (mut frames, mut out) = (Frames::default(), Vec::new());
            bytes.chunks(size).for_each(|piece| feed(&mut frames, 1, piece, &mut out));
            assert_eq!(out, whole);
        }
    }

    #[test]
    fn a_gap_inside_a_message_is_passed_over_by_its_length() {
        let (mut frames, mut out) = (Frames::default(), Vec::new());
        feed(&mut frames, 1, b"\x08abc", &mut out);
        assert!(matches!(frames.gap(at(2), 3), (None, false)));
        feed(&mut frames, 3, b"g\x0aab", &mut out);
        let (frame, lost) = frames.gap(at(4), 7);
        let frame = frame.unwrap();
        assert_eq!((told(&frame), lost, frame.captured), ("ab of 10 3-4 short".into(), false, 3));
        feed(&mut frames, 5, b"\x02x", &mut out);
        assert_eq!(out, ["abc of 8 1-3 missing", "x of 2 5-5"]);
        assert_eq!(frames.unread(), 0);
    }

    #[test]
    fn a_gap_over_the_end_of_a_message_loses_the_side_until_a_message_is_recognised() {
        let (mut frames, mut out) = (Frames::default(), Vec::new());
        feed(&mut frames, 1, b"\x08abc", &mut out);
        let (frame, lost) = frames.gap(at(2), 5);
        assert!(frame.unwrap().missing && lost);
        for piece in [b"zz".as_slice(), b"z\x03", b"x", b"!\x02y\x04"] {
            feed(&mut frames, 3, piece, &mut out);
        }
        assert_eq!(out, ["found 3", "x! of 3 3-3", "y of 2 3-3"]);
        assert_eq!((frames.unread(), frames.partial()), (3, Some((at(3), 1))));
        feed(&mut frames, 4, b"\0\0\0\xff\x03a!\x02b", &mut out);
        assert_eq!(out[3..], ["\0\0\0 of 4 3-4", "lost", "found 1", "a! of 3 4-4", "b of 2 4-4"]);
    }

    #[test]
    fn a_lost_side_holds_a_bounded_number_of_bytes() {
        let (mut frames, mut out) = (Frames::default(), Vec::new());
        frames.gap(at(0), 1);
        for _ in 0..1000 {
            feed(&mut frames, 1, &[0; 1500], &mut out);
            feed(&mut frames, 1, &[3], &mut out);
        }
        feed(&mut frames, 1, &vec![0; 1 << 20], &mut out);
        assert!(frames.held.left().len() <= SEARCHED && out.is_empty());
        assert_eq!(frames.unread(), 1_501_000 + (1 << 20));
    }
}
