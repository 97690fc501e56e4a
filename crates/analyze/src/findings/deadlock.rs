//! Threads that wait for each other's locks and were not released before the capture ended.
//!
//! Claims a deadlock where locks name their holders and these names form a circle of waits without end. Keeps silent where
//! a lock does not name its holder (Rust, Go, Python): without a wake-up there is nothing to tell it by.

use std::collections::{BTreeMap, BTreeSet};

use coldcase_model::events::OffCpu;
use coldcase_model::{Boottime, Finding};
use coldcase_timeline::{FutexWait, HolderHow};

use super::Seen;
use crate::wording::since;

/// A wait without end: who holds what the thread waits for, since when, and the row.
#[derive(Debug, Clone, Copy)]
struct Endless {
    holder: u32,
    pid: u32,
    time: u64,
    row: u64,
}

/// One finding for each circle.
pub(super) fn find(seen: &Seen<'_>) -> Vec<Finding> {
    let mut waits = BTreeMap::new();
    for part in seen.timeline.rows::<OffCpu>() {
        let c = &part.cols;
        for i in (0..part.len()).filter(|&i| c.owner[i] != 0) {
            let Some(FutexWait { holder: Some((holder, HolderHow::Named)), endless: true, .. }) =
                FutexWait::of(c, i, seen.arch)
            else {
                continue;
            };
            waits.insert(c.tid[i], Endless { holder, pid: c.pid[i], time: c.time[i], row: part.row(i) });
        }
    }
    circles(&waits).into_iter().map(|circle| claim(seen, &waits, &circle)).collect()
}

/// The circles, each once, from its smallest thread on. All threads of one are of one process: the numbers are of its PID
/// namespace.
fn circles(waits: &BTreeMap<u32, Endless>) -> Vec<Vec<u32>> {
    let (mut found, mut done) = (Vec::new(), BTreeSet::new());
    for (&start, wait) in waits {
        let (mut path, mut at) = (Vec::new(), start);
        while let Some(next) = waits.get(&at).filter(|w| w.pid == wait.pid) {
            if done.contains(&at) || path.contains(&at) {
                break;
            }
            path.push(at);
            at = next.holder;
        }
        if let Some(begin) = path.iter().position(|&t| t == at) {
            let mut circle = path[begin..].to_vec();
            let smallest = (0..circle.len()).min_by_key(|&i| circle[i]).unwrap_or(0);
            circle.rotate_left(smallest);
            found.push(circle);
        }
        done.extend(path);
    }
    found
}

fn claim(seen: &Seen<'_>, waits: &BTreeMap<u32, Endless>, circle: &[u32]) -> Finding {
    let t = seen.timeline;
    let members: Vec<(u32, Endless)> = circle.iter().filter_map(|&tid| Some((tid, *waits.get(&tid)?))).collect();
    let closed = members.iter().map(|(_, w)| w.time).max().unwrap_or(0);
    let names: Vec<_> = members.iter().map(|&(tid, w)| t.processes().describe(tid, w.pid, Boottime(w.time))).collect();
    Finding {
        detector: "deadlock".to_owned(),
        claim: format!(
            "deadlock {}: each waits for a lock that the next one holds: {} → {}",
            since(t, t.utc_of(closed).0),
            names.join(" → "),
            names.first().map_or("", String::as_str)
        ),
        size: members.len() as f64,
        unit: "count".to_owned(),
        confidence: 1.0,
        evidence: members.iter().map(|(_, w)| t.evidence("kernel.offcpu", w.row)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(edges: &[(u32, u32, u32)]) -> BTreeMap<u32, Endless> {
        edges.iter().map(|&(tid, holder, pid)| (tid, Endless { holder, pid, time: 1, row: 1 })).collect()
    }

    #[test]
    fn a_circle_is_found_once_and_those_who_wait_for_it_are_not_in_it() {
        let found = circles(&waits(&[(2, 3, 1), (3, 5, 1), (5, 2, 1), (4, 3, 1), (9, 8, 1)]));
        assert_eq!(found, [vec![2, 3, 5]]);
        assert_eq!(circles(&waits(&[(4, 4, 1)])), [vec![4]], "a thread that takes its own lock again");
    }

    #[test]
    fn numbers_of_other_processes_make_no_circle() {
        assert!(circles(&waits(&[(2, 3, 1), (3, 2, 7)])).is_empty());
    }
}
