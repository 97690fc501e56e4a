//! What is imported: a file, or standard input, which is kept in one that is gone afterwards.

use std::io::Write;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::ImportError;

/// The path that means standard input.
const STDIN: &str = "-";
/// What it is called in the bundle and in messages.
const NAME: &str = "stdin";

/// What is imported. As a path it is where the bytes are.
#[derive(Debug)]
pub(crate) struct Input {
    /// What it is called.
    pub(crate) name: PathBuf,
    kept: Option<NamedTempFile>,
}

impl Input {
    /// The file at `path`; of `-`, all that comes by standard input: formats are recognised and read from their beginning.
    pub(crate) fn open(path: &Path) -> Result<Input, ImportError> {
        if path != Path::new(STDIN) {
            return Ok(Input { name: path.to_owned(), kept: None });
        }
        let keep = || {
            let mut file = tempfile::Builder::new().prefix("coldcase-import-").tempfile()?;
            std::io::copy(&mut std::io::stdin().lock(), &mut file)?;
            file.flush()?;
            Ok(file)
        };
        let kept = keep().map_err(|source| ImportError::Io { path: NAME.into(), source })?;
        Ok(Input { name: NAME.into(), kept: Some(kept) })
    }

    /// The last part of its name.
    pub(crate) fn origin(&self) -> String {
        self.name.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }
}

impl AsRef<Path> for Input {
    fn as_ref(&self) -> &Path {
        self.kept.as_ref().map_or(&self.name, |kept| kept.path())
    }
}
