//! Targets that files list, in the form of Prometheus' file-based discovery: a JSON or YAML list of groups with `targets`
//! (`host:port`) and `labels`. <https://prometheus.io/docs/prometheus/latest/configuration/configuration/#file_sd_config>
//!
//! Of the labels with a meaning, `__scheme__`, `__metrics_path__`, `__scrape_interval__` and `__param_…` are followed; other
//! `__…` labels mean nothing without relabelling and are left out. The rest stands in the rows of the target's scrapes.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::config::{ScrapeTarget, seconds};
use super::targets::Target;

/// A list of targets is not larger than this.
const LARGEST: u64 = 4 << 20;

#[derive(Debug, Deserialize)]
struct Group {
    targets: Vec<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

/// The targets that the files of a glob list; and what is wrong with them, a line for each file.
pub(super) fn read(pattern: &str) -> (Vec<Target>, Vec<String>) {
    let (mut targets, mut faults) = (Vec::new(), Vec::new());
    let paths = match glob::glob(pattern) {
        Ok(paths) => paths,
        Err(error) => return (targets, vec![format!("{pattern}: {error}")]),
    };
    for path in paths.flatten() {
        match groups(&path) {
            Ok(groups) => targets.extend(groups.into_iter().flat_map(|g| of_group(&g))),
            Err(why) => faults.push(format!("{}: {why}", path.display())),
        }
    }
    (targets, faults)
}

fn groups(path: &Path) -> Result<Vec<Group>, String> {
    let length = std::fs::metadata(path).map_err(|e| e.to_string())?.len();
    if length > LARGEST {
        return Err(format!("{length} bytes are too many for a list of targets"));
    }
    let text = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
    // JSON is YAML, but its own reader's errors are the better ones.
    match path.extension().is_some_and(|e| e == "json") {
        true => serde_json::from_str(&text).map_err(|e| e.to_string()),
        false => serde_yaml_ng::from_str(&text).map_err(|e| e.to_string()),
    }
}

fn of_group(group: &Group) -> Vec<Target> {
    let label = |name: &str| group.labels.get(name).map(String::as_str);
    let scheme = label("__scheme__").unwrap_or("http");
    let path = label("__metrics_path__").unwrap_or("/metrics");
    let interval = label("__scrape_interval__").and_then(seconds).unwrap_or(ScrapeTarget::INTERVAL);
    let parameters: Vec<String> =
        group.labels.iter().filter_map(|(k, v)| Some(format!("{}={v}", k.strip_prefix("__param_")?))).collect();
    let query = if parameters.is_empty() { String::new() } else { format!("?{}", parameters.join("&")) };
    let labels: Vec<(String, String)> =
        group.labels.iter().filter(|(k, _)| !k.starts_with("__")).map(|(k, v)| (k.clone(), v.clone())).collect();
    let target = |host: &String| {
        let url = format!("{scheme}://{host}{path}{query}");
        Target { url, interval, labels: labels.clone(), connect: None }
    };
    group.targets.iter().map(target).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn groups_in_json_and_yaml_list_targets() {
        let dir = std::env::temp_dir().join(format!("coldcase-file-sd-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let json =
            r#"[{"targets": ["a:1", "b:2"], "labels": {"env": "x", "__metrics_path__": "/m", "__meta_y": "z"}}]"#;
        std::fs::write(dir.join("one.json"), json).unwrap();
        let yaml =
            "- targets: ['c:3']\n  labels: {__scheme__: https, __scrape_interval__: 500ms, __param_module: tcp}\n";
        std::fs::write(dir.join("two.yml"), yaml).unwrap();
        std::fs::write(dir.join("wrong.json"), "{").unwrap();
        let (targets, faults) = read(&dir.join("*").display().to_string());
        let urls: Vec<&str> = targets.iter().map(|t| t.url.as_str()).collect();
        assert_eq!(urls, ["http://a:1/m", "http://b:2/m", "https://c:3/metrics?module=tcp"]);
        assert_eq!(targets[0].labels, [("env".to_owned(), "x".to_owned())]);
        assert_eq!(targets[2].interval, 0.5);
        assert!(faults.len() == 1 && faults[0].contains("wrong.json"), "{faults:?}");
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
