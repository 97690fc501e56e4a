//! Waits for locks of programs, by the word in memory; and for locks of the kernel, by the function that waited.

use std::collections::BTreeMap;

use coldcase_model::analysis::Latency;
use coldcase_model::events::{LockContention, OffCpu};
use coldcase_timeline::{Awaited, FutexWait, IntoBoot, Selection, Timeline};

use super::offcpu::queued;
use crate::axis::Axis;
use crate::functions::own_function;
use crate::series::Series;

/// Locks of programs, and of the kernel, that have a line of their own.
const MOST: usize = 100;

/// The waits for one lock of a program.
#[derive(Default)]
struct Lock {
    series: Series,
    /// Who held it, by how long it was waited for meanwhile.
    holders: BTreeMap<u32, u64>,
    /// The longest wait that has a user stack: when, how long, where.
    longest: Option<(u64, u64, Box<[u64]>)>,
}

/// The latency of each lock of a program, largest total first. A wait counts until the thread was woken; condition
/// variables, the ends of threads and words that are not known to be locks are left out.
pub(crate) fn latencies(
    t: &Timeline,
    axis: &Axis,
    selection: &Selection<'_>,
    arch: &str,
    bundle: &str,
) -> Vec<Latency> {
    let mut locks = BTreeMap::<(u32, u64, Awaited), Lock>::new();
    for part in t.rows::<OffCpu>() {
        let c = &part.cols;
        for i in (0..part.len()).filter(|&i| c.arg0[i] != 0) {
            let Some(wait) = FutexWait::of(c, i, arch) else { continue };
            let is_lock = matches!(wait.awaited, Awaited::Mutex | Awaited::Semaphore);
            let waited = c.duration[i] - queued(c.flags[i], c.duration[i], c.run_queue[i]);
            if !is_lock || waited == 0 || !selection.has(c.pid[i], c.tid[i], c.time[i], c.duration[i]) {
                continue;
            }
            let lock = locks.entry((c.pid[i], wait.word, wait.awaited)).or_default();
            lock.series.push(axis, t.utc_of(c.time[i]).0, waited, part.row(i), None);
            // A holder that is no thread of the process is one of another PID namespace, or none.
            let known = wait.holder.filter(|h| t.processes().pid_of(h.0, c.time[i].into_boot()) == Some(c.pid[i]));
            if let Some((holder, _)) = known {
                let held = lock.holders.entry(holder).or_default();
                *held = held.saturating_add(waited);
            }
            let longer = lock
                .longest
                .as_ref()
                .is_none_or(|l| (l.1, std::cmp::Reverse(l.0)) < (waited, std::cmp::Reverse(c.time[i])));
            if longer && !c.user_stack.get(i).is_empty() {
                lock.longest = Some((c.time[i], waited, c.user_stack.get(i).into()));
            }
        }
    }
    let mut locks: Vec<_> = locks.into_iter().collect();
    locks.sort_by(|x, y| y.1.series.total().cmp(&x.1.series.total()).then_with(|| x.0.cmp(&y.0)));
    locks.truncate(MOST);
    let finish = |((pid, word, awaited), lock): &((u32, u64, Awaited), Lock)| {
        let name = name(t, *pid, *word, *awaited, lock);
        lock.series.finish(axis, "lock", name, bundle, "kernel.offcpu")
    };
    locks.iter().map(finish).collect()
}

/// `orders[7] in Store::lock_ledger: mutex 0x7f30, held by orders/worker[9]`: who held it longest.
fn name(t: &Timeline, pid: u32, word: u64, awaited: Awaited, lock: &Lock) -> String {
    let at = lock.longest.as_ref().map_or_else(|| t.boot(t.end()), |l| l.0.into_boot());
    let what = if awaited == Awaited::Semaphore { "semaphore" } else { "mutex" };
    let mut name = crate::process_name(t, pid, at);
    if let Some((time, _, user)) = &lock.longest
        && let Some(function) = own_function(t, pid, time.into_boot(), user, "futex")
    {
        name.push_str(&format!(" in {function}:"));
    }
    name.push_str(&format!(" {what} {word:#x}"));
    if let Some((&holder, _)) = lock.holders.iter().max_by_key(|(tid, held)| (**held, std::cmp::Reverse(**tid))) {
        let others = if lock.holders.len() > 1 { " and others" } else { "" };
        name.push_str(&format!(", held by {}{others}", t.processes().describe(holder, pid, at)));
    }
    name
}

/// The latency of each lock of the kernel by process, kind and the function that waited for it, largest total first.
/// Only waits of at least the lock threshold were recorded.
pub(crate) fn kernel_latencies(t: &Timeline, axis: &Axis, selection: &Selection<'_>, bundle: &str) -> Vec<Latency> {
    let mut groups = BTreeMap::<String, Series>::new();
    for part in t.rows::<LockContention>() {
        let c = &part.cols;
        for i in 0..part.len() {
            if !selection.has(c.pid[i], c.tid[i], c.time[i], c.duration[i]) {
                continue;
            }
            let process = crate::process_name(t, c.pid[i], c.time[i].into_boot());
            let mut name = format!("{process} {}", kind(c.flags[i]));
            if let Some(function) = waiting_function(t, c.kernel_stack.get(i)) {
                name.push_str(&format!(" in {function}"));
            }
            let series = groups.entry(name).or_default();
            series.push(axis, t.utc_of(c.time[i]).0, c.duration[i], part.row(i), None);
            series.outcome(c.result[i] != 0);
        }
    }
    let mut out: Vec<Latency> =
        groups.into_iter().map(|(name, s)| s.finish(axis, "kernel_lock", name, bundle, "kernel.lock")).collect();
    out.sort_by(|x, y| y.total.cmp(&x.total).then_with(|| x.name.cmp(&y.name)));
    out.truncate(MOST);
    out
}

/// What kind of lock: by LCB_F_* of `include/trace/events/lock.h`.
fn kind(flags: u32) -> &'static str {
    match flags {
        f if f & 16 != 0 => "per-CPU semaphore",
        f if f & 8 != 0 => "rt_mutex",
        f if f & 32 != 0 => "mutex",
        f if f & 3 == 3 => "rwlock, reading",
        f if f & 5 == 5 => "rwlock, writing",
        f if f & 1 != 0 => "spinlock",
        f if f & 2 != 0 => "rwsem, reading",
        f if f & 4 != 0 => "rwsem, writing",
        _ => "lock",
    }
}

/// The kernel's function that wanted a lock: the innermost that is none of the locks' own.
fn waiting_function(t: &Timeline, stack: &[u64]) -> Option<String> {
    let frames = t.symbols().stack(0, coldcase_model::Boottime(0), stack, &[]);
    frames.iter().find(|f| f.named && !is_of_locks(&f.name)).map(|f| f.name.to_string())
}

/// Whether a function is one of the kernel's locks, or of how it traces them.
fn is_of_locks(name: &str) -> bool {
    const PARTS: [&str; 12] = [
        "spin_lock",
        "mutex_lock",
        "mutex_trylock",
        "rwsem",
        "down_read",
        "down_write",
        "contention",
        "qspinlock",
        "qrwlock",
        "percpu_down",
        "bpf_",
        "read_lock",
    ];
    let other = ["__mutex_lock", "__traceiter", "rt_mutex", "write_lock", "trace_"];
    PARTS.iter().any(|p| name.contains(p)) || other.iter().any(|p| name.starts_with(p))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_of_the_kernel_is_called_by_its_kind() {
        for (flags, name) in [
            (0, "lock"),
            (1, "spinlock"),
            (3, "rwlock, reading"),
            (2, "rwsem, reading"),
            (4, "rwsem, writing"),
            (32, "mutex"),
            (33, "mutex"),
            (18, "per-CPU semaphore"),
        ] {
            assert_eq!(kind(flags), name, "{flags}");
        }
    }

    #[test]
    fn the_function_that_wanted_a_lock_is_none_of_the_locks_own() {
        let own = ["native_queued_spin_lock_slowpath", "_raw_spin_lock_irqsave", "rwsem_down_read_slowpath"];
        assert!(own.iter().all(|n| is_of_locks(n)));
        assert!(!is_of_locks("do_user_addr_fault") && !is_of_locks("ext4_file_write_iter"));
    }
}
