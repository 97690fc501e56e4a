//! Counts the events of an object as they arrive, by the numbers they were given on their CPU before the ring could refuse
//! them: what the kernel counted as lost must be what is missing here.

use std::sync::atomic::{AtomicU64, Ordering};

use super::counters::Counters;

/// The counts of one object, by CPU. Each CPU's events come through one ring, so that one thread counts them.
#[derive(Debug)]
pub(super) struct Tallies {
    cpus: Vec<CpuTally>,
}

#[derive(Debug, Default)]
struct CpuTally {
    /// The number that should come next.
    next: AtomicU64,
    received: AtomicU64,
    missing: AtomicU64,
    left_out: AtomicU64,
}

/// What became of the events of one object on one CPU, counted in the kernel and here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RingTally {
    /// The object.
    pub object: &'static str,
    /// The CPU that they were written on.
    pub cpu: u32,
    /// Offered to the ring, as the kernel counted.
    pub emitted: u64,
    /// Of these refused, as the kernel counted.
    pub refused: u64,
    /// Arrived.
    pub received: u64,
    /// Numbers that did not arrive.
    pub missing: u64,
    /// Of those that arrived, left out because they are not in scope.
    pub left_out: u64,
}

impl Tallies {
    /// Nothing arrived yet.
    pub(super) fn new(cpus: usize) -> Tallies {
        Tallies { cpus: (0..cpus).map(|_| CpuTally::default()).collect() }
    }

    /// Counts an event by its head. Called by the thread that drains its ring.
    pub(super) fn count(&self, event: &[u8], wanted: bool) {
        let Some(head) = event.get(..8) else { return };
        let cpu = u16::from_le_bytes([head[2], head[3]]);
        let seq = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
        let Some(tally) = self.cpus.get(usize::from(cpu)) else { return };
        // One thread writes: no need for atomic additions.
        let add = |to: &AtomicU64, n: u64| to.store(to.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
        add(&tally.received, 1);
        if !wanted {
            add(&tally.left_out, 1);
        }
        let next = tally.next.load(Ordering::Relaxed) as u32;
        let ahead = seq.wrapping_sub(next) as i32;
        if ahead >= 0 {
            add(&tally.missing, ahead as u64);
            tally.next.store(u64::from(seq.wrapping_add(1)), Ordering::Relaxed);
        } else {
            // An iterator was overtaken on its CPU between taking its number and reserving its place.
            add(&tally.missing, u64::MAX);
        }
    }

    /// Events that arrived, on all CPUs.
    pub(super) fn received(&self) -> u64 {
        self.cpus.iter().map(|t| t.received.load(Ordering::Relaxed)).sum()
    }

    /// Beside the kernel's counters, for the CPUs that had any. All rings must be drained, or what stands in them counts
    /// as missing.
    pub(super) fn against(&self, object: &'static str, counters: &[Counters]) -> Vec<RingTally> {
        let of = |(cpu, (tally, c)): (usize, (&CpuTally, &Counters))| {
            // Behind the last that arrived there may be more that did not.
            let behind = (c.emitted as u32).wrapping_sub(tally.next.load(Ordering::Relaxed) as u32);
            RingTally {
                object,
                cpu: cpu as u32,
                emitted: c.emitted,
                refused: c.ring_full,
                received: tally.received.load(Ordering::Relaxed),
                missing: tally.missing.load(Ordering::Relaxed).wrapping_add(u64::from(behind)),
                left_out: tally.left_out.load(Ordering::Relaxed),
            }
        };
        self.cpus.iter().zip(counters).enumerate().map(of).filter(|t| t.emitted > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(cpu: u16, seq: u32) -> Vec<u8> {
        let mut head = vec![0; 16];
        head[2..4].copy_from_slice(&cpu.to_le_bytes());
        head[4..8].copy_from_slice(&seq.to_le_bytes());
        head
    }

    #[test]
    fn gaps_between_numbers_and_behind_the_last_are_missing_and_a_late_one_is_not() {
        let tallies = Tallies::new(2);
        for seq in [0, 1, 5, 4, 6] {
            tallies.count(&event(1, seq), true);
        }
        tallies.count(&event(7, 0), true);
        tallies.count(&[1, 2, 3], true);
        let counters = [Counters::default(), Counters { emitted: 9, ring_full: 4, ..Counters::default() }];
        let got = tallies.against("sched", &counters);
        let expected =
            RingTally { object: "sched", cpu: 1, emitted: 9, refused: 4, received: 5, missing: 4, left_out: 0 };
        assert_eq!(got, [expected]);
    }

    #[test]
    fn numbers_may_wrap_around() {
        let tallies = Tallies::new(1);
        tallies.cpus[0].next.store(u64::from(u32::MAX), Ordering::Relaxed);
        tallies.count(&event(0, u32::MAX), true);
        tallies.count(&event(0, 1), false);
        let counters = [Counters { emitted: (1 << 32) + 2, ring_full: 1, ..Counters::default() }];
        let got = tallies.against("sched", &counters);
        assert_eq!((got[0].received, got[0].missing, got[0].left_out), (2, 1, 1));
    }
}
