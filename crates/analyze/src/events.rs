//! Events that are told as sentences because they need no statistics: kills for want of memory, processes that failed,
//! requests that a cgroup's limit held back.

use std::collections::BTreeMap;

use coldcase_model::events::{BlockIo, Cgroup, OomKill, Task};
use coldcase_model::quantity::format_count;
use coldcase_model::signal::Ending;
use coldcase_model::{Event, block, text};
use coldcase_timeline::{IntoBoot, Scope, Selection, Timeline};

use crate::wording::{count, offset};

/// Processes that are named at most.
const NAMED: usize = 5;
/// `what` of `kernel.task`: exit.
const EXIT: u32 = 3;

/// What comes first in a summary: whom the kernel killed.
pub(crate) fn first(t: &Timeline) -> Option<String> {
    let mut kills = Vec::new();
    for part in t.rows::<OomKill>() {
        for i in 0..part.len() {
            let boot = part.cols.time[i].into_boot();
            let at = offset(t.start(), t.utc(boot).0);
            kills.push(format!("{} at {at}", crate::process_name(t, part.cols.pid[i], boot)));
        }
    }
    let n = kills.len() as u64;
    kills.truncate(NAMED);
    (n > 0).then(|| {
        let more = if n > NAMED as u64 { ", …" } else { "" };
        format!("The kernel killed for want of memory: {}{more}.", kills.join(", "))
    })
}

/// What comes last: processes that failed, and what throttling held back.
pub(crate) fn last(t: &Timeline, scope: &Scope, selection: &Selection<'_>) -> Vec<String> {
    failed(t, selection).into_iter().chain(throttled(t, scope)).collect()
}

/// Processes that a signal killed or that exited with another status than 0, the killed ones first.
fn failed(t: &Timeline, selection: &Selection<'_>) -> Option<String> {
    let mut failed = Vec::new();
    for part in t.rows::<Task>() {
        let c = &part.cols;
        for i in (0..part.len()).filter(|&i| c.what[i] == EXIT && c.tid[i] == c.pid[i]) {
            let (ending, comm) = (Ending::of(c.exit_code[i]), c.comm.text(i));
            if ending.is_failure() && selection.has(c.pid[i], c.tid[i], c.time[i], 0) {
                let killed = matches!(ending, Ending::Killed { .. });
                failed.push((!killed, c.time[i], format!("{}[{}] {ending}", text::visible(&comm), c.pid[i])));
            }
        }
    }
    failed.sort();
    let n = failed.len();
    let named: Vec<String> = failed.into_iter().take(NAMED).map(|f| f.2).collect();
    let what = if n == 1 { "process" } else { "processes" };
    let more = if n > NAMED { ", …" } else { "" };
    (n > 0).then(|| format!("{} {what} failed: {}{more}.", format_count(n as u64), named.join(", ")))
}

/// Requests that waited for a cgroup's limit before the block layer told of them: the wait is not the device's.
fn throttled(t: &Timeline, scope: &Scope) -> Option<String> {
    let mut held = BTreeMap::<u64, u64>::new();
    for part in t.rows::<BlockIo>() {
        for i in (0..part.len()).filter(|&i| part.cols.origin[i] == block::THROTTLED) {
            *held.entry(part.cols.owner_cgroup[i]).or_default() += 1;
        }
    }
    // Whose thread it was is not known, hence not whether it is in scope.
    if held.is_empty() || !scope.is_all() {
        return None;
    }
    let path = |id: u64| {
        let rows = t.segments(Cgroup::DEF.stream).iter().filter_map(|s| Cgroup::cols(&s.columns).ok());
        let found = rows.filter_map(|c| c.id.iter().position(|&i| i == id).map(|i| c.path.text(i).into_owned())).next();
        found.map_or_else(|| format!("cgroup {id}"), |p| format!("cgroup {}", text::visible(&p)))
    };
    let of: Vec<String> = held.iter().map(|(&id, &n)| format!("{} of {}", count(n, "request"), path(id))).collect();
    Some(format!(
        "blkio throttling held back {}: what their threads waited before the device saw them is throttling (inferred), not the device.",
        of.join(", ")
    ))
}
