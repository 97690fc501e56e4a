//! A sealed segment, as the shelf knows it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use coldcase_bundle::{Bundle, OpenError};
use coldcase_model::Event;
use coldcase_model::events::Anchor;

use super::folder;

/// A sealed segment.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Segment {
    /// Its number in the folder.
    pub(super) number: u64,
    /// Its file.
    pub(super) path: PathBuf,
    /// Its bundle's id.
    pub(super) id: String,
    /// The boot of its host: BOOTTIME counts from there.
    pub(super) boot: String,
    /// What it takes on the disk.
    pub(super) bytes: u64,
    /// When it was begun, BOOTTIME.
    pub(super) first: u64,
    /// When its last row was written, BOOTTIME.
    pub(super) last: u64,
    /// Rows in it.
    pub(super) rows: u64,
}

impl Segment {
    /// Reads what the shelf wants to know.
    pub(super) fn read(number: u64, path: &Path) -> Result<(Segment, Bundle), OpenError> {
        let bundle = Bundle::open(path)?;
        // An anchor stands at its beginning, and at its end where it was not killed. Other rows may tell of what began
        // long before, but of nothing later than when they were written.
        let streams = bundle.chunks().iter().flat_map(|c| &c.streams);
        let first = streams.clone().filter(|s| &*s.stream == Anchor::DEF.stream).map(|s| s.start.0).min();
        let last = streams.map(|s| s.end.0).filter(|&end| end != u64::MAX).max();
        let m = bundle.manifest().or(bundle.preface());
        let segment = Segment {
            number,
            path: path.to_owned(),
            id: bundle.id().to_owned(),
            boot: m.map_or(String::new(), |m| m.host.boot_id.clone()),
            bytes: folder::disk_bytes(path),
            first: first.unwrap_or(0),
            last: last.unwrap_or(0),
            rows: bundle.chunks().iter().flat_map(|c| &c.streams).map(|s| s.rows).sum(),
        };
        Ok((segment, bundle))
    }
}

/// The number after the last row of each stream.
pub(super) fn next_rows(bundle: &Bundle, into: &mut BTreeMap<String, u64>) {
    for s in bundle.chunks().iter().flat_map(|c| &c.streams) {
        let next = into.entry(s.stream.to_string()).or_default();
        *next = (*next).max(s.first_row.saturating_add(s.rows));
    }
}
