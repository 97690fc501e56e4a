//! Errors of the bundle: each a clear lowercase line that names the file or stream.

use std::path::PathBuf;

/// Why something could not be written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WriteError {
    /// The file exists already.
    #[error("{} exists already", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file system is full. What was written up to here is kept; the bundle can still be sealed.
    #[error("{}: no space left on the device", path.display())]
    DiskFull {
        /// The file.
        path: PathBuf,
    },
    /// Another I/O error.
    #[error("{}: {message}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's error number, where there is one.
        os: Option<i32>,
        /// What the operating system said.
        message: String,
    },
    /// The catalogue has no such stream.
    #[error("{0}: no such stream in the catalogue")]
    UnknownStream(String),
    /// The columns are not those of the stream.
    #[error("{stream}: {reason}")]
    Columns {
        /// The stream.
        stream: String,
        /// What does not fit.
        reason: String,
    },
    /// A message beyond the size that a reader accepts.
    #[error("{stream}: a message of {bytes} bytes is larger than the limit of {limit}")]
    TooLarge {
        /// The stream.
        stream: String,
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// More messages or streams than the container can number.
    #[error("{0}: the container cannot number more")]
    Full(String),
    /// The bundle was sealed, or its writer has ended.
    #[error("the bundle is closed")]
    Closed,
}

/// Why a file cannot be opened as a bundle.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The operating system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: std::io::Error,
    },
    /// Nothing in it.
    #[error("{}: the file is empty", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// Not MCAP at all.
    #[error("{}: not a bundle (no MCAP magic at its start)", path.display())]
    NotABundle {
        /// The file.
        path: PathBuf,
    },
    /// MCAP, but not ours.
    #[error("{}: an MCAP file of the profile {profile:?}, not a bundle of coldcase/1", path.display())]
    Profile {
        /// The file.
        path: PathBuf,
        /// The profile it declares.
        profile: String,
    },
    /// Ours, of another major version.
    #[error("{}: a bundle of the format {profile}, this build reads coldcase/1", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// The profile it declares.
        profile: String,
    },
    /// Its beginning is destroyed and nothing in it can be recognised.
    #[error("{}: damaged beyond recognition: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
}

/// Why a chunk, or a part of it, cannot be read. The other chunks can.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("chunk {index} at byte {offset}: {reason}")]
pub struct ChunkError {
    /// Its index in [`crate::Bundle::chunks`].
    pub index: usize,
    /// Where it stands in the file.
    pub offset: u64,
    /// What is wrong with it.
    pub reason: String,
}

/// Why a bundle could not be recovered.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// The damaged file cannot be opened at all.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The new one cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// Both are the same file.
    #[error("{}: cannot be recovered onto itself", path.display())]
    SameFile {
        /// The file.
        path: PathBuf,
    },
}
