//! The messages of the PostgreSQL protocol, version 3 (Documentation, 55.7 Message Formats).

use crate::request::frames::{Measure, Sound};
use crate::request::{Side, sql};

/// Codes in the place of a version (55.7: SSLRequest, GSSENCRequest, CancelRequest).
pub(super) const SSL: u32 = 80_877_103;
pub(super) const GSS: u32 = 80_877_104;
pub(super) const CANCEL: u32 = 80_877_102;

/// Largest message that is believed: a field holds 1 GB at most.
const LARGEST: u32 = 1 << 30;
/// Largest of the messages that a side without orientation is found again by.
const FOUND_BY: usize = 60 << 10;

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The length of the first message of a client, which has no type. `Bad` where it is none.
pub(super) fn measure_startup(head: &[u8]) -> Measure {
    let (Some(length), code) = (be32(head, 0), be32(head, 4)) else { return Measure::More };
    if !(8..=10_000).contains(&length) {
        return Measure::Bad;
    }
    match code {
        None => Measure::More,
        Some(SSL | GSS) if length == 8 => Measure::Size { total: 8, keep: 8 },
        Some(CANCEL) if length <= 300 => Measure::Size { total: u64::from(length), keep: 12 },
        Some(version) if version >> 16 == 3 && version & 0xffff < 100 => {
            Measure::Size { total: u64::from(length), keep: length as usize }
        }
        Some(_) => Measure::Bad,
    }
}

/// The length of a message with a type, and how much of it is wanted. Passwords are not.
pub(super) fn measure(from: Side, head: &[u8]) -> Measure {
    let Some(&kind) = head.first() else { return Measure::More };
    let Some(keep) = wanted(from, kind) else { return Measure::Bad };
    match be32(head, 1) {
        None => Measure::More,
        Some(length @ 4..LARGEST) => Measure::Size { total: u64::from(length) + 1, keep },
        Some(_) => Measure::Bad,
    }
}

fn wanted(from: Side, kind: u8) -> Option<usize> {
    Some(match (from, kind) {
        (Side::Client, b'Q' | b'P') => sql::LOOKED_AT + 1024,
        (Side::Client, b'B' | b'D' | b'E' | b'C') => 512,
        (Side::Client, b'F') => 16,
        (Side::Client, b'H' | b'S' | b'X' | b'c' | b'd' | b'f' | b'p') => 5,
        (Side::Server, b'E' | b'N') => 4 << 10,
        (Side::Server, b'C' | b'R' | b'K' | b'Z') => 128,
        (Side::Server, b'1' | b'2' | b'3' | b'A' | b'D' | b'G' | b'H' | b'I' | b'S' | b'T' | b'V' | b'W') => 5,
        (Side::Server, b'c' | b'd' | b'n' | b's' | b't' | b'v') => 5,
        _ => return None,
    })
}

/// The text up to its NUL, and what follows.
pub(super) fn cstring(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|&b| b == 0)?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

/// A field of an ErrorResponse or NoticeResponse (55.8).
pub(super) fn field(body: &[u8], wanted: u8) -> Option<String> {
    let mut rest = body;
    while let Some((&kind, behind)) = rest.split_first()
        && kind != 0
    {
        let (value, behind) = cstring(behind)?;
        if kind == wanted {
            return Some(String::from_utf8_lossy(value).into_owned());
        }
        rest = behind;
    }
    None
}

/// A parameter of the startup message.
pub(super) fn parameter(startup: &[u8], name: &str) -> Option<String> {
    let mut rest = startup.get(8..)?;
    while let Some((key, behind)) = cstring(rest)
        && !key.is_empty()
    {
        let (value, behind) = cstring(behind)?;
        if key == name.as_bytes() {
            return Some(String::from_utf8_lossy(value).into_owned());
        }
        rest = behind;
    }
    None
}

/// Whether bytes begin with a message of this side, by its whole structure.
pub(super) fn sound(from: Side, bytes: &[u8]) -> Sound {
    let Some(&kind) = bytes.first() else { return Sound::More };
    if wanted(from, kind).is_none() {
        return Sound::No;
    }
    let Some(length) = be32(bytes, 1) else {
        return if bytes.get(1).is_none_or(|&b| b == 0) { Sound::More } else { Sound::No };
    };
    let length = length as usize;
    if !(4..=FOUND_BY).contains(&length) {
        return Sound::No;
    }
    let body = &bytes[5..];
    let whole = body.get(..length - 4);
    let fits = match from {
        Side::Client => client(kind, body, whole, length),
        Side::Server => server(kind, whole, length),
    };
    match fits {
        Some(true) => Sound::Yes,
        Some(false) => Sound::No,
        None if whole.is_some() => Sound::No,
        None => Sound::More,
    }
}

/// `None`: the message does not fit as far as it goes, or more is needed to tell.
fn client(kind: u8, body: &[u8], whole: Option<&[u8]>, length: usize) -> Option<bool> {
    match kind {
        b'S' | b'H' | b'c' | b'X' => Some(length == 4),
        b'Q' => text(body, length - 4),
        b'P' => {
            let (name, rest) = cstring(&body[..body.len().min(FOUND_BY)])?;
            if name.len() > 64 || !printable(name) || length < 4 + name.len() + 4 {
                return Some(false);
            }
            let Some(whole) = whole else { return (rest.len() >= 8 && printable(rest)).then_some(true) };
            let (query, types) = cstring(&whole[name.len() + 1..])?;
            Some(printable(query) && types.len() == 2 + 4 * usize::from(be16(types, 0)?))
        }
        b'B' => bind(whole?),
        b'E' => {
            let (portal, rest) = cstring(whole?)?;
            Some(printable(portal) && rest.len() == 4)
        }
        b'D' | b'C' => {
            let (kind, name) = whole?.split_first()?;
            let (name, rest) = cstring(name)?;
            Some(matches!(kind, b'S' | b'P') && printable(name) && rest.is_empty())
        }
        b'f' => cstring(whole?).map(|(text, rest)| printable(text) && rest.is_empty()),
        _ => Some(false),
    }
}

/// A text of `length` bytes with the NUL at its end.
fn text(body: &[u8], length: usize) -> Option<bool> {
    let end = body.iter().position(|&b| b == 0);
    match end {
        Some(end) => Some(end + 1 == length && printable(&body[..end])),
        None if !printable(body) || body.len() >= length => Some(false),
        None => (body.len() >= 16).then_some(true),
    }
}

fn printable(text: &[u8]) -> bool {
    text.iter().all(|&b| b >= b' ' && b != 0x7f || matches!(b, b'\t' | b'\n' | b'\r'))
}

fn bind(whole: &[u8]) -> Option<bool> {
    let (portal, rest) = cstring(whole)?;
    let (statement, rest) = cstring(rest)?;
    let mut rest = rest.get(2 + 2 * usize::from(be16(rest, 0)?)..)?;
    let values = be16(rest, 0)?;
    rest = &rest[2..];
    for _ in 0..values {
        rest = value(rest)?;
    }
    Some(printable(portal) && printable(statement) && rest.len() == 2 + 2 * usize::from(be16(rest, 0)?))
}

/// Passes over a value: its length, or -1 for NULL, and its bytes.
fn value(rest: &[u8]) -> Option<&[u8]> {
    match be32(rest, 0)? {
        u32::MAX => Some(&rest[4..]),
        length => rest.get(4 + length as usize..),
    }
}

fn server(kind: u8, whole: Option<&[u8]>, length: usize) -> Option<bool> {
    match kind {
        b'1' | b'2' | b'3' | b'n' | b's' | b'I' => return Some(length == 4),
        b'Z' if length != 5 => return Some(false),
        b'd' | b'c' | b'v' | b'V' => return Some(false),
        _ => {}
    }
    let whole = whole?;
    match kind {
        b'Z' => Some(matches!(whole, [b'I' | b'T' | b'E'])),
        b'C' => {
            let (tag, rest) = cstring(whole)?;
            let word = |b: &u8| b.is_ascii_uppercase() || b.is_ascii_digit() || *b == b' ';
            Some(rest.is_empty() && tag.len() > 1 && tag[0].is_ascii_uppercase() && tag.iter().all(word))
        }
        b'D' => {
            let columns = be16(whole, 0)?;
            let mut rest = &whole[2..];
            for _ in 0..columns {
                rest = value(rest)?;
            }
            Some(columns > 0 && rest.is_empty())
        }
        b'T' => {
            let columns = be16(whole, 0)?;
            let mut rest = &whole[2..];
            for _ in 0..columns {
                let (name, behind) = cstring(rest)?;
                rest = behind.get(18..).filter(|_| printable(name))?;
            }
            Some(columns > 0 && rest.is_empty())
        }
        b'E' | b'N' => Some(whole.first() == Some(&b'S') && whole.ends_with(&[0, 0]) && field(whole, b'C').is_some()),
        b'G' | b'H' | b'W' => Some(whole.len() == 3 + 2 * usize::from(be16(whole, 1)?) && whole[0] < 2),
        b't' => Some(whole.len() == 2 + 4 * usize::from(be16(whole, 0)?)),
        b'S' => {
            let (name, rest) = cstring(whole)?;
            let (value, rest) = cstring(rest)?;
            Some(rest.is_empty() && !name.is_empty() && printable(name) && printable(value))
        }
        b'K' => Some(length == 12),
        b'R' => Some(be32(whole, 0)? <= 12),
        b'A' => {
            let (_, rest) = cstring(whole.get(4..)?)?;
            cstring(rest).map(|(_, rest)| rest.is_empty())
        }
        _ => Some(false),
    }
}
