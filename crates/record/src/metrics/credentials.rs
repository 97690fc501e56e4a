//! Credentials for targets, from files that are read at each scrape: tokens are changed while they are in use.

use std::path::{Path, PathBuf};

use base64::Engine;

/// Where the credentials stand.
#[derive(Debug, Clone, Default)]
pub(super) struct Credentials {
    pub(super) bearer: Option<PathBuf>,
    pub(super) basic: Option<PathBuf>,
}

impl Credentials {
    /// The value of the `Authorization` header; the error is for people, and names no secret.
    pub(super) fn header(&self) -> Result<Option<String>, String> {
        if let Some(path) = &self.bearer {
            return Ok(Some(format!("Bearer {}", read(path)?)));
        }
        let Some(path) = &self.basic else { return Ok(None) };
        let pair = read(path)?;
        if !pair.contains(':') {
            return Err(format!("{}: not USER:PASSWORD", path.display()));
        }
        Ok(Some(basic(&pair)))
    }
}

/// Basic authentication (RFC 7617).
pub(super) fn basic(pair: &str) -> String {
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
}

fn read(path: &Path) -> Result<String, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let secret = text.trim();
    match secret.is_empty() || secret.contains(['\n', '\r']) {
        true => Err(format!("{}: not one line", path.display())),
        false => Ok(secret.to_owned()),
    }
}
