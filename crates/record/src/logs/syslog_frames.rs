//! Cuts a TCP stream of syslog into messages (RFC 6587): by the length before each ("octet counting"), or by newlines.

use super::lines::LIMIT;

/// Digits of a length at most.
const DIGITS: usize = 10;

/// A message as it came, without its framing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    /// Its bytes.
    pub(super) bytes: Vec<u8>,
    /// Bytes beyond the limit.
    pub(super) left_out: u64,
    /// The connection ended within it.
    pub(super) open: bool,
}

/// The messages of one connection. Each tells its framing by its first byte: a length begins with a digit other than zero,
/// a message with `<`.
#[derive(Debug, Default)]
pub(super) struct Frames {
    bytes: Vec<u8>,
    left_out: u64,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Begin,
    Length,
    Counted(u64),
    Line,
}

impl Frames {
    /// Takes the next bytes and gives each message that they end.
    pub(super) fn feed(&mut self, mut bytes: &[u8], mut give: impl FnMut(Message)) {
        while let Some(&first) = bytes.first() {
            match self.state {
                // What parts messages, or nothing.
                State::Begin if matches!(first, b'\n' | b'\r' | 0) => bytes = &bytes[1..],
                State::Begin => self.state = if matches!(first, b'1'..=b'9') { State::Length } else { State::Line },
                State::Length if first.is_ascii_digit() && self.bytes.len() < DIGITS => {
                    self.bytes.push(first);
                    bytes = &bytes[1..];
                }
                State::Length => {
                    let length = (first == b' ').then(|| std::str::from_utf8(&self.bytes).ok()?.parse().ok()).flatten();
                    match length {
                        Some(length) => {
                            self.bytes.clear();
                            bytes = &bytes[1..];
                            self.state = State::Counted(length);
                        }
                        // A line that begins with a number.
                        None => self.state = State::Line,
                    }
                }
                State::Counted(left) => {
                    let here = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    self.hold(&bytes[..here]);
                    bytes = &bytes[here..];
                    self.state = State::Counted(left - here as u64);
                    if left == here as u64 {
                        give(self.message(false));
                    }
                }
                State::Line => {
                    let end = bytes.iter().position(|b| matches!(b, b'\n' | 0));
                    self.hold(&bytes[..end.unwrap_or(bytes.len())]);
                    bytes = end.map_or(&[], |end| &bytes[end + 1..]);
                    if end.is_some() {
                        give(self.message(false));
                    }
                }
            }
        }
    }

    /// The message that the connection ended in.
    pub(super) fn end(&mut self) -> Option<Message> {
        // A length alone is none.
        let open = matches!(self.state, State::Counted(_) | State::Line) && !self.bytes.is_empty();
        open.then(|| self.message(true))
    }

    fn message(&mut self, open: bool) -> Message {
        self.state = State::Begin;
        let mut bytes = std::mem::take(&mut self.bytes);
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
        Message { bytes, left_out: std::mem::take(&mut self.left_out), open }
    }

    fn hold(&mut self, bytes: &[u8]) {
        let kept = bytes.len().min(LIMIT - self.bytes.len());
        self.bytes.extend_from_slice(&bytes[..kept]);
        self.left_out += (bytes.len() - kept) as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(pieces: &mut dyn Iterator<Item = &[u8]>) -> Vec<(String, u64, bool)> {
        let (mut frames, mut out) = (Frames::default(), Vec::new());
        let text = |m: Message| (String::from_utf8_lossy(&m.bytes).into_owned(), m.left_out, m.open);
        pieces.for_each(|piece| frames.feed(piece, |m| out.push(text(m))));
        out.extend(frames.end().map(text));
        out
    }

    #[test]
    fn both_framings_are_told_apart_message_by_message_however_they_arrive() {
        let stream = b"<13>one\n11 <13>two\nmor<13>three\r\n\n5 <1>xy<14>four\x00007 days\n<13>open";
        let want = ["<13>one", "<13>two\nmor", "<13>three", "<1>xy", "<14>four", "007 days", "<13>open"];
        let found = all(&mut std::iter::once(&stream[..]));
        assert_eq!(found.iter().map(|f| f.0.as_str()).collect::<Vec<_>>(), want);
        assert_eq!(found.iter().map(|f| f.2).collect::<Vec<_>>(), [false, false, false, false, false, false, true]);
        for size in 1..9 {
            assert_eq!(all(&mut stream.chunks(size)), found, "in pieces of {size}");
        }
    }

    #[test]
    fn lengths_that_lie_and_long_messages_are_bounded() {
        let long = vec![b'x'; LIMIT + 7];
        assert_eq!(all(&mut [&long[..], b"\nnext\n"].into_iter())[0].1, 7);
        let counted = [format!("{} ", long.len()).into_bytes(), long].concat();
        assert_eq!(all(&mut counted.chunks(65_536))[0].1, 7);
        assert_eq!(all(&mut std::iter::once(&b"99999999999999999999 a\n"[..]))[0].0, "99999999999999999999 a");
        assert_eq!(all(&mut std::iter::once(&b"9999999999 abc"[..])), [("abc".to_owned(), 0, true)]);
    }
}
