//! What can go wrong before there is a timeline. What goes wrong later is a problem in it, never an abort.

use coldcase_bundle::OpenError;

/// Why there is no timeline.
#[derive(Debug, thiserror::Error)]
pub enum TimelineError {
    /// The bundle could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The threads could not be started.
    #[error("cannot start {threads} threads: {why}")]
    Threads {
        /// How many were asked for.
        threads: usize,
        /// What the system said.
        why: String,
    },
    /// The window is empty.
    #[error("the window ends before it begins: from {from} to {to} (UTC nanoseconds)")]
    Window {
        /// Its start.
        from: i64,
        /// Its end.
        to: i64,
    },
    /// Debug files cannot be looked for.
    #[error(transparent)]
    DebugFiles(#[from] crate::debug_files::DebugFilesError),
}
