//! MCAP records as bytes: framing, the crate's record types written out, and bounded reading.

use std::io::Cursor;

use binrw::{BinWrite, BinWriterExt};

/// Bytes of a record's frame: opcode and length.
pub(crate) const FRAME: u64 = 9;

/// Appends a record whose body is `parts`, one after the other.
pub(crate) fn put_raw(out: &mut Vec<u8>, opcode: u8, parts: &[&[u8]]) {
    let length: usize = parts.iter().map(|p| p.len()).sum();
    out.reserve(length + FRAME as usize);
    out.push(opcode);
    out.extend_from_slice(&(length as u64).to_le_bytes());
    for part in parts {
        out.extend_from_slice(part);
    }
}

/// The body of one of the crate's record types.
pub(crate) fn body<T>(record: &T) -> Vec<u8>
where
    T: for<'a> BinWrite<Args<'a> = ()>,
{
    let mut cursor = Cursor::new(Vec::new());
    // Writing to memory fails only on a failed conversion, and these types have none.
    let written = cursor.write_le(record);
    debug_assert!(written.is_ok());
    cursor.into_inner()
}

/// Appends one of the crate's record types.
pub(crate) fn put<T>(out: &mut Vec<u8>, opcode: u8, record: &T)
where
    T: for<'a> BinWrite<Args<'a> = ()>,
{
    put_raw(out, opcode, &[&body(record)]);
}

/// A record as it stands in a file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RawRecord<'a> {
    /// What it is.
    pub(crate) opcode: u8,
    /// Offset of its opcode.
    pub(crate) start: u64,
    /// Offset one past its end.
    pub(crate) end: u64,
    /// Its content.
    pub(crate) body: &'a [u8],
}

/// Why there is no record at an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoRecord {
    /// The file ends here.
    End,
    /// The file ends within it.
    Cut,
    /// It claims more than `limit` bytes.
    TooLong,
}

impl NoRecord {
    pub(crate) fn reason(self) -> &'static str {
        match self {
            NoRecord::End => "the file ends here",
            NoRecord::Cut => "a record that the end of the file cuts",
            NoRecord::TooLong => "a record that claims an absurd length",
        }
    }
}

/// The record at `start`, if it is whole and at most `limit` bytes long.
pub(crate) fn record_at(bytes: &[u8], start: u64, limit: u64) -> Result<RawRecord<'_>, NoRecord> {
    let at = usize::try_from(start).map_err(|_| NoRecord::End)?;
    let rest = bytes.get(at..).ok_or(NoRecord::End)?;
    if rest.is_empty() {
        return Err(NoRecord::End);
    }
    let (frame, rest) = rest.split_first_chunk::<{ FRAME as usize }>().ok_or(NoRecord::Cut)?;
    let mut length = [0; 8];
    length.copy_from_slice(&frame[1..]);
    let length = u64::from_le_bytes(length);
    if length > limit {
        return Err(NoRecord::TooLong);
    }
    let body = rest.get(..length as usize).ok_or(NoRecord::Cut)?;
    Ok(RawRecord { opcode: frame[0], start, end: start + FRAME + length, body })
}

/// Reads little-endian numbers off the front of a private record.
#[derive(Debug)]
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn text(&mut self) -> Option<&'a str> {
        let length = self.u16()?;
        let (head, rest) = self.0.split_at_checked(usize::from(length))?;
        self.0 = rest;
        std::str::from_utf8(head).ok()
    }
}
