//! What is remembered of the bytes that were read of a file: how it is noticed that it was overwritten, and how the copy that a
//! rotation made of it is told from a log of its own.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Bytes at the front and before the read position that are remembered.
pub(super) const MEMORY: usize = 256;
/// Bytes of a sample.
const SAMPLE: usize = 32;
/// Bytes between two samples, at first; when there are too many, every other is dropped.
const STRIDE: u64 = 4 << 10;
/// Samples of a file at most.
const SAMPLES: usize = 1 << 12;

/// Whether a file is a copy of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Copied {
    /// It is a log of its own.
    No,
    /// All that it holds stands at the front of the other, and that is little: it may be being made.
    Perhaps,
    /// It is: it holds what was read of the other, where it was read; or the first part of that, as a copy does that was
    /// made before the last lines were read.
    Yes,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Trace {
    /// Up to where was read.
    pub(super) position: u64,
    /// The first bytes, at most [`MEMORY`] of them.
    head: Vec<u8>,
    /// The bytes before the position, at most [`MEMORY`] of them.
    tail: Vec<u8>,
    /// Bytes at multiples of the stride, and where.
    samples: Vec<(u64, [u8; SAMPLE])>,
    stride: u64,
}

impl Default for Trace {
    fn default() -> Trace {
        Trace { position: 0, head: Vec::new(), tail: Vec::new(), samples: Vec::new(), stride: STRIDE }
    }
}

impl Trace {
    /// Of a file whose first bytes, up to a position, are not read.
    pub(super) fn at(file: &File, position: u64) -> io::Result<Trace> {
        let known = position.min(MEMORY as u64);
        let (mut head, mut tail) = (vec![0; known as usize], vec![0; known as usize]);
        file.read_exact_at(&mut head, 0)?;
        file.read_exact_at(&mut tail, position - known)?;
        Ok(Trace { position, head, tail, ..Trace::default() })
    }

    /// Of a file that begins with a hole of that length.
    pub(super) fn behind_hole(length: u64) -> Trace {
        let zeros = vec![0; length.min(MEMORY as u64) as usize];
        Trace { position: length, head: zeros.clone(), tail: zeros, ..Trace::default() }
    }

    /// Remembers bytes that were read behind the position.
    pub(super) fn extend(&mut self, bytes: &[u8]) {
        let room = MEMORY - self.head.len();
        if self.position == self.head.len() as u64 {
            self.head.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
        self.sample(bytes);
        let keep = MEMORY.saturating_sub(bytes.len()).min(self.tail.len());
        self.tail.drain(..self.tail.len() - keep);
        self.tail.extend_from_slice(&bytes[bytes.len().saturating_sub(MEMORY)..]);
        self.position += bytes.len() as u64;
    }

    fn sample(&mut self, bytes: &[u8]) {
        let mut at = self.position.next_multiple_of(self.stride);
        while let Some(sample) = bytes.get((at - self.position) as usize..).and_then(<[u8]>::first_chunk) {
            if self.samples.len() >= SAMPLES {
                self.stride *= 2;
                let stride = self.stride;
                self.samples.retain(|(at, _)| at.is_multiple_of(stride));
            }
            if at.is_multiple_of(self.stride) {
                self.samples.push((at, *sample));
            }
            at = (at + 1).next_multiple_of(self.stride);
        }
    }

    /// Whether anything was read: what a copy is recognised by.
    pub(super) fn has_tail(&self) -> bool {
        !self.tail.is_empty()
    }

    /// Whether a file holds the bytes before the position where they were read.
    pub(super) fn is_in(&self, file: &File) -> bool {
        has(file, &self.tail, self.position - self.tail.len() as u64)
    }

    /// Whether a file is a copy of the one that this was read of.
    pub(super) fn copied_by(&self, file: &File) -> Copied {
        // A few bytes are no proof: two logs may well begin with the same word.
        if self.tail.len() < SAMPLE {
            return Copied::No;
        }
        if self.is_in(file) {
            return Copied::Yes;
        }
        let length = file.metadata().map_or(0, |m| m.len());
        let head = &self.head[..self.head.len().min(length as usize)];
        if length >= self.position || !has(file, head, 0) {
            return Copied::No;
        }
        let within = |(at, _): &&(u64, [u8; SAMPLE])| *at >= MEMORY as u64 && at + SAMPLE as u64 <= length;
        let last: Vec<_> = self.samples.iter().rev().filter(within).take(3).collect();
        match last.iter().all(|(at, sample)| has(file, sample, *at)) {
            _ if last.is_empty() => Copied::Perhaps,
            true => Copied::Yes,
            false => Copied::No,
        }
    }
}

/// Whether these bytes stand there.
fn has(file: &File, bytes: &[u8], at: u64) -> bool {
    let mut there = [0; MEMORY];
    let there = &mut there[..bytes.len()];
    file.read_exact_at(there, at).is_ok() && there == bytes
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Write;

    use super::*;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn copies_are_told_from_logs_of_their_own() {
        let text: Vec<u8> = (0..20_000).flat_map(|n| format!("line {n:06}\n").into_bytes()).collect();
        let mut trace = Trace::default();
        text.chunks(777).for_each(|piece| trace.extend(piece));
        let copied = |bytes: &[u8]| trace.copied_by(&file(bytes));
        assert_eq!(copied(&text), Copied::Yes);
        assert_eq!(copied(&[&text[..], b"more\n"].concat()), Copied::Yes);
        assert_eq!(copied(&text[..text.len() - 5000]), Copied::Yes, "made before the last lines were read");
        assert_eq!((copied(&text[..300]), copied(b"")), (Copied::Perhaps, Copied::Perhaps));
        assert_eq!(copied(b"line 000000\nanother\n"), Copied::No);
        let mut other = text.clone();
        other.truncate(100_000);
        other[98_304..98_400].fill(b'x');
        assert_eq!(copied(&other), Copied::No);
        assert_eq!(copied(&[b'x'; 300_000]), Copied::No);
    }

    #[test]
    fn samples_of_a_long_file_stay_bounded() {
        let mut trace = Trace::default();
        let piece = vec![b'a'; 1 << 20];
        for _ in 0..100 {
            trace.extend(&piece);
        }
        assert!(trace.samples.len() <= SAMPLES && trace.samples.len() > SAMPLES / 4, "{}", trace.samples.len());
        assert_eq!(trace.position, 100 << 20);
    }
}
