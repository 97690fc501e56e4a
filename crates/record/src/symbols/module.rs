//! The addresses of one module: which were looked up, which still are to be, and what came of it.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::{Duration, Instant};

use coldcase_model::events::{Symbol, SymbolModule};

use super::Named;

/// A module is looked into again after this many times what the last look took: at most a twentieth of a CPU.
const PACE: u32 = 20;
/// But no later than this: what ended is held only a little longer.
const LATEST: Duration = Duration::from_secs(4);

/// One module: a file, the kernel, or the memory of one process that its runtime filled with code.
#[derive(Debug)]
pub(super) struct ModuleNames {
    /// As in the stream `symbols`.
    key: String,
    path: String,
    /// Addresses that were looked up.
    done: HashSet<u64>,
    /// Addresses that were not, each with the time at which it was seen.
    fresh: BTreeMap<u64, u64>,
    /// Functions that the bundle has.
    written: HashSet<Named>,
    named: u64,
    state: &'static str,
    bias: u64,
    /// Not before.
    due: Instant,
    /// What it last said of itself.
    told: (u64, u64, &'static str),
}

impl ModuleNames {
    pub(super) fn new(key: String, path: String) -> ModuleNames {
        ModuleNames {
            key,
            path,
            done: HashSet::new(),
            fresh: BTreeMap::new(),
            written: HashSet::new(),
            named: 0,
            state: "",
            bias: 0,
            due: Instant::now(),
            told: (0, 0, ""),
        }
    }

    /// An address in it was seen. True when it is new.
    pub(super) fn see(&mut self, address: u64, time: u64) -> bool {
        if self.done.contains(&address) {
            return false;
        }
        self.fresh.insert(address, time).is_none()
    }

    /// How many addresses wait.
    pub(super) fn waiting(&self) -> usize {
        self.fresh.len()
    }

    /// Whether it is time to look.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        !self.fresh.is_empty() && now >= self.due
    }

    /// What to look up.
    pub(super) fn wanted(&self) -> BTreeSet<u64> {
        self.fresh.keys().copied().collect()
    }

    /// All that were looked up may have another name by now: they are looked up again when they are seen again.
    pub(super) fn renew(&mut self) {
        self.done.clear();
        self.named = 0;
    }

    /// Whether the time was over before all was looked up.
    pub(super) fn is_out_of_time(&self) -> bool {
        self.state == super::elf::State::OutOfTime.name()
    }

    /// There was nothing to look into; there may be later.
    pub(super) fn unavailable(&mut self, state: &'static str) {
        self.state = state;
    }

    /// What was found for all that waited.
    pub(super) fn found(&mut self, look: Look, rows: &mut Vec<Symbol>) {
        let Look { named, held, state, bias, keep, seen, took } = look;
        (self.state, self.bias) = (state, bias);
        self.named += held as u64;
        self.due = Instant::now() + (took * PACE).min(LATEST);
        let now = crate::clock::boottime().0;
        let mut open = std::mem::take(&mut self.fresh);
        for n in named {
            let end = if n.size > 0 { n.start.saturating_add(n.size) } else { u64::MAX };
            let first = open.range(n.start..end).next().map(|(_, &time)| time);
            let time = if seen { first.unwrap_or(now) } else { now };
            if keep {
                let inside: Vec<u64> = open.range(n.start..end).map(|(&a, _)| a).collect();
                for address in inside {
                    open.remove(&address);
                    self.done.insert(address);
                }
            }
            if self.written.insert(n.clone()) {
                rows.push(Symbol { time, start: n.start, size: n.size, module: self.key.clone(), name: n.name });
            }
        }
        match keep {
            true => self.fresh = open,
            false => self.done.extend(open.into_keys()),
        }
    }

    /// What it has to say of itself, if that changed.
    pub(super) fn report(&mut self) -> Option<SymbolModule> {
        let wanted = (self.done.len() + self.fresh.len()) as u64;
        let now = (wanted, self.named.min(wanted), self.state);
        if now == self.told || self.state.is_empty() {
            return None;
        }
        self.told = now;
        Some(SymbolModule {
            time: crate::clock::boottime().0,
            wanted,
            named: now.1,
            bias: self.bias,
            module: self.key.clone(),
            path: self.path.clone(),
            state: self.state.to_owned(),
        })
    }
}

/// What a look into a module gave.
pub(super) struct Look {
    pub(super) named: BTreeSet<Named>,
    /// How many of the addresses that waited have a name now.
    pub(super) held: usize,
    pub(super) state: &'static str,
    /// Address minus file offset of its code.
    pub(super) bias: u64,
    /// Those without a name stay waiting: it may come.
    pub(super) keep: bool,
    /// Rows carry the time at which the address was seen, not that of the look.
    pub(super) seen: bool,
    pub(super) took: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(named: &[(u64, &str)], keep: bool) -> Look {
        let named: BTreeSet<Named> =
            named.iter().map(|&(start, name)| Named { start, size: 16, name: name.into() }).collect();
        Look { held: named.len(), named, state: "perf-map", bias: 0, keep, seen: true, took: Duration::ZERO }
    }

    #[test]
    fn each_function_is_written_once_and_what_has_no_name_yet_waits() {
        let mut m = ModuleNames::new("jit:7".into(), String::new());
        assert!(m.see(0x105, 11) && m.see(0x205, 12) && !m.see(0x105, 13));
        let mut rows = Vec::new();
        m.found(look(&[(0x100, "a")], true), &mut rows);
        assert_eq!((rows.len(), rows[0].time, m.waiting()), (1, 13, 1));
        assert!(!m.see(0x105, 14), "done");
        assert!(m.see(0x106, 15));
        m.found(look(&[(0x100, "a"), (0x200, "b")], false), &mut rows);
        assert_eq!(rows.iter().map(|r| &*r.name).collect::<Vec<_>>(), ["a", "b"]);
        let report = m.report();
        assert_eq!(report.map(|r| (r.wanted, r.named)), Some((3, 3)));
        assert_eq!(m.report(), None, "nothing new");
        m.renew();
        assert!(m.see(0x105, 20));
    }
}
