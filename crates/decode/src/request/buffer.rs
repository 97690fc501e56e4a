//! Bytes of one side that were not read yet, each with the stamp of the piece it came in.

use std::collections::VecDeque;

use super::Stamp;

/// Most bytes that a side may hold back while a message is incomplete.
pub const MOST: usize = 1 << 20;

/// A queue of bytes with stamps.
#[derive(Debug, Default)]
pub struct Buffer {
    bytes: Vec<u8>,
    /// How many of `bytes` were taken.
    taken: usize,
    /// Number of the first byte of `bytes` in the stream.
    base: u64,
    /// Of each piece: the number of the byte behind it, and its stamp.
    pieces: VecDeque<(u64, Stamp)>,
}

impl Buffer {
    /// Adds a piece. False, and nothing is added, where more than [`MOST`] would be held: the message is absurd or the
    /// reader lost its way, and the caller must give the bytes up.
    #[must_use]
    pub fn push(&mut self, at: Stamp, piece: &[u8]) -> bool {
        if self.left().len() + piece.len() > MOST {
            return false;
        }
        if self.taken > 0 && (self.taken == self.bytes.len() || self.taken >= 1 << 16) {
            self.bytes.drain(..self.taken);
            self.base += self.taken as u64;
            self.taken = 0;
        }
        if !piece.is_empty() {
            self.bytes.extend_from_slice(piece);
            self.pieces.push_back((self.base + self.bytes.len() as u64, at));
        }
        true
    }

    /// What is left to read.
    pub fn left(&self) -> &[u8] {
        &self.bytes[self.taken..]
    }

    /// Takes `n` bytes, or all where there are fewer. Returns the stamps of the first and the last of them; `None` for
    /// no bytes.
    pub fn take(&mut self, n: usize) -> Option<(Stamp, Stamp)> {
        let n = n.min(self.left().len());
        let first = self.stamp(0)?;
        let last = self.stamp(n.checked_sub(1)?)?;
        self.taken += n;
        let position = self.base + self.taken as u64;
        while self.pieces.front().is_some_and(|&(end, _)| end <= position) {
            self.pieces.pop_front();
        }
        Some((first, last))
    }

    /// The stamp of the byte at `index` of [`Buffer::left`].
    pub fn stamp(&self, index: usize) -> Option<Stamp> {
        let position = self.base + self.taken as u64 + index as u64;
        let at = self.pieces.partition_point(|&(end, _)| end <= position);
        self.pieces.get(at).map(|&(_, stamp)| stamp)
    }

    /// The stamp of the next byte, and how many bytes from it on came in the same piece.
    pub fn piece(&self) -> Option<(Stamp, usize)> {
        let position = self.base + self.taken as u64;
        self.pieces.front().map(|&(end, stamp)| (stamp, (end - position) as usize))
    }

    /// Throws away what is left; returns how many bytes that were.
    pub fn clear(&mut self) -> usize {
        let n = self.left().len();
        self.take(n);
        n
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn at(time: i64) -> Stamp {
        Stamp { time, packet: time as u64 }
    }

    #[test]
    fn each_byte_keeps_the_stamp_of_its_piece() {
        let mut b = Buffer::default();
        assert!(b.push(at(1), b"abc") && b.push(at(2), b"") && b.push(at(3), b"de"));
        assert_eq!(b.take(2), Some((at(1), at(1))));
        assert_eq!(b.take(2), Some((at(1), at(3))));
        assert_eq!(b.left(), b"e");
        assert_eq!(b.take(9), Some((at(3), at(3))));
        assert_eq!((b.take(1), b.stamp(0)), (None, None));
    }

    #[test]
    fn what_was_taken_is_let_go_and_an_absurd_message_is_refused() {
        let mut b = Buffer::default();
        for n in 0..10_000 {
            assert!(b.push(at(n), &[0; 1000]));
            assert_eq!(b.take(1000), Some((at(n), at(n))));
        }
        assert!(b.bytes.capacity() < 1 << 18);
        assert!(b.push(at(1), &vec![0; MOST]));
        assert!(!b.push(at(1), &[0]));
        assert_eq!(b.clear(), MOST);
    }
}
