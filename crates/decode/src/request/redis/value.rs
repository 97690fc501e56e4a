//! Values of a server, put together from their pieces by counting.

use super::wire::Piece;
use crate::request::Stamp;
use crate::request::frames::Frame;

/// How deep values are followed; what is deeper is no value.
const DEPTH: usize = 64;

/// A whole value that no other holds.
#[derive(Debug)]
pub(super) struct Value {
    pub(super) kind: u8,
    /// Elements of an array, pairs of a map; 1 for a string, 0 for null.
    pub(super) items: Option<u64>,
    /// The first word of an error.
    pub(super) error: Option<String>,
    /// The first two strings in it, and an empty one where there is none.
    pub(super) words: Vec<Vec<u8>>,
    pub(super) first: Stamp,
    pub(super) last: Stamp,
    pub(super) bytes: u64,
    /// How many of these the capture has.
    pub(super) captured: u64,
    pub(super) missing: bool,
}

/// A value that holds others.
#[derive(Debug)]
struct Level {
    /// How many are still to come; `None` until an end mark.
    left: Option<u64>,
    /// It tells about the value that follows it (RESP3, "Attribute type").
    attribute: bool,
}

/// Puts values together.
#[derive(Debug, Default)]
pub(super) struct Reader {
    levels: Vec<Level>,
    value: Option<Value>,
}

impl Reader {
    /// Takes a piece; returns the value that it completes.
    pub(super) fn piece(&mut self, piece: &Piece<'_>, frame: &Frame<'_>) -> Option<Value> {
        let top = self.levels.is_empty();
        let attribute = matches!(piece, Piece::Many(b'|', _));
        if top && !attribute {
            self.begin(piece, frame);
        }
        let value = self.value.get_or_insert_with(|| empty(frame));
        value.last = frame.last;
        value.bytes += frame.total;
        value.captured += frame.captured;
        value.missing |= frame.missing;
        if let Piece::String(_, Some(word)) | Piece::Line(_, word) = piece
            && !top
            && value.words.len() < 3
            && value.words.last().is_some_and(Vec::is_empty)
        {
            let at = value.words.len() - 1;
            value.words.insert(at, word[..word.len().min(64)].to_vec());
        }
        match piece {
            Piece::Many(_, left) if *left != Some(0) => {
                if self.levels.len() >= DEPTH {
                    *self = Reader::default();
                    return None;
                }
                self.levels.push(Level { left: *left, attribute });
                return None;
            }
            Piece::Many(_, _) if attribute => return None,
            Piece::End if self.levels.pop()?.attribute => return None,
            _ => {}
        }
        self.up()
    }

    /// A value is complete; so may be those that hold it.
    fn up(&mut self) -> Option<Value> {
        while let Some(level) = self.levels.last_mut() {
            let Some(left) = &mut level.left else { return None };
            *left -= 1;
            if *left > 0 {
                return None;
            }
            if self.levels.pop()?.attribute {
                return None;
            }
        }
        self.value.take()
    }

    /// The first stamp of the value at hand, and its bytes so far.
    pub(super) fn begun(&self) -> Option<(Stamp, u64)> {
        self.value.as_ref().map(|v| (v.first, v.bytes))
    }

    fn begin(&mut self, piece: &Piece<'_>, frame: &Frame<'_>) {
        // Attributes before it are part of it.
        let mut value = self.value.take().unwrap_or_else(|| empty(frame));
        match piece {
            Piece::Many(kind, n) => {
                value.kind = *kind;
                value.items = n.map(|n| if *kind == b'%' { n / 2 } else { n });
            }
            Piece::String(kind, text) => {
                value.kind = *kind;
                value.items = Some(u64::from(text.is_some()));
                value.error = text.filter(|_| *kind == b'!').map(first_word);
            }
            Piece::Line(kind, text) => {
                value.kind = *kind;
                value.items = (*kind == b'_').then_some(0);
                value.error = (*kind == b'-').then(|| first_word(text));
            }
            Piece::End | Piece::Inline(_) => {}
        }
        self.value = Some(value);
    }
}

fn empty(frame: &Frame<'_>) -> Value {
    Value {
        kind: 0,
        items: None,
        error: None,
        words: vec![Vec::new()],
        first: frame.first,
        last: frame.last,
        bytes: 0,
        captured: 0,
        missing: false,
    }
}

fn first_word(text: &[u8]) -> String {
    let word = text.split(u8::is_ascii_whitespace).next().unwrap_or_default();
    String::from_utf8_lossy(&word[..word.len().min(64)]).into_owned()
}
