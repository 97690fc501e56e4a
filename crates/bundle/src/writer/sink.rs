//! Where the bytes go: a file, or a stream that cannot seek. A file keeps a small reserve for the seal on a full disk.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::error::WriteError;

/// The target.
pub(crate) enum Sink {
    /// A file, written at positions.
    File { file: File, path: PathBuf, reserve: Option<Reserve> },
    /// Anything else.
    Stream(Box<dyn Write + Send>),
}

/// Space held back from the file system in an unlinked file, so that the seal fits on a full disk.
pub(crate) struct Reserve {
    file: File,
    bytes: u64,
}

impl Reserve {
    /// What a seal takes at first: manifest, definitions, footer.
    const BASE: u64 = 256 << 10;
    /// What each chunk adds to the summary.
    const PER_CHUNK: u64 = 256;

    #[cfg(target_os = "linux")]
    fn new(beside: &Path) -> Option<Reserve> {
        use std::os::unix::fs::OpenOptionsExt;
        let folder = match beside.parent() {
            Some(p) if !p.as_os_str().is_empty() => p,
            _ => Path::new("."),
        };
        let flags = rustix::fs::OFlags::TMPFILE.bits() as i32;
        let file = OpenOptions::new().read(true).write(true).custom_flags(flags).mode(0o600).open(folder).ok()?;
        let mut reserve = Reserve { file, bytes: 0 };
        reserve.grow(0).then_some(reserve)
    }

    #[cfg(not(target_os = "linux"))]
    fn new(_beside: &Path) -> Option<Reserve> {
        None
    }

    /// Makes room for the summary of `chunks` chunks; whether it is there.
    #[cfg(target_os = "linux")]
    fn grow(&mut self, chunks: u64) -> bool {
        let wanted = Self::BASE + chunks * Self::PER_CHUNK;
        if wanted <= self.bytes {
            return true;
        }
        // A step ahead, so that not every chunk costs a system call.
        let wanted = wanted + Self::BASE;
        let grown = rustix::fs::fallocate(&self.file, rustix::fs::FallocateFlags::empty(), 0, wanted).is_ok();
        if grown {
            self.bytes = wanted;
        }
        grown
    }

    #[cfg(not(target_os = "linux"))]
    fn grow(&mut self, _chunks: u64) -> bool {
        let _ = (&self.file, self.bytes, Self::BASE, Self::PER_CHUNK);
        false
    }
}

/// What went wrong with a write.
pub(crate) enum SinkError {
    /// No space; the file was cut back to where the write began.
    Full,
    /// Something else.
    Io(io::Error),
}

impl Sink {
    /// Creates the file. An existing one is refused, or with `force` replaced by a new file.
    pub(crate) fn create(path: &Path, force: bool) -> Result<Sink, WriteError> {
        let io_error = |e: &io::Error| to_write_error(path, e);
        if force {
            // A new file in its place: whoever has the old one open or mapped keeps it whole. Behind a link, the
            // file that it points to.
            let target = path.canonicalize().ok().filter(|p| p.is_file());
            if let Some(target) = target {
                std::fs::remove_file(&target).map_err(|e| io_error(&e))?;
                return Self::create(&target, false);
            }
        }
        let mut options = OpenOptions::new();
        options.write(true);
        // Not a regular file (/dev/null, a named pipe): nothing is there to be lost. For writing only: who opens a
        // pipe for reading too is never told that its reader has gone.
        let special = std::fs::metadata(path).is_ok_and(|m| !m.is_file() && !m.is_dir());
        if !special {
            options.read(true).create_new(true);
            // A bundle holds what its host said, log lines as they were sent among it: for its maker only.
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        }
        let file = options.open(path).map_err(|e| match e.kind() {
            io::ErrorKind::AlreadyExists => WriteError::Exists { path: path.to_owned() },
            _ => io_error(&e),
        })?;
        if special {
            return Ok(Sink::Stream(Box::new(file)));
        }
        let reserve = Reserve::new(path);
        Ok(Sink::File { file, path: path.to_owned(), reserve })
    }

    /// A name for errors.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Sink::File { path, .. } => path,
            Sink::Stream(_) => Path::new("-"),
        }
    }

    /// Whether what was written in part can be taken back.
    pub(crate) fn can_cut(&self) -> bool {
        matches!(self, Sink::File { .. })
    }

    /// A second handle on the file, for syncing beside the writes.
    pub(crate) fn file(&self) -> Option<File> {
        match self {
            Sink::File { file, .. } => file.try_clone().ok(),
            Sink::Stream(_) => None,
        }
    }

    /// Writes `parts` at `position`, all or (in a file) none.
    pub(crate) fn write(&mut self, position: u64, parts: &[&[u8]]) -> Result<(), SinkError> {
        match self {
            Sink::Stream(w) => {
                parts.iter().try_for_each(|p| w.write_all(p)).and_then(|()| w.flush()).map_err(SinkError::Io)
            }
            Sink::File { file, .. } => {
                let mut at = position;
                for part in parts {
                    if let Err(e) = write_all_at(file, part, at) {
                        file.set_len(position).map_err(SinkError::Io)?;
                        return Err(if is_full(&e) { SinkError::Full } else { SinkError::Io(e) });
                    }
                    at += part.len() as u64;
                }
                Ok(())
            }
        }
    }

    /// Keeps the reserve in step with the summary.
    pub(crate) fn keep_reserve(&mut self, chunks: u64) {
        if let Sink::File { reserve: Some(r), .. } = self {
            // On a disk that is nearly full the reserve stays what it was.
            let _ = r.grow(chunks);
        }
    }

    /// Gives the reserve back to the file system.
    pub(crate) fn release_reserve(&mut self) {
        if let Sink::File { reserve, .. } = self {
            *reserve = None;
        }
    }

    /// Makes what was written durable.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        match self {
            Sink::File { file, .. } => file.sync_data(),
            Sink::Stream(w) => w.flush(),
        }
    }
}

#[cfg(unix)]
fn write_all_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    use std::os::unix::fs::FileExt;
    file.write_all_at(bytes, at)
}

fn is_full(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
}

/// An I/O error with its file.
pub(crate) fn to_write_error(path: &Path, e: &io::Error) -> WriteError {
    if is_full(e) {
        return WriteError::DiskFull { path: path.to_owned() };
    }
    WriteError::Io { path: path.to_owned(), os: e.raw_os_error(), message: e.to_string() }
}
