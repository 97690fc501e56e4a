//! What container runtimes write of a container's output: pieces of lines, and the lines put together.

use std::borrow::Cow;

use super::time::Stamp;

/// Which output of the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the names are Unix'
pub enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    /// Of its name in a file.
    pub fn from_name(name: &[u8]) -> Option<Stream> {
        match name {
            b"stdout" => Some(Stream::Stdout),
            b"stderr" => Some(Stream::Stderr),
            _ => None,
        }
    }
}

/// A line, or a piece of one: runtimes cut long lines (at 8 or 16 KiB).
#[derive(Debug, Clone, PartialEq)]
pub struct Entry<'a> {
    /// When the runtime read it.
    pub time: Stamp,
    /// Which output.
    pub stream: Stream,
    /// Whether the line goes on in the next entry of its stream.
    pub partial: bool,
    /// The text: any bytes, hostile.
    pub text: Cow<'a, [u8]>,
}

/// Why a line is not of a container's log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a {format} line: {what}")]
pub struct ContainerError {
    /// The format that was expected.
    pub format: &'static str,
    /// What is wrong.
    pub what: &'static str,
}

/// A line put together.
#[derive(Debug, Clone, PartialEq)]
pub struct Joined {
    /// When its first piece was read.
    pub time: Stamp,
    /// Which output.
    pub stream: Stream,
    /// Its text.
    pub text: Vec<u8>,
    /// Bytes that are left out, because the line is longer than the joiner's bound.
    pub dropped: u64,
    /// Of how many entries it is.
    pub pieces: u32,
    /// Whether its last piece is there.
    pub whole: bool,
}

/// Puts pieces together, for one container: each output has a line of its own.
#[derive(Debug, Clone)]
pub struct Joiner {
    bound: usize,
    open: [Option<Joined>; 2],
}

impl Joiner {
    /// A joiner of lines of at most `bound` bytes; what is longer is cut, and the cut counted.
    pub fn new(bound: usize) -> Joiner {
        Joiner { bound, open: [None, None] }
    }

    /// Takes an entry; hands out the line that it ends.
    pub fn push(&mut self, entry: &Entry<'_>) -> Option<Joined> {
        let open = &mut self.open[usize::from(entry.stream == Stream::Stderr)];
        let line = open.get_or_insert_with(|| Joined {
            time: entry.time,
            stream: entry.stream,
            text: Vec::new(),
            dropped: 0,
            pieces: 0,
            whole: false,
        });
        let fits = entry.text.len().min(self.bound.saturating_sub(line.text.len()));
        line.text.extend_from_slice(&entry.text[..fits]);
        line.dropped = line.dropped.saturating_add((entry.text.len() - fits) as u64);
        line.pieces = line.pieces.saturating_add(1);
        if entry.partial {
            return None;
        }
        line.whole = true;
        open.take()
    }

    /// The lines whose ends did not come, at the end of the file.
    pub fn finish(self) -> impl Iterator<Item = Joined> {
        self.open.into_iter().flatten()
    }
}
