//! What the log source can be told.

use serde::{Deserialize, Serialize};

/// Options of the log source. `[logs]` in `coldcase.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct LogsConfig {
    /// Files and globs to follow (`--log`).
    pub paths: Vec<String>,
    /// Read the files that exist at the start from their beginning, not from their end (`--log-from-start`).
    pub from_start: bool,
}
