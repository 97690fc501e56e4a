//! The generated files: what they are called and what must be in them.

use std::path::Path;

use anyhow::{Context, Result};

/// A generated file: its path below the root, and its text.
pub type Generated = (&'static str, String);

/// Every generated file as it must be.
pub fn files() -> Vec<Generated> {
    vec![("bpf/include/events.h", coldcase_model::header::generate()), ("formats/events.md", crate::page::generate())]
}

/// Writes the files that are not up to date.
pub fn write(root: &Path) -> Result<()> {
    for (path, text) in files() {
        let path = root.join(path);
        if std::fs::read_to_string(&path).is_ok_and(|have| have == text) {
            continue;
        }
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).with_context(|| format!("{}: cannot be made", parent.display()))?;
        }
        std::fs::write(&path, text).with_context(|| format!("{}: cannot be written", path.display()))?;
    }
    Ok(())
}

/// The files that are not up to date.
pub fn stale(root: &Path) -> Result<Vec<String>> {
    let mut stale = Vec::new();
    for (path, text) in files() {
        match std::fs::read_to_string(root.join(path)) {
            Ok(have) if have == text => {}
            Ok(_) => stale.push(path.to_string()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => stale.push(path.to_string()),
            Err(e) => return Err(e).with_context(|| format!("{path}: cannot be read")),
        }
    }
    Ok(stale)
}
