//! What a run before left in the folder: sealed segments are taken over, one that was cut by a kill is made whole.

use std::collections::BTreeMap;

use coldcase_bundle::recover;
use coldcase_model::manifest::Manifest;

use super::folder::{Folder, SegmentFile};
use super::segment::{Segment, next_rows};

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Adopted {
    /// Sealed segments, the oldest first.
    pub(super) segments: Vec<Segment>,
    /// Where the numbering of each stream goes on.
    pub(super) next_rows: BTreeMap<String, u64>,
    /// The number of the next segment.
    pub(super) next: u64,
    /// The manifest of the last one.
    pub(super) last: Option<Manifest>,
    /// What there is to say of it, one line each.
    pub(super) remarks: Vec<String>,
}

/// Takes over what is there. A file that cannot be read is left where it is.
pub(super) fn adopt(folder: &Folder) -> std::io::Result<Adopted> {
    let mut found = Adopted::default();
    let parts = folder.clear_parts();
    if parts > 0 {
        found.remarks.push(format!("removed {parts} dump that a kill left half made; its segments are still there"));
    }
    for file in folder.segments()? {
        found.next = found.next.max(file.number + 1);
        let sealed = match file.sealed {
            true => Ok(()),
            false => make_whole(folder, &file, &mut found.remarks),
        };
        let read =
            sealed.and_then(|()| Segment::read(file.number, &folder.sealed(file.number)).map_err(|e| e.to_string()));
        match read {
            Ok((segment, bundle)) => {
                next_rows(&bundle, &mut found.next_rows);
                found.last = bundle.manifest().cloned();
                found.segments.retain(|s| s.number != segment.number);
                found.segments.push(segment);
            }
            Err(e) => found.remarks.push(format!("{}: left alone: {e}", file.path.display())),
        }
    }
    Ok(found)
}

/// Seals what a kill left open.
fn make_whole(folder: &Folder, file: &SegmentFile, remarks: &mut Vec<String>) -> Result<(), String> {
    let sealed = folder.sealed(file.number);
    if !sealed.exists() {
        let part = file.path.with_extension("part");
        let recovery = recover(&file.path, &part, true).map_err(|e| e.to_string());
        let recovery = recovery.inspect_err(|_| _ = std::fs::remove_file(&part))?;
        if recovery.chunks_kept == 0 {
            // Begun and never written to: nothing is in it, and its number is free again.
            let _ = std::fs::remove_file(&part);
            std::fs::remove_file(&file.path).map_err(|e| e.to_string())?;
            return Err("nothing was in it, removed".into());
        }
        std::fs::rename(&part, &sealed).map_err(|e| e.to_string())?;
        let rows: u64 = recovery.rows.values().sum();
        remarks.push(format!("segment {}: {rows} rows kept of a run that was killed", file.number));
    }
    std::fs::remove_file(&file.path).map_err(|e| e.to_string())
}
