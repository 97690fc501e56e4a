//! One file that is followed: read as it grows, and told apart from what took its place.

use std::collections::VecDeque;
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use regex::bytes::Regex;
use rustix::fs::SeekFrom;

use super::lines::{Line, Lines};
use super::multiline::Multiline;
use super::trace::{Copied, Trace};

/// Bytes read at one time.
const PIECE: usize = 64 << 10;
/// How compressed files begin: gzip, zstd, xz, bzip2, lz4.
const COMPRESSED: [&[u8]; 5] =
    [&[0x1f, 0x8b, 8], &[0x28, 0xb5, 0x2f, 0xfd], &[0xfd, b'7', b'z', b'X', b'Z', 0], b"BZh", &[4, 0x22, 0x4d, 0x18]];
/// fcntl(2): which signal tells of a broken lease. `asm-generic/fcntl.h`, which libc has not got.
const F_SETSIG: libc::c_int = 10;
/// Truncations whose copies are still recognised.
const BEFORE: usize = 8;

/// A file as the kernel tells it apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    device: u64,
    pub(super) inode: u64,
    /// Inode numbers are reused at once by some file systems; times of birth are not. None where there is none.
    pub(super) born: Option<SystemTime>,
}

impl Identity {
    /// What a path leads to now.
    pub(super) fn of(path: &Path) -> io::Result<Identity> {
        std::fs::metadata(path).map(|m| Identity::from(&m))
    }

    pub(super) fn from(meta: &Metadata) -> Identity {
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
    /// More may be there: the budget was spent.
    pub(super) more: bool,
}

/// A followed file.
#[derive(Debug)]
pub(super) struct Followed {
    pub(super) path: PathBuf,
    pub(super) identity: Identity,
    /// When bytes last came.
    pub(super) grew: Instant,
    /// Since when its path leads elsewhere.
    pub(super) rotated: Option<Instant>,
    file: File,
    modified: (i64, i64),
    trace: Trace,
    /// The traces before the last truncations: how the copies that rotations made are recognised.
    before: VecDeque<Trace>,
    lines: Lines,
    entries: Multiline,
}

impl Followed {
    /// Opens a regular file.
    pub(super) fn open(path: &Path, from: From, multiline: Option<Arc<Regex>>) -> io::Result<Followed> {
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
            rotated: None,
            file,
            modified: (0, 0),
            trace: Trace::default(),
            before: VecDeque::new(),
            lines: Lines::default(),
            entries: Multiline::new(multiline),
        };
        if from == From::End {
            let position = followed.line_start(meta.len())?;
            followed.trace = Trace::at(&followed.file, position)?;
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
        self.entries.done().into_iter().for_each(&mut *give);
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
        if self.trace.position == 0 {
            // A writer that does not append goes on where it was before a truncation, behind a hole: nothing was ever in it.
            let start = first_data(&self.file);
            self.trace = Trace::behind_hole(start);
            self.lines.skip_to(start);
        }
        self.modified = modified;
        look.read = self.read(budget, give)?;
        look.more = look.read >= budget;
        Ok(look)
    }

    /// Bytes that stand unread.
    pub(super) fn unread(&self) -> u64 {
        self.file.metadata().map_or(0, |m| m.len().saturating_sub(self.trace.position))
    }

    /// Whether it begins as a compressed file does: made by a rotation, and no lines.
    pub(super) fn is_compressed(&self) -> bool {
        let mut head = [0; 6];
        let read = self.file.read_at(&mut head, 0).unwrap_or(0);
        COMPRESSED.iter().any(|magic| head[..read].starts_with(magic))
    }

    /// Whether a process has it open for writing; `None` where the file system cannot tell.
    ///
    /// A lease for reading is only granted on a file that nobody has open for writing (fcntl(2), "Leases"). It is given
    /// back at once; who opens the file in between waits for that long.
    pub(super) fn is_written(&self) -> Option<bool> {
        let file = self.file.as_raw_fd();
        // A broken lease is told by a signal: SIGURG, which does nothing, instead of SIGIO, which ends the process.
        // SAFETY: fcntl with plain numbers on a descriptor that is open for as long as `self` lives.
        let leased = unsafe {
            libc::fcntl(file, F_SETSIG, libc::SIGURG);
            libc::fcntl(file, libc::F_SETLEASE, libc::F_RDLCK)
        };
        if leased == 0 {
            // SAFETY: as above.
            unsafe { libc::fcntl(file, libc::F_SETLEASE, libc::F_UNLCK) };
            return Some(false);
        }
        (io::Error::last_os_error().kind() == io::ErrorKind::WouldBlock).then_some(true)
    }

    /// Whether that file is a copy of what this one held: made by a rotation, not a log of its own.
    pub(super) fn copied_by(&self, file: &File) -> Copied {
        let all = std::iter::once(&self.trace).chain(&self.before).map(|trace| trace.copied_by(file));
        all.max().unwrap_or(Copied::No)
    }

    /// Goes back to the start of a file that was truncated or overwritten; before that, takes what a copy of it
    /// (`copytruncate`) still has. None when there was none: bytes may be lost.
    fn overwritten(&mut self, give: &mut impl FnMut(Line)) -> io::Result<Option<Identity>> {
        let copy = self.find_copy();
        if let Some(copy) = &copy {
            let Followed { lines, entries, .. } = self;
            read_on(copy, self.trace.position, u64::MAX, |bytes| {
                lines.feed(bytes, |line| entries.push(line, &mut *give));
            })?;
        }
        self.end(give);
        self.before.push_front(std::mem::take(&mut self.trace));
        self.before.truncate(BEFORE);
        self.lines.restart(0, copy.is_none());
        copy.map(|copy| copy.metadata().map(|m| Identity::from(&m))).transpose()
    }

    /// The newest file beside this one, named after it, that holds what was read of this one where it was read.
    fn find_copy(&self) -> Option<File> {
        if !self.trace.has_tail() {
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
        let Followed { file, lines, entries, trace, .. } = self;
        let read = read_on(file, trace.position, budget, |bytes| {
            lines.feed(bytes, |line| entries.push(line, &mut *give));
            trace.extend(bytes);
        })?;
        if read > 0 {
            self.grew = Instant::now();
        }
        Ok(read)
    }

    /// Gives the line that the file ends in without a newline, and the entry that might have gone on: nothing more will come.
    pub(super) fn end(&mut self, give: &mut impl FnMut(Line)) {
        let Followed { lines, entries, .. } = self;
        if let Some(line) = lines.end() {
            entries.push(line, &mut *give);
        }
        entries.end().into_iter().for_each(give);
    }
}

/// Where the bytes of a file begin that were written: 0, unless there is a hole before them.
fn first_data(file: &File) -> u64 {
    let block = rustix::fs::seek(file, SeekFrom::Data(0)).unwrap_or(0);
    if block == 0 {
        return 0;
    }
    // A hole ends with a block of the file system, in whose front the zeros go on.
    let mut piece = [0; 4096];
    let read = file.read_at(&mut piece, block).unwrap_or(0);
    block + piece[..read].iter().position(|&b| b != 0).unwrap_or(0) as u64
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
