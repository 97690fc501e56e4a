//! One file that is followed: read as it grows, and told apart from what took its place.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use super::lines::{Line, Lines};

/// Bytes read at one time.
const PIECE: usize = 64 << 10;
/// Bytes before the read position that are remembered, to notice that the file was overwritten.
const MEMORY: usize = 256;

/// A file as the kernel tells it apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    device: u64,
    pub(super) inode: u64,
    /// Inode numbers are reused at once by some file systems; times of birth are not. None where there is none.
    born: Option<SystemTime>,
}

impl Identity {
    /// What a path leads to now.
    pub(super) fn of(path: &Path) -> io::Result<Identity> {
        std::fs::metadata(path).map(|m| Identity::from(&m))
    }

    fn from(meta: &Metadata) -> Identity {
        Identity { device: meta.dev(), inode: meta.ino(), born: meta.created().ok() }
    }
}

/// Where reading begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    /// The first byte.
    Start,
    /// The line that is being written now.
    End,
}

/// What one look at the file found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Look {
    /// Bytes read.
    pub(super) read: u64,
    /// The file was truncated or overwritten, and what it held beyond the read position was not found elsewhere.
    pub(super) gap: bool,
    /// It was, and this is the copy that still held it.
    pub(super) copy: Option<Identity>,
}

/// A followed file.
#[derive(Debug)]
pub(super) struct Followed {
    pub(super) path: PathBuf,
    pub(super) identity: Identity,
    /// When bytes last came.
    pub(super) grew: Instant,
    file: File,
    modified: (i64, i64),
    trace: Trace,
    /// The trace before the last truncation: how the copy that a rotation made is recognised.
    before: Option<Trace>,
    lines: Lines,
}

/// What is remembered of the bytes that were read.
#[derive(Debug, Default)]
struct Trace {
    /// Up to where.
    position: u64,
    /// The first bytes of the file, at most [`MEMORY`] of them.
    head: Vec<u8>,
    /// The bytes before the position, at most [`MEMORY`] of them.
    tail: Vec<u8>,
}

/// Whether a file is a copy of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Copied {
    /// It is: it holds what was read of the other, where it was read.
    Yes,
    /// It begins like the other and is shorter: it may be being made.
    Perhaps,
    /// It is a log of its own.
    No,
}

impl Trace {
    /// Remembers bytes that were read behind the position.
    fn extend(&mut self, bytes: &[u8]) {
        let room = MEMORY - self.head.len();
        if self.position == self.head.len() as u64 {
            self.head.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
        let keep = MEMORY.saturating_sub(bytes.len()).min(self.tail.len());
        self.tail.drain(..self.tail.len() - keep);
        self.tail.extend_from_slice(&bytes[bytes.len().saturating_sub(MEMORY)..]);
        self.position += bytes.len() as u64;
    }

    /// Whether a file holds the bytes before the position where they were read.
    fn is_in(&self, file: &File) -> bool {
        let mut there = vec![0; self.tail.len()];
        file.read_exact_at(&mut there, self.position - self.tail.len() as u64).is_ok() && there == self.tail
    }

    fn copied_by(&self, file: &File) -> Copied {
        // A few bytes are no proof: two logs may well begin with the same word.
        if self.tail.len() < 32 {
            return Copied::No;
        }
        if self.is_in(file) {
            return Copied::Yes;
        }
        let length = file.metadata().map_or(0, |m| m.len());
        let mut head = vec![0; self.head.len().min(length as usize)];
        let alike = file.read_exact_at(&mut head, 0).is_ok() && self.head.starts_with(&head);
        if alike && length < self.position { Copied::Perhaps } else { Copied::No }
    }
}

impl Followed {
    /// Opens a regular file.
    pub(super) fn open(path: &Path, from: From) -> io::Result<Followed> {
        // Not blocking: a pipe in the place of a log must not stop the others.
        let file = File::options().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        let mut followed = Followed {
            path: path.to_owned(),
            identity: Identity::from(&meta),
            grew: Instant::now(),
            file,
            modified: (0, 0),
            trace: Trace::default(),
            before: None,
            lines: Lines::default(),
        };
        if from == From::End {
            let position = followed.line_start(meta.len())?;
            let known = position.min(MEMORY as u64);
            let (mut head, mut tail) = (vec![0; known as usize], vec![0; known as usize]);
            followed.file.read_exact_at(&mut head, 0)?;
            followed.file.read_exact_at(&mut tail, position - known)?;
            followed.trace = Trace { position, head, tail };
            followed.lines.restart(position, false);
        }
        Ok(followed)
    }

    /// Start of the line that byte `end` belongs to; `end` itself when the line began more than a piece before.
    fn line_start(&self, end: u64) -> io::Result<u64> {
        let mut piece = vec![0; PIECE.min(end as usize)];
        let from = end - piece.len() as u64;
        self.file.read_exact_at(&mut piece, from)?;
        Ok(match piece.iter().rposition(|&b| b == b'\n') {
            Some(newline) => from + newline as u64 + 1,
            None if from == 0 => 0,
            None => end,
        })
    }

    /// Reads what is new, at most `budget` bytes, and gives the lines that it ends.
    pub(super) fn look(&mut self, budget: u64, give: &mut impl FnMut(Line)) -> io::Result<Look> {
        let meta = self.file.metadata()?;
        let modified = (meta.mtime(), meta.mtime_nsec());
        let mut look = Look::default();
        if meta.len() == self.trace.position && modified == self.modified {
            return Ok(look);
        }
        if meta.len() < self.trace.position || !self.trace.is_in(&self.file) {
            look.copy = self.overwritten(give)?;
            look.gap = look.copy.is_none();
        }
        self.modified = modified;
        look.read = self.read(budget, give)?;
        Ok(look)
    }

    /// Whether that file is a copy of what this one held: made by a rotation, not a log of its own.
    pub(super) fn copied_by(&self, file: &File) -> Copied {
        match (self.trace.copied_by(file), &self.before) {
            (Copied::No, Some(before)) => before.copied_by(file),
            (copied, _) => copied,
        }
    }

    /// Goes back to the start of a file that was truncated or overwritten; before that, takes what a copy of it
    /// (`copytruncate`) still has. None when there was none: bytes may be lost.
    fn overwritten(&mut self, give: &mut impl FnMut(Line)) -> io::Result<Option<Identity>> {
        let copy = self.find_copy();
        if let Some(copy) = &copy {
            read_on(copy, self.trace.position, u64::MAX, |bytes| self.lines.feed(bytes, &mut *give))?;
        }
        if let Some(line) = self.lines.end() {
            give(line);
        }
        self.before = Some(std::mem::take(&mut self.trace));
        self.lines.restart(0, copy.is_none());
        copy.map(|copy| copy.metadata().map(|m| Identity::from(&m))).transpose()
    }

    /// The newest file beside this one, named after it, that holds what was read of this one where it was read.
    fn find_copy(&self) -> Option<File> {
        if self.trace.tail.is_empty() {
            return None;
        }
        let name = self.path.file_name()?.as_encoded_bytes().to_owned();
        let beside = std::fs::read_dir(self.path.parent()?).ok()?;
        let mut candidates: Vec<_> = beside
            .filter_map(Result::ok)
            .filter(|e| e.file_name().as_encoded_bytes().starts_with(&name) && e.path() != self.path)
            .filter_map(|e| Some((e.metadata().ok().filter(|m| m.is_file())?.modified().ok()?, e.path())))
            .collect();
        candidates.sort();
        candidates.iter().rev().take(8).find_map(|(_, path)| {
            let file = File::open(path).ok()?;
            self.trace.is_in(&file).then_some(file)
        })
    }

    fn read(&mut self, budget: u64, give: &mut impl FnMut(Line)) -> io::Result<u64> {
        let Followed { file, lines, trace, .. } = self;
        let read = read_on(file, trace.position, budget, |bytes| {
            lines.feed(bytes, &mut *give);
            trace.extend(bytes);
        })?;
        if read > 0 {
            self.grew = Instant::now();
        }
        Ok(read)
    }

    /// The line that the file ends in without a newline: given when nothing more will come.
    pub(super) fn end(&mut self) -> Option<Line> {
        self.lines.end()
    }
}

/// Reads from `position` to the end or for `budget` bytes; how many there were.
fn read_on(file: &File, position: u64, budget: u64, mut take: impl FnMut(&[u8])) -> io::Result<u64> {
    let mut piece = vec![0; PIECE];
    let mut read = 0;
    while read < budget {
        match file.read_at(&mut piece, position + read) {
            Ok(0) => break,
            Ok(n) => {
                take(&piece[..n]);
                read += n as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}
