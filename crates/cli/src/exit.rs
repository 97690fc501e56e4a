//! Exit codes, and the one way in which a verb fails.

use std::process::ExitCode;

/// How a verb ended. The numbers are a contract with scripts and CI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Fine,
    /// It failed.
    Failed,
    /// Usage, or input that cannot be read.
    Usage,
    /// Done, but evidence was lost.
    Lost,
    /// Another code, where a verb has its own (`record -- CMD`).
    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    Code(u8),
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(match exit {
            Exit::Fine => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Lost => 3,
            Exit::Code(code) => code,
        })
    }
}

/// Why a verb failed: one lowercase line that names the file, stream or flag, and what to do about it.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The code to exit with.
    pub(crate) exit: Exit,
    /// The line.
    pub(crate) line: String,
    /// What to do, when there is something.
    pub(crate) hint: Option<String>,
    broken_pipe: bool,
}

impl Failure {
    /// Something failed: exit code 1.
    pub(crate) fn failed(line: impl Into<String>) -> Failure {
        Failure { exit: Exit::Failed, line: line.into(), hint: None, broken_pipe: false }
    }

    /// Wrong usage or unreadable input: exit code 2.
    pub(crate) fn usage(line: impl Into<String>) -> Failure {
        Failure { exit: Exit::Usage, ..Failure::failed(line) }
    }

    /// Adds what to do; nothing when empty.
    pub(crate) fn hint(self, hint: impl Into<String>) -> Failure {
        Failure { hint: Some(hint.into()).filter(|h| !h.is_empty()), ..self }
    }

    /// The same with another exit code.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    pub(crate) fn with(self, exit: Exit) -> Failure {
        Failure { exit, ..self }
    }

    /// Whether our output's reader has gone.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        self.broken_pipe
    }
}

impl From<std::io::Error> for Failure {
    fn from(e: std::io::Error) -> Failure {
        let broken_pipe = e.kind() == std::io::ErrorKind::BrokenPipe;
        Failure { broken_pipe, ..Failure::failed(e.to_string()) }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(e: anyhow::Error) -> Failure {
        match e.downcast::<std::io::Error>() {
            Ok(io) => io.into(),
            Err(e) => Failure::failed(format!("{e:#}")),
        }
    }
}

impl From<serde_json::Error> for Failure {
    fn from(e: serde_json::Error) -> Failure {
        std::io::Error::from(e).into()
    }
}

impl From<coldcase_bundle::OpenError> for Failure {
    fn from(e: coldcase_bundle::OpenError) -> Failure {
        use coldcase_bundle::OpenError as E;
        let hint = match &e {
            E::NotABundle { .. } | E::Empty { .. } => "bundles are made by `coldcase record -o FILE`",
            E::Version { .. } => "use the version of coldcase that matches the bundle, or a newer one",
            _ => "",
        };
        Failure::usage(e.to_string()).hint(hint)
    }
}

#[cfg(feature = "full")]
impl From<coldcase_timeline::TimelineError> for Failure {
    fn from(e: coldcase_timeline::TimelineError) -> Failure {
        use coldcase_timeline::{DebugFilesError, TimelineError as E};
        match e {
            E::Open(e) => e.into(),
            e @ E::Window { .. } => Failure::usage(e.to_string()).hint("--from must be before --to"),
            E::DebugFiles(e) => {
                let hint = match &e {
                    DebugFilesError::Folder { .. } => "",
                    DebugFilesError::NoProgram { .. } => "apt-get install debuginfod",
                    DebugFilesError::NoServers => {
                        "for example DEBUGINFOD_URLS=https://debuginfod.elfutils.org, which asks those of the distributions"
                    }
                };
                Failure::usage(e.to_string()).hint(hint)
            }
            e @ E::Threads { .. } => Failure::failed(e.to_string()),
        }
    }
}

impl From<coldcase_bundle::WriteError> for Failure {
    fn from(e: coldcase_bundle::WriteError) -> Failure {
        use coldcase_bundle::WriteError as E;
        match &e {
            E::Exists { .. } => Failure::usage(e.to_string()).hint("choose another name, or --force to replace it"),
            _ => Failure::failed(e.to_string()),
        }
    }
}
