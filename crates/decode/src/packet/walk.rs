//! The walk through the headers of one frame, from the outermost to the innermost.

use super::fragment::Fragment;
use super::part::Stop;
use super::{Headers, Tunnel};

/// Most headers of headers: tunnels in tunnels, tags on tags.
const DEEPEST: u8 = 24;

/// What was met so far.
#[derive(Debug, Default)]
pub(super) struct Walk<'a> {
    /// Innermost VLAN id.
    pub(super) vlan: Option<u16>,
    /// Innermost tunnel.
    pub(super) tunnel: Option<Tunnel>,
    /// The fragment that ended the walk.
    pub(super) fragment: Option<Fragment<'a>>,
    /// What was captured behind the innermost transport header.
    pub(super) payload: &'a [u8],
    /// Headers passed.
    pub(super) depth: u8,
}

impl Walk<'_> {
    /// One header further in; too many are an attack.
    pub(super) fn deeper(&mut self) -> Result<(), Stop> {
        self.depth += 1;
        if self.depth > DEEPEST { Err(Stop::Malformed) } else { Ok(()) }
    }
}

/// What the walk came to.
pub(super) type Found = Result<Headers, Stop>;
