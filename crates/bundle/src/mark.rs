//! The private records: a mark after each chunk, and the seal before the end of the data section.

use blake3::Hash;

use crate::wire::{self, Fields};

/// Opcode of a [`Mark`].
pub(crate) const OP_MARK: u8 = 0x80;
/// Opcode of a [`Seal`].
pub(crate) const OP_SEAL: u8 = 0x81;
/// First bytes of a mark's body: by these a reader finds its way back after damage.
pub(crate) const SYNC: [u8; 16] = *b"\xc4\x89coldcase\x1a\x9e\x53\xf7\r\n";
/// First bytes of a seal's body.
pub(crate) const SEAL_SYNC: [u8; 16] = *b"\xc5\x89coldcase\x1a\x9e\x53\xf7\r\n";
/// Most bytes of a mark's body: room for more streams than a class has.
const LONGEST: usize = 64 << 10;
/// Version of both records.
const VERSION: u16 = 1;

/// One stream's part of a chunk, as the mark tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MarkStream {
    pub(crate) name: String,
    pub(crate) rows: u64,
    pub(crate) first_row: u64,
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) bytes: u64,
}

/// What the writer says of a chunk after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Number of the chunk in its file, from 0.
    pub(crate) number: u32,
    /// Where the covered bytes begin: the end of the mark before, or 0.
    pub(crate) from: u64,
    /// Where the chunk record begins.
    pub(crate) offset: u64,
    /// Bytes of the chunk record, with its frame.
    pub(crate) length: u64,
    /// Where this record begins.
    pub(crate) here: u64,
    /// BLAKE3 of the chunk record.
    pub(crate) chunk_hash: Hash,
    /// BLAKE3 of the other bytes from `from` to `here`.
    pub(crate) around_hash: Hash,
    /// The chain's value before this mark; zero for the first.
    pub(crate) before: Hash,
    /// Name of the signal class.
    pub(crate) class: String,
    /// The streams, in order of their first message.
    pub(crate) streams: Vec<MarkStream>,
}

/// The chain's value before the first mark.
pub(crate) fn no_chain() -> Hash {
    Hash::from_bytes([0; 32])
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    let bytes = &text.as_bytes()[..text.len().min(usize::from(u16::MAX))];
    out.extend_from_slice(&(bytes.len() as u16).to_le_bytes());
    out.extend_from_slice(bytes);
}

impl Mark {
    /// Appends the record; the chain's new value.
    pub(crate) fn put(&self, out: &mut Vec<u8>) -> Hash {
        let mut body = Vec::with_capacity(256);
        body.extend_from_slice(&SYNC);
        body.extend_from_slice(&VERSION.to_le_bytes());
        body.extend_from_slice(&self.number.to_le_bytes());
        for n in [self.from, self.offset, self.length, self.here] {
            body.extend_from_slice(&n.to_le_bytes());
        }
        for hash in [&self.chunk_hash, &self.around_hash, &self.before] {
            body.extend_from_slice(hash.as_bytes());
        }
        put_text(&mut body, &self.class);
        body.extend_from_slice(&(self.streams.len() as u16).to_le_bytes());
        for s in &self.streams {
            put_text(&mut body, &s.name);
            for n in [s.rows, s.first_row, s.start, s.end, s.bytes] {
                body.extend_from_slice(&n.to_le_bytes());
            }
        }
        finish(out, OP_MARK, &body)
    }

    /// Parses a record's body, and checks that it is what was written: its last 32 bytes hash the rest.
    pub(crate) fn parse(body: &[u8]) -> Option<(Mark, Hash)> {
        // Form first, then the hash: a file full of false markers would otherwise cost a hash each.
        let (content, _) = body.split_last_chunk::<32>()?;
        let mut f = Fields(content);
        if body.len() > LONGEST || f.array::<16>()? != SYNC || f.u16()? != VERSION {
            return None;
        }
        let number = f.u32()?;
        let (from, offset, length, here) = (f.u64()?, f.u64()?, f.u64()?, f.u64()?);
        let chunk_hash = Hash::from_bytes(f.array()?);
        let around_hash = Hash::from_bytes(f.array()?);
        let before = Hash::from_bytes(f.array()?);
        let class = f.text()?.to_owned();
        let count = f.u16()?;
        let mut streams = Vec::new();
        for _ in 0..count {
            streams.push(MarkStream {
                name: f.text()?.to_owned(),
                rows: f.u64()?,
                first_row: f.u64()?,
                start: f.u64()?,
                end: f.u64()?,
                bytes: f.u64()?,
            });
        }
        // The chunk stands between the two offsets.
        if !f.0.is_empty() || from > offset || offset.checked_add(length)? > here {
            return None;
        }
        let (_, chain) = checked(body)?;
        let mark = Mark { number, from, offset, length, here, chunk_hash, around_hash, before, class, streams };
        Some((mark, chain))
    }
}

/// What the seal says: everything that no mark covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seal {
    /// The end of the last mark, or 0.
    pub(crate) from: u64,
    /// Where this record begins.
    pub(crate) here: u64,
    /// BLAKE3 of the bytes from `from` to `here`.
    pub(crate) hash: Hash,
    /// How many bytes follow this record, to the end of the file.
    pub(crate) tail: u64,
    /// BLAKE3 of those.
    pub(crate) tail_hash: Hash,
    /// The chain's value before.
    pub(crate) before: Hash,
}

impl Seal {
    /// Bytes of the record with its frame; always the same, so that the tail can be made before it.
    pub(crate) const LENGTH: u64 = wire::FRAME + 16 + 2 + 3 * 8 + 4 * 32;

    /// Appends the record.
    pub(crate) fn put(&self, out: &mut Vec<u8>) -> Hash {
        let mut body = Vec::with_capacity(Self::LENGTH as usize);
        body.extend_from_slice(&SEAL_SYNC);
        body.extend_from_slice(&VERSION.to_le_bytes());
        for n in [self.from, self.here, self.tail] {
            body.extend_from_slice(&n.to_le_bytes());
        }
        for hash in [&self.hash, &self.tail_hash, &self.before] {
            body.extend_from_slice(hash.as_bytes());
        }
        finish(out, OP_SEAL, &body)
    }

    /// Parses and checks a record's body.
    pub(crate) fn parse(body: &[u8]) -> Option<Seal> {
        let (body, _) = checked(body)?;
        let mut f = Fields(body);
        if f.array::<16>()? != SEAL_SYNC || f.u16()? != VERSION {
            return None;
        }
        let (from, here, tail) = (f.u64()?, f.u64()?, f.u64()?);
        let hash = Hash::from_bytes(f.array()?);
        let tail_hash = Hash::from_bytes(f.array()?);
        let before = Hash::from_bytes(f.array()?);
        f.0.is_empty().then_some(Seal { from, here, hash, tail, tail_hash, before })
    }
}

/// Appends the record with the hash of its body at its end; that hash is the chain's new value.
fn finish(out: &mut Vec<u8>, opcode: u8, body: &[u8]) -> Hash {
    let chain = blake3::hash(body);
    wire::put_raw(out, opcode, &[body, chain.as_bytes()]);
    chain
}

fn checked(body: &[u8]) -> Option<(&[u8], Hash)> {
    let (body, hash) = body.split_last_chunk::<32>()?;
    let hash = Hash::from_bytes(*hash);
    (blake3::hash(body) == hash).then_some((body, hash))
}
