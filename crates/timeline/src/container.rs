//! Which container a process is in, by its cgroup path: the forms of docker, containerd, CRI-O and podman, of cgroup v1
//! and v2, with systemd's cgroup driver and without.
//!
//! Sources of the forms: moby `daemon/oci_linux.go` and runc `libcontainer/cgroups/systemd` (`docker-<id>.scope`), the
//! kubelet's `cm/cgroup_manager_linux.go` (`kubepods…`, `pod<uid>`), containerd's CRI plugin (`cri-containerd-<id>.scope`,
//! `/<namespace>/<id>`), CRI-O's `internal/config/cgmgr` (`crio-<id>`), podman's `libpod/container_internal_common.go`
//! (`libpod-<id>`, `libpod_parent`).

use std::collections::HashMap;
use std::sync::Arc;

use coldcase_model::column::TextColumn;
use coldcase_model::{Event, events};

use crate::segment::Segment;

/// A container, as far as a cgroup path tells.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Container {
    /// Its id, as its runtime calls it: mostly 64 hex digits.
    pub id: String,
    /// `docker`, `containerd`, `cri-o`, `podman`; empty where the path does not tell.
    pub runtime: &'static str,
    /// Uid of its Kubernetes pod, with dashes; empty outside of one.
    pub pod_uid: String,
    /// What its runtime's files said of it.
    pub named: Option<Arc<ContainerNames>>,
}

/// What the files of a container's runtime say of it; each empty where they do not tell.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct ContainerNames {
    /// Its name.
    pub name: String,
    /// Its image.
    pub image: String,
    /// Name of its Kubernetes pod.
    pub pod: String,
    /// Namespace of that pod.
    pub pod_namespace: String,
    /// Uid of that pod.
    pub pod_uid: String,
}

/// The names of containers, by id.
pub(crate) fn names(segments: &[Segment]) -> HashMap<String, Arc<ContainerNames>> {
    let mut out = HashMap::new();
    for c in segments.iter().filter_map(|s| events::Container::cols(&s.columns).ok()) {
        for i in 0..c.time.len() {
            let text = |column: &TextColumn| column.text(i).into_owned();
            let names = ContainerNames {
                name: text(c.name),
                image: text(c.image),
                pod: text(c.pod),
                pod_namespace: text(c.pod_namespace),
                pod_uid: text(c.pod_uid),
            };
            out.insert(text(c.id), Arc::new(names));
        }
    }
    out
}

impl Container {
    /// The container of a process with these lines of `/proc/PID/cgroup`. The innermost one, where they are nested.
    pub fn of_cgroup(lines: &str) -> Option<Container> {
        let paths = lines.lines().filter_map(|l| l.splitn(3, ':').nth(2));
        // The hierarchies may say different things: the one that knows a runtime and a pod says most.
        paths.filter_map(Container::of_path).max_by_key(|c| (!c.runtime.is_empty(), !c.pod_uid.is_empty()))
    }

    /// The container that a cgroup path names.
    pub fn of_path(path: &str) -> Option<Container> {
        let parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty()).collect();
        let (at, id, runtime) = parts.iter().enumerate().rev().find_map(|(i, part)| {
            let above = if i > 0 { parts[i - 1] } else { "" };
            unit(part, above).map(|(id, runtime)| (i, id, runtime))
        })?;
        let pod_uid = parts[..at].iter().rev().find_map(|p| pod_uid(p)).unwrap_or_default();
        Some(Container { id: id.to_owned(), runtime, pod_uid, named: None })
    }

    /// How to call it: `pod/name`, its name, or the beginning of its id.
    pub fn label(&self) -> String {
        match &self.named {
            Some(n) if !n.pod.is_empty() && !n.name.is_empty() => format!("{}/{}", n.pod, n.name),
            Some(n) if !n.name.is_empty() => n.name.clone(),
            _ => self.short().to_owned(),
        }
    }

    /// Whether somebody who types this means it: its name, its pod's name or uid, or at least four digits its id begins
    /// with.
    pub fn is_called(&self, text: &str) -> bool {
        let by_id = text.len() >= 4 && self.id.starts_with(text);
        let by_pod = !self.pod_uid.is_empty() && self.pod_uid == text;
        by_id || by_pod || self.named.as_ref().is_some_and(|n| n.name == text || n.pod == text || self.label() == text)
    }

    /// The first 12 digits of its id, as runtimes show it.
    pub fn short(&self) -> &str {
        let hex = self.id.len() >= 32 && self.id.bytes().all(|b| b.is_ascii_hexdigit());
        if hex { &self.id[..12] } else { &self.id }
    }
}

/// Prefixes of scopes and folders, and whose they are. What monitors a container (`…-conmon-`) is not in it.
const PREFIXES: [(&str, &str); 6] = [
    ("docker-", "docker"),
    ("cri-containerd-", "containerd"),
    ("nerdctl-", "containerd"),
    ("crio-", "cri-o"),
    ("libpod-", "podman"),
    ("libpod_", "podman"),
];

/// The container's id in one part of a path, below the part `above`.
fn unit<'a>(part: &'a str, above: &str) -> Option<(&'a str, &'static str)> {
    let bare = part.strip_suffix(".scope").unwrap_or(part);
    for (prefix, runtime) in PREFIXES {
        if let Some(id) = bare.strip_prefix(prefix)
            && is_id(id)
        {
            return Some((id, runtime));
        }
    }
    // systemd escapes what is not its own: `<slice>:<prefix>:<id>` becomes a scope named after prefix and id.
    if let Some((prefix, id)) = bare.rsplit_once('-')
        && part.ends_with(".scope")
        && is_id(id)
        && !prefix.ends_with("conmon")
    {
        return Some((id, ""));
    }
    if !is_id(bare) {
        return None;
    }
    let runtime = match above {
        "docker" | "actions_job" => "docker",
        "libpod_parent" => "podman",
        // containerd's own namespaces.
        "default" | "k8s.io" | "moby" => "containerd",
        _ => "",
    };
    Some((bare, runtime))
}

/// Ids are 64 hex digits with all of these runtimes; 32 with ECS.
fn is_id(text: &str) -> bool {
    (text.len() == 64 || text.len() == 32) && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// `pod<uid>`, or `kubepods-burstable-pod<uid>.slice` with systemd, where dashes of the uid are underscores.
fn pod_uid(part: &str) -> Option<String> {
    let bare = part.strip_suffix(".slice").unwrap_or(part);
    let uid = match bare.rsplit_once("-pod") {
        Some((before, uid)) if before.starts_with("kubepods") || before.ends_with("kubepods") => uid,
        _ => bare.strip_prefix("pod")?,
    };
    let uid = uid.replace('_', "-");
    // A static pod's uid is a hash without dashes.
    let fits = matches!(uid.len(), 32 | 36) && uid.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    fits.then_some(uid)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "7be92808767a667f35c8505cbf40d14e931ef6db5b0210329cf193b15ba9d605";
    const POD: &str = "2b5c9f10-8a7e-4c1d-9f3e-0a1b2c3d4e5f";

    #[test]
    fn the_forms_of_all_runtimes_are_known() {
        let pod_ = POD.replace('-', "_");
        for (path, runtime, pod) in [
            (format!("/docker/{ID}"), "docker", ""),
            (format!("/system.slice/docker-{ID}.scope"), "docker", ""),
            (format!("/user.slice/user-1000.slice/user@1000.service/user.slice/docker-{ID}.scope"), "docker", ""),
            (format!("/default/{ID}"), "containerd", ""),
            (format!("/system.slice/nerdctl-{ID}.scope"), "containerd", ""),
            (format!("/kubepods/burstable/pod{POD}/{ID}"), "", POD),
            (format!("/kubepods/pod{POD}/{ID}"), "", POD),
            (
                format!(
                    "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{pod_}.slice/cri-containerd-{ID}.scope"
                ),
                "containerd",
                POD,
            ),
            (format!("/kubepods.slice/kubepods-pod{pod_}.slice/crio-{ID}.scope"), "cri-o", POD),
            (format!("/kubepods/besteffort/pod{POD}/crio-{ID}"), "cri-o", POD),
            (
                format!(
                    "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{pod_}.slice/cri-containerd-{ID}.scope"
                ),
                "containerd",
                POD,
            ),
            (format!("/machine.slice/libpod-{ID}.scope"), "podman", ""),
            (format!("/machine.slice/libpod-{ID}.scope/container"), "podman", ""),
            (format!("/libpod_parent/libpod-{ID}"), "podman", ""),
            (format!("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope"), "podman", ""),
            (format!("/docker/0{}/kubelet/kubepods/pod{POD}/{ID}", &ID[1..]), "", POD),
            (format!("/ecs/task/{ID}"), "", ""),
        ] {
            let found = Container::of_path(&path);
            let expected = Container { id: ID.into(), runtime, pod_uid: pod.into(), named: None };
            assert_eq!(found, Some(expected), "{path}");
        }
    }

    #[test]
    fn what_is_no_container_is_none() {
        for path in [
            "/".to_owned(),
            "/system.slice/ssh.service".into(),
            "/user.slice/user-0.slice/session-1.scope".into(),
            format!("/machine.slice/libpod-conmon-{ID}.scope"),
            format!("/system.slice/crio-conmon-{ID}.scope"),
            format!("/kubepods/burstable/pod{POD}"),
            "/docker/short".into(),
        ] {
            assert_eq!(Container::of_path(&path), None, "{path}");
        }
    }

    #[test]
    fn of_several_hierarchies_the_one_that_says_most_holds() {
        let lines = format!("12:cpu,cpuacct:/kubepods/pod{POD}/{ID}\n3:devices:/docker/{ID}\n0::/\n");
        let found = Container::of_cgroup(&lines);
        assert_eq!(found.as_ref().map(|c| (c.runtime, c.short())), Some(("docker", &ID[..12])));
        assert_eq!(Container::of_cgroup("0::/\n"), None);
        // Colons in a path are its own.
        assert!(Container::of_cgroup(&format!("0::/a:b/docker/{ID}")).is_some());
    }
}
