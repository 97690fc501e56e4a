//! The part of a file that is in memory.

use std::io::Read;

/// What was read of something and not yet passed.
pub struct Window<R> {
    from: R,
    rest: Vec<u8>,
    at: usize,
    ended: bool,
    /// Bytes read at a time.
    piece: usize,
}

impl<R: Read> Window<R> {
    /// Nothing read yet; `piece` bytes are read at a time. Its size changes nothing but time and memory.
    pub fn new(from: R, piece: usize) -> Window<R> {
        Window { from, rest: Vec::new(), at: 0, ended: false, piece }
    }

    /// What is read.
    pub fn source(&self) -> &R {
        &self.from
    }

    /// What was read and not yet passed.
    pub fn left(&self) -> &[u8] {
        self.rest.get(self.at..).unwrap_or(&[])
    }

    /// Passes `n` bytes of what is left.
    pub fn pass(&mut self, n: usize) {
        self.at = self.at.saturating_add(n).min(self.rest.len());
    }

    /// Reads on until at least `want` bytes are left, or there are no more. Gives how many are left.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn fill(&mut self, want: usize) -> std::io::Result<usize> {
        if self.left().len() < want && !self.ended {
            self.rest.drain(..self.at);
            self.at = 0;
            let missing = want.max(self.piece).saturating_sub(self.rest.len()) as u64;
            let got = (&mut self.from).take(missing).read_to_end(&mut self.rest)?;
            self.ended = (got as u64) < missing;
        }
        Ok(self.left().len())
    }
}
