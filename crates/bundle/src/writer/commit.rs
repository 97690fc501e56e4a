//! Durable on demand: what a class took in is in the file and on the disk before its sender is told so.

use std::fs::File;
use std::path::{Path, PathBuf};

use coldcase_model::Class;

use super::handle::Writer;
use super::sink::to_write_error;
use crate::error::WriteError;

/// A file with bytes that may not be on the disk yet.
pub(crate) type Unsynced = (File, PathBuf);

/// Commits what one class took in, one group of rows after another. Made by [`Writer::commits`].
pub struct Commits {
    writer: Writer,
    class: Class,
    /// Cuts below this number were committed, or told as lost.
    upto: u64,
    /// Files whose names are known to be on the disk.
    named: Vec<PathBuf>,
}

impl Commits {
    pub(super) fn new(writer: Writer, class: Class) -> Commits {
        Commits { writer, class, upto: 0, named: Vec::new() }
    }

    /// Cuts the class's open chunk, and returns when everything that the class took in before the call, and since the
    /// last one, is in the file and on the disk: the bytes by `fdatasync(2)`, the file's name by `fsync(2)` of its
    /// folder. Other classes go on meanwhile. Each call costs a chunk: gather many rows for one.
    ///
    /// # Errors
    /// When a part of it was not written ([`WriteError::DiskFull`] and what else the operating system says), or cannot
    /// be made durable: a stream, or a disk that fails. Rows before the failure may be in the bundle all the same.
    pub fn commit(&mut self) -> Result<(), WriteError> {
        let since = self.upto;
        let (upto, settled) = self.writer.settle(self.class, since)?;
        self.upto = upto;
        let files = settled?;
        self.named.retain(|known| files.iter().any(|(_, path)| path == known));
        for (file, path) in &files {
            let new = !self.named.contains(path);
            let synced = file.sync_data().and_then(|()| if new { sync_folder(path) } else { Ok(()) });
            if let Err(e) = synced {
                let error = to_write_error(path, &e);
                // The kernel may have dropped the pages: what was written cannot be relied on any more.
                self.writer.fail(error.clone());
                return Err(error);
            }
            if new {
                self.named.push(path.clone());
            }
        }
        Ok(())
    }
}

fn sync_folder(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|f| !f.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}
