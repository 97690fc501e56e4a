//! Bytes of a file, cut into lines.

/// Bytes of a line that are kept; the rest is counted.
pub(super) const LIMIT: usize = 1 << 20;

/// Bit 0 of a line's flags: cut at the limit.
pub(super) const CUT: u32 = 1;
/// Bit 1: no newline at its end.
pub(super) const OPEN: u32 = 2;
/// Bit 2: first line after a gap.
pub(super) const AFTER_GAP: u32 = 4;

/// A line on its way to the bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// Offset of its first byte in the file.
    pub(super) offset: u64,
    /// [`CUT`], [`OPEN`], [`AFTER_GAP`].
    pub(super) flags: u32,
    /// Its bytes without the newline.
    pub(super) bytes: Vec<u8>,
    /// Bytes beyond the limit that were left out.
    pub(super) left_out: u64,
}

/// Collects the lines of one file.
#[derive(Debug, Default)]
pub(super) struct Lines {
    start: u64,
    partial: Vec<u8>,
    left_out: u64,
    flags: u32,
}

impl Lines {
    /// Starts a new line at this offset of the file; what was open must have been taken by [`Lines::end`].
    pub(super) fn restart(&mut self, offset: u64, after_gap: bool) {
        *self = Lines { start: offset, flags: if after_gap { AFTER_GAP } else { 0 }, ..Lines::default() };
    }

    /// The first line begins only there.
    pub(super) fn skip_to(&mut self, offset: u64) {
        self.start = offset;
    }

    /// Takes the next bytes of the file and gives each line that they end.
    pub(super) fn feed(&mut self, mut bytes: &[u8], mut give: impl FnMut(Line)) {
        while let Some(newline) = bytes.iter().position(|&b| b == b'\n') {
            self.hold(&bytes[..newline]);
            let length = (self.partial.len() as u64) + self.left_out + 1;
            let next = self.start + length;
            give(self.take(0));
            self.start = next;
            bytes = &bytes[newline + 1..];
        }
        self.hold(bytes);
    }

    /// The line that the file ended in, if there is one.
    pub(super) fn end(&mut self) -> Option<Line> {
        let length = (self.partial.len() as u64) + self.left_out;
        if length == 0 {
            return None;
        }
        let line = self.take(OPEN);
        self.start += length;
        Some(line)
    }

    fn take(&mut self, flags: u32) -> Line {
        let cut = if self.left_out > 0 { CUT } else { 0 };
        let flags = std::mem::take(&mut self.flags) | flags | cut;
        let left_out = std::mem::take(&mut self.left_out);
        Line { offset: self.start, flags, bytes: std::mem::take(&mut self.partial), left_out }
    }

    fn hold(&mut self, bytes: &[u8]) {
        let room = LIMIT - self.partial.len();
        let (kept, beyond) = bytes.split_at(bytes.len().min(room));
        self.partial.extend_from_slice(kept);
        self.left_out += beyond.len() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(parts: &[&[u8]]) -> Vec<(u64, u32, usize, u64)> {
        let (mut lines, mut out) = (Lines::default(), Vec::new());
        lines.restart(100, true);
        for part in parts {
            lines.feed(part, |l| out.push((l.offset, l.flags, l.bytes.len(), l.left_out)));
        }
        out.extend(lines.end().map(|l| (l.offset, l.flags, l.bytes.len(), l.left_out)));
        out
    }

    #[test]
    fn lines_keep_their_offsets_however_they_arrive() {
        let want = vec![(100, AFTER_GAP, 3, 0), (104, 0, 0, 0), (105, 0, 2, 0), (108, OPEN, 1, 0)];
        assert_eq!(all(&[b"abc\n\nde\nf"]), want);
        assert_eq!(all(&[b"a", b"bc", b"\n\nd", b"e\n", b"f"]), want);
    }

    #[test]
    fn a_line_beyond_the_limit_is_cut_and_counted() {
        let long = vec![b'x'; LIMIT];
        let got = all(&[&long, b"yz\nnext\n"]);
        assert_eq!(got[0], (100, AFTER_GAP | CUT, LIMIT, 2));
        assert_eq!(got[1], (100 + LIMIT as u64 + 3, 0, 4, 0));
        assert_eq!(all(&[&long, b"\n"])[0].1, AFTER_GAP, "exactly at the limit is whole");
    }
}
