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

/// Whether what was seen at `time` tells more about `at` than the `best` so far: the latest before, else the earliest after.
pub(crate) fn is_nearer(time: Boottime, best: Option<Boottime>, at: Boottime) -> bool {
    match best {
        None => true,
        Some(best) if time <= at => best > at || best < time,
        Some(best) => best > at && time < best,
    }
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
            if is_nearer(m.time, best.map(|b| b.time), at) {
                best = Some(m);
            }
        }
        best
    }
}
