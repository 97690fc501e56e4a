//! One bundle made of chunks of several: copied as they are, nothing is decompressed.

use std::path::Path;

use coldcase_model::manifest::Manifest;

use crate::error::WriteError;
use crate::reader::{Bundle, Problem};
use crate::writer::{Assembler, Sink, carry, random_id};

/// Why a bundle's chunks cannot stand in another.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The new bundle cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A number means one stream here and another there: another version of the recorder wrote it.
    #[error("its streams are defined otherwise ({stream})")]
    Definitions {
        /// A stream that differs.
        stream: String,
    },
}

/// What was taken of one bundle.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Taken {
    /// Chunks copied.
    pub chunks: u64,
    /// Bytes of those chunks.
    pub bytes: u64,
    /// Chunks that are not as they were written, and were left out.
    pub problems: Vec<Problem>,
}

/// A bundle in the making. Its rows keep their numbers: the bundles that it is made of must number theirs on, as the
/// segments of a flight recording do.
pub struct Join {
    out: Assembler,
    id: String,
    docs: std::collections::BTreeMap<String, String>,
}

impl Join {
    /// Begins a bundle.
    ///
    /// # Errors
    /// As [`crate::Writer::create`].
    pub fn create(path: &Path, force: bool, preface: Option<&Manifest>) -> Result<Join, WriteError> {
        let id = random_id();
        let out = Assembler::start(Sink::create(path, force)?, &id, None, preface)?;
        Ok(Join { out, id, docs: std::collections::BTreeMap::new() })
    }

    /// The new bundle's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Bytes written.
    pub fn bytes(&self) -> u64 {
        self.out.position()
    }

    /// Takes the chunks that `want` says, in their order.
    ///
    /// # Errors
    /// When the new bundle cannot be written, or the definitions do not fit; nothing was taken then of the latter.
    pub fn take(&mut self, from: &Bundle, want: &dyn Fn(usize) -> bool) -> Result<Taken, JoinError> {
        let definitions = from.definitions();
        if let Some(stream) = self.out.contradiction(definitions) {
            return Err(JoinError::Definitions { stream });
        }
        let mut taken = Taken::default();
        for info in from.chunks().iter().filter(|c| want(c.index)) {
            let packed = match from.mark(info.index) {
                Some(mark) => carry(from.bytes(), info, mark, definitions),
                None => Err("it has no private record".to_owned()),
            };
            match packed {
                Ok(packed) => {
                    self.out.append(packed)?;
                    taken.chunks += 1;
                    taken.bytes += info.bytes;
                }
                Err(what) => taken.problems.push(Problem { range: info.offset..info.offset + info.bytes, what }),
            }
        }
        self.docs.extend(definitions.docs.clone());
        Ok(taken)
    }

    /// Seals it and makes it durable. Returns the manifest with format, id, streams and root filled in.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn seal(mut self, manifest: Manifest) -> Result<Manifest, WriteError> {
        self.out.sink().release_reserve();
        let manifest = self.out.seal(manifest, self.docs)?;
        self.out.finish()?;
        Ok(manifest)
    }
}
