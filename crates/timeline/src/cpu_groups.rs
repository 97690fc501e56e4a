//! Which cgroup the CPU controller counts a thread in, and what that cgroup may use.

use std::collections::{BTreeMap, HashMap};

use coldcase_model::{Boottime, Event, events};

use crate::segment::Segment;

/// The root of the hierarchy: it has no limit.
pub const ROOT: u64 = 1;

/// What a cgroup may use from a time on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// When it was seen to hold.
    pub from: Boottime,
    /// CPU time in each period, nanoseconds; 0 for no limit.
    pub quota: u64,
    /// The period, nanoseconds.
    pub period: u64,
    /// The weight against its siblings.
    pub weight: u32,
}

/// A cgroup of the CPU controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CpuGroup {
    /// Its id.
    pub id: u64,
    /// Its path below the hierarchy's mount.
    pub path: String,
    /// Its limits over time, oldest first; never empty.
    pub limits: Vec<Limit>,
}

impl CpuGroup {
    /// Whether it ever had a quota.
    pub fn is_limited(&self) -> bool {
        self.limits.iter().any(|l| l.quota > 0 && l.period > 0)
    }

    /// Whether a cgroup of this path is it or below it.
    pub fn holds(&self, path: &str) -> bool {
        path.strip_prefix(self.path.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// The CPU controller's cgroups, and their threads over time.
#[derive(Debug, Default)]
pub struct CpuGroups {
    groups: BTreeMap<u64, CpuGroup>,
    /// By tid: from when on it was in which cgroup.
    threads: HashMap<u32, Vec<(Boottime, u64)>>,
}

impl CpuGroups {
    /// Learns from segments of `host.cgroup_cpu`, `kernel.thread_cgroup` and `kernel.task`.
    pub(crate) fn new(limits: &[Segment], threads: &[Segment], tasks: &[Segment]) -> CpuGroups {
        let mut out = CpuGroups::default();
        for cols in limits.iter().filter_map(|s| events::CgroupCpu::cols(&s.columns).ok()) {
            for i in 0..cols.time.len() {
                let group = out.groups.entry(cols.id[i]).or_insert_with(|| CpuGroup {
                    id: cols.id[i],
                    path: cols.path.text(i).into_owned(),
                    limits: Vec::new(),
                });
                group.limits.push(Limit {
                    from: Boottime(cols.time[i]),
                    quota: cols.quota[i],
                    period: cols.period[i],
                    weight: cols.weight[i],
                });
            }
        }
        for cols in threads.iter().filter_map(|s| events::ThreadCgroup::cols(&s.columns).ok()) {
            for i in 0..cols.time.len() {
                out.threads.entry(cols.tid[i]).or_default().push((Boottime(cols.time[i]), cols.cgroup[i]));
            }
        }
        // A tid that is used again is another thread: in the root, unless a row tells otherwise.
        for cols in tasks.iter().filter_map(|s| events::Task::cols(&s.columns).ok()) {
            for i in (0..cols.time.len()).filter(|&i| cols.what[i] == 1) {
                if let Some(seen) = out.threads.get_mut(&cols.tid[i]) {
                    seen.push((Boottime(cols.time[i]), ROOT));
                }
            }
        }
        out.groups.values_mut().for_each(|g| g.limits.sort_by_key(|l| l.from));
        out.threads.values_mut().for_each(|seen| seen.sort());
        out
    }

    /// The cgroup of a thread at a time. What was told of it first holds from its beginning on.
    pub fn of_thread(&self, tid: u32, at: Boottime) -> u64 {
        let Some(seen) = self.threads.get(&tid) else { return ROOT };
        let after = seen.partition_point(|(from, _)| *from <= at);
        seen.get(after.saturating_sub(1)).map_or(ROOT, |&(_, id)| id)
    }

    /// Whether a thread was ever outside of the root.
    pub fn knows(&self, tid: u32) -> bool {
        self.threads.contains_key(&tid)
    }

    /// A cgroup by its id.
    pub fn get(&self, id: u64) -> Option<&CpuGroup> {
        self.groups.get(&id)
    }

    /// All cgroups, by id.
    pub fn all(&self) -> impl Iterator<Item = &CpuGroup> {
        self.groups.values()
    }
}

#[cfg(test)]
mod tests {
    use coldcase_model::Columns;

    use super::*;

    #[test]
    fn a_thread_is_in_the_cgroup_it_was_last_seen_in_and_a_reused_tid_starts_anew() {
        let mut threads = Columns::new(&events::ThreadCgroup::DEF);
        for (time, cgroup) in [(10, 5), (20, 6)] {
            events::ThreadCgroup { time, cgroup, tid: 7, pid: 7, ..Default::default() }.push(&mut threads);
        }
        let mut tasks = Columns::new(&events::Task::DEF);
        events::Task { time: 30, what: 1, tid: 7, pid: 7, ..Default::default() }.push(&mut tasks);
        let g = CpuGroups::new(&[], &[Segment::new(0, threads)], &[Segment::new(0, tasks)]);
        let at = |t| g.of_thread(7, Boottime(t));
        assert_eq!([at(5), at(10), at(19), at(25), at(31)], [5, 5, 5, 6, ROOT]);
        assert_eq!(g.of_thread(8, Boottime(10)), ROOT);
    }

    #[test]
    fn a_cgroup_holds_what_is_below_it_and_not_its_namesakes() {
        let group = CpuGroup { id: 2, path: "/a".into(), limits: Vec::new() };
        assert!(group.holds("/a") && group.holds("/a/b") && !group.holds("/ab") && !group.holds("/"));
    }
}
