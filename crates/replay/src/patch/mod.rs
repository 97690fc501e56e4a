//! Stored requests with their times moved, their ids replaced and their origin marked; all else byte for byte as it was.
//!
//! Protobuf messages are walked on the wire: what a rule names is changed, what none names is copied, whether this build knows it or not.

mod json;
mod label;
mod rules;
mod wire;

pub(crate) use json::patch as json;
pub(crate) use label::{MARK_LABEL, is_id_label};
pub(crate) use rules::{LOGS, METRICS, REMOTE_WRITE_V1, REMOTE_WRITE_V2, TRACES};
pub(crate) use wire::{Patch, protobuf};

use crate::sink::Round;

/// The resource attribute that says that something was replayed, with the bundle's id.
pub const MARK: &str = "coldcase.replay";

impl<'a> Patch<'a> {
    /// What a round changes. `mark` is the bundle's id, `wanted` what of it goes out.
    pub(crate) fn new(round: &Round, mark: Option<&'a str>, wanted: Option<&'a [bool]>) -> Patch<'a> {
        Patch { offset: round.offset, ids: round.ids, mark, wanted, added: &[], item: 0, symbols: None }
    }

    /// The same, with these fields behind those of each thing.
    pub(crate) fn adding(self, added: &'a [Vec<u8>]) -> Patch<'a> {
        Patch { added, ..self }
    }

    /// Whether everything stays as it is.
    pub(crate) fn is_nothing(&self) -> bool {
        self.offset.0 == 0
            && self.ids.is_none()
            && self.mark.is_none()
            && self.wanted.is_none()
            && self.added.is_empty()
    }

    /// Whether the next thing goes out.
    fn next_is_wanted(&mut self) -> bool {
        let at = self.item;
        self.item += 1;
        self.wanted.is_none_or(|w| w.get(at).copied().unwrap_or(false))
    }

    /// What is added to the thing that [`Patch::next_is_wanted`] was last asked of. A repeated field may stand in parts.
    fn added(&self) -> &'a [u8] {
        self.item.checked_sub(1).and_then(|at| self.added.get(at)).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests;
