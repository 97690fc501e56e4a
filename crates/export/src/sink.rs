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
    /// The name that the file is to have, and the one that it has; `None` for standard output.
    names: Option<(PathBuf, PathBuf)>,
}

impl Sink {
    /// Begins a file; `-` is standard output. One that exists is refused without `force`.
    ///
    /// # Errors
    /// When it exists, or cannot be made.
    pub fn create(path: &Path, force: bool) -> Result<Sink, SinkError> {
        if Sink::is_stdout(path) {
            return Ok(Sink { to: BufWriter::new(Box::new(io::stdout())), names: None });
        }
        if path.exists() && !force {
            return Err(SinkError::Exists { path: path.to_owned() });
        }
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let unfinished = path.with_file_name(format!(".{name}.part"));
        let file = File::create(&unfinished).map_err(|source| SinkError::Io { path: path.to_owned(), source })?;
        Ok(Sink { to: BufWriter::with_capacity(1 << 18, Box::new(file)), names: Some((path.to_owned(), unfinished)) })
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
        let named = self.to.flush().and_then(|()| match &self.names {
            Some((path, unfinished)) => std::fs::rename(unfinished, path),
            None => Ok(()),
        });
        let path = self.path();
        if named.is_ok() {
            self.names = None;
        }
        named.map_err(|source| SinkError::Io { path, source })
    }

    /// An error of writing, with the name of the file.
    pub fn failed(&self, source: io::Error) -> SinkError {
        SinkError::Io { path: self.path(), source }
    }

    fn path(&self) -> PathBuf {
        self.names.as_ref().map_or_else(|| PathBuf::from("standard output"), |(path, _)| path.clone())
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
        if let Some((_, unfinished)) = &self.names {
            let _ = std::fs::remove_file(unfinished);
        }
    }
}
