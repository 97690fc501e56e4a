//! Cuts systemd's journal export format into its entries, as it comes: <https://systemd.io/JOURNAL_EXPORT_FORMATS>.
//!
//! Fields stand one behind the other, an empty line ends the entry. A field is `NAME=value` and a newline; or `NAME`, a
//! newline, the value's length as 64 bits little-endian, the value, and a newline. Recorder and importer store entries as they
//! came, so this knows no more than where they end.

/// Bytes of an entry that are kept; a field beyond is left out whole and counted.
pub const LIMIT: usize = 1 << 20;
/// Bytes of a field's name; journald allows 64. What is longer without a sign is no export.
const NAME: usize = 64;

/// An entry as it came, without the empty line.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Entry {
    /// Its fields.
    pub bytes: Vec<u8>,
    /// Its cursor, empty where it has none.
    pub cursor: String,
    /// Bytes of fields that were left out.
    pub left_out: u64,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Part {
    /// A name and a sign, or a name alone.
    #[default]
    Line,
    /// The eight bytes of a length.
    Length,
    /// So many bytes of a value, and a newline.
    Value(u64),
}

/// See the module.
#[derive(Debug, Default)]
pub struct Cutter {
    entry: Entry,
    /// The field at hand.
    field: Vec<u8>,
    /// Bytes of it that went beyond the limit.
    beyond: u64,
    part: Part,
    length: [u8; 8],
    known: usize,
}

impl Cutter {
    /// Takes the next bytes and gives each entry that they end.
    pub fn feed(&mut self, mut bytes: &[u8], mut give: impl FnMut(Entry)) {
        while !bytes.is_empty() {
            match self.part {
                Part::Line => {
                    let end = bytes.iter().position(|&b| b == b'\n');
                    let (line, rest) = bytes.split_at(end.map_or(bytes.len(), |at| at + 1));
                    self.hold(line);
                    bytes = rest;
                    if end.is_some() {
                        self.line_ended(&mut give);
                    }
                }
                Part::Length => {
                    let (here, rest) = bytes.split_at(bytes.len().min(8 - self.known));
                    self.length[self.known..self.known + here.len()].copy_from_slice(here);
                    self.known += here.len();
                    self.hold(here);
                    bytes = rest;
                    if self.known == 8 {
                        // The newline behind the value is a part of the field.
                        self.part = Part::Value(u64::from_le_bytes(self.length).saturating_add(1));
                        self.known = 0;
                    }
                }
                Part::Value(left) => {
                    let here = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    self.hold(&bytes[..here]);
                    bytes = &bytes[here..];
                    self.part = Part::Value(left - here as u64);
                    if left == here as u64 {
                        self.end_field();
                    }
                }
            }
        }
    }

    fn line_ended(&mut self, give: &mut impl FnMut(Entry)) {
        let named = self.field.iter().position(|&b| b == b'=');
        if self.field == b"\n" {
            self.field.clear();
            let entry = std::mem::take(&mut self.entry);
            if !entry.bytes.is_empty() {
                give(entry);
            }
        } else if named.is_some() || self.field.len() > NAME + 1 || self.beyond > 0 {
            self.end_field();
        } else {
            self.part = Part::Length;
        }
    }

    fn hold(&mut self, bytes: &[u8]) {
        let room = LIMIT.saturating_sub(self.entry.bytes.len() + self.field.len());
        let kept = bytes.len().min(room);
        self.field.extend_from_slice(&bytes[..kept]);
        self.beyond += (bytes.len() - kept) as u64;
    }

    fn end_field(&mut self) {
        self.part = Part::Line;
        let field = std::mem::take(&mut self.field);
        let beyond = std::mem::take(&mut self.beyond);
        if beyond > 0 {
            self.entry.left_out += field.len() as u64 + beyond;
            return;
        }
        if let Some(cursor) = field.strip_prefix(b"__CURSOR=").and_then(|c| c.strip_suffix(b"\n")) {
            self.entry.cursor = String::from_utf8_lossy(cursor).into_owned();
        }
        self.entry.bytes.extend_from_slice(&field);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn export() -> Vec<u8> {
        let value = b"two\n\nlines\0and more";
        let mut out = b"__CURSOR=s=1;i=1\nMESSAGE=hello\n\n\n__CURSOR=s=1;i=2\nMESSAGE\n".to_vec();
        out.extend((value.len() as u64).to_le_bytes());
        out.extend(value);
        out.extend(b"\nPRIORITY=3\n\nMESSAGE=open\nPRIO");
        out
    }

    fn cut(pieces: &mut dyn Iterator<Item = &[u8]>) -> Vec<Entry> {
        let (mut cutter, mut out) = (Cutter::default(), Vec::new());
        pieces.for_each(|piece| cutter.feed(piece, |entry| out.push(entry)));
        out
    }

    #[test]
    fn entries_are_cut_the_same_however_they_arrive() {
        let export = export();
        let want = cut(&mut std::iter::once(&export[..]));
        assert_eq!(want.len(), 2, "one that is not ended comes again, behind the cursor of the last");
        assert_eq!((want[1].cursor.as_str(), want[1].left_out), ("s=1;i=2", 0));
        assert!(want[1].bytes.ends_with(b"two\n\nlines\0and more\nPRIORITY=3\n"));
        for size in [1, 2, 3, 7, 8, 9] {
            assert_eq!(cut(&mut export.chunks(size)), want, "in pieces of {size}");
        }
    }

    #[test]
    fn a_field_beyond_the_limit_is_left_out_and_counted() {
        let mut export = b"MESSAGE=a\nCOREDUMP\n".to_vec();
        export.extend((2 * LIMIT as u64).to_le_bytes());
        export.extend(vec![0; 2 * LIMIT]);
        export.extend(b"\nPRIORITY=3\n\n");
        let found = cut(&mut export.chunks(65_536));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].bytes, b"MESSAGE=a\nPRIORITY=3\n");
        assert_eq!(found[0].left_out, 2 * LIMIT as u64 + 9 + 8 + 1);
    }
}
