//! Why a recording could not start or could not be brought to its end.

use std::path::PathBuf;

use coldcase_bundle::WriteError;

/// Why a recording failed as a whole. A single source that cannot start is no such error unless it is required.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The bundle cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// It was recorded, but the bundle could not be written to its end; what is in it can be recovered.
    #[error("{source}; the bundle is not sealed")]
    Unsealed {
        /// Why.
        source: WriteError,
        /// Exit code of the command, if one was recorded.
        child_code: Option<i32>,
    },
    /// A source that was required cannot start.
    #[error("{source_name}: required, but {reason}")]
    Required {
        /// The source.
        source_name: String,
        /// Why.
        reason: String,
        /// What would make it start.
        hint: String,
    },
    /// `--require`, `--only` or `--without` name something that is no source.
    #[error("{flag}: there is no source '{name}'")]
    UnknownSource {
        /// The flag.
        flag: &'static str,
        /// What it names.
        name: String,
        /// The sources there are.
        known: Vec<&'static str>,
    },
    /// A source is required and left out at once.
    #[error("--require: '{name}' is left out by --only or --without")]
    LeftOut {
        /// The source.
        name: &'static str,
    },
    /// The kill switch is set.
    #[error("{}: the kill switch is set: nothing is recorded", path.display())]
    KillSwitch {
        /// Its file.
        path: PathBuf,
    },
    /// Every source was skipped.
    #[error("nothing to record: no source could start")]
    Nothing,
    /// The configuration file is wrong.
    #[error("{}: {reason}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong, with its line.
        reason: String,
    },
    /// The folder of a flight recording cannot be used.
    #[error("{}: {reason}", path.display())]
    Flight {
        /// The folder.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The operating system refused something that every recording needs.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What it said.
        source: std::io::Error,
    },
}

impl RecordError {
    /// What to do about it; empty when there is nothing.
    pub fn hint(&self) -> String {
        match self {
            RecordError::KillSwitch { .. } => {
                "somebody wants no recording here; when that is over, remove the file".into()
            }
            RecordError::Write(WriteError::Exists { path }) if path.is_dir() => {
                "that is a directory: name a file in it".into()
            }
            RecordError::Write(WriteError::Exists { .. }) => "choose another name, or --force to replace it".into(),
            RecordError::Write(WriteError::Io { path, .. }) => match path.parent() {
                Some(folder) if !folder.as_os_str().is_empty() && !folder.exists() => {
                    format!("there is no folder {0}: mkdir -p {0}", folder.display())
                }
                _ => String::new(),
            },
            RecordError::Unsealed { .. } => "`coldcase recover` makes a whole bundle of what is there".into(),
            RecordError::Required { hint, .. } => hint.clone(),
            RecordError::UnknownSource { known, .. } => format!("sources: {}", known.join(" ")),
            RecordError::Nothing => "`coldcase doctor` says what each source needs".into(),
            _ => String::new(),
        }
    }
}
