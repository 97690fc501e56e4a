//! Where one file is written to: a file, which appears under its name when it is whole, or standard output.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Why a file could not be written.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// It exists already.
    #[error("{} exists already", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A file under way, or standard output.
pub struct Sink {
    to: BufWriter<Box<dyn Write + Send>>,
    path: PathBuf,
    /// What it is called until it is whole; `None` of what is written in place.
    unfinished: Option<PathBuf>,
}

impl Sink {
    /// Begins a file; `-` is standard output. A regular file that exists is refused without `force`, and a pipe or a device is written to.
    ///
    /// # Errors
    /// When it exists, or cannot be made.
    pub fn create(path: &Path, force: bool) -> Result<Sink, SinkError> {
        let io = |source| SinkError::Io { path: path.to_owned(), source };
        let (path, unfinished, to): (_, _, Box<dyn Write + Send>) = if Sink::is_stdout(path) {
            (PathBuf::from("standard output"), None, Box::new(io::stdout()))
        } else {
            match std::fs::metadata(path).map(|m| m.file_type()) {
                Ok(of) if of.is_file() && !force => return Err(SinkError::Exists { path: path.to_owned() }),
                Ok(of) if of.is_dir() => return Err(io(io::ErrorKind::IsADirectory.into())),
                // A name that is given to another file would take the place of the pipe or device.
                Ok(of) if !of.is_file() => {
                    let file = File::options().write(true).open(path).map_err(io)?;
                    (path.to_owned(), None, Box::new(file))
                }
                _ => {
                    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
                    let unfinished = path.with_file_name(format!(".{name}.part"));
                    let file = File::create(&unfinished).map_err(io)?;
                    (path.to_owned(), Some(unfinished), Box::new(file))
                }
            }
        };
        Ok(Sink { to: BufWriter::with_capacity(1 << 18, to), path, unfinished })
    }

    /// Whether a path stands for standard output.
    pub fn is_stdout(path: &Path) -> bool {
        path.as_os_str() == "-"
    }

    /// Ends it, and gives it its name.
    ///
    /// # Errors
    /// When the rest cannot be written.
    pub fn finish(mut self) -> Result<(), SinkError> {
        self.to.flush().map_err(|e| self.failed(e))?;
        if let Some(unfinished) = &self.unfinished {
            std::fs::rename(unfinished, &self.path).map_err(|e| self.failed(e))?;
        }
        self.unfinished = None;
        Ok(())
    }

    /// An error of writing, with the name of the file.
    pub fn failed(&self, source: io::Error) -> SinkError {
        SinkError::Io { path: self.path.clone(), source }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.to.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        // What is half written is of no use.
        if let Some(unfinished) = &self.unfinished {
            let _ = std::fs::remove_file(unfinished);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_file_has_its_name_when_it_is_whole_and_leaves_nothing_when_it_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        let names = || std::fs::read_dir(dir.path()).unwrap().count();
        let mut sink = Sink::create(&path, false).unwrap();
        sink.write_all(b"half").unwrap();
        assert!(!path.exists());
        drop(sink);
        assert_eq!(names(), 0);
        let mut sink = Sink::create(&path, false).unwrap();
        sink.write_all(b"whole").unwrap();
        sink.finish().unwrap();
        assert_eq!((std::fs::read(&path).unwrap().as_slice(), names()), (&b"whole"[..], 1));
        assert!(matches!(Sink::create(&path, false), Err(SinkError::Exists { .. })));
        assert!(matches!(Sink::create(dir.path(), true), Err(SinkError::Io { .. })));
    }

    #[test]
    fn a_device_stays_one() {
        let null = Path::new("/dev/null");
        let mut sink = Sink::create(null, true).unwrap();
        sink.write_all(b"gone").unwrap();
        sink.finish().unwrap();
        assert!(!std::fs::metadata(null).unwrap().is_file());
    }
}
