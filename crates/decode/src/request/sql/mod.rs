//! Fingerprints of SQL statements: what statements that differ only in their literals have in common.
//!
//! Literals and parameters become `?`, lists behind `IN` and rows behind `VALUES` that look alike become one, comments
//! are left out, white space and the case of keywords (in Postgres of all unquoted names) no longer matter. A statement
//! whose grammar is understood is printed again from its syntax tree; of one that is cut off, or that the grammar does
//! not know, the words are printed. Either way the same statement has the same fingerprint in each capture.

mod grammar;
mod words;

use std::collections::HashMap;

pub use coldcase_model::sql::Dialect;

use super::DETAIL;

/// Most bytes of a statement that are looked at; what is longer counts as cut off.
pub const LOOKED_AT: usize = 64 << 10;

/// Statements that a [`Fingerprints`] remembers, and the longest of them.
const REMEMBERED: usize = 256;
const REMEMBERED_BYTES: usize = 2 << 10;

/// What a fingerprint was made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Made {
    /// The syntax tree.
    Grammar,
    /// The words, as the grammar was not understood.
    Words,
    /// The words of a statement that was cut off; it ends with `…`.
    Cut,
}

/// A fingerprint, at most [`DETAIL`] bytes; of a longer one the end is a hash of it all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    /// The statement without what differs from call to call.
    pub text: String,
    /// What it was made from.
    pub made: Made,
}

/// The fingerprint of a statement, or of several with `;` between them; `cut` says that its end is not there.
pub fn fingerprint(sql: &[u8], dialect: Dialect, cut: bool) -> Fingerprint {
    let cut = cut || sql.len() > LOOKED_AT;
    let mut words = words::of(&sql[..sql.len().min(LOOKED_AT)], dialect);
    if cut || words.torn {
        words.drop_last();
        return Fingerprint { text: bounded(words.print() + "…"), made: Made::Cut };
    }
    match grammar::print(&words, dialect) {
        Some(text) => Fingerprint { text: bounded(text), made: Made::Grammar },
        None => Fingerprint { text: bounded(words.print()), made: Made::Words },
    }
}

fn bounded(mut text: String) -> String {
    if text.len() <= DETAIL {
        return text;
    }
    // FNV-1a: the same on each machine and in each version.
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    let mut end = DETAIL - "… #0123456789abcdef".len();
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text + &format!("… #{hash:016x}")
}

/// Fingerprints with a memory: most statements of a connection come again.
#[derive(Debug)]
pub struct Fingerprints {
    dialect: Dialect,
    known: HashMap<Box<[u8]>, Fingerprint>,
}

impl Fingerprints {
    /// An empty memory.
    pub fn new(dialect: Dialect) -> Fingerprints {
        Fingerprints { dialect, known: HashMap::new() }
    }

    /// As [`fingerprint`].
    pub fn of(&mut self, sql: &[u8], cut: bool) -> Fingerprint {
        if cut || sql.len() > REMEMBERED_BYTES {
            return fingerprint(sql, self.dialect, cut);
        }
        if let Some(known) = self.known.get(sql) {
            return known.clone();
        }
        let made = fingerprint(sql, self.dialect, false);
        if self.known.len() >= REMEMBERED {
            self.known.clear();
        }
        self.known.insert(sql.into(), made.clone());
        made
    }
}

/// The `traceparent` in a comment of a statement (sqlcommenter: `/*traceparent='00-…-01'*/`), or anywhere in a text
/// behind that word: version, trace id, parent id and flags as W3C Trace Context 3.2 writes them.
pub fn traceparent(text: &[u8]) -> Option<String> {
    const NAME: &[u8] = b"traceparent";
    const LENGTH: usize = 55;
    let mut from = 0;
    while let Some(at) = text.get(from..)?.windows(NAME.len()).position(|w| w.eq_ignore_ascii_case(NAME)) {
        from += at + NAME.len();
        let rest = &text[from..];
        // A few bytes of quoting may stand between: `='`, `": "`, a length.
        let skip = rest.iter().take(8).position(u8::is_ascii_hexdigit).unwrap_or(0);
        if let Some(value) = rest.get(skip..skip + LENGTH)
            && value.iter().enumerate().all(|(i, b)| match i {
                2 | 35 | 52 => *b == b'-',
                _ => b.is_ascii_digit() || (b'a'..=b'f').contains(b),
            })
        {
            return Some(String::from_utf8_lossy(value).into_owned());
        }
    }
    None
}

#[cfg(test)]
mod tests;
