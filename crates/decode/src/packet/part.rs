//! A stretch of a frame: what was captured of it, and how long it was on the wire.

/// Why the walk through a frame ended before a transport header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// A header is wrong.
    Malformed,
    /// The capture ends inside a header.
    Cut,
    /// Well-formed, and not IP.
    Other,
    /// Of a link type that is not decoded.
    UnknownLink,
}

/// A stretch of a frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part<'a> {
    /// What was captured of it.
    pub(super) bytes: &'a [u8],
    /// Its length on the wire.
    pub(super) wire: u32,
}

impl<'a> Part<'a> {
    /// The first `n` bytes.
    pub(super) fn head(&self, n: usize) -> Result<&'a [u8], Stop> {
        self.bytes.get(..n).ok_or(if self.wire as usize >= n { Stop::Cut } else { Stop::Malformed })
    }

    /// The first `N` bytes, as many as a header has.
    pub(super) fn array<const N: usize>(&self) -> Result<[u8; N], Stop> {
        self.head(N)?.try_into().map_err(|_| Stop::Malformed)
    }

    /// A big-endian number `at` bytes from the start.
    pub(super) fn u16(&self, at: usize) -> Result<u16, Stop> {
        match self.head(at + 2)?.get(at..) {
            Some(&[a, b]) => Ok(u16::from_be_bytes([a, b])),
            _ => Err(Stop::Malformed),
        }
    }

    /// What comes after the first `n` bytes.
    pub(super) fn after(&self, n: usize) -> Part<'a> {
        let bytes = self.bytes.get(n..).unwrap_or(&[]);
        Part { bytes, wire: self.wire.saturating_sub(u32::try_from(n).unwrap_or(u32::MAX)) }
    }

    /// No more than `wire` bytes of it.
    pub(super) fn limit(&self, wire: u32) -> Part<'a> {
        let bytes = self.bytes.get(..wire as usize).unwrap_or(self.bytes);
        Part { bytes, wire: self.wire.min(wire) }
    }

    /// Whether all of it was captured.
    pub(super) fn is_whole(&self) -> bool {
        self.bytes.len() >= self.wire as usize
    }
}
