//! The pieces of RESP, versions 2 and 3 (Redis documentation, "Redis serialization protocol specification").
//!
//! A piece is a line (`+OK`, `:1`, the head of an array) or a string with the line that tells its length. Values are
//! put together from pieces by a count of what is still to come, so that no value is held whole.

use crate::request::Side;
use crate::request::frames::{Measure, Sound};

/// Longest line.
const LINE: usize = 64 << 10;
/// Longest string (`proto-max-bulk-len` is 512 MB by default).
const STRING: u64 = 1 << 32;
/// Bytes of a string that are wanted behind its length: names of commands and keys are short, values are not kept.
const WANTED: usize = 256;

/// What a piece is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// A value of one line: its type and the rest of the line.
    Line(u8, &'a [u8]),
    /// A string: its type and its first bytes; `None` for the null of RESP2.
    String(u8, Option<&'a [u8]>),
    /// A value of so many values; `None` where an end mark comes behind them.
    Many(u8, Option<u64>),
    /// The end mark of such a value.
    End,
    /// A request in plain words.
    Inline(&'a [u8]),
}

fn line(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let end = bytes.iter().take(LINE).position(|&b| b == b'\n')?;
    Some((bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]), end + 1))
}

/// A number in a line; negative for null.
fn number(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    if digits.is_empty() || digits.len() > 18 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The measure of a piece. Within an array of a client, and from a server, a piece has a type; else it may be inline.
pub(super) fn measure(from: Side, typed: bool, head: &[u8]) -> Measure {
    let Some(&kind) = head.first() else { return Measure::More };
    let plain = from == Side::Client && !typed && kind != b'*';
    if plain && !(kind.is_ascii_alphabetic() || kind.is_ascii_whitespace()) {
        return Measure::Bad;
    }
    if !plain && !b"+-:$*_,#!=(%~>|;.".contains(&kind) {
        return Measure::Bad;
    }
    let Some((text, length)) = line(head) else {
        let control = head.iter().any(|&b| b < b' ' && b != b'\t' && b != b'\r');
        let number = b"$*:%~>|!=;".contains(&kind) && !plain;
        let absurd = number && head.len() > 24 || head.len() >= LINE || (plain || number) && control;
        return if absurd { Measure::Bad } else { Measure::More };
    };
    let total = length as u64;
    if plain {
        // Its name is of letters; what follows is text.
        let name = text.split(|b| b.is_ascii_whitespace()).next().unwrap_or_default();
        let text_only = text.iter().all(|&b| b >= b' ' || b == b'\t')
            && name.iter().all(|b| b.is_ascii_alphanumeric() || b"._|".contains(b));
        return if text_only { Measure::Size { total, keep: length } } else { Measure::Bad };
    }
    match kind {
        b'$' | b'!' | b'=' | b';' if text.get(1..) == Some(b"?") => Measure::Size { total, keep: length },
        b'$' | b'!' | b'=' | b';' => match number(&text[1..]) {
            Some(0) if kind == b';' => Measure::Size { total, keep: length },
            Some(n) if (0..STRING as i64).contains(&n) => {
                Measure::Size { total: total + n as u64 + 2, keep: length + (n as usize).min(WANTED) }
            }
            Some(-1) => Measure::Size { total, keep: length },
            _ => Measure::Bad,
        },
        b'*' | b'%' | b'~' | b'>' | b'|' => match number(text.get(1..).unwrap_or_default()) {
            Some(n) if n >= -1 => Measure::Size { total, keep: length },
            None if text.get(1..) == Some(b"?") => Measure::Size { total, keep: length },
            _ => Measure::Bad,
        },
        b':' if number(text.get(1..).unwrap_or_default().strip_prefix(b"+").unwrap_or(&text[1..])).is_none() => {
            Measure::Bad
        }
        _ => Measure::Size { total, keep: length },
    }
}

/// The piece that a head of this measure is. `None` where its line is not there.
pub(super) fn piece(from: Side, typed: bool, head: &[u8]) -> Option<Piece<'_>> {
    let (text, length) = line(head)?;
    let Some(&kind) = text.first() else { return Some(Piece::Inline(text)) };
    if from == Side::Client && !typed && kind != b'*' {
        return Some(Piece::Inline(text));
    }
    let rest = &text[1..];
    Some(match kind {
        b'$' if rest == b"?" => Piece::Many(b';', None),
        b';' if rest == b"0" => Piece::End,
        b'$' | b'!' | b'=' | b';' => {
            let n = number(rest).unwrap_or_default();
            let value = &head[length.min(head.len())..];
            Piece::String(kind, (n >= 0).then(|| &value[..value.len().min(n as usize)]))
        }
        b'*' | b'%' | b'~' | b'>' | b'|' if rest == b"?" => Piece::Many(kind, None),
        b'*' | b'%' | b'~' | b'>' | b'|' => match number(rest).unwrap_or_default() {
            n if n < 0 => Piece::String(kind, None),
            n if kind == b'%' || kind == b'|' => Piece::Many(kind, Some(n as u64 * 2)),
            n => Piece::Many(kind, Some(n as u64)),
        },
        b'.' => Piece::End,
        kind => Piece::Line(kind, rest),
    })
}

/// Whether bytes begin with a whole command of a client, or with a value of a server that no value holds.
pub(super) fn sound(from: Side, bytes: &[u8]) -> Sound {
    match from {
        Side::Client => command(bytes),
        Side::Server => value(bytes),
    }
}

/// `*2\r\n$3\r\nGET\r\n`: an array whose first string is a name.
fn command(bytes: &[u8]) -> Sound {
    if bytes.first() != Some(&b'*') {
        return Sound::No;
    }
    let Some((text, at)) = line(bytes) else { return if bytes.len() < 16 { Sound::More } else { Sound::No } };
    if !number(&text[1..]).is_some_and(|n| (1..1 << 20).contains(&n)) {
        return Sound::No;
    }
    let rest = &bytes[at..];
    let Some((text, at)) = line(rest) else { return if rest.len() < 16 { Sound::More } else { Sound::No } };
    match text.split_first().and_then(|(&kind, n)| number(n).filter(|_| kind == b'$')) {
        Some(n @ 1..40) => {
            let name = &rest[at..];
            match name.get(..n as usize) {
                None => Sound::More,
                Some(name) if name.iter().all(|b| b.is_ascii_alphanumeric() || b"._-|".contains(b)) => Sound::Yes,
                Some(_) => Sound::No,
            }
        }
        _ => Sound::No,
    }
}

/// A line that is a whole answer, or the head of a string or array. Values hold such lines as well, so that what is
/// found again is a guess.
fn value(bytes: &[u8]) -> Sound {
    let Some(&kind) = bytes.first() else { return Sound::More };
    if !b"+-:$*%>_".contains(&kind) {
        return Sound::No;
    }
    let Some((text, _)) = line(bytes) else { return if bytes.len() < 32 { Sound::More } else { Sound::No } };
    let rest = &text[1..];
    let fits = match kind {
        b'+' => matches!(rest, b"OK" | b"PONG" | b"QUEUED" | b"RESET"),
        b'-' => rest.split(|&b| b == b' ').next().is_some_and(|w| w.len() > 2 && w.iter().all(u8::is_ascii_uppercase)),
        b'_' => rest.is_empty(),
        _ => number(rest).is_some(),
    };
    if fits { Sound::Yes } else { Sound::No }
}
