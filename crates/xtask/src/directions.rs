//! The directions between the crates: `ARCHITECTURE.md` says which crate may depend on which, `cargo metadata` says
//! which does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, bail};
use cargo_metadata::{DependencyKind, MetadataCommand};

/// What each crate may depend on, by short name.
pub type Allowed = BTreeMap<String, BTreeSet<String>>;

/// Reads the table whose head is `| crate | one line | may depend on |`.
pub fn table(architecture: &str) -> Result<Allowed> {
    let mut lines = architecture.lines().skip_while(|l| !l.starts_with("| crate | one line | may depend on"));
    if lines.next().is_none() {
        bail!("ARCHITECTURE.md: no table `| crate | one line | may depend on |`");
    }
    let mut allowed = Allowed::new();
    for line in lines.skip(1).take_while(|l| l.starts_with('|')) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, _, depends] = cells[..] else { bail!("ARCHITECTURE.md: not three cells: {line}") };
        let depends = depends.split(',').map(str::trim).filter(|d| !d.is_empty() && *d != "–").map(str::to_string);
        allowed.insert(name.to_string(), depends.collect());
    }
    Ok(allowed)
}

/// Each dependency that the table does not allow, each crate that it does not name, in one line.
/// Dev-dependencies may also be on `testkit` and on what the crate under test is built upon in turn.
pub fn violations(root: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(root.join("ARCHITECTURE.md")).context("ARCHITECTURE.md")?;
    let allowed = table(&text)?;
    let metadata = MetadataCommand::new().manifest_path(root.join("Cargo.toml")).no_deps().exec()?;
    let mut wrong = Vec::new();
    for package in metadata.workspace_packages() {
        let name = short(&package.name);
        let Some(may) = allowed.get(name) else {
            wrong.push(format!("{name}: not in the table of ARCHITECTURE.md"));
            continue;
        };
        let ours = package.dependencies.iter().filter(|d| d.path.is_some() && d.kind != DependencyKind::Development);
        for dependency in ours {
            let on = short(&dependency.name);
            if !may.contains(on) {
                wrong.push(format!("{name} depends on {on}, which the table of ARCHITECTURE.md does not allow"));
            }
        }
    }
    for name in allowed.keys() {
        if !metadata.workspace_packages().iter().any(|p| short(&p.name) == name) {
            wrong.push(format!("{name}: in the table of ARCHITECTURE.md, but no such crate"));
        }
    }
    Ok(wrong)
}

/// `coldcase-model` → `model`; the package `coldcase` is the crate `cli`.
fn short(package: &str) -> &str {
    if package == "coldcase" { "cli" } else { package.strip_prefix("coldcase-").unwrap_or(package) }
}
