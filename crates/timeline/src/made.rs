//! Names of code that runtimes made: by process and time, since its memory and its pid are both used again.

use std::collections::HashMap;
use std::sync::Arc;

use coldcase_model::Boottime;

use crate::space::is_nearer;

/// A function that a runtime made.
#[derive(Debug)]
struct Made {
    start: u64,
    end: u64,
    /// When it was seen.
    time: Boottime,
    name: Arc<str>,
}

/// The functions of all processes, by pid.
#[derive(Debug, Default)]
pub(crate) struct MadeCode {
    of: HashMap<u32, Vec<Made>>,
}

/// Functions that are looked back over for one that holds an address.
const BACK: usize = 256;

impl MadeCode {
    /// Adds a row of `symbols` if its module is code that a runtime made: `jit:<pid>`.
    pub(crate) fn add(&mut self, module: &str, time: u64, start: u64, size: u64, name: &str) -> bool {
        let Some(pid) = module.strip_prefix("jit:") else { return false };
        if let Ok(pid) = pid.parse() {
            let end = start.saturating_add(size);
            self.of.entry(pid).or_default().push(Made { start, end, time: Boottime(time), name: name.into() });
        }
        true
    }

    /// After the last was added.
    pub(crate) fn sort(&mut self) {
        self.of
            .values_mut()
            .for_each(|made| made.sort_by(|x, y| (x.start, x.time, &x.name).cmp(&(y.start, y.time, &y.name))));
    }

    /// The function that held an address at a time. `life`: from when until when the pid was this program.
    pub(crate) fn find(&self, pid: u32, addr: u64, at: Boottime, life: (Boottime, Boottime)) -> Option<&Arc<str>> {
        let made = self.of.get(&pid)?;
        let after = made.partition_point(|m| m.start <= addr);
        let mut best: Option<&Made> = None;
        for m in made[after.saturating_sub(BACK)..after].iter().rev() {
            if addr >= m.end || m.time < life.0 || m.time >= life.1 {
                continue;
            }
            if is_nearer(m.time, best.map(|b| b.time), at) {
                best = Some(m);
            }
        }
        best.map(|m| &m.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_pids_that_are_used_again_keep_their_own_names() {
        let mut code = MadeCode::default();
        for (time, start, name) in [(10, 0x100, "first"), (20, 0x100, "second"), (40, 0x100, "of another process")] {
            assert!(code.add("jit:7", time, start, 0x10, name));
        }
        assert!(!code.add("kernel", 1, 1, 1, "x"));
        code.sort();
        let find = |at, life: (u64, u64)| {
            code.find(7, 0x105, Boottime(at), (Boottime(life.0), Boottime(life.1))).map(|n| n.to_string())
        };
        assert_eq!(find(15, (0, 30)).as_deref(), Some("first"));
        assert_eq!(find(25, (0, 30)).as_deref(), Some("second"));
        assert_eq!(find(35, (30, u64::MAX)).as_deref(), Some("of another process"), "its name came after it was seen");
        assert_eq!(find(5, (0, 8)), None);
        assert_eq!(code.find(7, 0x110, Boottime(15), (Boottime(0), Boottime(30))), None);
    }
}
