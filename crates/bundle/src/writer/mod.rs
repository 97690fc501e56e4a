//! The writer: rows and raw messages in, a crash-safe bundle out.
//!
//! `append` collects rows in the open chunk of their class. A chunk is cut when it is large or old, encoded and
//! compressed on a worker thread, and appended by one thread, which hashes the exact bytes it writes.

mod appender;
mod commit;
mod handle;
mod open;
mod options;
mod pack;
mod registry;
mod repack;
mod rotate;
mod shared;
mod sink;
mod threads;

pub(crate) use appender::{Assembler, META_BUNDLE, META_DOCS, META_MANIFEST};
pub use commit::Commits;
pub use handle::Writer;
pub use options::{ClassBacklog, RawMessage, WriterOptions, WriterStats};
pub(crate) use options::{random_id, system_now};
pub(crate) use pack::{Body, Compressor, Item, Job, Packed, pack, received, span};
pub(crate) use registry::{StreamDef, channel_bytes, class_of};
pub(crate) use repack::{carry, repack};
pub use rotate::{NextFile, Rotation};
pub(crate) use sink::Sink;
