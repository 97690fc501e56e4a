//! The loss ledger: what was lost, counted by sources as it happens, and drained each second into `recorder.loss`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use coldcase_model::Class;
use coldcase_model::events::Loss;
use coldcase_model::loss::{LossTotal, Reason};

/// What losses are counted by. `cpu` is -1 where the loss does not belong to one.
type Key = (&'static str, Class, Reason, i32);

#[derive(Debug, Default)]
struct Count {
    /// Since the last drain: things, bytes.
    open: (u64, u64),
    /// Since the start, or the last turn: things, bytes.
    total: (u64, u64),
    /// Before the last turn: things, bytes.
    before: (u64, u64),
}

/// A handle to the ledger of a recording. Cheap to clone, used from any thread.
#[derive(Debug, Clone, Default)]
pub struct LossLedger {
    counts: Arc<Mutex<BTreeMap<Key, Count>>>,
}

impl LossLedger {
    /// Says that this source watches for this loss, so that "none" is a polled fact: the ledger gets a row with
    /// count 0 at the end when nothing was lost. Call it when the source starts.
    pub fn watch(&self, source: &'static str, class: Class, reason: Reason) {
        self.lock().entry((source, class, reason, -1)).or_default();
    }

    /// Counts a loss that belongs to no CPU. `bytes` is 0 where it is not known.
    pub fn add(&self, source: &'static str, class: Class, reason: Reason, count: u64, bytes: u64) {
        self.add_on(source, class, reason, -1, count, bytes);
    }

    /// Counts a loss on a CPU.
    pub fn add_on(&self, source: &'static str, class: Class, reason: Reason, cpu: i32, count: u64, bytes: u64) {
        if count == 0 && bytes == 0 {
            return;
        }
        let mut counts = self.lock();
        let c = counts.entry((source, class, reason, cpu)).or_default();
        c.open = (c.open.0 + count, c.open.1 + bytes);
        c.total = (c.total.0 + count, c.total.1 + bytes);
    }

    /// The rows of the interval that ends now. `zeroes` adds a row with count 0 for each watched loss that never
    /// happened: proof that it was looked for.
    pub fn drain(&self, start: u64, end: u64, zeroes: bool) -> Vec<Loss> {
        let mut rows = Vec::new();
        let mut counts = self.lock();
        let lossy: Vec<_> = counts.iter().filter(|(_, c)| c.total != (0, 0)).map(|(k, _)| (k.0, k.1, k.2)).collect();
        for (&(source, class, reason, cpu), c) in counts.iter_mut() {
            let proof = zeroes && c.total == (0, 0) && !lossy.contains(&(source, class, reason));
            if c.open == (0, 0) && !proof {
                continue;
            }
            rows.push(Loss {
                time: start,
                duration: end.saturating_sub(start),
                count: c.open.0,
                bytes: c.open.1,
                cpu,
                source: source.to_owned(),
                class: class.name().to_owned(),
                reason: reason.name().to_owned(),
            });
            c.open = (0, 0);
        }
        rows
    }

    /// The sums of what was drained since the start, or since the last [`LossLedger::turn`].
    pub fn drained(&self) -> Vec<LossTotal> {
        self.sums(|c| (c.total.0 - c.open.0, c.total.1 - c.open.1))
    }

    /// The sums begin anew: another file is begun. What was ever lost stays in [`LossLedger::ever`].
    pub fn turn(&self) {
        for c in self.lock().values_mut() {
            let drained = (c.total.0 - c.open.0, c.total.1 - c.open.1);
            c.before = (c.before.0 + drained.0, c.before.1 + drained.1);
            c.total = c.open;
        }
    }

    /// Whether anything was lost since the start of the recording.
    pub fn ever(&self) -> bool {
        self.lock().values().any(|c| c.total != (0, 0) || c.before != (0, 0))
    }

    /// Sums since the start by source, class and reason, watched zeroes included.
    pub fn totals(&self) -> Vec<LossTotal> {
        self.sums(|c| c.total)
    }

    fn sums(&self, of: impl Fn(&Count) -> (u64, u64)) -> Vec<LossTotal> {
        let mut sums: BTreeMap<(&str, &str, &str), (u64, u64)> = BTreeMap::new();
        for (&(source, class, reason, _), c) in self.lock().iter() {
            let sum = sums.entry((source, class.name(), reason.name())).or_default();
            let (count, bytes) = of(c);
            *sum = (sum.0 + count, sum.1 + bytes);
        }
        sums.into_iter()
            .map(|((source, class, reason), (count, bytes))| LossTotal {
                source: source.to_owned(),
                class: class.to_owned(),
                reason: reason.to_owned(),
                count,
                bytes,
            })
            .collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Key, Count>> {
        // Counts stay true whatever a panicking thread was doing: every update is one assignment.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_loss_is_drained_once_and_summed_for_good() {
        let ledger = LossLedger::default();
        ledger.watch("kernel.sched", Class::Sched, Reason::RingFull);
        ledger.add_on("kernel.sched", Class::Sched, Reason::RingFull, 0, 3, 120);
        ledger.add_on("kernel.sched", Class::Sched, Reason::RingFull, 1, 2, 80);
        let rows = ledger.drain(10, 20, false);
        assert_eq!(rows.iter().map(|r| (r.cpu, r.count)).collect::<Vec<_>>(), [(0, 3), (1, 2)]);
        assert_eq!((rows[0].time, rows[0].duration), (10, 10));
        assert!(ledger.drain(20, 30, false).is_empty());
        assert_eq!(ledger.totals()[0].count, 5);
        assert!(ledger.drain(30, 40, true).is_empty(), "what was lost needs no proof of absence");
    }

    #[test]
    fn each_file_has_its_own_sums_and_nothing_is_told_twice() {
        let ledger = LossLedger::default();
        ledger.add("a", Class::Sched, Reason::RingFull, 3, 30);
        ledger.drain(0, 1, true);
        // Counted, but its row stands in the next file.
        ledger.add("a", Class::Sched, Reason::RingFull, 2, 20);
        assert_eq!(ledger.drained()[0].count, 3);
        ledger.turn();
        assert_eq!(ledger.totals()[0].count, 2);
        ledger.drain(1, 2, true);
        assert_eq!(ledger.drained()[0].bytes, 20);
        ledger.turn();
        assert_eq!((ledger.totals()[0].count, ledger.ever()), (0, true));
        assert_eq!(ledger.drain(2, 3, true)[0].count, 0, "nothing lost is proved for each file");
    }

    #[test]
    fn zero_lost_is_a_row() {
        let ledger = LossLedger::default();
        ledger.watch("packets", Class::Packet, Reason::PacketDrop);
        assert!(ledger.drain(0, 1, false).is_empty());
        let rows = ledger.drain(1, 2, true);
        assert_eq!((rows.len(), rows[0].count, rows[0].reason.as_str()), (1, 0, "packet-drop"));
    }
}
