//! Which protocol a connection speaks, by its first bytes and not by its ports.

use super::Side;

/// What the bytes of one side say about a protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is not.
    No,
    /// Too few bytes to tell.
    More,
    /// It may be: the bytes fit, other protocols fit as well.
    Likely,
    /// It is.
    Yes,
}

/// Looks at the bytes that a side sent first, or from where the capture met the connection.
pub type Probe = fn(from: Side, bytes: &[u8]) -> Verdict;
