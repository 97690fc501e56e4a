//! Whether a file is what was sealed, to the byte: every byte is covered by a mark or by the seal.

use std::ops::Range;
use std::path::Path;

use blake3::{Hash, Hasher};
use mcap::records::op;

use crate::error::OpenError;
use crate::limits;
use crate::mark::{self, Mark, OP_MARK, OP_SEAL, SYNC, Seal};
use crate::reader::{self, scan};
use crate::wire::{NoRecord, RawRecord, record_at};

/// What [`verify`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verification {
    /// Nothing is damaged. A bundle that was never sealed can be fine up to where it ends.
    pub ok: bool,
    /// The bundle was sealed, and its end is as the seal says.
    pub sealed: bool,
    /// The first bytes that are not as they were written.
    pub first_bad: Option<Range<u64>>,
    /// Chunks whose bytes are as they were written.
    pub chunks: u64,
    /// What is wrong or missing, one line each.
    pub reasons: Vec<String>,
}

/// Checks every byte of a bundle.
///
/// # Errors
/// When the file cannot be opened as a bundle at all.
pub fn verify(path: &Path) -> Result<Verification, OpenError> {
    let map = reader::map(path)?;
    let mut walk =
        Walk { bytes: &map, from: 0, chain: mark::no_chain(), number: 0, marks: 0, result: Verification::default() };
    walk.run();
    let mut result = walk.result;
    result.ok = result.first_bad.is_none();
    Ok(result)
}

struct Walk<'a> {
    bytes: &'a [u8],
    /// Where the bytes begin that the next mark or the seal covers.
    from: u64,
    chain: Hash,
    /// Number that the next chunk must have.
    number: u32,
    /// Marks seen, good or not.
    marks: u64,
    result: Verification,
}

/// What ended a run of records.
enum Stop<'a> {
    Mark(RawRecord<'a>),
    Seal(RawRecord<'a>),
    /// The end of the data section without a seal.
    DataEnd,
    /// The end of the file, between records.
    End,
    /// No record where one should be.
    Nothing(u64, &'static str),
}

impl<'a> Walk<'a> {
    fn run(&mut self) {
        loop {
            let (stop, chunk) = self.records();
            match stop {
                Stop::Mark(record) => {
                    self.marks += 1;
                    self.mark(&record, chunk);
                }
                Stop::Seal(record) => return self.seal(&record),
                Stop::DataEnd => return self.no_seal(),
                Stop::End => return self.unsealed(None),
                Stop::Nothing(at, reason) => match self.next_mark() {
                    Some((next, mark, chain)) => {
                        self.bad(self.from..next.start, format!("{reason} at byte {at}"));
                        self.marks += 1;
                        self.go_on(next.end, &mark, chain);
                    }
                    None if self.marks == 0 && reader::index::footer(self.bytes).is_some() => return self.no_seal(),
                    None if self.has_end() => {
                        let end = self.bytes.len() as u64;
                        return self.bad(self.from..end, format!("{reason} at byte {at}"));
                    }
                    None => return self.unsealed(Some(at)),
                },
            }
        }
    }

    /// Goes from record to record to the next one that says something; the chunk on the way.
    fn records(&self) -> (Stop<'a>, Option<RawRecord<'a>>) {
        let mut at = self.from.max(mcap::MAGIC.len() as u64);
        let mut chunk = None;
        loop {
            let record = match record_at(self.bytes, at, limits::RECORD) {
                Ok(record) => record,
                Err(NoRecord::End) => return (Stop::End, chunk),
                Err(e) => return (Stop::Nothing(at, e.reason()), chunk),
            };
            match record.opcode {
                OP_MARK => return (Stop::Mark(record), chunk),
                OP_SEAL => return (Stop::Seal(record), chunk),
                op::DATA_END => return (Stop::DataEnd, chunk),
                op::CHUNK if chunk.is_none() => chunk = Some(record),
                op::HEADER | op::SCHEMA | op::CHANNEL | op::MESSAGE_INDEX | op::METADATA => {}
                op::CHUNK => return (Stop::Nothing(at, "a chunk without its private record before this one"), chunk),
                _ => return (Stop::Nothing(at, "no record of a bundle"), chunk),
            }
            at = record.end;
        }
    }

    fn slice(&self, range: Range<u64>) -> &'a [u8] {
        self.bytes.get(range.start as usize..range.end as usize).unwrap_or_default()
    }

    fn mark(&mut self, record: &RawRecord<'_>, chunk: Option<RawRecord<'_>>) {
        let Some((mark, chain)) = Mark::parse(record.body) else {
            self.bad(record.start..record.end, "a private record is not as it was written".into());
            self.from = record.end;
            self.number = self.number.wrapping_add(1);
            return;
        };
        let Some(chunk) = chunk else {
            self.bad(self.from..record.start, "the chunk before a private record is missing".into());
            return self.go_on(record.end, &mark, chain);
        };
        let before = self.result.reasons.len();
        if blake3::hash(self.slice(chunk.start..chunk.end)) != mark.chunk_hash {
            self.bad(chunk.start..chunk.end, format!("chunk {} is not as it was written", mark.number));
        }
        let mut around = Hasher::new();
        around.update(self.slice(self.from..chunk.start)).update(self.slice(chunk.end..record.start));
        if around.finalize() != mark.around_hash {
            self.bad(
                self.from..record.start,
                format!("the records around chunk {} are not as they were written", mark.number),
            );
        }
        let here = (self.from, chunk.start, chunk.end - chunk.start, record.start);
        if here != (mark.from, mark.offset, mark.length, mark.here) {
            self.bad(self.from..record.end, format!("chunk {} does not stand where it was written", mark.number));
        }
        if mark.before != self.chain || mark.number != self.number {
            let what = format!("the chain breaks before chunk {}: chunks are missing or exchanged", mark.number);
            self.bad(self.from..record.end, what);
        }
        if self.result.reasons.len() == before {
            self.result.chunks += 1;
        }
        self.go_on(record.end, &mark, chain);
    }

    /// Takes a mark, whose own bytes are right, as the new starting point.
    fn go_on(&mut self, from: u64, mark: &Mark, chain: Hash) {
        self.from = from;
        self.chain = chain;
        self.number = mark.number.wrapping_add(1);
    }

    fn seal(&mut self, record: &RawRecord<'_>) {
        let end = self.bytes.len() as u64;
        let Some(seal) = Seal::parse(record.body).filter(|_| record.end - record.start == Seal::LENGTH) else {
            return self.bad(record.start..record.end, "the seal is not as it was written".into());
        };
        if blake3::hash(self.slice(self.from..record.start)) != seal.hash {
            self.bad(self.from..record.start, "the manifest is not as it was written".into());
        }
        if seal.before != self.chain || (seal.from, seal.here) != (self.from, record.start) {
            self.bad(self.from..record.end, "the chain breaks before the seal: chunks are missing".into());
        }
        let tail = end - record.end;
        if tail != seal.tail {
            let what = format!("{tail} bytes follow the seal, it says {}", seal.tail);
            self.bad(record.end..end.max(record.end + 1), what);
        } else if blake3::hash(self.slice(record.end..end)) != seal.tail_hash {
            self.bad(record.end..end, "the summary is not as it was written".into());
        }
        self.result.sealed = self.result.first_bad.as_ref().is_none_or(|bad| bad.end <= self.from);
    }

    /// The data section ends, but nothing of ours closes it.
    fn no_seal(&mut self) {
        let range = self.from..self.bytes.len() as u64;
        let what = if self.marks == 0 {
            "no private records: another tool rewrote this file, it cannot be verified"
        } else {
            "no seal before the end of the data: another tool rewrote this file, or its seal was removed"
        };
        self.bad(range, what.into());
    }

    fn unsealed(&mut self, cut: Option<u64>) {
        let end = self.bytes.len() as u64;
        let reason = match cut {
            Some(at) => format!(
                "never sealed: it ends within the record at byte {at}, {} bytes are incomplete",
                end - self.from
            ),
            None if end > self.from => {
                format!("never sealed: the last {} bytes have no private record", end - self.from)
            }
            None => "never sealed".to_owned(),
        };
        self.result.reasons.push(reason);
    }

    /// Whether the file ends as a sealed one does: it is then damaged, not cut.
    fn has_end(&self) -> bool {
        self.bytes.ends_with(mcap::MAGIC) && self.bytes.len() > mcap::MAGIC.len()
    }

    /// The next record after the last good place whose own hash is right.
    fn next_mark(&self) -> Option<(RawRecord<'a>, Mark, Hash)> {
        let mut search = self.from;
        while let Some(sync) = scan::find(self.bytes, search, &SYNC) {
            search = sync + 1;
            let start = sync.checked_sub(crate::wire::FRAME).filter(|s| *s >= self.from);
            let record = start.and_then(|s| record_at(self.bytes, s, limits::RECORD).ok());
            let Some(record) = record.filter(|r| r.opcode == OP_MARK) else { continue };
            if let Some((mark, chain)) = Mark::parse(record.body) {
                return Some((record, mark, chain));
            }
        }
        None
    }

    fn bad(&mut self, range: Range<u64>, reason: String) {
        self.result.reasons.push(format!("{reason} (bytes {}..{})", range.start, range.end));
        let first = self.result.first_bad.get_or_insert_with(|| range.clone());
        if range.start < first.start {
            *first = range;
        }
    }
}
