//! BSON documents (bsonspec.org, version 1.1), read as far as they are there.

/// An element of a document.
#[derive(Debug, Clone, Copy)]
pub(super) struct Element<'a> {
    kind: u8,
    pub(super) name: &'a [u8],
    /// Its value; of a string with its length, of a document whole. Cut off where the bytes end.
    value: &'a [u8],
}

/// The elements of a document that begins with its length and may be cut off.
pub(super) fn elements(document: &[u8]) -> Elements<'_> {
    let length = le32(document, 0).unwrap_or_default() as usize;
    let end = length.min(document.len());
    Elements { rest: document.get(4..end).unwrap_or_default() }
}

pub(super) fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The text up to its NUL, and what follows.
pub(super) fn cstring(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|&b| b == 0)?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

/// See [`elements`].
pub(super) struct Elements<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Elements<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        let (&kind, rest) = self.rest.split_first()?;
        if kind == 0 {
            return None;
        }
        let (name, rest) = cstring(rest)?;
        let size = size(kind, rest)?;
        let value = &rest[..size.min(rest.len())];
        self.rest = &rest[value.len()..];
        Some(Element { kind, name, value })
    }
}

/// The length of a value; `None` where it is no type, or its length is not there.
fn size(kind: u8, rest: &[u8]) -> Option<usize> {
    let length = || le32(rest, 0).map(|n| n as usize);
    Some(match kind {
        1 | 9 | 17 | 18 => 8,
        2 | 13 | 14 => length()?.checked_add(4)?,
        3 | 4 | 15 => length()?.max(4),
        5 => length()?.checked_add(5)?,
        6 | 10 | 127 | 255 => 0,
        7 => 12,
        8 => 1,
        11 => {
            let (pattern, behind) = cstring(rest)?;
            let (options, _) = cstring(behind)?;
            pattern.len() + options.len() + 2
        }
        12 => length()?.checked_add(16)?,
        16 => 4,
        19 => 16,
        _ => return None,
    })
}

impl<'a> Element<'a> {
    /// A string.
    pub(super) fn text(&self) -> Option<String> {
        let text = self.value.get(4..).filter(|_| self.kind == 2)?;
        let text = text.strip_suffix(&[0]).unwrap_or(text);
        Some(String::from_utf8_lossy(&text[..text.len().min(1024)]).into_owned())
    }

    /// A number of any type, or a truth value, as a whole number.
    pub(super) fn number(&self) -> Option<i64> {
        match self.kind {
            1 => Some(f64::from_le_bytes(*self.value.first_chunk()?) as i64),
            16 => Some(i64::from(i32::from_le_bytes(*self.value.first_chunk()?))),
            18 => Some(i64::from_le_bytes(*self.value.first_chunk()?)),
            8 => self.value.first().map(|&b| i64::from(b)),
            _ => None,
        }
    }

    /// A document or an array.
    pub(super) fn document(&self) -> Option<&'a [u8]> {
        matches!(self.kind, 3 | 4).then_some(self.value)
    }

    /// Its bytes.
    pub(super) fn value(&self) -> &'a [u8] {
        self.value
    }

    /// The document is there to its end.
    pub(super) fn whole(&self) -> bool {
        le32(self.value, 0).is_some_and(|n| n as usize == self.value.len())
    }
}
