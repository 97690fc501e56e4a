//! Lines into words with what changes from line to line masked: numbers, hex, UUIDs, addresses, paths, quoted text.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Bytes of a line that are read, and words of it. What stands behind is `<more>`.
const LINE: usize = 2048;
const WORDS: usize = 128;
/// Bytes of a quoted text; a quote without an end so near is a letter.
const QUOTED: usize = 1024;

/// The words of a line, masked. Its memory is used again for the next line.
#[derive(Debug, Clone, Default)]
pub(super) struct Masked {
    text: Vec<u8>,
    /// Where each word ends, and whether something in it is masked.
    words: Vec<(usize, bool)>,
}

impl Masked {
    pub(super) fn len(&self) -> usize {
        self.words.len()
    }

    /// A word, and whether something in it is masked.
    pub(super) fn word(&self, i: usize) -> (&[u8], bool) {
        let start = if i == 0 { 0 } else { self.words[i - 1].0 };
        let (end, masked) = self.words[i];
        (&self.text[start..end], masked)
    }

    /// Reads a line.
    pub(super) fn read(&mut self, line: &[u8]) {
        self.text.clear();
        self.words.clear();
        let (line, mut cut) = (&line[..line.len().min(LINE)], line.len() > LINE);
        let mut at = 0;
        loop {
            while line.get(at).is_some_and(u8::is_ascii_whitespace) {
                at += 1;
            }
            if at >= line.len() {
                break;
            }
            if self.words.len() == WORDS - 1 {
                cut = true;
                break;
            }
            let mut writer = Writer { line, at, out: &mut self.text, masked: false };
            writer.word();
            at = writer.at;
            let masked = writer.masked;
            self.words.push((self.text.len(), masked));
        }
        if cut {
            self.text.extend(b"<more>");
            self.words.push((self.text.len(), true));
        }
    }
}

/// Whether a byte is of a run of letters and digits. Bytes of other alphabets are letters.
fn is_run(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b >= 0x80
}

struct Writer<'a> {
    line: &'a [u8],
    at: usize,
    out: &'a mut Vec<u8>,
    masked: bool,
}

impl Writer<'_> {
    fn mask(&mut self, what: &[u8], end: usize) {
        self.out.extend_from_slice(what);
        self.at = end;
        self.masked = true;
    }

    fn copy(&mut self, end: usize) {
        self.out.extend_from_slice(&self.line[self.at..end]);
        self.at = end;
    }

    /// Up to the next blank that is not in quotes.
    fn word(&mut self) {
        let start = self.at;
        while let Some(&b) = self.line.get(self.at).filter(|b| !b.is_ascii_whitespace()) {
            let inside = self.at > start && is_run(self.line[self.at - 1]);
            let next = self.line.get(self.at + 1).copied().unwrap_or(b' ');
            match b {
                _ if is_run(b) => self.run(),
                b'"' => self.quoted(b),
                b'\'' | b'`' if !inside => self.quoted(b),
                b'/' if !inside && !next.is_ascii_whitespace() => self.path(),
                b'~' | b'.' if !inside && (next == b'/' || self.line[self.at..].starts_with(b"../")) => self.path(),
                // The sign is of the number.
                b'-' | b'+' if !inside && next.is_ascii_digit() => self.at += 1,
                b':' if !inside && next == b':' && self.ipv6() => {}
                _ => self.copy(self.at + 1),
            }
        }
    }

    /// Quoted text, unless it is the key of a JSON field.
    fn quoted(&mut self, quote: u8) {
        let inside = &self.line[self.at + 1..self.line.len().min(self.at + 1 + QUOTED)];
        let mut escaped = false;
        let close = inside.iter().position(|&b| {
            let closes = b == quote && !escaped;
            escaped = b == b'\\' && !escaped;
            closes
        });
        let Some(close) = close else { return self.copy(self.at + 1) };
        let end = self.at + 1 + close + 1;
        match self.line.get(end) {
            Some(b':') if quote == b'"' => self.copy(end),
            // An apostrophe, not a quote.
            Some(&b) if quote == b'\'' && is_run(b) => self.copy(self.at + 1),
            _ => self.mask(b"<str>", end),
        }
    }

    fn path(&mut self) {
        let ends = |b: &u8| b.is_ascii_whitespace() || b"\"'`<>|()[]{},;=?&:".contains(b);
        let rest = &self.line[self.at..];
        self.mask(b"<path>", self.at + rest.iter().position(ends).unwrap_or(rest.len()));
    }

    /// An IPv6 address at hand; `false` if there is none.
    fn ipv6(&mut self) -> bool {
        /// Of the longest in text.
        const LONGEST: usize = 45;
        let rest = &self.line[self.at..];
        let is = |b: &u8| b.is_ascii_hexdigit() || matches!(b, b':' | b'.');
        let long = rest.iter().take(LONGEST + 1).position(|b| !is(b)).unwrap_or(rest.len().min(LONGEST + 1));
        // A colon or full stop behind it is of the sentence.
        let trimmed = rest[..long].iter().rposition(|b| !matches!(b, b'.')).map_or(0, |last| last + 1);
        let whole = |n: usize| {
            let text = std::str::from_utf8(&rest[..n]).ok()?;
            (!rest.get(n).copied().is_some_and(is_run)).then(|| text.parse::<Ipv6Addr>().ok())?
        };
        let found = [trimmed, trimmed.saturating_sub(1)].into_iter().find(|&n| n > 2 && whole(n).is_some());
        match found {
            Some(n) => {
                self.mask(b"<ip>", self.at + n);
                true
            }
            None => false,
        }
    }

    /// Letters and digits, and what begins like them.
    fn run(&mut self) {
        let rest = &self.line[self.at..];
        let long = rest.iter().position(|&b| !is_run(b)).unwrap_or(rest.len());
        let run = &rest[..long];
        let digits = run.iter().filter(|b| b.is_ascii_digit()).count();
        let next = rest.get(long).copied().unwrap_or(b' ');
        if long == 8 && next == b'-' && is_uuid(rest) {
            return self.mask(b"<uuid>", self.at + 36);
        }
        if next == b':' && long <= 4 && run.iter().all(u8::is_ascii_hexdigit) && self.ipv6() {
            return;
        }
        if digits == 0 {
            return self.copy(self.at + long);
        }
        if digits == long {
            return self.number(rest);
        }
        let changes = run.windows(2).filter(|w| w[0].is_ascii_digit() != w[1].is_ascii_digit()).count();
        let is_hex = run.iter().all(u8::is_ascii_hexdigit);
        let prefixed = long > 2 && (run.starts_with(b"0x") || run.starts_with(b"0X"));
        if (prefixed && run[2..].iter().all(u8::is_ascii_hexdigit))
            || (is_hex && (long >= 8 || (long >= 6 && changes > 1)))
        {
            return self.mask(b"<hex>", self.at + long);
        }
        if changes >= 4 {
            return self.mask(b"<id>", self.at + long);
        }
        let end = self.at + long;
        while self.at < end {
            let here = &self.line[self.at..end];
            let is_digit = here[0].is_ascii_digit();
            let piece = here.iter().position(|b| b.is_ascii_digit() != is_digit).unwrap_or(here.len());
            if is_digit { self.mask(b"<num>", self.at + piece) } else { self.copy(self.at + piece) }
        }
    }

    /// Digits, with dots and digits behind: a number, a version, an address.
    fn number(&mut self, rest: &[u8]) {
        let mut end = 0;
        loop {
            end += rest[end..].iter().take_while(|b| b.is_ascii_digit()).count();
            let goes_on = rest.get(end) == Some(&b'.') && rest.get(end + 1).is_some_and(u8::is_ascii_digit);
            if !goes_on {
                break;
            }
            end += 1;
        }
        let is_ip = end <= 15 && std::str::from_utf8(&rest[..end]).is_ok_and(|t| t.parse::<Ipv4Addr>().is_ok());
        self.mask(if is_ip { b"<ip>" } else { b"<num>" }, self.at + end);
    }
}

/// `8-4-4-4-12` hex digits, and nothing of a word behind.
fn is_uuid(text: &[u8]) -> bool {
    let Some(text) = text.get(..36).filter(|_| !text.get(36).copied().is_some_and(is_run)) else { return false };
    text.iter().enumerate().all(|(i, b)| if matches!(i, 8 | 13 | 18 | 23) { *b == b'-' } else { b.is_ascii_hexdigit() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn masked(line: &[u8]) -> String {
        let mut m = Masked::default();
        m.read(line);
        let words: Vec<_> = (0..m.len()).map(|i| String::from_utf8_lossy(m.word(i).0).into_owned()).collect();
        words.join(" ")
    }

    #[test]
    fn what_changes_from_line_to_line_is_masked() {
        for (line, want) in [
            ("took 5ms, 1.5s or -3", "took <num>ms, <num>s or <num>"),
            ("user=12 id=0x1F h=7f8d9c6b52 deadbeef", "user=<num> id=<hex> h=<hex> deadbeef"),
            ("from 10.0.0.1:8080 to [fe80::1]:53 ::1 v1.2.3", "from <ip>:<num> to [<ip>]:<num> <ip> v<num>.<num>"),
            ("at 12:34:56 core::fmt", "at <num>:<num>:<num> core::fmt"),
            ("2024-01-02T03:04:05.678Z x", "<num>-<num>-<num>T<num>:<num>:<num>Z x"),
            ("id 0af76519-16cd-43dd-8448-eb211c80319c.", "id <uuid>."),
            ("GET /api/v1/users?id=3 HTTP/1.1", "GET <path>?id=<num> HTTP/<num>"),
            ("open ./a ~/b ../c / d/e", "open <path> <path> <path> / d/e"),
            ("said \"two \\\" words\" and 'one' it's", "said <str> and <str> it's"),
            ("{\"level\":\"info\",\"n\":5}", "{\"level\":<str>,\"n\":<num>}"),
            ("eth0 pod-x2k4z9q1 \"open", "eth<num> pod-<id> \"open"),
            ("  \t ", ""),
        ] {
            assert_eq!(masked(line.as_bytes()), want, "{line}");
        }
    }

    #[test]
    fn long_lines_are_cut_and_marked() {
        assert!(masked("word ".repeat(1000).as_bytes()).ends_with("word <more>"));
        assert_eq!(masked("a ".repeat(500).as_bytes()).split(' ').count(), WORDS);
        assert!(masked(&[b'x'; 5000]).ends_with("x <more>"));
    }

    proptest! {
        #[test]
        fn never_panics_on_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "[0-9a-f:.'\"/~é x-]{0,60}") {
            masked(&bytes);
            masked(text.as_bytes());
        }

        #[test]
        fn the_size_is_a_small_multiple_of_the_line(text in "[0-9 .a-]{0,300}") {
            prop_assert!(masked(text.as_bytes()).len() <= 6 * text.len() + 7);
        }
    }
}
