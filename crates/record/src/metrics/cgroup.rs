//! What cgroups may use of the CPUs, how often they were throttled, and their pressure.
//!
//! Limits are rows of `host.cgroup_cpu`. Counters are host metrics with cAdvisor's names: of each cgroup that has a quota
//! the throttling (`cpu.stat`), of each cgroup of the v2 hierarchy the pressure (PSI).

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use coldcase_model::events::CgroupCpu;

use super::proc::{Out, pressure_total};
use crate::clock;
use crate::host::cgroups::{below, mounts};

/// Cgroups that are looked at: a runaway host has hundreds of thousands.
const MOST: usize = 2_000;
/// Time between two walks through the hierarchy, at least.
const WALK: Duration = Duration::from_secs(3);
/// A walk may take one part in so many of the time.
const SHARE: u32 = 100;

/// The cgroups as they were last seen.
pub(super) struct Cgroups {
    /// Mount point and version of the hierarchy with the CPU controller.
    cpu: Option<(PathBuf, u32)>,
    /// Mount point of the v2 hierarchy.
    unified: Option<PathBuf>,
    known: HashMap<u64, CgroupCpu>,
    /// Those with a quota, whose throttling is read each time.
    limited: Vec<PathBuf>,
    next_walk: Option<Instant>,
}

impl Cgroups {
    /// Of this host's hierarchies.
    pub(super) fn new() -> Cgroups {
        let mounts = mounts();
        let unified = mounts.iter().find(|(h, _)| h.is_empty()).map(|(_, mount)| mount.clone());
        let v1 = mounts.into_iter().find(|(h, _)| h.split(',').any(|c| c == "cpu")).map(|(_, mount)| (mount, 1));
        let cpu = v1.or_else(|| unified.clone().map(|mount| (mount, 2)));
        Cgroups { cpu, unified, known: HashMap::new(), limited: Vec::new(), next_walk: None }
    }

    /// Reads what is due: counters go to `out`; limits that are new or changed are returned.
    pub(super) fn read(&mut self, out: &mut dyn Out) -> Vec<CgroupCpu> {
        let mut changed = Vec::new();
        let began = Instant::now();
        if self.next_walk.is_none_or(|at| began >= at) {
            changed = self.walk();
            self.pressure(out);
            // A host with very many cgroups is looked at more rarely.
            self.next_walk = Some(began + WALK.max(began.elapsed() * SHARE));
        }
        self.throttling(out);
        changed
    }

    fn walk(&mut self) -> Vec<CgroupCpu> {
        let Some((mount, version)) = &self.cpu else { return Vec::new() };
        let mut changed = Vec::new();
        self.limited.clear();
        let mut seen = HashMap::new();
        for folder in folders(mount) {
            let Some(row) = limits(mount, &folder, *version) else { continue };
            if row.quota > 0 {
                self.limited.push(folder);
            }
            let same = |old: &CgroupCpu| *old == CgroupCpu { time: old.time, ..row.clone() };
            if !self.known.get(&row.id).is_some_and(same) {
                changed.push(row.clone());
            }
            seen.insert(row.id, row);
        }
        self.known = seen;
        changed
    }

    fn throttling(&self, out: &mut dyn Out) {
        let Some((mount, version)) = &self.cpu else { return };
        for folder in &self.limited {
            // It may be gone.
            let Ok(text) = std::fs::read_to_string(folder.join("cpu.stat")) else { continue };
            stat(&text, *version, &label(mount, folder), out);
        }
    }

    fn pressure(&self, out: &mut dyn Out) {
        let Some(mount) = &self.unified else { return };
        // The root's is the host's, which `/proc/pressure` tells.
        for folder in folders(mount).into_iter().skip(1) {
            for resource in ["cpu", "io", "memory"] {
                let Ok(text) = std::fs::read_to_string(folder.join(format!("{resource}.pressure"))) else { continue };
                for (state, seconds) in pressure_total(&text) {
                    let name = format!("container_pressure_{resource}_{state}_seconds_total");
                    out.sample(&name, &label(mount, &folder), seconds);
                }
            }
        }
    }
}

/// `id="/docker/3f"`, as cAdvisor labels a cgroup.
fn label(mount: &Path, folder: &Path) -> String {
    format!("id=\"{}\"", below(mount, folder).replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

/// The folders of a hierarchy, its root first.
fn folders(mount: &Path) -> Vec<PathBuf> {
    let mut found = vec![mount.to_owned()];
    let mut at = 0;
    while at < found.len() && found.len() < MOST {
        // It may be gone.
        let entries = std::fs::read_dir(&found[at]).into_iter().flatten().flatten();
        let below = entries.filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).map(|e| e.path());
        let room = MOST - found.len();
        found.extend(below.take(room));
        at += 1;
    }
    found
}

/// What a cgroup may use; `None` for the root and where the CPU controller is not on.
fn limits(mount: &Path, folder: &Path, version: u32) -> Option<CgroupCpu> {
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).ok();
    let number = |name: &str| read(name).and_then(|t| t.trim().parse::<i64>().ok());
    if folder == mount {
        return None;
    }
    let micro = |n: i64| u64::try_from(n).unwrap_or(0).saturating_mul(1000);
    let (quota, period, burst, weight) = if version == 1 {
        // -1 is no quota.
        let burst = number("cpu.cfs_burst_us").unwrap_or(0);
        (number("cpu.cfs_quota_us")?, number("cpu.cfs_period_us")?, burst, number("cpu.shares")?)
    } else {
        let (quota, period) = maximum(&read("cpu.max")?)?;
        (quota, period, number("cpu.max.burst").unwrap_or(0), number("cpu.weight").unwrap_or(0))
    };
    Some(CgroupCpu {
        time: clock::boottime().0,
        id: std::fs::metadata(folder).ok()?.ino(),
        quota: micro(quota),
        period: micro(period),
        burst: micro(burst),
        weight: u32::try_from(weight).unwrap_or(0),
        version,
        path: below(mount, folder),
    })
}

/// Quota and period of `cpu.max`, in microseconds; the quota -1 for none.
fn maximum(text: &str) -> Option<(i64, i64)> {
    let (quota, period) = text.trim().split_once(' ')?;
    Some((if quota == "max" { -1 } else { quota.parse().ok()? }, period.parse().ok()?))
}

fn stat(text: &str, version: u32, label: &str, out: &mut dyn Out) {
    for line in text.lines() {
        let Some((name, value)) = line.split_once(' ') else { continue };
        let Ok(value) = value.trim().parse::<f64>() else { continue };
        match (name, version) {
            ("nr_periods", _) => out.sample("container_cpu_cfs_periods_total", label, value),
            ("nr_throttled", _) => out.sample("container_cpu_cfs_throttled_periods_total", label, value),
            ("throttled_time", 1) => out.sample("container_cpu_cfs_throttled_seconds_total", label, value / 1e9),
            ("throttled_usec", _) => out.sample("container_cpu_cfs_throttled_seconds_total", label, value / 1e6),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::seen::Seen;

    #[test]
    fn both_versions_tell_throttling_in_seconds() {
        let mut seen = Seen::default();
        stat("nr_periods 10\nnr_throttled 4\nthrottled_time 1500000000\n", 1, "id=\"/a\"", &mut seen);
        stat("usage_usec 9\nnr_periods 10\nnr_throttled 4\nthrottled_usec 1500000\n", 2, "id=\"/b\"", &mut seen);
        let throttled: Vec<_> =
            seen.0.iter().filter(|s| s.0 == "container_cpu_cfs_throttled_seconds_total").map(|s| s.2).collect();
        assert_eq!((throttled, seen.0.len()), (vec![1.5, 1.5], 6));
    }

    #[test]
    fn no_limit_is_a_quota_of_none() {
        assert_eq!(maximum("max 100000\n"), Some((-1, 100_000)));
        assert_eq!(maximum("20000 100000\n"), Some((20_000, 100_000)));
        assert_eq!((maximum(""), maximum("x y")), (None, None));
    }

    #[test]
    fn a_quota_of_this_host_is_read_and_told_again_only_when_it_changes() {
        let mut cgroups = Cgroups::new();
        let Some((mount, 1)) = cgroups.cpu.clone() else {
            eprintln!("skipped: no v1 CPU controller is mounted");
            return;
        };
        let folder = mount.join(format!("coldcase-test-{}", std::process::id()));
        if let Err(e) = std::fs::create_dir(&folder) {
            eprintln!("skipped: cannot make a cgroup: {e}");
            return;
        }
        let set = |us: &str| std::fs::write(folder.join("cpu.cfs_quota_us"), us).is_ok();
        let mine = |rows: Vec<CgroupCpu>| -> Vec<u64> {
            rows.iter().filter(|r| r.path == below(&mount, &folder)).map(|r| r.quota).collect()
        };
        let mut seen = Seen::default();
        let set_first = set("20000");
        let first = mine(cgroups.read(&mut seen));
        cgroups.next_walk = None;
        let same = mine(cgroups.read(&mut seen));
        let set_second = set("30000");
        cgroups.next_walk = None;
        let changed = mine(cgroups.read(&mut seen));
        let _ = std::fs::remove_dir(&folder);
        assert!(set_first && set_second);
        assert_eq!((first, same, changed), (vec![20_000_000], vec![], vec![30_000_000]));
        let id = label(&mount, &folder);
        assert!(seen.0.iter().any(|s| s.0 == "container_cpu_cfs_throttled_seconds_total" && s.1 == id));
    }
}
