//! Whether bytes are a protobuf message: the wire format is walked, nothing is decoded.

/// What was found where a message should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    /// A varint of more than ten bytes, or one that the end cuts.
    #[error("not a protobuf message: bad varint at byte {0}")]
    Varint(usize),
    /// A field number of 0 or beyond 2^29-1, or a wire type that does not exist here.
    #[error("not a protobuf message: bad field at byte {0}")]
    Field(usize),
    /// A field that goes on beyond the end.
    #[error("not a protobuf message: a field at byte {0} is longer than the message")]
    Length(usize),
}

/// All three export requests nest alike, down to spans, metrics and log records: on each level fields 1 and 2 are
/// messages. Below this depth the bytes are only measured.
const LEVELS: u32 = 3;

/// Checks an export request of a signal whose messages are stable.
pub(super) fn check(bytes: &[u8]) -> Result<(), Malformed> {
    level(bytes, 0, LEVELS)
}

/// Checks that bytes are a message, whatever is in it: for signals whose messages still change.
pub(super) fn check_outer(bytes: &[u8]) -> Result<(), Malformed> {
    level(bytes, 0, 0)
}

/// Checks a message that begins at byte `base` of the request.
fn level(bytes: &[u8], base: usize, levels: u32) -> Result<(), Malformed> {
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        let tag = varint(bytes, &mut at).ok_or(Malformed::Varint(base + start))?;
        let (number, kind) = (tag >> 3, tag & 7);
        if !(1..1 << 29).contains(&number) {
            return Err(Malformed::Field(base + start));
        }
        let length = match kind {
            0 => {
                varint(bytes, &mut at).ok_or(Malformed::Varint(base + at))?;
                0
            }
            1 => 8,
            2 => varint(bytes, &mut at).ok_or(Malformed::Varint(base + at))?,
            5 => 4,
            // Groups: proto3 has none.
            _ => return Err(Malformed::Field(base + start)),
        };
        let end = usize::try_from(length).ok().and_then(|n| at.checked_add(n)).filter(|&end| end <= bytes.len());
        let Some(end) = end else { return Err(Malformed::Length(base + start)) };
        if kind == 2 && levels > 0 && number <= 2 {
            level(&bytes[at..end], base + at, levels - 1)?;
        }
        at = end;
    }
    Ok(())
}

/// The number at `at`, which is moved behind it. Any encoding of up to ten bytes: senders may pad them.
pub(crate) fn varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..70).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// The value of a field, as far as the wire tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field<'a> {
    /// A varint.
    Number(u64),
    /// Bytes, text or a message.
    Bytes(&'a [u8]),
    /// Four or eight bytes.
    Fixed,
}

impl<'a> Field<'a> {
    /// Its bytes; none when it is a number.
    pub(super) fn bytes(self) -> &'a [u8] {
        if let Field::Bytes(bytes) = self { bytes } else { &[] }
    }

    /// Its number; 0 when it is none.
    pub(super) fn number(self) -> u64 {
        if let Field::Number(n) = self { n } else { 0 }
    }
}

/// The fields of a message, up to the first that is malformed.
pub(super) fn fields(bytes: &[u8]) -> impl Iterator<Item = (u64, Field<'_>)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let tag = (at < bytes.len()).then(|| varint(bytes, &mut at))??;
        let skip = |at: &mut usize, n: u64| {
            let end = at.checked_add(usize::try_from(n).ok()?)?;
            let part = bytes.get(*at..end)?;
            *at = end;
            Some(part)
        };
        let value = match tag & 7 {
            0 => Field::Number(varint(bytes, &mut at)?),
            1 => skip(&mut at, 8).map(|_| Field::Fixed)?,
            2 => {
                let length = varint(bytes, &mut at)?;
                Field::Bytes(skip(&mut at, length)?)
            }
            5 => skip(&mut at, 4).map(|_| Field::Fixed)?,
            _ => return None,
        };
        Some((tag >> 3, value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padded_varints_and_unknown_fields_are_well_formed() {
        // resource_spans (field 1, length 0 as two bytes), unknown field 1000 as varint, unknown field 15 as fixed32.
        let bytes = [0x0a, 0x80, 0x00, 0xc0, 0x3e, 0x07, 0x7d, 1, 2, 3, 4];
        assert_eq!(check(&bytes), Ok(()));
        assert_eq!(check(b""), Ok(()));
    }

    #[test]
    fn what_is_no_message_is_refused_with_the_place() {
        assert_eq!(check(b"\x0a\x05abc"), Err(Malformed::Length(0)));
        assert_eq!(check(&[0xff; 11]), Err(Malformed::Varint(0)));
        assert_eq!(check(&[0x0b]), Err(Malformed::Field(0)), "a group");
        assert_eq!(check(b"{\"resourceSpans\":[]}"), Err(Malformed::Field(0)));
        // A resource that is longer than the resource_spans around it.
        assert_eq!(check(&[0x0a, 2, 0x0a, 5]), Err(Malformed::Length(2)));
    }
}
