//! Lines of faults, reclaim and kills for want of memory.

use coldcase_model::quantity::format_size;
use coldcase_model::{Boottime, Columns, Event, Nanos, events};
use coldcase_timeline::Timeline;

pub(super) fn major_fault(t: &Timeline, columns: &Columns, i: usize) -> Option<String> {
    let c = events::MajorFault::cols(columns).ok()?;
    let at = Boottime(c.time[i]);
    let who = t.processes().describe(c.tid[i], c.pid[i], at);
    let whence = if c.flags[i] & 1 != 0 { " in a system call" } else { "" };
    let mut out = format!("{who} had to read the page of {:#x} from disk{whence}", c.address[i]);
    super::line::innermost(&t.symbols().stack(c.pid[i], at, &[], c.user_stack.get(i)), &mut out);
    Some(out)
}

pub(super) fn reclaim(t: &Timeline, columns: &Columns, i: usize) -> Option<String> {
    let c = events::Reclaim::cols(columns).ok()?;
    let who = t.processes().describe(c.tid[i], c.pid[i], Boottime(c.time[i]));
    let (took, freed) = (Nanos(c.duration[i]), format_size(c.reclaimed[i].saturating_mul(4096)));
    Some(match c.what[i] {
        1 => format!("{who} had to free memory itself: {freed} in {took}"),
        2 => format!("{who} had to free memory of its cgroup: {freed} in {took}"),
        3 => format!("{who} compacted memory: {took}"),
        4 => format!("{who} freed memory in the background: {took}"),
        n => format!("{who} unknown reclaim {n}: {took}"),
    })
}

pub(super) fn oom_kill(t: &Timeline, columns: &Columns, i: usize) -> Option<String> {
    let c = events::OomKill::cols(columns).ok()?;
    let at = Boottime(c.time[i]);
    let victim = t.processes().describe(c.pid[i], c.pid[i], at);
    let by = t.processes().describe(c.by_tid[i], c.by_pid[i], at);
    Some(format!("OUT OF MEMORY: the kernel kills {victim}, {by} asked for more"))
}
