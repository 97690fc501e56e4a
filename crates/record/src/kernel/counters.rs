//! The counters that each object keeps per CPU (`struct cc_counters` in `bpf/include/coldcase.bpf.h`).

use libbpf_rs::{MapCore, MapFlags, MapHandle};

/// One CPU's counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Events offered to the ring.
    pub emitted: u64,
    /// Of these, refused because it was full.
    pub ring_full: u64,
    /// Their bytes.
    pub ring_full_bytes: u64,
    /// Stacks that could not be walked.
    pub stack_faults: u64,
    /// Things not followed because a map or the allocator had no room.
    pub map_full: u64,
    /// Runs of the programs.
    pub runs: u64,
    /// Of these, timed.
    pub sampled: u64,
    /// Time of the timed ones, in nanoseconds.
    pub sampled_ns: u64,
    /// Events left out because there were too many.
    pub rate_limited: u64,
    /// Things that began and whose end the kernel did not trace.
    pub untraced: u64,
}

impl Counters {
    /// Reads all CPUs.
    pub fn read(map: &MapHandle) -> Result<Vec<Counters>, libbpf_rs::Error> {
        let cpus = map.lookup_percpu(&0u32.to_ne_bytes(), MapFlags::ANY)?.unwrap_or_default();
        Ok(cpus.iter().map(|bytes| Counters::parse(bytes)).collect())
    }

    fn parse(bytes: &[u8]) -> Counters {
        let mut words = bytes.chunks_exact(8).map(|c| u64::from_ne_bytes(c.try_into().unwrap_or_default()));
        let mut next = || words.next().unwrap_or_default();
        Counters {
            emitted: next(),
            ring_full: next(),
            ring_full_bytes: next(),
            stack_faults: next(),
            map_full: next(),
            runs: next(),
            sampled: next(),
            sampled_ns: next(),
            rate_limited: next(),
            untraced: next(),
        }
    }

    /// Time spent in the programs, estimated from the timed runs, in nanoseconds.
    pub fn cost(&self) -> u64 {
        match self.sampled {
            0 => 0,
            n => (u128::from(self.sampled_ns) * u128::from(self.runs) / u128::from(n)) as u64,
        }
    }

    /// What was added since `before`.
    pub fn since(&self, before: &Counters) -> Counters {
        Counters {
            emitted: self.emitted.saturating_sub(before.emitted),
            ring_full: self.ring_full.saturating_sub(before.ring_full),
            ring_full_bytes: self.ring_full_bytes.saturating_sub(before.ring_full_bytes),
            stack_faults: self.stack_faults.saturating_sub(before.stack_faults),
            map_full: self.map_full.saturating_sub(before.map_full),
            runs: self.runs.saturating_sub(before.runs),
            sampled: self.sampled.saturating_sub(before.sampled),
            sampled_ns: self.sampled_ns.saturating_sub(before.sampled_ns),
            rate_limited: self.rate_limited.saturating_sub(before.rate_limited),
            untraced: self.untraced.saturating_sub(before.untraced),
        }
    }
}
