//! The packets that an export would write, handed out one by one instead: for what sends or reads them again.

use std::path::Path;

use coldcase_model::analysis::Analysis;

use super::selection::Plan;
use super::source::Source;
use super::{PcapngError, Wanted};

/// A packet as it was captured.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// Its number, from 1, as in [`coldcase_model::analysis::SeenRequest::frames`].
    pub number: u64,
    /// When, UTC nanoseconds by the capturing host's clock; when its section was received, where it has no time.
    pub time: i64,
    /// Name of the interface that it was captured on; empty where it has none.
    pub interface: &'a str,
    /// Link type, as in <https://www.tcpdump.org/linktypes.html>.
    pub link: u16,
    /// Length on the wire.
    pub original: u32,
    /// What was captured of it.
    pub bytes: &'a [u8],
}

/// Hands out the packets that [`write`](super::write) would write with the same arguments, in the same order, and gives
/// what could not be read, in one line each. They are streamed: no more than a few chunks are in memory.
///
/// # Errors
/// When something is asked for that is not there, or the file cannot be read; and the first of `each`, which ends the
/// reading.
pub fn each<E: From<PcapngError>>(
    from: &Path,
    analysis: &Analysis,
    wanted: &Wanted,
    each: &mut dyn FnMut(Frame<'_>) -> Result<(), E>,
) -> Result<Vec<String>, E> {
    let source = Source::open(from)?;
    let plan = Plan::of(&source, analysis, wanted)?;
    source.read(&mut |group| {
        for p in group.packets.iter().filter(|p| plan.takes(p, group)) {
            let interface = group.interfaces.get(p.record.interface as usize).map_or("", |i| i.name.as_str());
            each(Frame {
                number: p.frame,
                time: p.record.time.unwrap_or(group.received),
                interface,
                link: p.record.link,
                original: p.record.original,
                bytes: p.record.bytes,
            })?;
        }
        Ok(())
    })
}
