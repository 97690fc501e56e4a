//! The cgroups of all hierarchies.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use coldcase_model::events::Cgroup;

use crate::clock;

/// Cgroups that are listed at most: a runaway host has hundreds of thousands.
const MOST: usize = 20_000;

/// Every cgroup, parents first.
pub(crate) fn all() -> Vec<Cgroup> {
    let mut rows = Vec::new();
    for (hierarchy, mount) in mounts() {
        let mut folders = vec![mount.clone()];
        while let Some(folder) = folders.pop() {
            let Ok(meta) = std::fs::metadata(&folder) else { continue };
            rows.push(Cgroup {
                time: clock::boottime().0,
                id: meta.ino(),
                hierarchy: hierarchy.clone(),
                path: below(&mount, &folder),
            });
            if rows.len() >= MOST {
                return rows;
            }
            let Ok(entries) = std::fs::read_dir(&folder) else { continue };
            folders.extend(entries.flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).map(|e| e.path()));
        }
    }
    rows
}

/// The mounted hierarchies: controllers (empty for v2) and mount point.
pub(crate) fn mounts() -> Vec<(String, PathBuf)> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    mounts.lines().filter_map(hierarchy).collect()
}

/// A cgroup's path below its hierarchy's mount.
pub(crate) fn below(mount: &Path, folder: &Path) -> String {
    let rest = folder.strip_prefix(mount).map(|p| p.to_string_lossy().into_owned()).unwrap_or_default();
    format!("/{rest}")
}

/// Controllers (empty for v2) and mount point of a line of mountinfo, if it is of a cgroup hierarchy.
fn hierarchy(line: &str) -> Option<(String, PathBuf)> {
    let (left, right) = line.split_once(" - ")?;
    let mut right = right.split(' ');
    let kind = right.next()?;
    let options = right.nth(1).unwrap_or("");
    let mount = PathBuf::from(left.split(' ').nth(4)?.replace("\\040", " "));
    match kind {
        "cgroup2" => Some((String::new(), mount)),
        "cgroup" => {
            let names =
                options.split(',').filter(|o| !matches!(*o, "rw" | "ro" | "xattr" | "clone_children" | "noprefix"));
            Some((names.collect::<Vec<_>>().join(","), mount))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn both_versions_of_the_hierarchy_are_recognised() {
        let v1 = "33 32 0:29 / /sys/fs/cgroup/cpu rw,nosuid - cgroup cgroup rw,cpu,cpuacct";
        assert_eq!(hierarchy(v1).unwrap(), ("cpu,cpuacct".into(), "/sys/fs/cgroup/cpu".into()));
        let v2 = "34 32 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate";
        assert_eq!(hierarchy(v2).unwrap(), (String::new(), "/sys/fs/cgroup/unified".into()));
        assert!(hierarchy("1 2 0:3 / /proc rw - proc proc rw").is_none());
    }

    #[test]
    fn the_root_of_each_mounted_hierarchy_is_listed() {
        let rows = all();
        if rows.is_empty() {
            eprintln!("skipped: no cgroup hierarchy is mounted");
            return;
        }
        assert!(rows.iter().any(|r| r.path == "/"));
    }
}
