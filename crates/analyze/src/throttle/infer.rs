//! Infers when the threads of a cgroup were throttled, from their switches, its quota and its period.
//!
//! The kernel has no tracepoint for it, and a throttled thread looks runnable. But it waits in a way of its own: it left
//! the CPU once the quota of the period was used up, and came back when the next period refilled it. Periods of one
//! cgroup follow each other without a gap, so the refills show in where such waits end.

/// The kernel takes periods from 1 ms to 1 s (`min_cfs_quota_period`, `max_cfs_quota_period`).
const PERIODS: std::ops::RangeInclusive<u64> = 1_000_000..=1_000_000_000;
/// The scheduler hands out quota in slices (`sched_cfs_bandwidth_slice_us`), one to each CPU: so much may be left over.
const SLICE: u64 = 5_000_000;
/// A thread overruns its slice until the next tick: at most so much, with the slowest tick there is.
const TICK: u64 = 10_000_000;
/// Shorter waits do not tell where the refills are.
const TELLING: u64 = 1_000_000;
/// A hundredth of the period: refills are no more exact.
const EXACT: u64 = 100;
/// Where one of so many parts of the period holds the ends of the waits, there the refills are.
const PARTS: u64 = 200;
/// One of so many waits (by weight) may end before the refill, having been none for it.
const FIRST: u128 = 50;
/// Waits of less than a quarter of the usual length (a sixteenth of its square) are not for a refill.
const MUCH_SHORTER: u128 = 16;

/// A stretch of time that a thread of the cgroup ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ran {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) cpu: u16,
}

/// A stretch in which a thread of the cgroup could have run and did not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Waited {
    pub(super) start: u64,
    pub(super) end: u64,
    /// The CPU that it left.
    pub(super) cpu: u16,
}

/// A part of a wait, by the number of the wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Throttled {
    pub(super) wait: usize,
    pub(super) start: u64,
    pub(super) end: u64,
}

/// Quota and period, nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bandwidth {
    pub(super) quota: u64,
    pub(super) period: u64,
}

/// The throttled parts of the waits, in the order of the waits. Empty when the waits do not tell where periods begin.
pub(super) fn infer(limit: Bandwidth, ran: &[Ran], waits: &[Waited]) -> Vec<Throttled> {
    if !PERIODS.contains(&limit.period) {
        return Vec::new();
    }
    let cpus = by_cpu(ran);
    let Some(phase) = phase(limit.period, &cpus, waits) else { return Vec::new() };
    // Periods are numbered from the first one in which anything happened.
    let first = ran.iter().map(|r| r.start).chain(waits.iter().map(|w| w.start)).min().unwrap_or(0);
    let phase = phase + first.saturating_sub(phase) / limit.period * limit.period;
    let until = waits.iter().map(|w| w.end).max().unwrap_or(0);
    let [surely, perhaps] = [Charged::Least, Charged::All].map(|charged| used_up(limit, phase, ran, until, charged));
    let exact = limit.period / EXACT;
    let mut out = Vec::new();
    for (wait, w) in waits.iter().enumerate() {
        // The refills that it waited for. One may seem to end a little before the refill that ended it.
        let first = (w.start.saturating_sub(phase) / limit.period) as usize;
        let last = ((w.end + exact).saturating_sub(phase) / limit.period) as usize;
        // A wait that a refill ended was for it, if the quota can have been used up at all.
        let after = (w.end + exact).saturating_sub(phase) % limit.period;
        let used_up = if after <= 2 * exact { &perhaps } else { &surely };
        for period in first..last {
            let refill = phase + (period as u64 + 1) * limit.period;
            let Some(&Some(from)) = used_up.get(period) else { continue };
            let end = w.end.min(refill);
            // No thread of it runs on a CPU where it is throttled.
            let start = w.start.max(from).max(ran_until(&cpus, w.cpu, end));
            if start < end {
                out.push(Throttled { wait, start, end });
            }
        }
    }
    out
}

/// The offset of the refills: a time from which each is a whole number of periods away. `None` when the waits end
/// anywhere, as those of threads do that merely queue.
fn phase(period: u64, cpus: &[OnCpu], waits: &[Waited]) -> Option<u64> {
    // A wait counts as far as its CPU had nothing of the cgroup to run, and by the square of that: a refill ends one long
    // wait, where other programs on the CPU make many short ones.
    let mut ends: Vec<(u64, u128)> = waits
        .iter()
        .map(|w| (w.end % period, w.end - w.start.max(ran_until(cpus, w.cpu, w.end))))
        .filter(|&(_, long)| long >= TELLING.min(period / 10))
        .map(|(at, long)| (at, u128::from(long.min(period)) * u128::from(long.min(period))))
        .collect();
    ends.sort_unstable();
    let all: u128 = ends.iter().map(|&(_, weight)| weight).sum();
    // The window of three parts with most of the waiting, on the circle of the period.
    let wide = 3 * (period / PARTS).max(1);
    let turned = ends.iter().map(|&(at, weight)| (at + period, weight));
    let circle: Vec<(u64, u128)> = ends.iter().copied().chain(turned).collect();
    let (mut best, mut most_end_at, mut sum, mut left) = (0u128, None, 0u128, 0);
    for &(at, weight) in &circle {
        sum += weight;
        while at - circle[left].0 > wide {
            sum -= circle[left].1;
            left += 1;
        }
        if sum > best {
            (best, most_end_at) = (sum, Some(at));
        }
    }
    let most_end_at = most_end_at.filter(|_| best * 4 >= all)?;
    // The refill lets threads run; where another program has the CPU they queue on, until a tick takes it away. Most waits
    // may end there, and the refill is where the first ones do.
    let last = if most_end_at < period { most_end_at + period } else { most_end_at };
    let mut arc: Vec<(u64, u128)> =
        circle.into_iter().filter(|(at, _)| (last - period / 2..=last).contains(at)).collect();
    let long_enough = median(&arc) / MUCH_SHORTER;
    arc.retain(|&(_, weight)| weight >= long_enough);
    let first = arc.iter().map(|&(_, weight)| weight).sum::<u128>() / FIRST;
    let mut sum = 0;
    let refill = arc.into_iter().find(|&(_, weight)| {
        sum += weight;
        sum > first
    });
    refill.map(|(at, _)| at % period)
}

/// The weight such that half of all weight is in those that have less.
fn median(ends: &[(u64, u128)]) -> u128 {
    let mut weights: Vec<u128> = ends.iter().map(|&(_, weight)| weight).collect();
    weights.sort_unstable();
    let half = weights.iter().sum::<u128>() / 2;
    let mut sum = 0;
    weights
        .into_iter()
        .find(|weight| {
            sum += weight;
            sum >= half
        })
        .unwrap_or(0)
}

/// How much of the time that a thread seemed to run was charged to its quota. Stolen time is not, and looks like running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Charged {
    All,
    /// A tenth was stolen.
    Least,
}

impl Charged {
    fn of(self, ran: u64) -> u64 {
        match self {
            Charged::All => ran,
            Charged::Least => ran - ran / 10,
        }
    }
}

/// Of each period (the first begins at `phase`), when its quota was used up, allowing for what slices leave over, and for
/// what the periods before it overran.
fn used_up(limit: Bandwidth, phase: u64, ran: &[Ran], until: u64, charged: Charged) -> Vec<Option<u64>> {
    let mut cpus: Vec<u16> = ran.iter().map(|r| r.cpu).collect();
    cpus.sort_unstable();
    cpus.dedup();
    let cpus = cpus.len() as u64;
    let slack = (cpus * SLICE + TICK).min(limit.quota / 2);
    let mut edges: Vec<(u64, i64)> = ran.iter().flat_map(|r| [(r.start, 1), (r.end, -1)]).collect();
    edges.extend((!ran.is_empty()).then_some((until, 0)));
    edges.sort_unstable();
    let (Some(&(first, _)), Some(&(end, _))) = (edges.first(), edges.last()) else { return Vec::new() };
    let number = |at: u64| (at.saturating_sub(phase) / limit.period) as usize;
    let mut out = vec![None; number(end) + 1];
    let (mut at, mut running, mut used, mut debt) = (first, 0i64, 0u64, 0u64);
    let mut period = number(first);
    for (edge, change) in edges {
        while at < edge {
            let until = edge.min(phase + (period as u64 + 1) * limit.period);
            let more = (until - at) * running.max(0) as u64;
            let enough = limit.quota.saturating_sub(debt + slack);
            if out[period].is_none() && used + more >= enough {
                out[period] = Some(at + enough.saturating_sub(used) / running.max(1) as u64);
            }
            used += more;
            at = until;
            if number(at) != period {
                debt = (debt + charged.of(used)).saturating_sub(limit.quota).min(cpus * TICK);
                (period, used) = (period + 1, 0);
            }
        }
        running += change;
    }
    out
}

/// What ran on a CPU, in order. One thread runs there at a time: the stretches do not overlap.
struct OnCpu {
    cpu: u16,
    ran: Vec<Ran>,
}

fn by_cpu(ran: &[Ran]) -> Vec<OnCpu> {
    let mut sorted = ran.to_vec();
    sorted.sort_unstable_by_key(|r| (r.cpu, r.start));
    let mut out: Vec<OnCpu> = Vec::new();
    for r in sorted {
        match out.last_mut() {
            Some(on) if on.cpu == r.cpu => on.ran.push(r),
            _ => out.push(OnCpu { cpu: r.cpu, ran: vec![r] }),
        }
    }
    out
}

/// When a thread of the cgroup last ran on a CPU before a moment; 0 if none did.
fn ran_until(cpus: &[OnCpu], cpu: u16, before: u64) -> u64 {
    let Ok(at) = cpus.binary_search_by_key(&cpu, |on| on.cpu) else { return 0 };
    let ran = &cpus[at].ran;
    let after = ran.partition_point(|r| r.start < before);
    ran[..after].last().map_or(0, |r| r.end.min(before))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;
    const LIMIT: Bandwidth = Bandwidth { quota: 20 * MS, period: 100 * MS };

    /// A busy thread on each CPU of which each gets a half of the quota at the beginning of each period.
    fn limited(periods: u64, cpus: u16) -> (Vec<Ran>, Vec<Waited>) {
        let (mut ran, mut waits) = (Vec::new(), Vec::new());
        let each = LIMIT.quota / u64::from(cpus);
        for cpu in 0..cpus {
            for p in 0..periods {
                let start = 1_000_037 * MS + p * LIMIT.period;
                ran.push(Ran { start, end: start + each, cpu });
                waits.push(Waited { start: start + each, end: start + LIMIT.period, cpu });
            }
        }
        (ran, waits)
    }

    fn total(found: &[Throttled]) -> u64 {
        found.iter().map(|t| t.end - t.start).sum()
    }

    #[test]
    fn busy_threads_under_a_quota_are_throttled_for_the_rest_of_each_period() {
        for cpus in [1, 2, 4] {
            let (ran, waits) = limited(50, cpus);
            let found = infer(LIMIT, &ran, &waits);
            let rest = LIMIT.period - LIMIT.quota / u64::from(cpus);
            assert_eq!(total(&found), 50 * u64::from(cpus) * rest, "{cpus} CPUs");
        }
    }

    #[test]
    fn queueing_for_a_cpu_is_not_throttling() {
        // It runs for 1 ms and queues for 9 ms, over and over: a tenth of a CPU, and its quota is a fifth.
        let (mut ran, mut waits) = (Vec::new(), Vec::new());
        for n in 0..500 {
            let at = 10_000 * MS + n * 10 * MS;
            ran.push(Ran { start: at, end: at + MS, cpu: 0 });
            waits.push(Waited { start: at + MS, end: at + 10 * MS, cpu: 0 });
        }
        assert_eq!(infer(LIMIT, &ran, &waits), []);
    }

    #[test]
    fn a_preemption_inside_the_quota_stays_queueing() {
        let (mut ran, mut waits) = limited(20, 1);
        // In the middle of the 5th turn another program ran for 4 ms.
        let cut = ran[5].start + 4 * MS;
        ran.push(Ran { start: cut + 4 * MS, end: ran[5].end + 4 * MS, cpu: 0 });
        waits.push(Waited { start: cut, end: cut + 4 * MS, cpu: 0 });
        waits[5].start += 4 * MS;
        ran[5].end = cut;
        let found = infer(LIMIT, &ran, &waits);
        assert!(found.iter().all(|t| t.wait != 20), "{found:?}");
        assert_eq!(found.len(), 20);
    }

    #[test]
    fn a_thread_that_queues_on_after_the_refill_is_throttled_only_until_then() {
        let (ran, mut waits) = limited(20, 1);
        waits[7].end += 15 * MS;
        let found = infer(LIMIT, &ran, &waits);
        let of = |wait| found.iter().filter(|t| t.wait == wait).map(|t| t.end - t.start).sum::<u64>();
        assert_eq!((of(6), of(7)), (80 * MS, 80 * MS));
    }

    #[test]
    fn while_a_sibling_runs_on_the_same_cpu_nobody_is_throttled_there() {
        let (mut ran, waits) = limited(20, 1);
        let w = waits[3];
        ran.push(Ran { start: w.start + 10 * MS, end: w.start + 60 * MS, cpu: 0 });
        let found = infer(LIMIT, &ran, &waits);
        assert_eq!(found.iter().find(|t| t.wait == 3).map(|t| t.end - t.start), Some(20 * MS));
    }

    #[test]
    fn a_period_that_only_pays_what_the_one_before_overran_is_throttled_from_its_beginning() {
        // It runs on until a tick: 40 ms at once, and the next period gives it nothing.
        let (mut ran, mut waits) = (Vec::new(), Vec::new());
        for n in 0..20 {
            let start = 1_000_037 * MS + n * 2 * LIMIT.period;
            ran.push(Ran { start, end: start + 2 * LIMIT.quota, cpu: 0 });
            waits.push(Waited { start: start + 2 * LIMIT.quota, end: start + 2 * LIMIT.period, cpu: 0 });
        }
        let limit = Bandwidth { quota: LIMIT.quota, period: LIMIT.period };
        assert_eq!(total(&infer(limit, &ran, &waits)), 20 * 160 * MS);
    }

    #[test]
    fn small_overruns_add_up_to_a_period_that_is_throttled_almost_whole() {
        // A tick of 4 ms ends each turn 0.64 ms too late; each seventh period pays for that. As measured with a quota of 4 ms.
        let limit = Bandwidth { quota: 4 * MS, period: 20 * MS };
        let (mut ran, mut waits, mut expected) = (Vec::new(), Vec::new(), 0);
        for n in 0..210 {
            let start = 1_000_037 * MS + n * limit.period;
            let end = start + if n % 7 == 6 { 16 * MS / 100 } else { 464 * MS / 100 };
            ran.push(Ran { start, end, cpu: 0 });
            waits.push(Waited { start: end, end: start + limit.period, cpu: 0 });
            expected += start + limit.period - end;
        }
        assert_eq!(total(&infer(limit, &ran, &waits)), expected);
    }

    #[test]
    fn queueing_that_ends_anywhere_is_not_throttling_because_of_a_debt() {
        // The same overruns, but in each seventh period another program has the CPU until 2 ms after the refill.
        let limit = Bandwidth { quota: 4 * MS, period: 20 * MS };
        let (mut ran, mut waits) = (Vec::new(), Vec::new());
        for n in 0..210 {
            let start = 1_000_037 * MS + n * limit.period + if n % 7 == 0 { 2 * MS } else { 0 };
            let late = if n % 7 == 6 { 2 * MS } else { 0 };
            let end = start + if n % 7 == 6 { 16 * MS / 100 } else { 464 * MS / 100 };
            ran.push(Ran { start, end, cpu: 0 });
            waits.push(Waited { start: end, end: 1_000_037 * MS + (n + 1) * limit.period + late, cpu: 0 });
        }
        let found = infer(limit, &ran, &waits);
        assert!(found.iter().all(|t| t.wait % 7 != 6), "{found:?}");
        assert_eq!(found.len(), 180);
    }

    #[test]
    fn threads_that_share_a_cpu_with_others_show_the_refills_between_their_queueing() {
        // In each period of 100 ms two threads take turns of 3 ms, after each of which another program has 5 ms, until
        // the quota of 30 ms is used up; then they wait for 25 ms.
        let limit = Bandwidth { quota: 30 * MS, period: 100 * MS };
        let (mut ran, mut waits) = (Vec::new(), Vec::new());
        let mut left = [0u64; 2];
        for p in 0..40 {
            let start = 5_000_003 * MS + p * limit.period;
            for turn in 0..10u64 {
                let (at, thread) = (start + turn * 15 * MS / 2, (turn % 2) as usize);
                if left[thread] > 0 {
                    waits.push(Waited { start: left[thread], end: at, cpu: 1 });
                }
                ran.push(Ran { start: at, end: at + 3 * MS, cpu: 1 });
                left[thread] = at + 3 * MS;
            }
        }
        let found = infer(limit, &ran, &waits);
        let mut whole: Vec<(u64, u64)> = found.iter().map(|t| (t.start, t.end)).collect();
        whole.sort_unstable();
        // After the last turn of a period, up to the refill: both threads wait.
        let expected = 39 * (100 * MS - 9 * 15 * MS / 2 - 3 * MS);
        let (mut sum, mut until) = (0, 0);
        for (start, end) in whole {
            sum += end.saturating_sub(start.max(until));
            until = until.max(end);
        }
        assert!(sum.abs_diff(expected) * 20 <= expected, "{sum} of {expected}");
    }

    #[test]
    fn where_a_tick_ends_most_waits_the_refill_is_where_the_first_ones_end() {
        let (mut ran, mut waits) = limited(50, 1);
        // Nine of ten queue on for 4 ms after the refill, and run later for it.
        for n in (0..49).filter(|n| n % 10 != 0) {
            waits[n].end += 4 * MS;
            ran[n + 1].start += 4 * MS;
            ran[n + 1].end += 4 * MS;
            waits[n + 1].start += 4 * MS;
        }
        let expected: u64 = waits.iter().zip(0..).map(|(w, n)| 1_000_137 * MS + n * LIMIT.period - w.start).sum();
        assert_eq!(total(&infer(LIMIT, &ran, &waits)), expected);
    }

    #[test]
    fn nothing_is_inferred_from_nothing() {
        assert_eq!(infer(LIMIT, &[], &[]), []);
        assert_eq!(infer(LIMIT, &[], &[Waited { start: 5, end: 200 * MS, cpu: 0 }]), []);
    }
}
