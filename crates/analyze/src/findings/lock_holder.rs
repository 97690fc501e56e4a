//! Locks of programs that were waited for, who held them, and what the holder did meanwhile.
//!
//! Claims nothing of a condition variable, of a word that is not known to be a lock, or of a wait whose holder is not known.
//! What the holder did is read from its own off-CPU rows over the time of the waits; the rest it was on a CPU, if the
//! capture lost nothing of it.

use std::collections::{BTreeMap, HashMap};

use coldcase_model::events::OffCpu;
use coldcase_model::{Boottime, Evidence, Finding, Nanos};
use coldcase_timeline::{Awaited, FutexWait, HolderHow};

use super::Seen;
use crate::latency::offcpu::Reason;
use crate::wording::count;

/// Most locks that are told.
const MOST: usize = 3;
/// Rows that are cited.
const CITED: usize = 5;
/// Waits of one lock that took less than this together are not worth a finding.
const LEAST: u64 = 10_000_000;

/// A wait whose holder is known.
#[derive(Debug, Clone, Copy)]
struct Wait {
    from: u64,
    to: u64,
    holder: u32,
    how: HolderHow,
    row: u64,
}

/// One finding for each of the locks that were waited for longest.
pub(super) fn find(seen: &Seen<'_>) -> Vec<Finding> {
    let mut locks: BTreeMap<(u32, u64), Vec<Wait>> = BTreeMap::new();
    for part in seen.timeline.rows::<OffCpu>() {
        let c = &part.cols;
        for i in (0..part.len()).filter(|&i| c.arg0[i] != 0) {
            let Some(wait) = FutexWait::of(c, i, seen.arch) else { continue };
            let (Some((holder, how)), Awaited::Mutex | Awaited::Semaphore) = (wait.holder, wait.awaited) else {
                continue;
            };
            // A named holder must be a thread of the process: else the name is of another PID namespace, or none.
            if seen.timeline.processes().pid_of(holder, Boottime(c.time[i])) != Some(c.pid[i]) {
                continue;
            }
            let to = c.time[i].saturating_add(c.duration[i].saturating_sub(c.run_queue[i]));
            let wait = Wait { from: c.time[i], to, holder, how, row: part.row(i) };
            locks.entry((c.pid[i], c.arg0[i])).or_default().push(wait);
        }
    }
    let total = |waits: &[Wait]| waits.iter().map(|w| w.to - w.from).sum::<u64>();
    let mut locks: Vec<_> = locks.into_iter().filter(|(_, waits)| total(waits) >= LEAST).collect();
    locks.sort_by(|x, y| total(&y.1).cmp(&total(&x.1)).then_with(|| x.0.cmp(&y.0)));
    locks.truncate(MOST);
    let doings = doings(seen, &locks);
    locks.iter().zip(doings).map(|(lock, doing)| claim(seen, lock, &doing)).collect()
}

/// For each lock: nanoseconds of its waits that the holder spent off the CPU, by reason.
fn doings(seen: &Seen<'_>, locks: &[((u32, u64), Vec<Wait>)]) -> Vec<BTreeMap<Reason, u64>> {
    let mut by_holder: HashMap<u32, Vec<(usize, Wait)>> = HashMap::new();
    for (at, (_, waits)) in locks.iter().enumerate() {
        for wait in waits {
            by_holder.entry(wait.holder).or_default().push((at, *wait));
        }
    }
    for waits in by_holder.values_mut() {
        waits.sort_by_key(|(_, w)| w.from);
    }
    let mut out = vec![BTreeMap::new(); locks.len()];
    for part in seen.timeline.rows::<OffCpu>() {
        let c = &part.cols;
        for i in 0..part.len() {
            let Some(waits) = by_holder.get(&c.tid[i]) else { continue };
            let (from, to) = (c.time[i], c.time[i].saturating_add(c.duration[i]));
            for (at, wait) in waits.iter().take_while(|(_, w)| w.from < to) {
                let overlap = to.min(wait.to).saturating_sub(from.max(wait.from));
                if overlap > 0 {
                    *out[*at].entry(Reason::of_row(c.syscall[i], c.flags[i])).or_default() += overlap;
                }
            }
        }
    }
    out
}

fn claim(seen: &Seen<'_>, lock: &((u32, u64), Vec<Wait>), doing: &BTreeMap<Reason, u64>) -> Finding {
    let ((pid, word), waits) = lock;
    let t = seen.timeline;
    let total: u64 = waits.iter().map(|w| w.to - w.from).sum();
    let mut holders: BTreeMap<u32, u64> = BTreeMap::new();
    for w in waits {
        *holders.entry(w.holder).or_default() += w.to - w.from;
    }
    let (&holder, &held) = holders.iter().max_by_key(|(tid, held)| (**held, **tid)).unwrap_or((&0, &0));
    let at = Boottime(waits.first().map_or(0, |w| w.from));
    let percent = |part: u64| (u128::from(part) * 100 / u128::from(total.max(1))) as u64;
    let named = waits.iter().all(|w| w.how == HolderHow::Named);
    let mut parts: Vec<_> = doing.iter().map(|(reason, ns)| (*ns, reason.name(seen.arch))).collect();
    let away: u64 = parts.iter().map(|p| p.0).sum();
    parts.push((total.saturating_sub(away), "on a CPU or not seen".to_owned()));
    parts.sort_by(|x, y| y.0.cmp(&x.0).then_with(|| x.1.cmp(&y.1)));
    let did: Vec<_> = parts
        .iter()
        .filter(|p| percent(p.0) > 0)
        .take(3)
        .map(|(ns, what)| format!("{}% {what}", percent(*ns)))
        .collect();
    let mut longest: Vec<&Wait> = waits.iter().collect();
    longest.sort_by(|x, y| (y.to - y.from).cmp(&(x.to - x.from)).then_with(|| x.row.cmp(&y.row)));
    let evidence: Vec<Evidence> = longest.iter().take(CITED).map(|w| t.evidence("kernel.offcpu", w.row)).collect();
    Finding {
        detector: "lock_holder".to_owned(),
        claim: format!(
            "{}: {} for the lock {word:#x}, the longest {}, {} together; {} {} it for {}% of that; meanwhile holders were: {}",
            crate::process_name(t, *pid, at),
            count(waits.len() as u64, "wait"),
            Nanos(longest.first().map_or(0, |w| w.to - w.from)),
            Nanos(total),
            t.processes().describe(holder, *pid, at),
            if named { "held" } else { "released (so probably held)" },
            percent(held),
            did.join(", ")
        ),
        size: total as f64,
        unit: "ns".to_owned(),
        confidence: if named { 1.0 } else { 0.7 },
        evidence,
    }
}
