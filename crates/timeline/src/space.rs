//! Address spaces: what a pid had mapped between two program starts.

use coldcase_model::Boottime;

/// A mapping of a process.
#[derive(Debug, Clone)]
pub(crate) struct Map {
    pub(crate) time: Boottime,
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) offset: u64,
    pub(crate) module: u32,
}

/// What a pid had mapped between two program starts.
#[derive(Debug, Default)]
pub(crate) struct Space {
    pub(crate) from: Boottime,
    /// The pid that this one was forked from: its mappings are inherited until the next exec.
    pub(crate) parent: Option<u32>,
    /// By start.
    pub(crate) maps: Vec<Map>,
    /// Largest end of the maps up to each.
    pub(crate) reach: Vec<u64>,
}

impl Space {
    /// The mapping of an address: the latest before `at`, else the earliest after.
    pub(crate) fn find(&self, addr: u64, at: Boottime) -> Option<&Map> {
        let mut best: Option<&Map> = None;
        let mut i = self.maps.partition_point(|m| m.start <= addr);
        while i > 0 && self.reach[i - 1] > addr {
            i -= 1;
            let m = &self.maps[i];
            if addr >= m.end {
                continue;
            }
            let better = match best {
                None => true,
                Some(b) if m.time <= at => b.time > at || b.time < m.time,
                Some(b) => b.time > at && m.time < b.time,
            };
            if better {
                best = Some(m);
            }
        }
        best
    }
}
