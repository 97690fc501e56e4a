//! 802.11 data frames, and radiotap before them.

use super::Headers;
use super::part::{Part, Stop};
use super::walk::Walk;

/// Bits of the frame control's second byte.
const TO_AND_FROM: u8 = 0b11;
const PROTECTED: u8 = 0x40;
const ORDER: u8 = 0x80;

impl<'a> Walk<'a> {
    /// A radiotap header: its length, and whether the 802.11 header is padded to four bytes.
    pub(super) fn radiotap(&mut self, part: Part<'a>) -> Result<Headers, Stop> {
        let [version, _, low, high, p0, p1, p2, p3] = part.array()?;
        let length = usize::from(u16::from_le_bytes([low, high]));
        if version != 0 || length < 8 {
            return Err(Stop::Malformed);
        }
        let present = u32::from_le_bytes([p0, p1, p2, p3]);
        // Words of present bits go on while the highest is set; the fields follow, each aligned to its size.
        let mut at = 8;
        let mut word = present;
        while word & 1 << 31 != 0 && at + 4 <= length {
            let Some(&[a, b, c, d]) = part.bytes.get(at..at + 4) else { return Err(Stop::Cut) };
            word = u32::from_le_bytes([a, b, c, d]);
            at += 4;
        }
        if present & 1 != 0 {
            at = at.next_multiple_of(8) + 8;
        }
        let flags = if present & 2 != 0 { part.bytes.get(at).copied().unwrap_or(0) } else { 0 };
        self.wifi(part.after(length), flags & 0x20 != 0)
    }

    /// An 802.11 header; only data frames that are not encrypted lead on.
    pub(super) fn wifi(&mut self, part: Part<'a>, padded: bool) -> Result<Headers, Stop> {
        let [control, flags] = part.array()?;
        let (kind, subtype) = (control >> 2 & 3, control >> 4);
        // Subtypes with this bit carry no data.
        if kind != 2 || subtype & 4 != 0 || flags & PROTECTED != 0 {
            return Err(Stop::Other);
        }
        let mut length = 24;
        if flags & TO_AND_FROM == TO_AND_FROM {
            length += 6;
        }
        let mut aggregate = false;
        if subtype & 8 != 0 {
            aggregate = part.head(length + 2)?.get(length).is_some_and(|qos| qos & 0x80 != 0);
            length += 2;
            if flags & ORDER != 0 {
                length += 4;
            }
        }
        if padded {
            length = length.next_multiple_of(4);
        }
        let body = part.after(length);
        if !aggregate {
            return self.llc(body);
        }
        // Of several frames in one, the first.
        let size = body.u16(12)?;
        self.llc(body.after(14).limit(u32::from(size)))
    }
}
