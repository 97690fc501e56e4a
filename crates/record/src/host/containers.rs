//! What the files of container runtimes say of a container: its name, its image, its pod. No runtime is asked.
//!
//! By the runtimes' own specifications: moby's `container.Config` (`config.v2.json`), the OCI runtime bundle
//! (`config.json` with the annotations of containerd's CRI plugin, nerdctl and CRI-O), containers/storage
//! (`containers.json` of podman and CRI-O). These files also hold environments: those fields are passed over unread.

use std::collections::{BTreeMap, HashSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use coldcase_model::events::Container;
use serde::Deserialize;

use super::held::regular;
use crate::clock;

/// Files larger than this are not read.
const MOST: u64 = 8 << 20;
/// Containers that are described at most.
const MOST_CONTAINERS: usize = 4096;

/// The containers that were described.
#[derive(Debug)]
pub(crate) struct Containers {
    root: PathBuf,
    known: HashSet<String>,
}

impl Default for Containers {
    fn default() -> Self {
        Containers { root: PathBuf::from("/"), known: HashSet::new() }
    }
}

impl Containers {
    /// The rows of the containers in these lines of `/proc/PID/cgroup` that are new.
    pub(crate) fn of_cgroup(&mut self, lines: &str) -> Vec<Container> {
        let mut rows = Vec::new();
        for id in ids(lines) {
            if self.known.len() < MOST_CONTAINERS && self.known.insert(id.to_owned()) {
                rows.extend(self.describe(id));
            }
        }
        rows
    }

    fn describe(&self, id: &str) -> Option<Container> {
        let found = self.docker(id).or_else(|| self.oci(id)).or_else(|| self.storage(id))?;
        Some(Container { time: clock::boottime().0, id: id.to_owned(), ..found })
    }

    /// Docker.
    fn docker(&self, id: &str) -> Option<Container> {
        let (path, file) = self.json::<Docker>(&format!("var/lib/docker/containers/{id}/config.v2.json"))?;
        let label = |key: &str| file.config.labels.get(key).cloned().unwrap_or_default();
        Some(Container {
            name: file.name.trim_start_matches('/').to_owned(),
            image: file.config.image,
            pod: label("io.kubernetes.pod.name"),
            pod_namespace: label("io.kubernetes.pod.namespace"),
            pod_uid: label("io.kubernetes.pod.uid"),
            path,
            ..Container::default()
        })
    }

    /// containerd and CRI-O: the annotations of the OCI bundle.
    fn oci(&self, id: &str) -> Option<Container> {
        let tasks = "run/containerd/io.containerd.runtime.v2.task";
        let spaces = std::fs::read_dir(self.root.join(tasks)).into_iter().flatten().flatten();
        let spaces = spaces.filter_map(|e| e.file_name().into_string().ok());
        let mut paths: Vec<String> = spaces.map(|space| format!("{tasks}/{space}/{id}/config.json")).collect();
        paths.sort();
        for storage in ["run/containers/storage", "var/lib/containers/storage"] {
            paths.push(format!("{storage}/overlay-containers/{id}/userdata/config.json"));
        }
        let (path, file) = paths.iter().find_map(|p| self.json::<Bundle>(p))?;
        let first = |keys: &[&str]| keys.iter().find_map(|k| file.annotations.get(*k)).cloned().unwrap_or_default();
        let found = Container {
            name: first(&["io.kubernetes.cri.container-name", "io.kubernetes.container.name", "nerdctl/name"]),
            image: first(&["io.kubernetes.cri.image-name", "io.kubernetes.cri-o.ImageName"]),
            pod: first(&["io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name"]),
            pod_namespace: first(&["io.kubernetes.cri.sandbox-namespace", "io.kubernetes.pod.namespace"]),
            pod_uid: first(&["io.kubernetes.cri.sandbox-uid", "io.kubernetes.pod.uid"]),
            path,
            ..Container::default()
        };
        // podman writes such a file too, but its names are elsewhere.
        (!found.name.is_empty() || !found.pod.is_empty()).then_some(found)
    }

    /// podman.
    fn storage(&self, id: &str) -> Option<Container> {
        let (path, file) = self.json::<Vec<Stored>>("var/lib/containers/storage/overlay-containers/containers.json")?;
        let stored = file.into_iter().find(|c| c.id == id)?;
        let more: Metadata = serde_json::from_str(&stored.metadata).unwrap_or_default();
        Some(Container {
            name: stored.names.into_iter().next().unwrap_or_default(),
            image: more.image_name,
            path,
            ..Container::default()
        })
    }

    fn json<T: for<'de> Deserialize<'de>>(&self, path: &str) -> Option<(String, T)> {
        let path: &Path = &self.root.join(path);
        let mut text = Vec::new();
        regular(path)?.take(MOST).read_to_end(&mut text).ok()?;
        Some((path.to_string_lossy().into_owned(), serde_json::from_slice(&text).ok()?))
    }
}

/// The 64 hex digits that all these runtimes call a container by.
fn ids(lines: &str) -> impl Iterator<Item = &str> {
    lines.split(|c: char| !c.is_ascii_hexdigit()).filter(|part| part.len() == 64)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Docker {
    name: String,
    config: DockerConfig,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct DockerConfig {
    image: String,
    labels: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Bundle {
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Stored {
    id: String,
    #[serde(default)]
    names: Vec<String>,
    #[serde(default)]
    metadata: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", default)]
struct Metadata {
    image_name: String,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// By specification: no runtime runs here.
    #[test]
    fn the_files_of_docker_containerd_cri_o_and_podman_name_their_containers() {
        let root = tempfile::tempdir().unwrap();
        let put = |path: String, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let id = |n: u8| format!("{n:064x}");
        put(
            format!("var/lib/docker/containers/{}/config.v2.json", id(1)),
            r#"{"ID":"x","Name":"/web","Config":{"Image":"nginx:1.25","Env":["PASSWORD=hunter2"],"Labels":{"a":"b"}}}"#,
        );
        put(
            format!("run/containerd/io.containerd.runtime.v2.task/k8s.io/{}/config.json", id(2)),
            r#"{"process":{"env":["PASSWORD=hunter2"]},"annotations":{"io.kubernetes.cri.container-name":"orders",
               "io.kubernetes.cri.sandbox-name":"orders-5d8","io.kubernetes.cri.sandbox-namespace":"shop",
               "io.kubernetes.cri.image-name":"shop/orders:7","io.kubernetes.cri.sandbox-uid":"u-1"}}"#,
        );
        put(
            format!("run/containers/storage/overlay-containers/{}/userdata/config.json", id(3)),
            r#"{"annotations":{"io.kubernetes.container.name":"db","io.kubernetes.pod.name":"db-0","io.kubernetes.cri-o.ImageName":"pg"}}"#,
        );
        put(
            format!("run/containers/storage/overlay-containers/{}/userdata/config.json", id(4)),
            r#"{"annotations":{}}"#,
        );
        put(
            "var/lib/containers/storage/overlay-containers/containers.json".into(),
            &format!(r#"[{{"id":"{}","names":["cache"],"metadata":"{{\"image-name\":\"redis:7\"}}"}}]"#, id(4)),
        );
        let mut containers = Containers { root: root.path().to_owned(), known: HashSet::new() };
        let lines: String = (1..=5).map(|n| format!("{n}:cpu:/x/docker-{}.scope\n", id(n))).collect();
        let rows = containers.of_cgroup(&lines);
        let said: Vec<_> =
            rows.iter().map(|r| (&*r.name, &*r.image, &*r.pod, &*r.pod_namespace, &*r.pod_uid)).collect();
        assert_eq!(
            said,
            [
                ("web", "nginx:1.25", "", "", ""),
                ("orders", "shop/orders:7", "orders-5d8", "shop", "u-1"),
                ("db", "pg", "db-0", "", ""),
                ("cache", "redis:7", "", "", "")
            ]
        );
        assert!(rows.iter().all(|r| !format!("{r:?}").contains("hunter2")));
        assert!(containers.of_cgroup(&lines).is_empty(), "each once");
    }
}
