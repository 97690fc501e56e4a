//! An unsealed or damaged bundle's chunks: record by record, and from sync marker to sync marker where records end.

use mcap::records::{Record, op};

use super::{Found, chunk};
use crate::limits;
use crate::mark::{Mark, OP_MARK, OP_SEAL, SYNC};
use crate::wire::{FRAME, NoRecord, RawRecord, record_at};

/// Everything that can be found from the first record on.
pub(crate) fn read(bytes: &[u8]) -> Found {
    let mut scan = Scan { bytes, found: Found::default(), confirmed: mcap::MAGIC.len() as u64, pending: None };
    scan.run();
    scan.found
}

struct Scan<'a> {
    bytes: &'a [u8],
    found: Found,
    /// Up to here everything was as it should be: after the magic, or after a mark.
    confirmed: u64,
    /// A chunk whose mark was not seen yet.
    pending: Option<RawRecord<'a>>,
}

/// How a run of records ended.
enum End {
    /// At the end of the data section, or of the file.
    Whole,
    /// Within a record that the file's end cuts.
    Cut(u64),
    /// At something that is no record.
    Lost(u64, &'static str),
}

impl<'a> Scan<'a> {
    fn run(&mut self) {
        let mut at = self.confirmed;
        loop {
            match self.records(at) {
                End::Whole => return,
                // A wrong length may have led over whole chunks: look for their marks from the last sure place.
                End::Cut(from) => match self.resync(from, "cut short") {
                    Some(next) => at = next,
                    None => return,
                },
                End::Lost(from, reason) => match self.resync(from, reason) {
                    Some(next) => at = next,
                    None => return,
                },
            }
        }
    }

    fn records(&mut self, from: u64) -> End {
        let mut at = from;
        loop {
            let record = match record_at(self.bytes, at, limits::RECORD) {
                Ok(record) => record,
                Err(NoRecord::End) => return if self.settle() { End::Whole } else { End::Cut(at) },
                Err(NoRecord::Cut) => return End::Cut(at),
                Err(e @ NoRecord::TooLong) => return End::Lost(at, e.reason()),
            };
            match record.opcode {
                op::HEADER | op::MESSAGE_INDEX | op::ATTACHMENT | OP_SEAL => {}
                op::SCHEMA | op::CHANNEL => {
                    if !self.found.definitions.take(record.opcode, record.body) {
                        return End::Lost(at, "a definition that cannot be read");
                    }
                }
                op::METADATA => match mcap::parse_record(record.opcode, record.body) {
                    Ok(Record::Metadata(m)) => self.found.metadata(m),
                    _ => return End::Lost(at, "a metadata record that cannot be read"),
                },
                op::CHUNK => {
                    if !self.settle() {
                        return End::Lost(at, "a chunk that cannot be read");
                    }
                    self.pending = Some(record);
                }
                OP_MARK => {
                    if !self.mark(&record) {
                        return End::Lost(at, "a mark that contradicts its chunk");
                    }
                }
                op::DATA_END => {
                    return if self.settle() { End::Whole } else { End::Lost(at, "a chunk that cannot be read") };
                }
                op::MESSAGE => self.found.problem(record.start..record.end, "a message outside of a chunk"),
                _ => return End::Lost(at, "no known record"),
            }
            at = record.end;
        }
    }

    /// A chunk without a mark is taken in if it can be read. Whether there was none, or it could.
    fn settle(&mut self) -> bool {
        let Some(record) = self.pending.take() else { return true };
        match chunk::survey(&record, &self.found.definitions) {
            Ok(survey) => {
                self.found.problem(record.end..record.end, "a chunk without its private record; it is whole");
                self.found.push_surveyed(record.start, record.end - record.start, survey);
                self.confirmed = record.end;
                true
            }
            Err(_) => false,
        }
    }

    /// A mark at its place confirms the chunk before it.
    fn mark(&mut self, record: &RawRecord<'_>) -> bool {
        let Some((mark, _)) = Mark::parse(record.body) else { return false };
        let Some(chunk) = self.pending.take() else { return false };
        // Distances, not offsets: they hold even where bytes before were lost.
        if mark.here - mark.offset != record.start - chunk.start || mark.length != chunk.end - chunk.start {
            return false;
        }
        self.found.push_marked(chunk.start, mark);
        self.confirmed = record.end;
        true
    }

    /// Looks for the next mark after the last sure place, and goes on behind it. `None` when there is none.
    fn resync(&mut self, lost_at: u64, reason: &str) -> Option<u64> {
        // The chunk before the damage may be whole; then it is sure, too.
        self.settle();
        let from = self.confirmed;
        let mut search = from;
        if lost_at == self.bytes.len() as u64 && from == lost_at {
            return None;
        }
        while let Some(sync) = find(self.bytes, search, &SYNC) {
            search = sync + 1;
            let Some(start) = sync.checked_sub(FRAME).filter(|s| *s >= from) else { continue };
            let Ok(record) = record_at(self.bytes, start, limits::RECORD) else { continue };
            let Some((mark, _)) = Mark::parse(record.body).filter(|_| record.opcode == OP_MARK) else { continue };
            self.salvage(from, lost_at, reason, &record, mark);
            self.confirmed = record.end;
            return Some(record.end);
        }
        let end = self.bytes.len() as u64;
        if from < end {
            self.found.problem(from..end, format!("{reason} at byte {lost_at}, and nothing to be recognised after it"));
        }
        None
    }

    /// Behind damage, a mark was found: its chunk may be whole.
    fn salvage(&mut self, from: u64, lost_at: u64, reason: &str, record: &RawRecord<'_>, mark: Mark) {
        let chunk = record
            .start
            .checked_sub(mark.here - mark.offset)
            .filter(|at| *at >= from)
            .and_then(|at| record_at(self.bytes, at, limits::RECORD).ok())
            .filter(|c| c.end - c.start == mark.length && c.end <= record.start);
        let whole = chunk.filter(|c| {
            let bytes = self.bytes.get(c.start as usize..c.end as usize);
            bytes.is_some_and(|b| blake3::hash(b) == mark.chunk_hash)
        });
        match whole {
            Some(c) => {
                if from < c.start {
                    self.found.problem(from..c.start, format!("{reason} at byte {lost_at}"));
                }
                if c.end < record.start && lost_at >= c.end {
                    self.found.problem(c.end..record.start, format!("{reason} at byte {lost_at}"));
                }
                self.found.push_marked(c.start, mark);
            }
            None => self.found.problem(from..record.start, format!("{reason} at byte {lost_at}; its chunk is lost")),
        }
    }
}

/// The next place of `needle` from `from` on.
pub(crate) fn find(bytes: &[u8], from: u64, needle: &[u8]) -> Option<u64> {
    let mut at = usize::try_from(from).ok()?;
    loop {
        let next = bytes.get(at..)?.iter().position(|b| *b == needle[0])?;
        at += next;
        if bytes[at..].starts_with(needle) {
            return Some(at as u64);
        }
        at += 1;
    }
}
