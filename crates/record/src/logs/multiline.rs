//! Lines that belong together, such as a stack trace, put together to one entry by a pattern that its first line has.

use std::sync::Arc;
use std::time::{Duration, Instant};

use regex::bytes::Regex;

use super::lines::{AFTER_GAP, CUT, LIMIT, Line, OPEN};

/// Bit 4 of a line's flags: several lines, with the newlines between them.
const JOINED: u32 = 16;
/// An entry is ended when nothing came for so long: its writer is done with it.
const DONE: Duration = Duration::from_millis(500);

/// The entry of one file that may go on.
#[derive(Debug, Default)]
pub(super) struct Multiline {
    /// What the first line of an entry has; without it each line is one.
    pattern: Option<Arc<Regex>>,
    open: Option<Line>,
    came: Option<Instant>,
}

impl Multiline {
    pub(super) fn new(pattern: Option<Arc<Regex>>) -> Multiline {
        Multiline { pattern, ..Multiline::default() }
    }

    /// Takes a line; gives the entry that it ends.
    pub(super) fn push(&mut self, line: Line, mut give: impl FnMut(Line)) {
        let Some(pattern) = &self.pattern else { return give(line) };
        self.came = Some(Instant::now());
        match &mut self.open {
            Some(open) if line.flags & AFTER_GAP == 0 && !pattern.is_match(&line.bytes) => join(open, &line),
            _ => self.open.replace(line).into_iter().for_each(give),
        }
    }

    /// The entry that nothing was added to for a while.
    pub(super) fn done(&mut self) -> Option<Line> {
        self.came.is_some_and(|came| came.elapsed() >= DONE).then(|| self.end()).flatten()
    }

    /// Whether there is an entry that may go on.
    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// The entry at hand: nothing will be added.
    pub(super) fn end(&mut self) -> Option<Line> {
        self.came = None;
        self.open.take()
    }
}

fn join(open: &mut Line, line: &Line) {
    open.flags |= JOINED | line.flags & OPEN;
    let added = line.bytes.len() + 1;
    let room = LIMIT - open.bytes.len();
    if room > 0 {
        open.bytes.push(b'\n');
        open.bytes.extend_from_slice(&line.bytes[..line.bytes.len().min(room - 1)]);
    }
    open.left_out += added.saturating_sub(room) as u64 + line.left_out;
    if open.left_out > 0 {
        open.flags |= CUT;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn line(text: &[u8]) -> Line {
        Line { offset: 0, flags: 0, bytes: text.to_vec(), left_out: 0 }
    }

    fn starting_with_a_digit() -> Multiline {
        Multiline::new(Some(Arc::new(Regex::new(r"^\d").unwrap())))
    }

    #[test]
    fn lines_without_the_pattern_join_the_one_before() {
        let (mut entries, mut out) = (starting_with_a_digit(), Vec::new());
        for text in ["  of before", "1 failed", "  at a()", "Caused by: b", "2 fine"] {
            entries.push(line(text.as_bytes()), |l| out.push((String::from_utf8(l.bytes).unwrap(), l.flags)));
        }
        assert_eq!(entries.done(), None, "it has just come");
        out.extend(entries.end().map(|l| (String::from_utf8(l.bytes).unwrap(), l.flags)));
        let want = [("  of before", 0), ("1 failed\n  at a()\nCaused by: b", JOINED), ("2 fine", 0)];
        assert_eq!(out, want.map(|(text, flags)| (text.to_owned(), flags)));
    }

    #[test]
    fn an_entry_is_bounded_and_the_rest_counted() {
        let mut entries = starting_with_a_digit();
        let long = vec![b'x'; LIMIT / 2];
        for text in [&b"1"[..], &long, &long, &long] {
            entries.push(line(text), |_| panic!("nothing is ended"));
        }
        let entry = entries.end().unwrap();
        assert_eq!((entry.bytes.len(), entry.flags), (LIMIT, JOINED | CUT));
        assert_eq!(entry.bytes.len() as u64 + entry.left_out, 1 + 3 * (long.len() as u64 + 1));
    }
}
