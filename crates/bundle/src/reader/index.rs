//! A sealed bundle's chunks through its summary: nothing is decoded.

use mcap::records::{ChunkIndex, Footer, MetadataIndex, Record, op};

use super::{Found, chunk};
use crate::limits;
use crate::mark::{Mark, OP_MARK};
use crate::wire::{FRAME, record_at};

/// Bytes of the footer record and the magic after it.
pub(crate) const END: u64 = FRAME + 8 + 8 + 4 + 8;

/// The footer, if the file ends as a whole MCAP file does, its summary is within the file, and its CRC is right.
pub(crate) fn footer(bytes: &[u8]) -> Option<(Footer, u64)> {
    if bytes.len() as u64 <= END || !bytes.ends_with(mcap::MAGIC) {
        return None;
    }
    let at = bytes.len() as u64 - END;
    let record = record_at(bytes, at, END).ok()?;
    if record.opcode != op::FOOTER || record.end + 8 != bytes.len() as u64 {
        return None;
    }
    let Ok(Record::Footer(footer)) = mcap::parse_record(op::FOOTER, record.body) else { return None };
    let start = footer.summary_start;
    if start < 8 || start > at || at - start > limits::SUMMARY {
        return None;
    }
    if footer.summary_crc != 0 {
        let covered = bytes.get(start as usize..bytes.len() - 12)?;
        if crc32fast::hash(covered) != footer.summary_crc {
            return None;
        }
    }
    Some((footer, at))
}

/// What the summary tells; `None` where it is absent or contradicts the file, which is then scanned.
pub(crate) fn read(bytes: &[u8]) -> Option<Found> {
    let (footer, footer_at) = footer(bytes)?;
    let mut found = Found { sealed: true, ..Found::default() };
    let (mut indexes, mut metadata): (Vec<ChunkIndex>, Vec<MetadataIndex>) = (Vec::new(), Vec::new());
    let mut at = footer.summary_start;
    while at < footer_at {
        let record = record_at(bytes, at, limits::SUMMARY).ok()?;
        if record.end > footer_at {
            return None;
        }
        match record.opcode {
            op::SCHEMA | op::CHANNEL => {
                found.definitions.take(record.opcode, record.body).then_some(())?;
            }
            op::CHUNK_INDEX => match mcap::parse_record(record.opcode, record.body).ok()? {
                Record::ChunkIndex(index) => indexes.push(index),
                _ => return None,
            },
            op::METADATA_INDEX => match mcap::parse_record(record.opcode, record.body).ok()? {
                Record::MetadataIndex(index) => metadata.push(index),
                _ => return None,
            },
            _ => {}
        }
        at = record.end;
    }
    for index in metadata {
        let record = record_at(bytes, index.offset, limits::RECORD).ok()?;
        match mcap::parse_record(record.opcode, record.body).ok()? {
            Record::Metadata(m) if m.name == index.name => found.metadata(m),
            _ => return None,
        }
    }
    let mut unmarked = 0;
    for index in &indexes {
        unmarked += usize::from(!take_chunk(bytes, index, &mut found)?);
    }
    if unmarked > 0 {
        let what = format!(
            "{unmarked} of {} chunks have no readable private record: damaged, or rewritten by another tool",
            indexes.len()
        );
        // Nothing of the evidence is lost by it: an empty range.
        found.problem(footer.summary_start..footer.summary_start, what);
    }
    found.manifest.is_some().then_some(found)
}

/// Adds a chunk; whether its mark was there.
fn take_chunk(bytes: &[u8], index: &ChunkIndex, found: &mut Found) -> Option<bool> {
    let offset = index.chunk_start_offset;
    let at = offset.checked_add(index.chunk_length)?.checked_add(index.message_index_length)?;
    let mark = record_at(bytes, at, limits::RECORD)
        .ok()
        .filter(|r| r.opcode == OP_MARK)
        .and_then(|r| Mark::parse(r.body))
        .map(|(mark, _)| mark)
        .filter(|m| m.offset == offset && m.length == index.chunk_length && m.here == at);
    if let Some(mark) = mark {
        found.push_marked(offset, mark);
        return Some(true);
    }
    let record = record_at(bytes, offset, limits::RECORD).ok()?;
    if record.end - record.start != index.chunk_length {
        return None;
    }
    match chunk::survey(&record, &found.definitions) {
        Ok(survey) => found.push_surveyed(offset, index.chunk_length, survey),
        Err(what) => found.problem(record.start..record.end, what),
    }
    Some(false)
}
