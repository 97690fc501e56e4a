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
}

/// A followed file.
#[derive(Debug)]
pub(super) struct Followed {
    pub(super) path: PathBuf,
    pub(super) identity: Identity,
    /// When bytes last came.
    pub(super) grew: Instant,
    file: File,
    position: u64,
    modified: (i64, i64),
    /// The bytes before the position, at most [`MEMORY`] of them.
    memory: Vec<u8>,
    /// Memory and position before the last truncation: how the copy that a rotation made is recognised.
    before: Option<(Vec<u8>, u64)>,
    lines: Lines,
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
            position: 0,
            modified: (0, 0),
            memory: Vec::new(),
            before: None,
            lines: Lines::default(),
        };
        if from == From::End {
            followed.position = followed.line_start(meta.len())?;
            let known = followed.position.min(MEMORY as u64);
            followed.memory = vec![0; known as usize];
            followed.file.read_exact_at(&mut followed.memory, followed.position - known)?;
            followed.lines.restart(followed.position, false);
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
        if meta.len() == self.position && modified == self.modified {
            return Ok(look);
        }
        if meta.len() < self.position || !self.remembers(&self.file) {
            look.gap = self.overwritten(give)?;
        }
        self.modified = modified;
        look.read = self.read(budget, give)?;
        Ok(look)
    }

    /// Whether the bytes before the position are still those that were read.
    fn remembers(&self, file: &File) -> bool {
        holds(file, &self.memory, self.position)
    }

    /// Whether that file is a copy of what this one held: made by a rotation, not a log of its own.
    pub(super) fn is_copied_by(&self, file: &File) -> bool {
        let copied = |(memory, position): (&[u8], u64)| memory.len() >= 32 && holds(file, memory, position);
        copied((&self.memory, self.position)) || self.before.as_ref().is_some_and(|(m, p)| copied((m, *p)))
    }

    /// Goes back to the start of a file that was truncated or overwritten; before that, takes what a copy of it
    /// (`copytruncate`) still has. True when there was none: bytes may be lost.
    fn overwritten(&mut self, give: &mut impl FnMut(Line)) -> io::Result<bool> {
        let copy = self.find_copy();
        if let Some(copy) = &copy {
            read_on(copy, self.position, u64::MAX, |bytes| self.lines.feed(bytes, &mut *give))?;
        }
        if let Some(line) = self.lines.end() {
            give(line);
        }
        self.before = Some((std::mem::take(&mut self.memory), self.position));
        self.position = 0;
        self.lines.restart(0, copy.is_none());
        Ok(copy.is_none())
    }

    /// The newest file beside this one, named after it, that holds what was read of this one where it was read.
    fn find_copy(&self) -> Option<File> {
        if self.memory.is_empty() {
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
            self.remembers(&file).then_some(file)
        })
    }

    fn read(&mut self, budget: u64, give: &mut impl FnMut(Line)) -> io::Result<u64> {
        let Followed { file, lines, memory, .. } = self;
        let read = read_on(file, self.position, budget, |bytes| {
            lines.feed(bytes, &mut *give);
            let keep = MEMORY.saturating_sub(bytes.len()).min(memory.len());
            memory.drain(..memory.len() - keep);
            memory.extend_from_slice(&bytes[bytes.len().saturating_sub(MEMORY)..]);
        })?;
        self.position += read;
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

fn holds(file: &File, memory: &[u8], position: u64) -> bool {
    let mut there = vec![0; memory.len()];
    file.read_exact_at(&mut there, position - memory.len() as u64).is_ok() && there == memory
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
